// threads/abort_storm_test.cpp -- restartable sections that are interrupted all the time.
//
// A user would notice: once in a billion calls, at the worst moment, a block given out twice. Here
// every thread is hit by a signal about every 100 us, yields, and is moved from CPU to CPU, so that
// sections are cut off at every instruction; signal handlers allocate nothing, as POSIX asks.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "../support/child.h"
#include "stamped.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace {

std::atomic<uint64_t> signals{0};

/// A timer that signals the calling thread about every `microseconds`.
class OwnTimer {
 public:
  explicit OwnTimer(long microseconds) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
    if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) abort();
    const itimerspec every{{0, microseconds * 1000}, {0, microseconds * 1000}};
    timer_settime(timer_, 0, &every, nullptr);
  }
  ~OwnTimer() { timer_delete(timer_); }

 private:
  timer_t timer_{};
};

void move_to_some_cpu(test::Rng& rng, int cpus) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(rng.below(static_cast<uint64_t>(cpus)), &one);
  sched_setaffinity(0, sizeof one, &one);
}

struct Exchange {
  std::mutex mutex;
  std::vector<test::Stamped> blocks;
};

void storm(int number, size_t steps, size_t largest, Exchange& exchange) {
  test::Rng rng(static_cast<uint64_t>(number) * 77 + 5);
  const int cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  OwnTimer timer(90 + number * 7);
  std::vector<test::Stamped> live(400);
  for (size_t i = 0; i < steps; ++i) {
    test::Stamped& slot = live[rng.below(live.size())];
    test::free_stamped(slot);
    slot = test::make_stamped(rng.size(largest), rng.next());
    if (slot.block == nullptr) abort();
    if (i % 4096 == 0) move_to_some_cpu(rng, cpus);
    if (i % 64 == 0) sched_yield();
    if (i % 256 == 0) {  // some blocks are freed by whoever comes next
      const std::lock_guard held(exchange.mutex);
      for (int k = 0; k < 8; ++k) {
        if (exchange.blocks.size() < 64) {
          exchange.blocks.push_back(test::make_stamped(rng.size(largest), rng.next()));
        } else {
          std::swap(exchange.blocks[rng.below(64)], live[rng.below(live.size())]);
        }
      }
    }
  }
  for (const test::Stamped& block : live) test::free_stamped(block);
}

void run_storm(int threads, size_t steps, size_t largest) {
  test::Watchdog dog(115, "the storm");
  struct sigaction action {};
  action.sa_handler = [](int) { signals.fetch_add(1, std::memory_order_relaxed); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  const uint64_t before = signals;
  Exchange exchange;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] { storm(t, steps, largest, exchange); });
  }
  for (std::thread& thread : all) thread.join();
  for (const test::Stamped& block : exchange.blocks) test::free_stamped(block);
  printf("%llu signals\n", static_cast<unsigned long long>(signals - before));
  EXPECT_GT(signals, before) << "no signal arrived: the test tested nothing";
}

TEST(AbortStorm, TinyBlocksOfFewClasses) {
  run_storm(4, 1500000, 64);
}
TEST(AbortStorm, BlocksOfEveryCachedSize) {
  run_storm(4, 700000, 32768);
}
TEST(AbortStorm, LargeBlocksToo) {
  run_storm(4, 150000, 400000);
}
TEST(AbortStorm, MoreThreadsThanCpus) {
  run_storm(24, 80000, 8192);
}

}  // namespace
