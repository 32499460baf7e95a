// cache/registry_test.cpp -- proves what is done to all caches at once: they come to life once,
// everything that is free goes back when asked, and the end of a thread loses nothing.

#include "cache/registry.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <barrier>
#include <set>
#include <thread>
#include <vector>

#include "support/cache_ground.h"

namespace {
using namespace ashlar;

using cache::g_registry;
using cache::ObjectCache;
using test::cache_alloc;
using test::cache_free;
using test::cache_ground;

constexpr slab::SlabLayout kSmall = slab::layout_for(64, 16);
constexpr slab::SlabLayout kBig = slab::layout_for(8192, 16);

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() { cache_ground(); }
  ~RegistryTest() override {
    g_registry.audit();
    cache_ground().heap.audit();
  }
};

TEST_F(RegistryTest, ACacheIsMadeOnceAndFoundById) {
  ObjectCache& cache = test::new_cache(kSmall, "once");
  uint8_t id = cache.id();
  EXPECT_EQ(&g_registry.at(id), &cache);
  EXPECT_EQ(&g_registry.create(id, kBig, "twice"), &cache);
  EXPECT_STREQ(cache.stats().name, "once");
  EXPECT_EQ(cache.stats().object_size, 64u);
}

// A process that uses few sizes writes to few pages.
TEST_F(RegistryTest, CachesStandTogetherHoweverFarApartTheirIdsAre) {
  ObjectCache& first = g_registry.create(base::kMaxClasses - 1, kSmall, "first");
  EXPECT_FALSE(g_registry.at(base::kMaxClasses - 2).is_started()) << "nobody has asked for it";
  ObjectCache& second = g_registry.create(base::kMaxClasses - 30, kBig, "second");
  EXPECT_EQ(&second, &first + 1);
  EXPECT_EQ(&g_registry.at(base::kMaxClasses - 1), &first);
  EXPECT_EQ(&g_registry.at(base::kMaxClasses - 30), &second);
}

TEST_F(RegistryTest, VisitsEveryCacheThatLives) {
  uint8_t a = test::new_cache(kSmall, "a").id(), b = test::new_cache(kBig, "b").id();
  std::set<uint8_t> seen;
  g_registry.for_each([&](ObjectCache& cache) { EXPECT_TRUE(seen.insert(cache.id()).second); });
  EXPECT_TRUE(seen.count(a) && seen.count(b));
  EXPECT_FALSE(seen.count(0));
}

TEST_F(RegistryTest, NamesEachLockOnceAndInOrder) {
  test::new_cache(kSmall, "locks");
  std::vector<os::Lock*> locks;
  g_registry.for_each_lock([&](os::Lock& lock) { locks.push_back(&lock); });
  std::set<os::Lock*> distinct(locks.begin(), locks.end());
  EXPECT_EQ(distinct.size(), locks.size());
  EXPECT_EQ(locks.front(), &cache::seat_lock());
}

class HoldingTest : public RegistryTest {
 protected:
  HoldingTest() {
    sched_getaffinity(0, sizeof before, &before);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~HoldingTest() override {
    g_registry.reap_everything();
    sched_setaffinity(0, sizeof before, &before);
  }
  // Objects come and go by the hundreds: what makes magazines grow.
  static void breathe(ObjectCache& cache) {
    std::vector<void*> objects(300);
    for (int round = 0; round < 40; ++round) {
      for (void*& object : objects) object = cache_alloc(cache);
      for (void* object : objects) cache_free(cache, object);
    }
  }
  static unsigned capacity(ObjectCache& cache) {
    return cache::take_seat().habit(cache.id()).capacity;
  }
  static constexpr slab::SlabLayout kMedium = slab::layout_for(1024, 16);
  cpu_set_t before;
};

TEST_F(HoldingTest, ManyClassesTogetherHoldNoMoreThanAllowed) {
  std::vector<ObjectCache*> caches;
  for (int i = 0; i < 10; ++i) breathe(*caches.emplace_back(&test::new_cache(kMedium, "many")));
  size_t held = 0;
  for (ObjectCache* cache : caches) held += capacity(*cache) * kMedium.object_size;
  EXPECT_EQ(capacity(*caches.front()), 128u) << "the first ones are free to grow";
  size_t live = cache_ground().heap.slabs().live_bytes();
  // And the first objects of each, which no class goes without.
  EXPECT_LE(held, (256 << 10) + live / 16 + caches.size() * 4 * kMedium.object_size);
}

TEST_F(HoldingTest, ManyThreadsTogetherHoldNoMoreThanAllowed) {
  if (test::has_rseq()) GTEST_SKIP() << "not run: it takes many CPUs";
  constexpr size_t kThreads = 32, kCaches = 10;
  ObjectCache& others = test::new_cache(kBig, "others");
  std::vector<void*> live(3000);
  for (void*& object : live) object = cache_alloc(others);
  std::vector<ObjectCache*> caches(kCaches);
  for (ObjectCache*& cache : caches) cache = &test::new_cache(kMedium, "many");
  std::atomic<size_t> held{0};
  std::barrier all(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      cache_free(*caches[0], cache_alloc(*caches[0]));  // its seat is there
      all.arrive_and_wait();
      for (ObjectCache* cache : caches) breathe(*cache);
      for (ObjectCache* cache : caches) held += capacity(*cache) * kMedium.object_size;
      all.arrive_and_wait();
    });
  for (std::thread& thread : threads) thread.join();
  // Each of them alone would have all of its magazines full.
  EXPECT_LT(held, kThreads * kCaches * 128 * kMedium.object_size / 2);
  for (void* object : live) cache_free(others, object);
}

TEST_F(HoldingTest, WhatIsReapedHoldsNothing) {
  for (int i = 0; i < 6; ++i) breathe(test::new_cache(kMedium, "before"));
  g_registry.reap_everything();
  ObjectCache& after = test::new_cache(kMedium, "after");
  breathe(after);
  EXPECT_EQ(capacity(after), 128u);
}

TEST_F(HoldingTest, WhoComesLaterGetsRoomInTime) {
  for (int i = 0; i < 6; ++i) breathe(test::new_cache(kMedium, "early"));
  ObjectCache& late = test::new_cache(kMedium, "late");
  for (int interval = 0; interval < 3; ++interval) {
    g_registry.reap();
    breathe(late);
  }
  EXPECT_EQ(capacity(late), 128u);
}

// Objects in magazines and depot.
size_t ready(const ObjectCache& cache) {
  size_t counts[base::kMaxCaches] = {};
  g_registry.count_ready(counts);
  return counts[cache.id()];
}

TEST_F(HoldingTest, WhatAnIntervalDidNotTouchGoesBack) {
  ObjectCache& idle = test::new_cache(kMedium, "idle");
  ObjectCache& busy = test::new_cache(kMedium, "busy");
  breathe(idle);
  for (int interval = 0; interval < 4; ++interval) {
    breathe(busy);
    g_registry.reap();
  }
  EXPECT_EQ(ready(idle), 0u);
  EXPECT_GT(ready(busy), 0u) << "it was used in each";
  breathe(idle);
  EXPECT_GT(ready(idle), 0u) << "and it goes on";
}

TEST_F(HoldingTest, LittleThatIsIdleStays) {
  ObjectCache& idle = test::new_cache(kSmall, "little");
  std::vector<void*> objects(60);
  for (void*& object : objects) object = cache_alloc(idle);
  for (void* object : objects) cache_free(idle, object);
  size_t before = ready(idle);
  for (int interval = 0; interval < 4; ++interval) g_registry.reap();
  EXPECT_GT(before, 0u);
  EXPECT_EQ(ready(idle), before) << "a fence costs more than it is worth";
}

TEST_F(RegistryTest, ReapingEverythingLeavesNothing) {
  ObjectCache& small = test::new_cache(kSmall, "small");
  ObjectCache& big = test::new_cache(kBig, "big");
  std::vector<void*> objects;
  for (int i = 0; i < 2000; ++i) objects.push_back(cache_alloc(small));
  for (void* object : objects) cache_free(small, object);
  objects.clear();
  for (int i = 0; i < 100; ++i) objects.push_back(cache_alloc(big));
  for (void* object : objects) cache_free(big, object);
  g_registry.reap_everything();
  EXPECT_EQ(small.stats().stock.slabs, 0u);
  EXPECT_EQ(big.stats().stock.slabs, 0u);
  size_t counts[base::kMaxCaches] = {};
  g_registry.count_ready(counts);
  EXPECT_EQ(counts[small.id()], 0u);
  EXPECT_EQ(counts[big.id()], 0u);
  EXPECT_EQ(cache_ground().heap.slabs().stats().live, 0u) << "no other test holds frames here";
  // And all goes on.
  void* object = cache_alloc(small);
  ASSERT_NE(object, nullptr);
  cache_free(small, object);
  g_registry.reap_everything();
}

TEST_F(RegistryTest, ReapingEverythingLeavesWhatIsLive) {
  ObjectCache& cache = test::new_cache(kSmall, "live");
  std::vector<uint64_t*> live;
  std::vector<void*> gone;
  for (uint64_t i = 0; i < 1000; ++i) {
    live.push_back(static_cast<uint64_t*>(cache_alloc(cache)));
    gone.push_back(cache_alloc(cache));
    for (int word = 0; word < 8; ++word) live.back()[word] = i;
  }
  for (void* object : gone) cache_free(cache, object);
  g_registry.reap_everything();
  EXPECT_EQ(cache.stats().stock.live, 1000u);
  for (uint64_t i = 0; i < 1000; ++i)
    for (int word = 0; word < 8; ++word) ASSERT_EQ(live[i][word], i);
  for (uint64_t* object : live) cache_free(cache, object);
  g_registry.reap_everything();
  EXPECT_EQ(cache.stats().stock.slabs, 0u);
}

TEST_F(RegistryTest, TheEndOfAThreadLosesNothing) {
  ObjectCache& cache = test::new_cache(kSmall, "ending");
  for (int i = 0; i < 50; ++i)
    std::thread([&] {
      std::vector<void*> objects;
      for (int n = 0; n < 500; ++n) objects.push_back(cache_alloc(cache));
      for (void* object : objects) cache_free(cache, object);
    }).join();
  g_registry.reap_everything();
  EXPECT_EQ(cache.stats().stock.live, 0u);
  EXPECT_EQ(cache.stats().stock.slabs, 0u);
}

TEST_F(RegistryTest, OneThatTakesAnothersPlaceCountsAnew) {
  ObjectCache& first = *g_registry.create_own({.layout = kSmall}, "first");
  cache_free(first, cache_alloc(first));
  EXPECT_GT(first.stats().slow_allocs, 0u);
  g_registry.end_own(first);
  ObjectCache& second = *g_registry.create_own({.layout = kBig}, "second");
  EXPECT_EQ(&second, &first);
  EXPECT_EQ(second.stats().slow_allocs, 0u);
  EXPECT_EQ(second.stats().refills, 0u);
  g_registry.end_own(second);
}

TEST_F(RegistryTest, DrainsWhileOthersRun) {
  ObjectCache& cache = test::new_cache(kSmall, "running");
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!is_over) {
        void* a = cache_alloc(cache);
        void* b = cache_alloc(cache);
        EXPECT_NE(a, b);
        cache_free(cache, a);
        cache_free(cache, b);
      }
    });
  for (int i = 0; i < 200; ++i) {
    if (i % 2 == 0) g_registry.reap_everything();
    size_t counts[base::kMaxCaches] = {};
    g_registry.count_ready(counts);
    g_registry.reap();
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  g_registry.reap_everything();
  EXPECT_EQ(cache.stats().stock.live, 0u);
}

TEST_F(RegistryTest, ForgettingMagazinesCostsNoMoreThanTheyHeld) {
  if (!test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per thread";
  ObjectCache& cache = test::new_cache(kSmall, "forgotten");
  std::vector<void*> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(cache_alloc(cache));
  for (void* object : objects) cache_free(cache, object);
  g_registry.reap();
  g_registry.forget_magazines();
  size_t lost = cache.stats().stock.live;
  EXPECT_LE(lost, 400u);
  for (int i = 0; i < 1000; ++i) cache_free(cache, cache_alloc(cache));
  g_registry.audit();
}

// A cache whose objects were many: one in 64 lives on.
class SparseCaches : public RegistryTest {
 protected:
  static constexpr slab::SlabLayout kOther = slab::layout_for(112, 16);
  static constexpr slab::SlabLayout kStraddling = slab::layout_for(48, 16);

  void scatter(ObjectCache& cache, size_t objects) {
    for (size_t i = 0; i < objects; ++i) all.push_back(cache_alloc(cache));
    for (size_t i = 0; i < objects; ++i) (i % 64 == 0 ? live : gone).push_back(all[i]);
    for (void* object : live) *static_cast<void**>(object) = object;
    for (void* object : gone) cache_free(cache, object);
  }
  // As the front does: what is wanted is dissolved on the way out.
  std::vector<void*> alloc(ObjectCache& cache, size_t count) {
    std::vector<void*> objects;
    while (objects.size() < count) {
      objects.push_back(cache_alloc(cache));
      g_registry.dissolve();
    }
    return objects;
  }
  static bool is_left(void* object) {
    return cache_ground().heap.slabs().frame_of(object).kind == page::FrameKind::kRemnant;
  }
  void expect_content() {
    for (void* object : live) ASSERT_EQ(*static_cast<void**>(object), object);
  }

  std::vector<void*> all, live, gone;
};

TEST_F(SparseCaches, AnotherSizeUsesThemBeforeTheHeapGrows) {
  ObjectCache& before = test::new_cache(kSmall, "before");
  ObjectCache& after = test::new_cache(kOther, "after");
  scatter(before, 400000);
  g_registry.reap_everything();
  size_t held = cache_ground().heap.slabs().live_bytes();
  std::vector<void*> objects = alloc(after, 100000);
  EXPECT_LE(cache_ground().heap.slabs().live_bytes(), held + (size_t{1} << 20));
  std::set<void*> distinct(objects.begin(), objects.end());
  EXPECT_EQ(distinct.size(), objects.size());
  EXPECT_GT(cache::g_remnants.stats().pages, 1000u);
  expect_content();
  for (void* object : objects)
    is_left(object) ? cache::g_remnants.put(&object, 1) : cache_free(after, object);
  for (void* object : live)
    is_left(object) ? cache::g_remnants.put(&object, 1) : cache_free(before, object);
  g_registry.reap_everything();
  EXPECT_EQ(cache::g_remnants.stats().pages, 0u);
}

// What waits in magazines and depots while its slab is dissolved comes out of them as before, and
// what is taken apart there finds its way.
TEST_F(SparseCaches, MagazinesHoldWhatWasDissolved) {
  ObjectCache& before = test::new_cache(kSmall, "before");
  ObjectCache& after = test::new_cache(kOther, "after");
  scatter(before, 400000);
  std::vector<void*> objects = alloc(after, 100000);
  ASSERT_GT(cache::g_remnants.stats().pages, 0u);
  std::set<void*> distinct(live.begin(), live.end());
  std::vector<void*> again = alloc(before, 2000);
  for (void* object : again) EXPECT_TRUE(distinct.insert(object).second) << "given out twice";
  for (void* object : again) cache_free(before, object);
  for (void* object : objects) cache_free(after, object);
  g_registry.reap_everything();
  g_registry.audit();
  expect_content();
}

// Objects that lie in two frames keep their slabs. They are asked first, having the lowest id.
TEST_F(SparseCaches, OneThatCannotBeDissolvedKeepsNoOtherFromIt) {
  ObjectCache& first = test::new_cache(kStraddling, "straddling");
  ObjectCache& before = test::new_cache(kSmall, "before");
  ObjectCache& after = test::new_cache(kOther, "after");
  std::vector<void*> kept, freed;
  for (int i = 0; i < 400000; ++i) {
    char* object = static_cast<char*>(cache_alloc(first));
    size_t offset = reinterpret_cast<size_t>(object) % base::kFrameSize;
    (offset + 48 > base::kFrameSize ? kept : freed).push_back(object);
  }
  for (void* object : freed) cache_free(first, object);
  scatter(before, 200000);
  g_registry.reap_everything();
  ASSERT_GT(first.stock().sparse(), 3000u);
  alloc(after, 60000);
  EXPECT_GT(cache::g_remnants.stats().pages, 1000u);
  for (void* object : kept) EXPECT_FALSE(is_left(object));
  expect_content();
}

}  // namespace
