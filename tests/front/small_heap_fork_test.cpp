// front/small_heap_fork_test.cpp -- proves that what is freed and ended beside a fork is there for
// all when that is over, and for the children of later forks.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ashlar/heap.h"
#include "front/heap.h"
#include "front/small_heap.h"
#include "front/upkeep.h"
#include "support/beside_fork.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;

int nothing() {
  return 0;
}

// A heap of 80 MiB with a block of 60, which is freed beside a fork.
struct FreedBeside {
  ashlar_heap* heap = ashlar_heap_create(80 * kMiB);
  void* block = ashlar_heap_alloc(heap, 60 * kMiB);
  FreedBeside() {
    EXPECT_NE(block, nullptr);
    auto free = [&](test::Fork& fork) {
      fork.begin();
      ashlar_heap_free(heap, block);
    };
    EXPECT_TRUE(test::beside_fork(free, nothing).clean());
  }
  ~FreedBeside() { ashlar_heap_destroy(heap); }
};

TEST(SmallHeapFork, WhatIsFreedBesideOneServesMalloc) {
  front::set_limits({.hard = base::Pages::ceil(100 * kMiB).n});
  FreedBeside freed;
  void* block = front::alloc(60 * kMiB);
  EXPECT_NE(block, nullptr);
  front::free(block);
  front::set_limits({});
}

TEST(SmallHeapFork, WhatIsFreedBesideOneGoesBackThoughNobodyCallsItsHeap) {
  FreedBeside freed;
  front::free(front::alloc(50000));
  EXPECT_EQ(ashlar_heap_live(freed.heap), 0u);
}

TEST(SmallHeapFork, WhatIsFreedBesideOneIsThereForTheChildOfTheNext) {
  FreedBeside freed;
  auto begin = [](test::Fork& fork) { fork.begin(); };
  auto ask = [&] { return ashlar_heap_alloc(freed.heap, 60 * kMiB) != nullptr ? 0 : 1; };
  EXPECT_TRUE(test::beside_fork(begin, ask).clean());
}

// And heaps in buffers, which no list tells, have no lock in the child that nobody holds there.
TEST(SmallHeapFork, WhatEndsBesideALongOneEndsWhenItIsOver) {
  std::vector<char> buffer(kMiB);
  ashlar_heap* stays = ashlar_heap_create_in(buffer.data(), kMiB);
  void* block = ashlar_heap_alloc(stays, 100);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      while (!is_over) ashlar_heap_usable_size(stays, block);
    });
  ashlar_heap* ends = ashlar_heap_create(80 * kMiB);
  ASSERT_NE(ashlar_heap_alloc(ends, 60 * kMiB), nullptr);
  auto end = [&](test::Fork& fork) {
    fork.begin();
    ashlar_heap_destroy(ends);
    sleep(1);  // until those threads, too, wait no longer
  };
  auto ask = [&] { return ashlar_heap_alloc(stays, 100) != nullptr ? 0 : 1; };
  EXPECT_TRUE(test::beside_fork(end, ask).clean());
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  front::free(front::alloc(50000));
  EXPECT_FALSE(front::SmallHeap::is_any());
}

}  // namespace
