// threads/fork_in_signal_test.cpp -- fork from a signal handler that interrupted malloc or free.
//
// A user would notice: a crash reporter or profiler that forks from SIGALRM or SIGSEGV and hangs
// with the heap's own lock held by the very thread it interrupted (jemalloc, scudo, gperftools and
// hardened_malloc do). The child ends at once in one half of the runs; in the other it returns from
// the handler, finishes the interrupted call, and goes on allocating.
//
// ASHLAR_TEST_SIGNAL_FORKS sets the number of forks per test (1,000 by default).

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "../support/child.h"
#include "stamped.h"

namespace {

enum class Child { kExits, kGoesOn };

volatile sig_atomic_t wish_fork = 0;  // the main loop asks for the next fork
volatile sig_atomic_t in_child = 0;   // set in the child, by the handler
volatile pid_t child_pid = 0;
Child child_mode = Child::kExits;

int forks_wanted() {
  return test::how_often("ASHLAR_TEST_SIGNAL_FORKS", 1000);
}

void on_alarm(int) {
  if (!wish_fork) return;
  const int saved = errno;
  const pid_t pid = fork();
  if (pid == 0) {
    if (child_mode == Child::kExits) _exit(0);
    in_child = 1;
  }
  if (pid > 0) child_pid = pid;
  if (pid != 0) wish_fork = 0;
  errno = saved;
}

void arm_timer(long microseconds) {
  const itimerval once{{0, 0}, {0, microseconds}};
  setitimer(ITIMER_REAL, &once, nullptr);
}

/// The child after its handler returned: everything the parent held must be sound.
[[noreturn]] void finish_child(std::vector<test::Stamped>& live) {
  for (const test::Stamped& block : live) test::free_stamped(block);
  test::churn(5, 500, 50, 60000);
  _exit(0);
}

/// Threads other than the main one must not take the alarm.
class AlarmFreeNoise {
 public:
  explicit AlarmFreeNoise(int threads, size_t largest) {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
    // Without noise the process must have one thread, so CTest alone watches the time.
    if (threads > 0) dog_ = new test::Watchdog(100, "a fork in a handler, or the parent after it");
    noise_ = new test::Noise(threads, largest);
    pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  }
  ~AlarmFreeNoise() {
    delete noise_;
    delete dog_;
  }

 private:
  test::Watchdog* dog_ = nullptr;
  test::Noise* noise_ = nullptr;
};

void interrupt_and_fork(Child mode, int threads, size_t largest) {
  child_mode = mode;
  struct sigaction action {};
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, nullptr);
  AlarmFreeNoise noise(threads, largest);
  test::Rng rng(31);
  std::vector<test::Stamped> live(300);
  for (int done = 0; done < forks_wanted(); ++done) {
    child_pid = 0;
    wish_fork = 1;
    arm_timer(static_cast<long>(50 + rng.below(400)));
    while (wish_fork && !in_child) {
      const size_t pick = rng.below(live.size());
      // Emptied first: an interrupted free must not be repeated by the child.
      const test::Stamped old = live[pick];
      live[pick] = {};
      test::free_stamped(old);
      live[pick] = test::make_stamped(rng.size(largest), rng.next());
    }
    if (in_child) finish_child(live);
    ASSERT_GT(child_pid, 0);
    const test::Ending ending = test::wait_for(child_pid, 30);
    ASSERT_TRUE(ending.clean()) << "fork number " << done << " in a handler: its child "
                                << ending.text();
  }
  for (const test::Stamped& block : live) test::free_stamped(block);
}

TEST(ForkInSignal, OneThreadAndTheChildExits) {
  interrupt_and_fork(Child::kExits, 0, 60000);
}
TEST(ForkInSignal, OneThreadAndTheChildGoesOn) {
  interrupt_and_fork(Child::kGoesOn, 0, 60000);
}
TEST(ForkInSignal, ManyThreadsAndTheChildExits) {
  interrupt_and_fork(Child::kExits, 3, 60000);
}
TEST(ForkInSignal, ManyThreadsAndTheChildGoesOn) {
  interrupt_and_fork(Child::kGoesOn, 3, 60000);
}
TEST(ForkInSignal, LargeBlocksAndTheChildGoesOn) {
  interrupt_and_fork(Child::kGoesOn, 2, 2000000);
}

}  // namespace
