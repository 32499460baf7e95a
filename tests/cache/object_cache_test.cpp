// cache/object_cache_test.cpp -- proves that a cache gives each object to one owner at a time,
// whatever is moved between magazine, spare, depot and slabs on the way, that what it holds idle is
// bounded, and that damage to a free object is told.

#include "cache/object_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "support/cache_ground.h"
#include "support/nodes_ground.h"

namespace {
using namespace ashlar;

using cache::ObjectCache;
using test::cache_alloc;
using test::cache_free;
using test::cache_ground;

constexpr slab::SlabLayout kLayout = slab::layout_for(256, 16);

class ObjectCacheTest : public testing::Test {
 protected:
  ObjectCacheTest() : cache(test::new_cache(kLayout, "test-256")) {}
  ~ObjectCacheTest() override {
    cache_ground().vm.limit = SIZE_MAX;
    cache::g_registry.audit();
    cache_ground().heap.audit();
  }
  std::vector<void*> alloc(size_t count) {
    std::vector<void*> objects;
    for (size_t i = 0; i < count; ++i) {
      objects.push_back(cache_alloc(cache));
      if (objects.back() == nullptr) {
        objects.pop_back();
        break;
      }
    }
    cache.audit();
    return objects;
  }
  void free(const std::vector<void*>& objects) {
    for (void* object : objects) cache_free(cache, object);
    cache.audit();
  }
  size_t ready() {
    size_t counts[base::kMaxCaches] = {};
    cache::g_registry.count_ready(counts);
    return counts[cache.id()];
  }

  // Of objects of `size` bytes that are given out one after the other, on a CPU that has none yet.
  static size_t least_distance_of_first(size_t size) {
    auto* layout = new slab::SlabLayout(slab::layout_for(size, 16));
    ObjectCache& fresh = test::new_cache(*layout, "test-first");
    auto* first = static_cast<char*>(cache_alloc(fresh));
    auto* second = static_cast<char*>(cache_alloc(fresh));
    auto distance = static_cast<size_t>(std::abs(first - second));
    cache_free(fresh, second);
    cache_free(fresh, first);
    return distance;
  }

  unsigned capacity_here() { return cache::take_seat().habit(cache.id()).capacity; }

  ObjectCache& cache;
};

// Two threads may begin on one CPU, and go on on two.
TEST_F(ObjectCacheTest, TheFirstObjectsShareNoCacheLine) {
  for (size_t size : {16, 32, 48, 64, 128})
    EXPECT_GE(least_distance_of_first(size), 2 * base::kCacheLine) << size;
}

TEST_F(ObjectCacheTest, ObjectsAreDistinctAndWritable) {
  std::vector<void*> objects = alloc(5000);
  ASSERT_EQ(objects.size(), 5000u);
  std::set<void*> distinct(objects.begin(), objects.end());
  EXPECT_EQ(distinct.size(), 5000u);
  for (void* object : objects) std::memset(object, 0xee, 256);
  free(objects);
}

TEST_F(ObjectCacheTest, AFlowInOneDirectionFillsNoLargeMagazines) {
  std::vector<void*> objects = alloc(5000);
  EXPECT_LE(ready() * 256, size_t{16} << 10) << "objects only came";
  free(objects);
  EXPECT_LE(capacity_here() * 256u, 24u << 10) << "then they only went";
}

TEST_F(ObjectCacheTest, OfWhatIsHeldNoSlabIsCarved) {
  EXPECT_EQ(cache.alloc_slow(cache::Source::kHeld), nullptr);
  EXPECT_EQ(cache.stats().stock.carved, 0u);
  std::vector<void*> objects = alloc(1);
  size_t held = cache.stats().stock.held;
  while (void* object = cache.alloc_slow(cache::Source::kHeld)) objects.push_back(object);
  EXPECT_EQ(objects.size(), held) << "of the magazine and the slab";
  EXPECT_EQ(cache.stats().stock.carved, 1u);
  for (void* object : objects) static_cast<cache::FreeObject*>(object)->key = 0;
  free(objects);
}

TEST_F(ObjectCacheTest, NowAndThenASlabIsCarvedAllTheSame) {
  unsigned longest = 0;
  for (int round = 0; round < 3; ++round) {
    unsigned without = 0;
    while (cache.try_without_slab()) ASSERT_LT(++without, 10000u);
    EXPECT_GE(without, kLayout.count) << "of so many objects a slab is full";
    longest = std::max(longest, without);
  }
  EXPECT_LE(longest, 8u * kLayout.count);
}

TEST_F(ObjectCacheTest, ABreathingProgramGetsLargeMagazines) {
  for (int i = 0; i < 60; ++i) free(alloc(4 * cache.stats().capacity));
  EXPECT_EQ(capacity_here(), cache.stats().capacity);
}

// Habits may be written before the magazine, by a thread that is then moved to another CPU.
TEST_F(ObjectCacheTest, AClosedMagazineNeverBecomesTheSpare) {
  for (int i = 0; i < 100; ++i) {
    void* object;
    ASSERT_EQ(cache.stock().refill(&object, 1), 1u);
    cache::take_seat().set_habit(cache.id(), {static_cast<uint8_t>(cache.stats().capacity), true});
    cache.free_slow(object);
    free(alloc(3));
    cache::g_registry.reap_everything();
  }
}

TEST_F(ObjectCacheTest, TheLastFreedComesBackFirst) {
  std::vector<void*> objects = alloc(20);
  int same = 0;
  for (int i = 0; i < 100; ++i) {
    cache_free(cache, objects.back());
    void* again = cache_alloc(cache);
    same += again == objects.back();
    objects.back() = again;
  }
  EXPECT_GE(same, 90) << "a migration may now and then come between";
  free(objects);
}

TEST_F(ObjectCacheTest, WhatIsLiveAndWhatIsReadyIsWhatTheSlabsHaveGivenOut) {
  std::vector<void*> objects = alloc(3000);
  free({objects.begin() + 1000, objects.end()});
  EXPECT_EQ(cache.stats().stock.live - ready(), 1000u);
  objects.resize(1000);
  free(objects);
  EXPECT_EQ(cache.stats().stock.live - ready(), 0u);
}

// A full spare, a full magazine and the depot: no more than that is held, whatever came free.
TEST_F(ObjectCacheTest, WhatIsHeldIdleIsBounded) {
  free(alloc(50000));
  size_t held = ready() * 256;
  EXPECT_LE(held, (size_t{1} << 20) + 2 * 2 * 128 * 256 + 65536);
  size_t slabs = cache.stats().stock.slabs;
  EXPECT_LE(slabs * kLayout.bytes(), 4 * ((size_t{1} << 20) + 65536));
}

TEST_F(ObjectCacheTest, ASmallUserHoldsLittle) {
  free(alloc(1));
  EXPECT_LE(ready(), 16u);
}

TEST_F(ObjectCacheTest, ABusyOneMakesFewTrips) {
  std::vector<void*> objects = alloc(2000);
  free(objects);
  size_t before = cache.stats().slow_allocs + cache.stats().slow_frees;
  for (int round = 0; round < 100; ++round) free(alloc(50));
  size_t trips = cache.stats().slow_allocs + cache.stats().slow_frees - before;
  if (test::has_rseq()) {
    EXPECT_LE(trips, 200u) << "10,000 calls around a magazine's middle";
  }
}

TEST_F(ObjectCacheTest, ProgramsThatBreatheAroundAMagazinesEdgeStayOffTheSlabs) {
  std::vector<void*> held = alloc(1000);
  size_t before = cache.stats().refills + cache.stats().flushes;
  for (int round = 0; round < 200; ++round) {
    std::vector<void*> breath = alloc(130);
    free(breath);
  }
  EXPECT_LE(cache.stats().refills + cache.stats().flushes - before, 40u);
  free(held);
}

TEST_F(ObjectCacheTest, ReapWithEverythingEmptiesTheDepot) {
  free(alloc(3000));
  EXPECT_GT(cache.stats().depot_magazines, 0u);
  cache.reap(true);
  cache.audit();
  EXPECT_EQ(cache.stats().depot_magazines, 0u);
}

TEST_F(ObjectCacheTest, ReapByAgeTakesOnlyWhatAnIntervalDidNotNeed) {
  free(alloc(3000));
  size_t full = cache.stats().depot_magazines;
  ASSERT_GT(full, 0u);
  cache.reap(false);
  EXPECT_EQ(cache.stats().depot_magazines, full) << "its interval has only begun";
  cache.reap(false);
  EXPECT_EQ(cache.stats().depot_magazines, 0u);
  cache.audit();
}

TEST_F(ObjectCacheTest, OutOfMemoryIsNullAndPasses) {
  std::vector<void*> few = alloc(10);
  cache_ground().vm.limit = cache_ground().vm.committed_bytes();
  std::vector<void*> all = alloc(10000000);
  EXPECT_LT(all.size(), 10000000u);
  EXPECT_EQ(cache_alloc(cache), nullptr);
  cache_ground().vm.limit = SIZE_MAX;
  void* object = cache_alloc(cache);
  EXPECT_NE(object, nullptr);
  cache_free(cache, object);
  free(all);
  free(few);
}

TEST_F(ObjectCacheTest, HoldsWhatIsFreeAndNotWhatIsLive) {
  std::vector<void*> objects = alloc(600);
  std::vector<void*> gone(objects.begin(), objects.begin() + 300);
  free(gone);
  auto is_free = [&](void* object) { return cache::g_registry.is_free(cache.id(), object); };
  for (size_t i = 0; i < 600; i += 7) EXPECT_EQ(is_free(objects[i]), i < 300) << i;
  free({objects.begin() + 300, objects.end()});
}

TEST_F(ObjectCacheTest, AnObjectThatBearsTheMarkIsNotPushed) {
  if (!test::has_rseq()) GTEST_SKIP() << "not run: the sections look for the mark";
  void* object = cache_alloc(cache);
  cache_free(cache, cache_alloc(cache));  // there is a magazine with room
  static_cast<cache::FreeObject*>(object)->key = os::free_key();
  EXPECT_FALSE(os::rseq_push(cache.id(), object));
  static_cast<cache::FreeObject*>(object)->key = 0;
  cache_free(cache, object);
}

TEST_F(ObjectCacheTest, AWriteIntoAFreeObjectIsTold) {
  EXPECT_DEATH(
      {
        std::vector<void*> objects = alloc(3000);
        free(objects);
        for (void* object : objects) *static_cast<uint64_t*>(object) = 0x4141414141414141;
        cache::g_registry.reap_everything();
      },
      "^ashlar: heap corrupted at 0x[0-9a-f]+: a freed object was written to\n$");
}

// Also by who looks for an object, or counts them: none follows what was written.
TEST_F(ObjectCacheTest, AWriteIntoAFreeObjectIsToldToWhoLooksForOne) {
  std::vector<void*> objects = alloc(3000);
  void* live = cache_alloc(cache);
  auto write = [&] {
    free(objects);
    for (void* object : objects) *static_cast<uint64_t*>(object) = 0x4141414141414141;
  };
  const char* told = "^ashlar: heap corrupted at 0x[0-9a-f]+: a freed object was written to\n$";
  EXPECT_DEATH(write(); cache::g_registry.is_free(cache.id(), live), told);
  size_t counts[base::kMaxCaches] = {};
  EXPECT_DEATH(write(); cache::g_registry.count_ready(counts), told);
  objects.push_back(live);
  free(objects);
}

// Objects allocated by one thread and freed by the other: each has one owner at a time, nothing is
// lost, and what is held does not grow with what has passed through.
TEST_F(ObjectCacheTest, ObjectsPassBetweenThreads) {
  constexpr int kRounds = 300, kBatch = 200;
  std::vector<void*> passing(kBatch);
  std::atomic<int> turn{0};
  std::thread consumer([&] {
    for (int round = 0; round < kRounds; ++round) {
      while (turn.load(std::memory_order_acquire) != 2 * round + 1) std::this_thread::yield();
      for (int i = 0; i < kBatch; ++i) {
        EXPECT_EQ(*static_cast<int*>(passing[i]), round * kBatch + i);
        cache_free(cache, passing[i]);
      }
      turn.store(2 * round + 2, std::memory_order_release);
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kBatch; ++i) {
      passing[i] = cache_alloc(cache);
      *static_cast<int*>(passing[i]) = round * kBatch + i;
    }
    turn.store(2 * round + 1, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != 2 * round + 2) std::this_thread::yield();
  }
  consumer.join();
  cache.audit();
  EXPECT_LE(cache.stats().stock.slabs * kLayout.bytes(), size_t{4} << 20);
}

// All threads at once on one cache: every object carries its owner's name while it is owned.
TEST_F(ObjectCacheTest, ThreadsNeverShareAnObject) {
  std::vector<std::thread> threads;
  std::atomic<int> faults{0};
  for (int name = 1; name <= 4; ++name)
    threads.emplace_back([&, name] {
      std::vector<uint64_t*> held;
      uint64_t seed = static_cast<uint64_t>(name);
      for (int i = 0; i < 20000; ++i) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        if (held.size() < 300 && (seed >> 40 & 1) != 0) {
          auto* object = static_cast<uint64_t*>(cache_alloc(cache));
          for (int word = 2; word < 32; ++word) object[word] = static_cast<uint64_t>(name);
          held.push_back(object);
        } else if (!held.empty()) {
          size_t at = (seed >> 33) % held.size();
          for (int word = 2; word < 32; ++word)
            if (held[at][word] != static_cast<uint64_t>(name)) ++faults;
          cache_free(cache, held[at]);
          held[at] = held.back();
          held.pop_back();
        }
      }
      for (uint64_t* object : held) cache_free(cache, object);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults, 0);
  cache.audit();
}

// From the first of these tests on the process's heap has two nodes.
class CacheOfNodes : public ObjectCacheTest {
 protected:
  void SetUp() override {
    static test::TwoNodes nodes;
    cpus = nodes.cpus;
    static bool is_set = nodes.find() && cache_ground().heap.set_nodes(nodes.topology);
    if (!is_set) GTEST_SKIP() << "one CPU";
  }
  std::vector<void*> alloc_on(unsigned node, size_t count) {
    test::OnCpu on(cpus[node]);
    return alloc(count);
  }
  void free_on(unsigned node, const std::vector<void*>& objects) {
    test::OnCpu on(cpus[node]);
    free(objects);
  }
  static unsigned node_of(void* object) { return cache_ground().heap.zone_of(object)->node(); }
  static size_t count_of(unsigned node, const std::vector<void*>& objects) {
    size_t count = 0;
    for (void* object : objects) count += node_of(object) == node;
    return count;
  }
  // Those in the depot, each of one node.
  size_t count_magazines() {
    size_t magazines = 0;
    cache.depot().for_each([&](uint64_t magazine) {
      unsigned node = node_of(cache::top_of(magazine));
      for (++magazines; !cache::is_empty(magazine); magazine = cache::below(magazine))
        EXPECT_EQ(node_of(cache::top_of(magazine)), node);
    });
    return magazines;
  }
  // A magazine and a spare: what a CPU holds of whatever it frees.
  size_t most_held() const { return 2 * cache.capacity(); }

  std::vector<int> cpus;
};

TEST_F(CacheOfNodes, WhatAnotherNodeFreesGoesHomeInBatches) {
  const size_t count = 20 * cache.capacity();
  std::vector<void*> objects = alloc_on(0, count);
  EXPECT_EQ(count_of(0, objects), count);
  size_t flushes = cache.stats().flushes;
  free_on(1, objects);
  EXPECT_GE(count_magazines(), count / cache.capacity() / 2) << "most wait for their node";
  EXPECT_LT(cache.stats().flushes - flushes, count / 4) << "each object by itself";
  std::vector<void*> mine = alloc_on(1, count);
  EXPECT_LE(count_of(0, mine), most_held()) << "those that its CPU held";
  std::vector<void*> again = alloc_on(0, count);
  EXPECT_GE(count_of(0, again), count - most_held());
  std::set<void*> before(objects.begin(), objects.end());
  size_t known = 0;
  for (void* object : again) known += before.count(object);
  EXPECT_GE(known, count / 2) << "what was freed elsewhere serves node 0 again";
  free_on(0, mine);
  free_on(0, again);
}

TEST_F(CacheOfNodes, MagazinesInTheDepotAreOfOneNode) {
  const size_t count = 8 * cache.capacity();
  std::vector<void*> mixed, first = alloc_on(0, count), second = alloc_on(1, count);
  for (size_t i = 0; i < count; ++i) {
    mixed.push_back(first[i]);
    mixed.push_back(second[i]);
  }
  free_on(1, mixed);
  EXPECT_GE(count_magazines(), 4u) << "what is near stays ready";
  std::vector<void*> again = alloc_on(0, count);
  EXPECT_LE(count_of(1, again), most_held()) << "and serves no other node";
  free_on(0, again);
  cache::g_registry.reap_everything();
  EXPECT_EQ(cache.stats().stock.live, 0u);
}

}  // namespace
