// include/reuse_cache_test.cpp -- objects stay constructed between uses, and what their constructor
// throws reaches the one who asked.
//
// A user would notice: a buffer that has to grow again each time; an exception that ends the
// program, or comes out of the wrong call; a destructor that never runs.

#include <gtest/gtest.h>
#include <ashlar/reuse_cache.hpp>

#include <array>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "counted.h"

namespace {

using test::Counted;
using test::Refused;

// Neither copied nor moved; knows how often it was used.
struct Worker {
  explicit Worker(size_t room) { buffer.reserve(room); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  std::mutex mutex;
  std::vector<int> buffer;
  int uses = 0;
  Counted counted;
};

constexpr size_t kRoom = 1000;
auto make_worker() {
  return [] { return Worker(kRoom); };
}
auto clear_worker() {
  return [](Worker& worker) { worker.buffer.clear(); };
}

TEST(ReuseCache, AnObjectIsConstructedOnceAndKeepsItsState) {
  Counted::reset();
  {
    ashlar::scoped_reuse_cache cache("worker", make_worker(), clear_worker());
    for (int i = 0; i < 1000; ++i) {
      Worker* worker = cache.acquire();
      ASSERT_NE(worker, nullptr);
      EXPECT_GE(worker->buffer.capacity(), kRoom);
      EXPECT_TRUE(worker->buffer.empty());
      EXPECT_TRUE(worker->mutex.try_lock());
      worker->mutex.unlock();
      worker->buffer.assign(10, i);
      ++worker->uses;
      cache.release(worker);
    }
    // One object serves them all, unless the thread has moved to another CPU in between.
    EXPECT_LT(Counted::made, 100);
    EXPECT_EQ(Counted::live, Counted::made);
    EXPECT_EQ(cache.info().made, static_cast<size_t>(Counted::made));
    Worker* worker = cache.acquire();
    EXPECT_GT(worker->uses, 0);
    cache.release(worker);
    cache.release(nullptr);
  }
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(Counted::strangers, 0);
}

TEST(ReuseCache, ShrinkDestructsWhatIsFreeAndLeavesTheRest) {
  Counted::reset();
  ashlar::scoped_reuse_cache cache("shrinking", make_worker(), clear_worker());
  std::vector<Worker*> workers(2000);
  ASSERT_TRUE(cache.acquire_bulk(workers.data(), workers.size()));
  cache.release_bulk(workers.data(), workers.size() - 1);
  // What shares a slab with an object in use may stay.
  EXPECT_GT(cache.shrink(), 0u);
  EXPECT_LT(Counted::live, 1000);
  EXPECT_GE(workers.back()->buffer.capacity(), kRoom);
  cache.release(workers.back());
  cache.shrink();
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(Counted::strangers, 0);
}

TEST(ReuseCache, WithoutFunctionsTheDefaultConstructorServes) {
  ashlar::scoped_reuse_cache<std::string> cache("string");
  std::string* text = cache.acquire();
  ASSERT_NE(text, nullptr);
  EXPECT_TRUE(text->empty());
  text->reserve(500);
  const char* where = text->data();
  cache.release(text);
  auto again = cache.acquire_unique();
  EXPECT_TRUE(again.get() != text || again->data() == where);
}

TEST(ReuseCache, OverAlignedObjects) {
  struct alignas(128) Line {
    char bytes[130] = {};
  };
  ashlar::scoped_reuse_cache<Line> cache("line");
  std::array<Line*, 40> lines;
  ASSERT_TRUE(cache.acquire_bulk(lines.data(), lines.size()));
  for (Line* line : lines) EXPECT_EQ(reinterpret_cast<uintptr_t>(line) % 128, 0u);
  cache.release_bulk(lines.data(), lines.size());
}

TEST(ReuseCache, HandlesGiveBackWhatIsStillConstructed) {
  Counted::reset();
  ashlar::scoped_reuse_cache cache("handle", make_worker(), clear_worker());
  {
    auto worker = cache.acquire_unique();
    worker->buffer.push_back(1);
    auto other = std::move(worker);
    EXPECT_EQ(cache.info().live, 1u);
  }
  EXPECT_EQ(cache.info().live, 0u);
  EXPECT_GE(Counted::live, 1);
  EXPECT_TRUE(cache.acquire_unique()->buffer.empty());
}

// Some are made in advance, so which request meets the n-th constructor is the library's matter.
// Who gets none is told why.
TEST(ReuseCache, WhatTheConstructorThrowsComesOutOfAcquire) {
  Counted::strangers = 0;
  for (int n = 1; n <= 40; ++n) {
    Counted::reset(n);
    Counted::goes_on_failing = true;
    ashlar::scoped_reuse_cache cache("throwing", make_worker(), clear_worker());
    std::vector<Worker*> workers;
    int refused = 0;
    for (int i = 0; i < 45; ++i) {
      try {
        workers.push_back(cache.acquire());
        ASSERT_NE(workers.back(), nullptr);
        ASSERT_EQ(refused, 0) << "none is made any more";
      } catch (const Refused& each) {
        EXPECT_GE(each.at, n);
        ++refused;
      }
    }
    EXPECT_EQ(Counted::live, n - 1);
    EXPECT_LT(workers.size(), static_cast<size_t>(n));
    EXPECT_EQ(cache.info().live, workers.size());
    Counted::goes_on_failing = false;
    for (int i = 0; i < refused; ++i) workers.push_back(cache.acquire());
    EXPECT_EQ(cache.info().live, 45u);
    for (Worker* worker : workers) EXPECT_GE(worker->buffer.capacity(), kRoom);
    cache.release_bulk(workers.data(), workers.size());
    cache.shrink();
    EXPECT_EQ(Counted::live, 0) << n;
  }
  EXPECT_EQ(Counted::strangers, 0);
}

TEST(ReuseCache, BulkIsAllOrNoneWhereConstructorsThrow) {
  for (int n = 1; n <= 70; ++n) {
    Counted::reset(n);
    Counted::goes_on_failing = true;
    ashlar::scoped_reuse_cache cache("bulk", make_worker(), clear_worker());
    std::array<Worker*, 70> workers;
    EXPECT_THROW((void)cache.acquire_bulk(workers.data(), workers.size()), Refused) << n;
    EXPECT_EQ(cache.info().live, 0u) << n;
    Counted::goes_on_failing = false;
    ASSERT_TRUE(cache.acquire_bulk(workers.data(), workers.size()));
    cache.release_bulk(workers.data(), workers.size());
  }
}

// A parser that holds a parser: the constructor uses the cache that it is called by.
struct Nested {
  Nested();
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  ~Nested();
  Nested* inner = nullptr;
};
ashlar::reuse_cache<Nested> g_nested{"nested"};
int g_depth = 0;
Nested::Nested() {
  if (++g_depth < 5) inner = g_nested.acquire();
}
Nested::~Nested() {
  g_nested.release(inner);
}

TEST(ReuseCache, AConstructorMayUseItsOwnCache) {
  g_depth = 0;
  Nested* outer = g_nested.acquire();
  int depth = 0;
  for (Nested* each = outer; each != nullptr; each = each->inner) ++depth;
  EXPECT_EQ(depth, 5);
  g_nested.release(outer);
}

TEST(ReuseCache, AnExceptionPassesThroughNestedConstructors) {
  struct Inner {
    Inner() { throw Refused(7); }
  };
  static ashlar::reuse_cache<Inner> inner{"inner"};
  struct Outer {
    Outer() : held(inner.acquire_unique()) {}
    decltype(inner)::unique_ptr held;
  };
  ashlar::scoped_reuse_cache<Outer> outer("outer");
  for (int i = 0; i < 3; ++i) {
    try {
      (void)outer.acquire();
      ADD_FAILURE() << "no exception";
    } catch (const Refused& refused) {
      EXPECT_EQ(refused.at, 7);
    }
  }
  EXPECT_EQ(outer.info().live, 0u);
}

TEST(ReuseCache, AnExceptionIsNotKeptForAnotherRequest) {
  Counted::reset(1);
  Counted::goes_on_failing = true;
  ashlar::scoped_reuse_cache cache("once", make_worker(), clear_worker());
  EXPECT_THROW((void)cache.acquire(), Refused);
  Counted::goes_on_failing = false;
  EXPECT_TRUE(cache.acquire_unique());
  // What fails for another reason is null, whatever was thrown before.
  struct Huge {
    char bytes[size_t{65} << 20];
  };
  ashlar::scoped_reuse_cache<Huge> impossible("huge");
  errno = 0;
  EXPECT_EQ(impossible.acquire(), nullptr);
  EXPECT_NE(errno, 0);
}

TEST(ReuseCache, NullWhereMemoryIsOut) {
  test::Ending ending = test::in_child([]() -> int {
    struct Large {
      char bytes[100000];
    };
    static ashlar::reuse_cache<Large> cache{"large"};
    test::leave_bytes(size_t{8} << 20);
    int made = 0;
    while (made < 1000 && cache.acquire() != nullptr) ++made;
    return made >= 10 && made < 1000 && errno == ENOMEM ? 0 : 1;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// In use and free when the program ends, and used once more by what ends last.
ashlar::reuse_cache<Counted> g_static{"static"};
struct User {
  ~User() {
    if (g_static.acquire() == nullptr) _exit(1);
  }
} g_user;

TEST(ReuseCache, AStaticCacheDoesNotMindTheEndOfTheProgram) {
  test::Ending ending = test::in_child([]() -> int {
    g_static.release(g_static.acquire());
    if (g_static.acquire() == nullptr) return 2;
    exit(0);
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(ReuseCache, TheEndOfAScopedCacheTellsOfObjectsInUse) {
  test::Ending ending = test::in_child([]() -> int {
    ashlar::scoped_reuse_cache<Counted> cache("forgetful");
    (void)!cache.acquire();
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_NE(ending.err.find("forgetful"), std::string::npos) << ending.text();
}

void churn_with(int count) {
  Counted::reset(25);
  Counted::strangers = 0;
  std::atomic<int> faults{0};
  std::atomic<int> refused{0};
  {
    ashlar::scoped_reuse_cache cache("threads", make_worker(), clear_worker());
    std::vector<std::thread> threads;
    for (int id = 0; id < count; ++id) {
      threads.emplace_back([&, id] {
        test::Rng rng(static_cast<uint64_t>(id) + 1);
        std::vector<decltype(cache)::unique_ptr> own;
        for (int step = 0; step < 10000; ++step) {
          if (own.size() > rng.below(40)) {
            std::swap(own[rng.below(own.size())], own.back());
            if (own.back()->buffer.size() != 5) ++faults;
            own.pop_back();
            continue;
          }
          try {
            own.push_back(cache.acquire_unique());
            if (!own.back()->buffer.empty() || own.back()->buffer.capacity() < kRoom) ++faults;
            own.back()->buffer.assign(5, step);
          } catch (const Refused&) {
            ++refused;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(cache.info().live, 0u);
  }
  EXPECT_EQ(faults, 0);
  EXPECT_LE(refused, 1);
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(Counted::strangers, 0);
}
TEST(ReuseCache, TwoThreads) {
  churn_with(2);
}
TEST(ReuseCache, EightThreads) {
  churn_with(8);
}

}  // namespace
