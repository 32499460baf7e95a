// front/process_wait_test.cpp -- proves that a fork waits for nobody who waits for it: a fork of a
// handler's inside the slow path or inside another fork, and a thread that the program's own
// handler joins.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "cache/seat.h"
#include "front/heap.h"
#include "front/process.h"
#include "support/child.h"

namespace {
using namespace ashlar;

// Registered before the heap's own handlers, so that it runs after their prepare handler.
std::function<void()> beside_fork;
[[maybe_unused]] const int registered = pthread_atfork(
    [] {
      if (beside_fork) beside_fork();
    },
    nullptr, nullptr);

// A child's: that it can allocate, and can fork beside another thread.
int go_on() {
  front::free(front::alloc(100'000));
  std::thread other([] { front::free(front::alloc(100)); });
  pid_t child = fork();
  if (child == 0) _exit(0);
  other.join();
  return test::wait_for(child, 20).clean() ? 0 : 1;
}

class ProcessWait : public testing::Test {
 protected:
  ProcessWait() {
    front::start_process();
    front::free(front::alloc(100));
  }
};

TEST_F(ProcessWait, TwoForksOfWhichOneIsInsideTheSlowPathGoOneAfterTheOther) {
  test::Watchdog dog(60, "two forks");
  std::atomic<bool> is_inside{false}, may_end{false};
  pid_t theirs = 0;
  std::thread other([&] {
    {
      front::GateEntry entry;  // a handler has interrupted it
      is_inside = true;
      while (front::is_gate_open()) usleep(100);
      theirs = fork();
      if (theirs == 0) _exit(0);
    }
    while (!may_end) usleep(100);  // a sanitizer's locks are taken when a thread ends
  });
  while (!is_inside) usleep(100);
  pid_t child = fork();
  if (child == 0) _exit(go_on());
  may_end = true;
  EXPECT_TRUE(test::wait_for(child, 30).clean());
  other.join();
  EXPECT_TRUE(test::wait_for(theirs, 30).clean());
}

TEST_F(ProcessWait, AStayThatTheForkHasInterruptedIsNotWaitedForInTheChild) {
  test::Watchdog dog(60, "a child's fork");
  std::atomic<bool> is_there{false}, may_end{false};
  std::thread other([&] {
    for (is_there = true; !may_end;) usleep(100);
  });
  while (!is_there) usleep(100);
  pid_t child = 0;
  {
    front::GateEntry entry;
    child = fork();
  }
  if (child == 0) _exit(go_on());
  may_end = true;
  other.join();
  EXPECT_TRUE(test::wait_for(child, 30).clean());
}

std::atomic<bool> may_leave{false};

// The thread that the interrupted fork waits for does not exist in the handler's child.
TEST_F(ProcessWait, AForkThatAnotherHasInterruptedEndsInTheChildOfThatToo) {
  test::Watchdog dog(60, "a fork that was interrupted by another");
  static pid_t of_handler = -1;
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) {
    of_handler = fork();
    may_leave = of_handler > 0;
  };
  sigaction(SIGUSR1, &action, &before);
  std::atomic<bool> is_inside{false};
  pthread_t mine = pthread_self();
  std::thread other([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    front::GateEntry entry;
    is_inside = true;
    while (front::is_gate_open()) usleep(100);
    pthread_kill(mine, SIGUSR1);
    while (!may_leave) usleep(100);
  });
  while (!is_inside) usleep(100);
  pid_t child = fork();
  if (child == 0) _exit(0);
  bool is_clean = test::wait_for(child, 20).clean();
  if (of_handler == 0) _exit(is_clean ? go_on() : 2);
  EXPECT_TRUE(is_clean);
  other.join();
  EXPECT_TRUE(test::wait_for(of_handler, 40).clean());
  sigaction(SIGUSR1, &before, nullptr);
}

// As libraries with threads of their own do, which shall not be missing in the child.
TEST_F(ProcessWait, AHandlerMayJoinAThreadThatEndsBesideTheFork) {
  test::Watchdog dog(60, "a handler that joins a thread");
  if (!front::g_heap.promote()) GTEST_SKIP() << "not run: this heap has no magazines";
  std::atomic<bool> is_ready{false}, is_over{false};
  auto seat_of_this_thread = [] {
    for (int i = 0; i < 1000; ++i) front::free(front::alloc(100));  // SLOB serves the first
    return os::this_thread().fallback;
  };
  void* seat = nullptr;
  std::thread other([&] {
    seat = seat_of_this_thread();
    is_ready = true;
    while (!is_over) usleep(100);
  });
  while (!is_ready) usleep(100);
  beside_fork = [&] {
    beside_fork = nullptr;
    is_over = true;
    other.join();
  };
  pid_t child = fork();
  if (child == 0) _exit(go_on());
  EXPECT_TRUE(test::wait_for(child, 30).clean());
  EXPECT_EQ(seat != nullptr, cache::has_thread_seats());
  front::free(front::alloc(100'000));
  void* next = nullptr;
  std::thread([&] { next = seat_of_this_thread(); }).join();
  EXPECT_EQ(next, seat) << "what the thread has left behind is lost";
}

}  // namespace
