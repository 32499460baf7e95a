// os/lock_test.cpp -- proves mutual exclusion under contention, that sleepers are woken, that a
// wrong order of ranks dies in builds with asserts, what a forked child does with locks, and what
// a thread that ends the process.

#include "os/lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/config.h"
#include "support/child.h"

namespace {
using namespace ashlar;

using os::Lock;
using os::Locked;
using os::LockRank;

TEST(Lock, OneHolderAtATime) {
  Lock lock(LockRank::kStock);
  long counter = 0;  // not atomic: the lock is all that protects it
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50000; ++i) {
        Locked held(lock);
        ++counter;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 200000);
}

// Long critical sections: takers give up spinning and sleep, and each is woken in the end.
TEST(Lock, SleepersAreWoken) {
  Lock lock(LockRank::kStock);
  std::atomic<int> done{0};
  test::Watchdog watchdog(60, "a sleeper on a lock");
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        Locked held(lock);
        usleep(500);
      }
      ++done;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 6);
}

TEST(Lock, KnowsItsHolder) {
  Lock lock(LockRank::kStock);
  EXPECT_FALSE(lock.is_mine());
  {
    Locked held(lock);
    EXPECT_TRUE(lock.is_mine());
    std::thread([&] { EXPECT_FALSE(lock.is_mine()); }).join();
  }
  EXPECT_FALSE(lock.is_mine());
}

TEST(Lock, TheHolderIsKnownWhileOthersWait) {
  Lock lock(LockRank::kStock);
  std::atomic<bool> is_taken{false};
  lock.acquire();
  std::thread other([&] {
    lock.acquire();
    is_taken = true;
    lock.release();
  });
  usleep(20000);  // long enough for the other to sleep and set the waiting bit
  EXPECT_TRUE(lock.is_mine());
  EXPECT_FALSE(is_taken);
  lock.release();
  other.join();
  EXPECT_TRUE(is_taken);
}

TEST(Lock, RanksMayBeTakenDownward) {
  Lock registry(LockRank::kRegistry), stock(LockRank::kStock), zone(LockRank::kZone);
  for (int i = 0; i < 2; ++i) {
    Locked a(registry);
    Locked b(stock);
    Locked c(zone);
  }
  Locked again(zone);
}

TEST(LockDeathTest, RanksMayNotBeTakenUpwardNorTwice) {
  if (!base::kAsserts) GTEST_SKIP() << "not run: ranks are checked in builds with asserts";
  EXPECT_DEATH(
      {
        Lock zone(LockRank::kZone);
        Lock stock(LockRank::kStock);
        Locked inner(zone);
        Locked outer(stock);
      },
      "check failed: ");
  EXPECT_DEATH(
      {
        Lock a(LockRank::kStock);
        Lock b(LockRank::kStock);
        Locked one(a);
        Locked two(b);
      },
      "check failed: ");
}

TEST(Lock, AChildFreesTheLocksOfThreadsItDoesNotHave) {
  Lock theirs(LockRank::kStock), mine(LockRank::kZone);
  std::atomic<int> stage{0};
  std::thread other([&] {
    Locked held(theirs);
    stage = 1;
    while (stage != 2) usleep(100);
  });
  while (stage != 1) usleep(100);
  mine.acquire();
  pid_t child = fork();
  if (child == 0) {
    theirs.reset_in_child();
    mine.reset_in_child();
    bool is_kept = mine.is_mine();
    mine.release();
    theirs.acquire();  // would hang if it were still held
    _exit(is_kept ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(child, 20).clean());
  mine.release();
  stage = 2;
  other.join();
}

// As a handler of SIGABRT does whose thread has told of misuse with locks held.
TEST(Lock, WhoEndsTheProcessGetsWhatItHolds) {
  Lock outer(LockRank::kRegistry), inner(LockRank::kStock);
  std::atomic<bool> is_taken{false};
  std::thread other;
  std::thread([&] {
    test::Watchdog watchdog(60, "a lock that is held by whoever wants it");
    Locked first(outer);
    inner.acquire();
    other = std::thread([&] {
      Locked held(inner);
      is_taken = true;
    });
    usleep(20000);  // long enough for the other to sleep
    os::ignore_held_locks();
    inner.acquire();
    EXPECT_TRUE(inner.is_mine());
    outer.acquire();  // in any order
    EXPECT_FALSE(is_taken);
    inner.release();
  }).join();
  other.join();
  EXPECT_TRUE(is_taken);
  EXPECT_TRUE(outer.is_free());
}

TEST(Futex, WaitsNoLongerThanAsked) {
  std::atomic<uint32_t> word{1};
  int64_t start = test::now_ms();
  os::futex_wait(word, 1, 30000);
  int64_t waited = test::now_ms() - start;
  EXPECT_GE(waited, 25);
  EXPECT_LT(waited, 20000);
  os::futex_wait(word, 0, 0);  // the word is another: returns at once
}

TEST(Futex, WakesAll) {
  std::atomic<uint32_t> word{1};
  test::Watchdog watchdog(60, "waiters on a futex");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      while (word == 1) os::futex_wait(word, 1, 0);
    });
  usleep(20000);
  word = 0;
  os::futex_wake_all(word);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
