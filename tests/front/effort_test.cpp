// front/effort_test.cpp -- what the flags of a request mean when memory is out.

#include "front/effort.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "ashlar/cache.h"
#include "ashlar/limits.h"
#include "ashlar/pages.h"
#include "ashlar/pool.h"
#include "support/caches.h"

namespace {

// Runs `body` in a child whose heap may hold `more` bytes than it does; its result is the child's.
template <class Body>
void in_child_with(size_t more, Body body) {
  ashlar_kfree(ashlar_kmalloc(100, 0));
  pid_t child = fork();
  if (child == 0) {
    alarm(30);
    ashlar_limits limits;
    ashlar_get_limits(&limits);
    ashlar_set_limits(ASHLAR_UNLIMITED, limits.held + more);
    _exit(body());
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// Takes until nothing is left for requests like this.
std::vector<void*> exhaust(size_t size) {
  std::vector<void*> blocks;
  blocks.reserve(1 << 16);
  for (void* block; (block = ashlar_kmalloc(size, ASHLAR_NORETRY)) != nullptr;)
    blocks.push_back(block);
  return blocks;
}

struct Hoard {
  std::vector<void*> blocks;
  int calls = 0;
};

size_t shrink_hoard(void* data, size_t bytes) {
  Hoard& hoard = *static_cast<Hoard*>(data);
  ++hoard.calls;
  size_t freed = 0;
  for (; freed < bytes && !hoard.blocks.empty(); hoard.blocks.pop_back(), freed += 100000)
    ashlar_kfree(hoard.blocks.back());
  return freed;
}

// A flag of a later version, or a slip, is told instead of passed over.
TEST(Effort, WhatNoVersionKnowsIsRefused) {
  test::Cache cache = test::make_cache("objects", 64, {});
  ashlar_pool* pool = ashlar_pool_create_size(1, 64);
  void* block = ashlar_kmalloc(100, 0);
  for (unsigned flags : {128U, 1U << 31, unsigned{ASHLAR_ZERO} | 256U}) {
    void* objects[2] = {};
    auto is_refused = [&](const void* result) {
      return result == nullptr && std::exchange(errno, 0) == EINVAL;
    };
    errno = 0;
    EXPECT_TRUE(is_refused(ashlar_kmalloc(100, flags)));
    EXPECT_TRUE(is_refused(ashlar_kmalloc_aligned(100, 64, flags)));
    EXPECT_TRUE(is_refused(ashlar_kmalloc_array(10, 10, flags)));
    EXPECT_TRUE(is_refused(ashlar_krealloc(block, 100, flags)));
    EXPECT_TRUE(is_refused(ashlar_krealloc(block, 100000, flags)));
    EXPECT_TRUE(is_refused(ashlar_krealloc(nullptr, 100, flags)));
    EXPECT_TRUE(is_refused(ashlar_pages_get(0, flags)));
    EXPECT_TRUE(is_refused(ashlar_pages_get_exact(100, flags)));
    EXPECT_TRUE(is_refused(ashlar_vmalloc(100, flags)));
    EXPECT_TRUE(is_refused(ashlar_pool_alloc(pool, flags, 0)));
    EXPECT_TRUE(is_refused(ashlar_cache_alloc(cache.get(), flags)));
    EXPECT_EQ(ashlar_cache_alloc_bulk(cache.get(), flags, 2, objects), 0U);
    EXPECT_EQ(errno, EINVAL);
  }
  ashlar_kfree(block);
  ashlar_pool_destroy(pool);
}

TEST(Effort, NoBlockIsBothLowAndPinned) {
  constexpr unsigned kBoth = ASHLAR_LOW32 | ASHLAR_PINNED;
  void* block = ashlar_kmalloc(100, 0);
  for (int i = 0; i < 4; ++i) {
    void* (*const ask[])(void*) = {[](void*) { return ashlar_kmalloc(100, kBoth); },
                                   [](void* p) { return ashlar_krealloc(p, 90, kBoth); },
                                   [](void*) { return ashlar_pages_get(0, kBoth); },
                                   [](void*) { return ashlar_vmalloc(100, kBoth); }};
    errno = 0;
    EXPECT_EQ(ask[i](block), nullptr) << i;
    EXPECT_EQ(errno, EINVAL) << i;
  }
  ashlar_kfree(block);
}

TEST(Effort, WithoutRetryNobodyIsAsked) {
  // More than what gives way above the soft limit, which is not for this request.
  constexpr size_t kMuch = size_t{8} << 20;
  in_child_with(2 * kMuch, [] {
    Hoard hoard{exhaust(100000)};
    if (ashlar_shrinker_register(shrink_hoard, &hoard) < 0) return 1;
    if (ashlar_kmalloc(kMuch, ASHLAR_NORETRY) != nullptr || errno != ENOMEM) return 2;
    if (hoard.blocks.size() < 100) return 3;
    return ashlar_kmalloc(kMuch, 0) != nullptr ? 0 : 4;
  });
}

TEST(Effort, TheReserveIsForWhoAsksForIt) {
  in_child_with(size_t{16} << 20, [] {
    exhaust(3000);
    if (ashlar_kmalloc(3000, ASHLAR_NORETRY) != nullptr) return 1;
    return ashlar_kmalloc(3000, ASHLAR_NORETRY | ASHLAR_RESERVE) != nullptr ? 0 : 2;
  });
}

// A program that has been refused needs some memory to say so, whichever function refused it.
// (Not where what was refused is so large that enough is free beside it: that closes the reserve.)
TEST(Effort, TheReserveOpensAfterARefusal) {
  static test::Cache own = test::make_cache("own", 3000, {.flags = ASHLAR_CACHE_NO_MERGE});
  void* (*const ask[])() = {
      [] { return ashlar_kmalloc(100000, 0); }, [] { return ashlar_vmalloc(100000, 0); },
      [] { return ashlar_pages_get(4, 0); }, [] { return ashlar_cache_alloc(own.get(), 0); }};
  for (auto* ask_once : ask)
    in_child_with(size_t{16} << 20, [=] {
      while (ask_once() != nullptr) {
      }
      exhaust(3000);
      ashlar_limits limits;
      ashlar_get_limits(&limits);
      return limits.held > limits.hard - limits.reserve ? 0 : 1;
    });
  own.reset();
}

TEST(Effort, WhoCannotFailWaitsUntilSomebodyFrees) {
  in_child_with(size_t{16} << 20, [] {
    std::vector<void*> blocks = exhaust(100000);
    std::atomic<void*> got{nullptr};
    std::thread waiter([&] { got = ashlar_kmalloc(150000, ASHLAR_NOFAIL); });
    if (got != nullptr) return 1;
    for (size_t i = 0; i < 5; ++i) ashlar_kfree(blocks[i]);
    waiter.join();
    return got != nullptr ? 0 : 2;
  });
}

TEST(Effort, WhatCanNeverBeHadIsNotWaitedFor) {
  static test::Cache own = test::make_cache("large", size_t{64} << 20);
  in_child_with(size_t{16} << 20, [] {
    void* block = ashlar_kmalloc(1000, 0);
    auto is_refused = [](const void* result) { return result == nullptr && errno == ENOMEM; };
    ashlar_limits limits;
    ashlar_get_limits(&limits);
    if (!is_refused(ashlar_kmalloc(limits.hard + 1, ASHLAR_NOFAIL))) return 1;
    if (!is_refused(ashlar_kmalloc(limits.hard, ASHLAR_NOFAIL))) return 2;  // without the reserve
    if (!is_refused(ashlar_vmalloc(limits.hard + 1, ASHLAR_NOFAIL))) return 3;
    if (!is_refused(ashlar_pages_get(ASHLAR_PAGES_MOST_ORDER, ASHLAR_NOFAIL))) return 4;
    if (!is_refused(ashlar_krealloc(block, limits.hard + 1, ASHLAR_NOFAIL))) return 5;
    if (!is_refused(ashlar_cache_alloc(own.get(), ASHLAR_NOFAIL))) return 6;
    ashlar_set_limits(ASHLAR_UNLIMITED, ASHLAR_UNLIMITED);
    if (!is_refused(ashlar_kmalloc(size_t{600} << 30, ASHLAR_NOFAIL))) return 7;
    if (!is_refused(ashlar_kmalloc(size_t{2} << 30, ASHLAR_NOFAIL | ASHLAR_LOW32))) return 8;
    return is_refused(ashlar_kmalloc_aligned(100, size_t{1} << 62, ASHLAR_NOFAIL)) ? 0 : 9;
  });
  own.reset();
}

// There is no room for two of it.
TEST(Effort, ABlockIsResizedWhereItStands) {
  for (unsigned flag : {ASHLAR_NORETRY, ASHLAR_RESERVE, ASHLAR_NOFAIL})
    in_child_with(size_t{16} << 20, [=] {
      constexpr size_t kLong = size_t{14} << 20, kShort = size_t{10} << 20;
      void* block = ashlar_krealloc(ashlar_kmalloc(kShort, 0), kLong, flag);
      if (block == nullptr || ashlar_ksize(block) != kLong) return 1;
      block = ashlar_krealloc(block, kShort, flag);
      return block != nullptr && ashlar_ksize(block) == kShort ? 0 : 2;
    });
}

TEST(Effort, ABlockThatIsLongEnoughIsNotRefused) {
  for (size_t size : {2000, 20000, 100000})
    for (unsigned flag : {ASHLAR_NOWAIT, ASHLAR_NORETRY, ASHLAR_RESERVE, ASHLAR_NOFAIL})
      in_child_with(size_t{16} << 20, [=] {
        void* block = ashlar_kmalloc(size, 0);
        exhaust(size / 4);
        errno = 0;
        return ashlar_krealloc(block, size / 4, flag) != nullptr && errno == 0 ? 0 : 1;
      });
}

// Whoever has nothing to give at first is asked again.
TEST(Effort, WhoCannotFailAsksAgain) {
  in_child_with(size_t{16} << 20, [] {
    Hoard hoard{exhaust(100000)};
    auto shrink_later = [](void* data, size_t bytes) -> size_t {
      Hoard& later = *static_cast<Hoard*>(data);
      return later.calls < 4 ? ++later.calls, size_t{0} : shrink_hoard(data, bytes);
    };
    if (ashlar_shrinker_register(shrink_later, &hoard) < 0) return 1;
    if (ashlar_kmalloc(150000, ASHLAR_NOFAIL) == nullptr) return 2;
    return hoard.calls > 4 ? 0 : 3;
  });
}

}  // namespace
