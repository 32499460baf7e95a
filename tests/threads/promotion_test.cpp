// threads/promotion_test.cpp -- a small process grows: what it holds stays whole and can be freed,
// whoever makes it grow, and whatever else happens in that moment.
//
// A user would notice: a daemon that loses a block when it starts its first thread; a shell whose
// child hangs because the parent's heap was just being promoted; realloc of a block from the early
// days that brings back other content. Each body runs in processes of its own, since a process is
// promoted once.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "../support/child.h"
#include "stamped.h"

namespace {

void run_fresh(const std::string& name, unsigned times) {
  for (unsigned i = 0; i < times; ++i) {
    const test::Ending ending = test::run_disabled("Promotion", name);
    ASSERT_TRUE(ending.clean()) << name << ", process " << i << " " << ending.text();
  }
}

using test::Stamped;

// Few and small: a process that is not promoted yet.
constexpr size_t kEarly = 300;
Stamped g_early[kEarly];

void make_early() {
  test::Rng rng(1);
  for (Stamped& one : g_early) one = test::make_stamped(rng.below(500) + 1, rng.next());
}

void free_early() {
  for (const Stamped& one : g_early) test::free_stamped(one);
}

TEST(Promotion, DISABLED_ByManyThreadsAtOnce) {
  make_early();
  std::atomic<unsigned> ready{0};
  std::thread threads[8];
  for (unsigned n = 0; n < 8; ++n) {
    threads[n] = std::thread([&, n] {
      ++ready;
      while (ready < 8) std::this_thread::yield();
      test::churn(n + 10, 400, 50, 3000);
      for (size_t i = n; i < kEarly; i += 8) test::free_stamped(g_early[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Promotion, ByManyThreadsAtOnce) {
  run_fresh("ByManyThreadsAtOnce", 40);
}

// The child inherits the heap at whatever point of the promotion it is, and goes on with it.
TEST(Promotion, DISABLED_WhileThisProcessForks) {
  make_early();
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    for (uint64_t seed = 0; !is_over; ++seed) test::churn(seed, 100, 10, 6000);
  });
  for (int i = 0; i < 30; ++i) {
    pid_t child = fork();
    if (child == 0) {
      test::churn(4, 300, 20, 3000);
      free_early();
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  is_over = true;
  other.join();
  free_early();
}

TEST(Promotion, WhileThisProcessForks) {
  run_fresh("WhileThisProcessForks", 12);
}

TEST(Promotion, DISABLED_OfTheChildAlone) {
  make_early();
  pid_t child = fork();
  test::churn(5, 20000, 2000, 700);
  free_early();
  if (child == 0) _exit(0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
}

TEST(Promotion, OfTheChildAlone) {
  run_fresh("OfTheChildAlone", 5);
}

TEST(Promotion, DISABLED_ReallocAcrossIt) {
  make_early();
  // Large and often enough for every reason to promote.
  test::churn(6, 100000, 500, 40000);
  test::Rng rng(7);
  for (Stamped& one : g_early) {
    const size_t size = one.size + rng.below(10000);
    one.block = static_cast<unsigned char*>(realloc(one.block, size));
    ASSERT_NE(one.block, nullptr);
    ASSERT_TRUE(test::is_intact(one)) << one.size << " to " << size;
  }
  free_early();
}

TEST(Promotion, ReallocAcrossIt) {
  run_fresh("ReallocAcrossIt", 1);
}

}  // namespace
