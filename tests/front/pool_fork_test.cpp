// front/pool_fork_test.cpp -- pools beside a fork, in its child, and afterwards.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ashlar/pool.h"
#include "front/pool.h"
#include "support/child.h"
#include "support/pools.h"

namespace {
using namespace ashlar;

using test::audit;
using test::Pool;
using test::pool_over;
using test::Source;

TEST(PoolFork, InAForkedChildNobodyWaits) {
  Source source{1};
  Pool pool = pool_over(source, 1);
  void* only = ashlar_pool_alloc(pool.get(), 0, 0);
  std::thread waiter(
      [&] { ashlar_pool_free(pool.get(), ashlar_pool_alloc(pool.get(), 0, ASHLAR_POOL_FOREVER)); });
  while (reinterpret_cast<front::Pool*>(pool.get())->ready() > 0) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      ashlar_pool_free(pool.get(), only);
      void* again = ashlar_pool_alloc(pool.get(), 0, 0);
      _exit(again == only ? 0 : 1);
    }
    EXPECT_TRUE(test::wait_for(child).clean());
  }
  ashlar_pool_free(pool.get(), only);
  waiter.join();
}

TEST(PoolFork, AForkWhileItIsResizedLeavesAChildWithAWholeReserve) {
  for (unsigned i = 0; i < 30; ++i) {
    Source source{1};
    Pool pool = pool_over(source, 1);
    std::atomic<bool> is_there{false};
    std::thread other([&] {
      is_there = true;
      ashlar_pool_resize(pool.get(), front::Pool::kMost);
    });
    while (!is_there) std::this_thread::yield();
    usleep(i * 300);
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      // Goes on where the other thread was; an object in two nodes of the stacks would have two
      // owners.
      ashlar_pool_resize(pool.get(), front::Pool::kMost);
      audit(pool);
      _exit(0);
    }
    test::Ending ending = test::wait_for(child);
    other.join();
    ASSERT_TRUE(ending.clean()) << i << ": " << ending.text();
  }
}

// Registered before the heap's own handlers, so that the first runs while the gate is closed, and
// the last before the child's heap knows of the fork.
enum class Turn : uint8_t { kNobody, kForker, kOther };
std::atomic<Turn> s_turn{Turn::kNobody};
std::atomic<ashlar_pool*> s_resized_first{nullptr};
std::atomic<bool> s_is_held_up{false};
[[maybe_unused]] const int registered = pthread_atfork(
    [] {
      if (s_turn == Turn::kForker) s_turn = Turn::kOther;
      while (s_turn == Turn::kOther) usleep(100);
    },
    nullptr,
    [] {
      if (s_resized_first == nullptr) return;
      s_is_held_up = false;
      _exit(ashlar_pool_resize(s_resized_first, 4) != 0);
    });

// Forks, and has another thread do work() meanwhile. The exit code of the child is child()'s.
template <class Work, class Child>
int fork_beside(Work work, Child child) {
  s_turn = Turn::kForker;
  std::thread other([&] {
    while (s_turn != Turn::kOther) usleep(100);
    work();
    s_turn = Turn::kNobody;
  });
  pid_t pid = fork();
  if (pid == 0) _exit(child());
  other.join();
  return test::wait_for(pid).exit_code;
}

// How many objects there are for who must not wait; they are freed again.
int served(const Pool& pool) {
  std::vector<void*> objects;
  while (void* object = ashlar_pool_alloc(pool.get(), ASHLAR_NOWAIT, 0)) objects.push_back(object);
  for (void* object : objects) ashlar_pool_free(pool.get(), object);
  return static_cast<int>(objects.size());
}

TEST(PoolFork, WhatIsFreedBesideAForkServesAtOnceAndInTheChildrenOfLaterForks) {
  Source source{5};
  Pool pool = pool_over(source, 5);
  void* objects[5];
  for (void*& object : objects) object = ashlar_pool_alloc(pool.get(), 0, 0);
  auto free_all = [&] {
    for (void* object : objects) ashlar_pool_free(pool.get(), object);
    EXPECT_EQ(served(pool), 5) << "beside the fork";
  };
  auto serve = [&] { return served(pool); };
  EXPECT_EQ(fork_beside(free_all, serve), 0) << "what was copied meanwhile";
  EXPECT_EQ(ashlar_pool_ready(pool.get()), 0u);
  EXPECT_EQ(fork_beside([] {}, serve), 5);
  EXPECT_EQ(fork_beside([&] { EXPECT_EQ(served(pool), 0) << "the next child's"; }, serve), 5);
  EXPECT_EQ(served(pool), 5);
  EXPECT_EQ(ashlar_pool_ready(pool.get()), 5u);
}

// Freed the moment that a fork is over: the gate was closed just now, and the reserve is not full.
TEST(PoolFork, NothingGoesToTheSourceAsLongAsTheReserveIsNotFull) {
  Source source{4};
  Pool pool = pool_over(source, 4);
  constexpr long kDry = -1000;
  source.left = kDry;
  std::atomic<bool> is_over{false};
  std::thread user([&] {
    while (!is_over) ashlar_pool_free(pool.get(), ashlar_pool_alloc(pool.get(), ASHLAR_NORETRY, 0));
  });
  for (int i = 0; i < 60; ++i) EXPECT_EQ(fork_beside([] { usleep(3000); }, [] { return 0; }), 0);
  is_over = true;
  user.join();
  EXPECT_EQ(source.left, kDry) << "somebody else may have them now";
  EXPECT_EQ(served(pool), 4);
}

TEST(PoolFork, IsMadeSmallerAfterALongFork) {
  Source source{100};
  Pool pool = pool_over(source, 100);
  auto resize = [&] { EXPECT_EQ(ashlar_pool_resize(pool.get(), 4), 0); };
  EXPECT_EQ(fork_beside(resize, [] { return 0; }), 0);
  ashlar_pool_free(pool.get(), ashlar_pool_alloc(pool.get(), 0, 0));
  EXPECT_EQ(ashlar_pool_ready(pool.get()), 4u);
  EXPECT_EQ(source.left, 96);
  audit(pool);
}

TEST(PoolFork, AChildResizesItBeforeItsHeapKnowsOfTheFork) {
  static std::atomic<bool> s_is_inside{false};
  auto take = [](void*, unsigned) -> void* {
    s_is_inside = true;
    while (s_is_held_up) usleep(100);
    return new int(7);
  };
  auto put = [](void*, void* object) { delete static_cast<int*>(object); };
  Pool pool(ashlar_pool_create(2, take, put, nullptr));
  s_is_inside = false;
  s_is_held_up = true;
  std::thread other([&] { ashlar_pool_resize(pool.get(), 8); });
  while (!s_is_inside) usleep(100);
  s_resized_first = pool.get();
  pid_t child = fork();
  s_resized_first = nullptr;
  s_is_held_up = false;
  other.join();
  EXPECT_TRUE(test::wait_for(child).clean());
}

// In the child a new thread has the place, and by that the name, of one that may have held a lock.
TEST(PoolFork, NoThreadOfTheChildWaitsForOneOfTheParent) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "not run: a child may find a lock of the sanitizer's own malloc taken";
#endif
  static Source s_source{1};
  static ashlar_pool* s_pool;
  static std::atomic<bool> s_is_over;
  Pool pool = pool_over(s_source, 1);
  s_pool = pool.get();
  s_is_over = false;
  auto use = [](long wait_ms) { ashlar_pool_free(s_pool, ashlar_pool_alloc(s_pool, 0, wait_ms)); };
  auto use_always = [=] {
    while (!s_is_over) use(ASHLAR_POOL_FOREVER);
  };
  std::thread threads[3];
  for (std::thread& thread : threads) thread = std::thread(use_always);
  int hung = 0;
  for (int i = 0; i < 200 && hung == 0; ++i) {
    pid_t child = fork();
    if (child == 0) {
      std::thread([=] { use(20); }).join();
      _exit(0);
    }
    hung += !test::wait_for(child, 20).clean();
  }
  EXPECT_EQ(hung, 0);
  s_is_over = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
