// include/object_cache_test.cpp -- typed object caches hand out constructed objects, take back what
// a constructor refused, and do no harm at the end of the program.
//
// A user would notice: an object that was not constructed, or twice; memory lost where a
// constructor throws; a program that aborts when it ends, since a static cache went before its last
// object.

#include <gtest/gtest.h>
#include <ashlar/object_cache.hpp>

#include <array>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "counted.h"

namespace {

using test::Counted;
using test::Refused;

template <size_t align>
struct alignas(align) Aligned {
  unsigned char first = 7;
};

template <class T>
void expect_apart_and_aligned(const char* name) {
  ashlar::scoped_object_cache<T> cache(name);
  std::set<T*> objects;
  for (int i = 0; i < 300; ++i) {
    T* object = cache.make();
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignof(T), 0u);
    memset(static_cast<void*>(object), i, sizeof(T));
    EXPECT_TRUE(objects.insert(object).second);
    auto next = objects.upper_bound(object);
    if (next == objects.end()) continue;
    EXPECT_LE(object + 1, *next);
  }
  for (T* object : objects) cache.destroy(object);
}

TEST(ObjectCache, ObjectsStandApartAndAligned) {
  expect_apart_and_aligned<char>("char");
  expect_apart_and_aligned<Aligned<8>>("8");
  expect_apart_and_aligned<Aligned<64>>("64");
  expect_apart_and_aligned<Aligned<4096>>("4096");
  expect_apart_and_aligned<std::array<char, 200>>("200");
  expect_apart_and_aligned<std::array<char, 40000>>("40000");
}

TEST(ObjectCache, MakesWhatItWasGivenAndDestroysIt) {
  Counted::reset();
  ashlar::scoped_object_cache<Counted> cache("counted", ASHLAR_CACHE_NO_MERGE);
  Counted* object = cache.make(42u);
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->value, 42u);
  EXPECT_EQ(Counted::live, 1);
  EXPECT_EQ(cache.info().live, 1u);
  EXPECT_EQ(cache.info().size, sizeof(Counted));
  EXPECT_STREQ(cache.info().name, "counted");
  cache.destroy(object);
  cache.destroy(nullptr);
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(cache.info().live, 0u);
}

TEST(ObjectCache, TakesPlainMembersToo) {
  struct Point {
    int x;
    int y;
  };
  ashlar::scoped_object_cache<Point> cache("point");
  auto point = cache.make_unique(3, 4);
  ASSERT_TRUE(point);
  EXPECT_EQ(point->x, 3);
  EXPECT_EQ(point->y, 4);
}

TEST(ObjectCache, MovesItsArgumentsIn) {
  ashlar::scoped_object_cache<std::unique_ptr<int>> cache("unique");
  auto number = std::make_unique<int>(5);
  int* address = number.get();
  auto object = cache.make_unique(std::move(number));
  EXPECT_EQ(object->get(), address);
}

TEST(ObjectCache, WhatAConstructorThrowsPassesAndTheMemoryIsBack) {
  Counted::reset();
  ashlar::scoped_object_cache<Counted> cache("throwing", ASHLAR_CACHE_NO_MERGE);
  for (int i = 0; i < 1000; ++i) {
    Counted::reset(1);
    EXPECT_THROW((void)cache.make(1u), Refused);
    EXPECT_EQ(Counted::live, 0);
  }
  EXPECT_EQ(cache.info().live, 0u);
}

TEST(ObjectCache, BulkMakesAllOrNone) {
  for (size_t count : {0, 1, 31, 32, 33, 64, 100}) {
    Counted::reset();
    ashlar::scoped_object_cache<Counted> cache("bulk", ASHLAR_CACHE_NO_MERGE);
    std::vector<Counted*> objects(count);
    ASSERT_TRUE(cache.make_bulk(objects.data(), count, 9u));
    EXPECT_EQ(Counted::live, static_cast<int>(count));
    std::set<Counted*> apart(objects.begin(), objects.end());
    EXPECT_EQ(apart.size(), count);
    for (Counted* object : objects) EXPECT_EQ(object->value, 9u);
    cache.destroy_bulk(objects.data(), count);
    EXPECT_EQ(Counted::live, 0);
    EXPECT_EQ(cache.info().live, 0u);
  }
}

TEST(ObjectCache, BulkTakesAllBackWhereTheNthConstructorThrows) {
  ashlar::scoped_object_cache<Counted> cache("nth", ASHLAR_CACHE_NO_MERGE);
  Counted::strangers = 0;
  for (int n = 1; n <= 70; ++n) {
    Counted::reset(n);
    Counted* objects[70];
    try {
      (void)cache.make_bulk(objects, 70);
      ADD_FAILURE() << "no exception at " << n;
    } catch (const Refused& refused) {
      EXPECT_EQ(refused.at, n);
    }
    EXPECT_EQ(Counted::live, 0) << n;
    EXPECT_EQ(cache.info().live, 0u) << n;
  }
  EXPECT_EQ(Counted::strangers, 0);
}

TEST(ObjectCache, BulkMemoryWithoutObjects) {
  Counted::reset();
  ashlar::scoped_object_cache<Counted> cache("raw", ASHLAR_CACHE_NO_MERGE);
  std::array<void*, 50> memory;
  ASSERT_TRUE(cache.alloc_bulk(memory.data(), memory.size()));
  EXPECT_EQ(Counted::made, 0);
  EXPECT_EQ(cache.info().live, memory.size());
  for (void* p : memory) memset(p, 1, sizeof(Counted));
  cache.free_bulk(memory.data(), memory.size());
  EXPECT_EQ(cache.info().live, 0u);
}

ashlar::object_cache<Counted> g_counted{"static"};
static_assert(std::is_trivially_destructible_v<decltype(g_counted)>);

TEST(ObjectCache, DeletersGiveBack) {
  Counted::reset();
  {
    auto one = g_counted.make_unique(1u);
    auto other = std::move(one);
    EXPECT_EQ(Counted::live, 1);
    std::unique_ptr<Counted, ashlar::delete_to<g_counted>> small(g_counted.make(2u));
    EXPECT_EQ(Counted::live, 2);
    static_assert(sizeof small == sizeof(void*));
  }
  EXPECT_EQ(Counted::live, 0);
}

// Made before main(), and used by what ends after it: the statics of a program know no order.
struct User {
  User() : object(g_counted.make(11u)) {}
  ~User() {
    if (object == nullptr || object->value != 11) _exit(1);
    g_counted.destroy(object);
    Counted* another = g_counted.make(12u);
    if (another == nullptr) _exit(2);  // and stays
  }
  Counted* object;
} g_user;

TEST(ObjectCache, StaticCachesServeFromTheFirstConstructorToTheLastDestructor) {
  ASSERT_NE(g_user.object, nullptr);
  test::Ending ending = test::in_child([]() -> int {
    static ashlar::object_cache<Counted> inner{"inner", ASHLAR_CACHE_NO_MERGE};
    if (inner.make(1u) == nullptr) return 3;
    exit(0);
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(ObjectCache, TheEndOfAScopedCacheTellsOfLiveObjects) {
  test::Ending ending = test::in_child([]() -> int {
    ashlar::scoped_object_cache<Counted> cache("forgetful", ASHLAR_CACHE_NO_MERGE);
    for (unsigned i = 0; i < 3; ++i) (void)!cache.make(i);
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_NE(ending.err.find("forgetful"), std::string::npos) << ending.text();
  EXPECT_NE(ending.err.find('3'), std::string::npos) << ending.text();
}

TEST(ObjectCache, ComesAndGoesAsOftenAsOneLikes) {
  for (unsigned i = 0; i < 500; ++i) {
    ashlar::scoped_object_cache<Counted> cache("short", i % 2 ? ASHLAR_CACHE_NO_MERGE : 0);
    EXPECT_EQ(cache.existing(), nullptr);
    if (i % 3 == 0) continue;  // never used
    auto object = cache.make_unique(i);
    ASSERT_TRUE(object);
    EXPECT_EQ(object->value, i);
  }
}

TEST(ObjectCache, NullWhereMemoryIsOut) {
  test::Ending ending = test::in_child([]() -> int {
    using Large = std::array<char, 100000>;
    static ashlar::object_cache<Large> cache{"large"};
    test::leave_bytes(size_t{8} << 20);
    int made = 0;
    while (made < 1000 && cache.make() != nullptr) ++made;
    if (made < 10 || made == 1000 || errno != ENOMEM) return 1;
    std::array<Large*, 64> objects;
    if (cache.make_bulk(objects.data(), objects.size())) return 2;
    if (cache.make_unique()) return 3;
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(ObjectCache, WithNowaitItGivesWhatLiesReady) {
  ashlar::scoped_object_cache<Counted> cache("nowait");
  cache.destroy(cache.make(1u));
  Counted* object = cache.make_with(ASHLAR_NOWAIT, 2u);
  if (object == nullptr) {
    EXPECT_EQ(errno, EAGAIN);
  } else {
    EXPECT_EQ(object->value, 2u);
  }
  cache.destroy(object);
}

// Threads make and destroy, and pass some of their objects on to others.
void churn_with(int count) {
  Counted::reset();
  Counted::strangers = 0;
  ashlar::scoped_object_cache<Counted> cache("threads", ASHLAR_CACHE_NO_MERGE);
  std::mutex mutex;
  std::vector<Counted*> shared;
  std::vector<std::thread> threads;
  std::atomic<int> faults{0};
  for (int id = 0; id < count; ++id) {
    threads.emplace_back([&, id] {
      test::Rng rng(static_cast<uint64_t>(id) + 1);
      std::vector<Counted*> own;
      for (int step = 0; step < 20000; ++step) {
        if (own.size() < 50 || rng.below(2) == 0) {
          Counted* object = cache.make(rng.next());
          if (object == nullptr) ++faults;
          object->filler[0] = ~object->value;
          own.push_back(object);
        } else if (rng.below(8) == 0) {
          std::lock_guard held(mutex);
          shared.push_back(own.back());
          own.back() = shared[rng.below(shared.size())];
          std::swap(*std::find(shared.begin(), shared.end(), own.back()), shared.back());
          shared.pop_back();
        } else {
          std::swap(own[rng.below(own.size())], own.back());
          if (own.back()->filler[0] != ~own.back()->value) ++faults;
          cache.destroy(own.back());
          own.pop_back();
        }
      }
      for (Counted* object : own) cache.destroy(object);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Counted* object : shared) cache.destroy(object);
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(Counted::strangers, 0);
  EXPECT_EQ(cache.info().live, 0u);
}
TEST(ObjectCache, TwoThreads) {
  churn_with(2);
}
TEST(ObjectCache, EightThreads) {
  churn_with(8);
}

TEST(ObjectCache, ThreadsThatBeginTogetherMakeOneCache) {
  for (int round = 0; round < 50; ++round) {
    ashlar::scoped_object_cache<Counted> cache("race", ASHLAR_CACHE_NO_MERGE);
    std::atomic<int> waiting{8};
    std::array<ashlar_cache*, 8> seen{};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < seen.size(); ++i) {
      threads.emplace_back([&, i] {
        for (--waiting; waiting > 0;) std::this_thread::yield();
        cache.destroy(cache.make(1u));
        seen[i] = cache.existing();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (ashlar_cache* each : seen) EXPECT_EQ(each, seen[0]);
    EXPECT_NE(seen[0], nullptr);
  }
}

}  // namespace
