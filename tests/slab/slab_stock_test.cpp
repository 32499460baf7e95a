// slab/slab_stock_test.cpp -- proves what all slabs of a cache do together: batches, the fullest
// first, one empty slab kept, colours, misuse told by name, nothing lost when memory is out, vacant
// pages purged and nothing else.

#include "slab/slab_stock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "support/auxv.h"
#include "support/stock_ground.h"

namespace {
using namespace ashlar;

using page::FrameKind;
using slab::SlabStock;

using SlabStockTest = test::StockGround;
using SparseStock = test::SparseGround;

TEST_F(SlabStockTest, ObjectsAreDistinctWritableAndMarkedInTheClassMap) {
  std::vector<void*> objects = take_all(1000);
  ASSERT_EQ(objects.size(), 1000u);
  std::set<void*> distinct(objects.begin(), objects.end());
  EXPECT_EQ(distinct.size(), 1000u);
  page::Zone& zone = heap.slabs();
  for (void* object : objects) {
    std::memset(object, 0xab, layout.object_size);
    EXPECT_EQ(zone.class_map()[zone.number_of(object)], 7);
    EXPECT_EQ(zone.frame_of(object).kind, FrameKind::kSlab);
    EXPECT_TRUE(base::is_aligned(object, 16));
  }
  EXPECT_EQ(stock.stats().live, 1000u);
  put(objects);
  EXPECT_EQ(stock.stats().live, 0u);
}

TEST_F(SlabStockTest, ABatchTakesWhatIsThereAndGrowsOnlyForNothing) {
  std::vector<void*> one = take(1);
  ASSERT_EQ(one.size(), 1u);
  std::vector<void*> rest = take(layout.count);
  EXPECT_EQ(rest.size(), layout.count - 1u) << "a second slab for the last object";
  EXPECT_EQ(stock.stats().slabs, 1u);
}

TEST_F(SlabStockTest, NeighboursInTimeAreNeighboursInMemory) {
  std::vector<void*> objects = take(10);
  for (size_t i = 1; i < objects.size(); ++i)
    EXPECT_EQ(static_cast<char*>(objects[i]) - static_cast<char*>(objects[i - 1]), 256);
}

TEST_F(SlabStockTest, KeepsOneEmptySlabAndRetiresTheOthers) {
  std::vector<void*> objects = take_all(10u * layout.count);
  EXPECT_EQ(stock.stats().slabs, 10u);
  put(objects);
  EXPECT_EQ(stock.stats().slabs, 1u);
  EXPECT_EQ(frames_live(), layout.frames);
  stock.reap(true);
  audit();
  EXPECT_EQ(stock.stats().slabs, 0u);
  EXPECT_EQ(frames_live(), 0u);
  EXPECT_EQ(stock.stats().retired, 10u);
  stock.reap(true);  // nothing to do
  audit();
}

TEST_F(SlabStockTest, AnEmptySlabGoesByAgeUnlessItIsUsed) {
  put(take_all(1));
  stock.reap(false);
  put(take_all(1));
  stock.reap(false);
  EXPECT_EQ(stock.stats().slabs, 1u) << "it was used in this interval";
  stock.reap(false);
  audit();
  EXPECT_EQ(stock.stats().slabs, 0u);
}

TEST_F(SlabStockTest, RetiredFramesAreInNoCachesClass) {
  std::vector<void*> objects = take_all(2u * layout.count);
  put(objects);
  stock.reap(true);
  page::Zone& zone = heap.slabs();
  for (void* object : objects) {
    EXPECT_EQ(zone.class_map()[zone.number_of(object)], 0);
    EXPECT_NE(zone.frame_of(object).kind, FrameKind::kSlab);
  }
}

TEST_F(SlabStockTest, DescriptorsAreUsedAgain) {
  put(take_all(20u * layout.count));
  stock.reap(true);
  size_t used = heap.meta().used();
  for (int round = 0; round < 10; ++round) {
    put(take_all(20u * layout.count));
    stock.reap(true);
  }
  EXPECT_EQ(heap.meta().used(), used) << "metadata grows though the slabs do not";
}

TEST_F(SlabStockTest, TheFullestSlabServesFirst) {
  std::vector<void*> objects = take_all(3u * layout.count);
  auto slab_of = [&](void* object) {
    return static_cast<slab::Slab*>(heap.slabs().frame_of(object).tenant);
  };
  slab::Slab* a = slab_of(objects[0]);
  slab::Slab* b = slab_of(objects[layout.count]);
  slab::Slab* c = slab_of(objects[2u * layout.count]);
  ASSERT_TRUE(a != b && b != c);
  // a loses most of its objects, b few, c half.
  std::vector<void*> gone(objects.begin(), objects.begin() + layout.count - 4);
  gone.insert(gone.end(), objects.begin() + layout.count, objects.begin() + layout.count + 4);
  gone.insert(gone.end(), objects.begin() + 2 * layout.count,
              objects.begin() + 2 * layout.count + layout.count / 2);
  put(gone);
  EXPECT_EQ(slab_of(take(1)[0]), b);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(slab_of(take(1)[0]), b);
  EXPECT_EQ(slab_of(take(1)[0]), c);
}

TEST_F(SlabStockTest, SaysWhetherAnObjectIsInIt) {
  std::vector<void*> objects = take(2);
  put({objects[0]});
  EXPECT_TRUE(stock.holds(objects[0]));
  EXPECT_FALSE(stock.holds(objects[1]));
}

TEST_F(SlabStockTest, GivesLessWhenMemoryIsOutAndGoesOnLater) {
  vm.failing_commits = 1000000;
  EXPECT_TRUE(take(10).empty());
  vm.failing_commits = 0;
  EXPECT_EQ(take(10).size(), 10u);
  vm.limit = vm.committed_bytes();
  std::vector<void*> all;
  for (;;) {
    std::vector<void*> some = take(64);
    if (some.empty()) break;
    all.insert(all.end(), some.begin(), some.end());
  }
  EXPECT_GT(all.size(), 0u);
  vm.limit = SIZE_MAX;
  EXPECT_FALSE(take(64).empty());
  put(all);
}

// Descriptor there, frames not: the descriptor must not be lost, nor used twice.
TEST_F(SlabStockTest, ADescriptorWithoutFramesIsKept) {
  std::vector<void*> all = take_all(layout.count);
  while (heap.slabs().alloc(base::Pages(1), base::Order(0), FrameKind::kLarge) != nullptr)
    vm.limit = vm.committed_bytes();
  size_t used = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(take(1).empty());
    if (i == 0) used = heap.meta().used();
  }
  EXPECT_EQ(heap.meta().used(), used);
  vm.limit = SIZE_MAX;
  EXPECT_EQ(take(1).size(), 1u);
}

TEST_F(SlabStockTest, TellsADoubleFree) {
  std::vector<void*> objects = take(2);
  put({objects[0]});
  EXPECT_DEATH(put({objects[0]}),
               "^ashlar: double free of 0x[0-9a-f]+ \\(cache \"test-256\", 256 bytes\\)\n$");
}

TEST_F(SlabStockTest, TellsAnInteriorPointer) {
  std::vector<void*> objects = take(2);
  EXPECT_DEATH(put({static_cast<char*>(objects[0]) + 16}),
               "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at "
               "0x[0-9a-f]+\n$");
}

TEST_F(SlabStockTest, TellsAnotherStocksObject) {
  SlabStock other;
  other.start(heap, layout, 8, "other");
  std::vector<void*> objects = take(1);
  EXPECT_DEATH(
      other.flush(objects.data(), 1),
      "^ashlar: heap corrupted at 0x[0-9a-f]+: a magazine holds another cache's object\n$");
}

TEST_F(SlabStockTest, TellsWhatIsNoSlabs) {
  page::Frame* frame = heap.slabs().alloc(base::Pages(1), base::Order(0), FrameKind::kLarge);
  void* p = heap.slabs().address_of(*frame);
  EXPECT_DEATH(stock.flush(&p, 1),
               "^ashlar: heap corrupted at 0x[0-9a-f]+: a magazine holds no object\n$");
}

TEST_F(SlabStockTest, AuditSeesAMiscountedSlab) {
  std::vector<void*> objects = take(5);
  static_cast<slab::Slab*>(heap.slabs().frame_of(objects[0]).tenant)->free_count -= 1;
  EXPECT_DEATH(stock.audit(), "check failed: ");
}

constexpr size_t kAll = SIZE_MAX;

TEST_F(SparseStock, VacantPagesArePurgedAndOnlyThey) {
  scatter(20, 100);
  ASSERT_GT(stock.stats().vacant, 0u);
  EXPECT_EQ(heap.vacancy().frames(), stock.stats().vacant);
  size_t held = stock.stats().slabs * layout.frames;
  SlabStock::Purged purged = purge_all();
  EXPECT_FALSE(purged.is_refused);
  EXPECT_EQ(purged.frames, held - frames_pinned());
  expect_content();
  slab::StockStats stats = stock.stats();
  EXPECT_EQ(stats.vacant, 0u);
  EXPECT_EQ(stats.slabs * layout.frames - stats.hollow, frames_pinned());
  EXPECT_EQ(heap.slabs().stats().hollow, stats.hollow);
  EXPECT_EQ(heap.slabs().live_bytes(), base::Pages(frames_pinned()).bytes());
  EXPECT_EQ(heap.vacancy().frames(), 0u);
  size_t calls = vm.purged.size();
  purge_all();
  EXPECT_EQ(vm.purged.size(), calls) << "what is gone need not go again";
}

TEST_F(SparseStock, AdjacentPagesGoTogether) {
  scatter(20, 1000);
  purge_all();
  EXPECT_LE(vm.purged.size(), 20u + live.size());
  expect_content();
}

TEST_F(SparseStock, PurgesNoMoreThanItIsAskedFor) {
  scatter(20, 100);
  size_t before = stock.stats().vacant;
  SlabStock::Purged purged = stock.purge(3, 5);
  audit();
  EXPECT_GE(purged.frames, 5u);
  EXPECT_LT(purged.frames, 5u + layout.frames);
  EXPECT_EQ(stock.stats().vacant, before - purged.frames);
}

TEST_F(SparseStock, PurgedObjectsServeAgain) {
  scatter(20, 100);
  purge_all();
  size_t slabs = stock.stats().slabs;
  std::vector<void*> again = take_all(slabs * layout.count - live.size());
  EXPECT_EQ(stock.stats().slabs, slabs) << "memory came from elsewhere";
  EXPECT_EQ(stock.stats().hollow, 0u);
  EXPECT_EQ(heap.slabs().stats().hollow, 0u);
  std::set<void*> distinct(again.begin(), again.end());
  distinct.insert(live.begin(), live.end());
  EXPECT_EQ(distinct.size(), again.size() + live.size());
  live.insert(live.end(), again.begin(), again.end());
  for (void* object : live) fill(object);
  purge_all();
  expect_content();
}

TEST_F(SparseStock, ARefusedPurgeLosesNothingAndEnds) {
  scatter(20, 100);
  size_t vacant = stock.stats().vacant;
  vm.failing_purges = 1000;
  SlabStock::Purged purged = stock.purge(3, kAll);
  audit();
  EXPECT_TRUE(purged.is_refused);
  EXPECT_EQ(purged.frames, 0u);
  EXPECT_GE(vm.failing_purges, 998u) << "locked memory will be refused again and again";
  EXPECT_EQ(stock.stats().vacant, vacant);
  vm.failing_purges = 0;
  EXPECT_GT(purge_all().frames, 0u);
  expect_content();
}

TEST_F(SparseStock, ASlabThatComesFreeGivesItsCleanFramesBackAsSuch) {
  scatter(20, 100);
  purge_all();
  size_t holding = stock.stats().slabs * layout.frames - stock.stats().hollow;
  size_t dirty = heap.slabs().stats().dirty;
  put(live);
  live.clear();
  stock.reap(true);
  audit();
  page::ZoneStats stats = heap.slabs().stats();
  EXPECT_EQ(stats.live, 0u);
  EXPECT_EQ(stats.hollow, 0u);
  EXPECT_EQ(stats.dirty, dirty + holding);
  heap.purge(0);
  page::Frame* block = heap.slabs().alloc(base::Pages(64), base::Order(0), FrameKind::kLarge);
  ASSERT_TRUE(block->is_new);
  const char* bytes = heap.slabs().address_of(*block);
  for (size_t i = 0; i < base::Pages(64).bytes(); ++i) ASSERT_EQ(bytes[i], 0);
}

TEST_F(SparseStock, ADoubleFreeIntoAPurgedPageIsTold) {
  scatter(20, 100);
  purge_all();
  void* gone = static_cast<char*>(live[1]) + size_t{20} * layout.object_size;
  EXPECT_DEATH(put({gone}), "^ashlar: double free of ");
}

TEST_F(SparseStock, ANewSlabHoldsNoMemoryUntilItIsUsed) {
  std::vector<void*> first = take(1);
  EXPECT_EQ(stock.stats().hollow, layout.frames - 1u);
  EXPECT_EQ(heap.slabs().live_bytes(), base::kFrameSize);
  EXPECT_EQ(stock.stats().vacant, 0u);
  put(first);
  EXPECT_EQ(stock.stats().vacant, 1u);
}

TEST_F(SparseStock, PagesThatABatchBeginsToUseAreFetchedInOneCall) {
  std::vector<void*> first = take(10);
  EXPECT_TRUE(vm.fetched.empty()) << "the first touch of a single page does it as well";
  take(24);  // the last one begins in the third page
  ASSERT_EQ(vm.fetched.size(), 1u);
  EXPECT_EQ(vm.fetched[0].at, first[0]);
  EXPECT_EQ(vm.fetched[0].size, 3 * base::kFrameSize) << "no page that nothing is written to yet";
  take(10);
  EXPECT_EQ(vm.fetched.size(), 1u);
}

TEST_F(SparseStock, PagesThatWerePurgedAreFetchedAgain) {
  scatter(2, layout.count);  // the first object of each slab lives on
  purge_all();
  vm.fetched.clear();
  std::vector<void*> again = take(layout.count - 1u);
  ASSERT_EQ(vm.fetched.size(), 1u);
  EXPECT_EQ(vm.fetched[0].size, layout.bytes());
  EXPECT_EQ(heap.slabs().frame_of(vm.fetched[0].at).tenant, heap.slabs().frame_of(again[0]).tenant);
}

TEST_F(SparseStock, PagesThatAreInUseAreNotFetchedWithTheirNeighbours) {
  std::vector<void*> all = take(layout.count), gone;
  size_t in_page = base::kFrameSize / layout.object_size;
  for (size_t i = 0; i < all.size(); ++i)
    if (i / in_page != 1) gone.push_back(all[i]);
  put(gone);
  purge_all();
  vm.fetched.clear();
  take(static_cast<unsigned>(gone.size()));
  EXPECT_TRUE(vm.fetched.empty()) << "the second page may be shared with a parent, or swapped out";
}

TEST_F(SparseStock, EachSlabsPagesAreFetchedByThemselvesAndUnderNoLock) {
  static SparseStock* me;
  me = this;
  scatter(2, layout.count);
  purge_all();
  vm.fetched.clear();
  vm.while_fetching = [] { EXPECT_TRUE(me->stock.lock().is_free()); };
  take(2 * (layout.count - 1u));
  ASSERT_EQ(vm.fetched.size(), 2u);
  EXPECT_NE(vm.fetched[0].at, vm.fetched[1].at);
  for (const test::FakeVm::Range& range : vm.fetched) EXPECT_EQ(range.size, layout.bytes());
}

class StraddlingStock : public test::StockGround {
 public:
  StraddlingStock() : StockGround(1536) {}
};

TEST_F(StraddlingStock, APageThatABatchOnlyEndsInIsNotFetched) {
  std::vector<void*> objects = take(6);  // the last one reaches into the third page
  ASSERT_EQ(objects.size(), 6u);
  ASSERT_EQ(vm.fetched.size(), 1u);
  EXPECT_EQ(vm.fetched[0].size, 2 * base::kFrameSize);
}

class StockOfPages : public test::StockGround {
 public:
  StockOfPages() : StockGround(3 * base::kFrameSize) {}
};

TEST_F(StockOfPages, WhatOnlyTheProgramMayWriteToIsNotFetched) {
  EXPECT_GT(take(2).size(), 1u);
  EXPECT_TRUE(vm.fetched.empty());
}

TEST_F(SparseStock, SlabsWithoutVacantPagesServeFirst) {
  std::vector<void*> all = take_all(2u * layout.count);
  auto slab_of = [&](void* object) { return heap.slabs().frame_of(object).tenant; };
  std::vector<void*> gone(all.begin(), all.begin() + 16);  // a page of the first slab
  for (size_t i = 0; i < 15; ++i) gone.push_back(all[layout.count + i]);
  std::vector<void*> last{gone.back()};
  put(gone);
  ASSERT_EQ(stock.stats().vacant, 1u);
  EXPECT_EQ(slab_of(take(1)[0]), slab_of(last[0]));
}

// What other threads may do while the kernel purges: one of a fixture's functions, by a pointer.
SparseStock* g_sparse;
std::vector<void*> g_taken;

class IsolatedSlab : public test::SparseGround {
 public:
  IsolatedSlab() { g_sparse = this; }
  static IsolatedSlab& me() { return *static_cast<IsolatedSlab*>(g_sparse); }
  slab::Slab* slab_of(void* object) {
    return static_cast<slab::Slab*>(heap.slabs().frame_of(object).tenant);
  }
};

TEST_F(IsolatedSlab, ServesNobodyAndTakesObjectsBack) {
  scatter(1, 32);
  ASSERT_GT(live.size(), 1u);
  vm.while_purging = [] {
    IsolatedSlab& my = me();
    my.audit();
    void* gone = static_cast<char*>(my.live[0]) + my.layout.object_size;
    EXPECT_TRUE(my.stock.holds(gone)) << "a double free would not be seen";
    std::vector<void*> other = my.take(4);
    ASSERT_EQ(other.size(), 4u);
    EXPECT_NE(my.slab_of(other[0]), my.slab_of(gone)) << "its memory is just going";
    for (void* object : other) my.fill(object);
    g_taken.insert(g_taken.end(), other.begin(), other.end());
    my.put({my.live.back()});
    my.live.pop_back();
    my.vm.while_purging = nullptr;
  };
  purge_all();
  live.insert(live.end(), g_taken.begin(), g_taken.end());
  g_taken.clear();
  expect_content();
}

TEST_F(IsolatedSlab, MayComeFreeMeanwhile) {
  scatter(2, 1000);
  vm.while_purging = [] {
    IsolatedSlab& my = me();
    my.put(my.live);  // all slabs are empty now
    my.live.clear();
    my.vm.while_purging = nullptr;
  };
  purge_all();
  stock.reap(true);
  audit();
  EXPECT_EQ(stock.stats().slabs, 0u);
  EXPECT_EQ(frames_live(), 0u);
}

TEST_F(IsolatedSlab, IsPutBackByTheNextPurgeWhereAForkHasTakenThePurger) {
  scatter(3, 1000);
  vm.while_purging = [] {
    IsolatedSlab& my = me();
    my.vm.while_purging = nullptr;
    EXPECT_GT(my.purge_all().frames, 0u) << "what the child's only thread may purge";
  };
  purge_all();
  expect_content();
  EXPECT_EQ(stock.stats().vacant, 0u);
}

// Slabs are made of frames, and purged by pages of the system.
class PagedStock : public test::SparseGround, public testing::WithParamInterface<size_t> {
 protected:
  PagedStock() : SparseGround(4096) {}
};

TEST_P(PagedStock, PurgesWholePagesOfTheSystem) {
  test::PageSize page(GetParam());
  scatter(40, 20);
  purge_all();
  EXPECT_GT(vm.purged_bytes(), 0u);
  expect_content();
  std::vector<void*> again = take_all(stock.stats().slabs * layout.count - live.size());
  live.insert(live.end(), again.begin(), again.end());
  for (void* object : live) fill(object);
  purge_all();
  expect_content();
}

TEST_P(PagedStock, ASinglePageOfTheSystemIsLeftToItsFirstTouch) {
  test::PageSize page(GetParam());
  take(static_cast<unsigned>(GetParam() / layout.object_size));
  EXPECT_TRUE(vm.fetched.empty());
  take(layout.count);  // the rest
  size_t rest = layout.bytes() - GetParam();
  ASSERT_EQ(vm.fetched.size(), rest > GetParam() ? 1u : 0u);
  if (!vm.fetched.empty()) {
    EXPECT_EQ(vm.fetched[0].size, rest);
  }
}

INSTANTIATE_TEST_SUITE_P(KiB, PagedStock, testing::Values(size_t{4096}, size_t{16384}),
                         [](const auto& info) { return std::to_string(info.param / 1024); });

// 1040-byte objects leave room for colours at the end of their slabs.
class ColouredStock : public test::StockGround {
 protected:
  ColouredStock() : StockGround(1040) {}
};

TEST_F(ColouredStock, SuccessiveSlabsStartAtDifferentCacheLines) {
  ASSERT_GT(layout.colours, 1u);
  std::set<size_t> offsets;
  for (unsigned i = 0; i < layout.colours; ++i) {
    void* first = take(layout.count).front();
    offsets.insert(reinterpret_cast<size_t>(first) % base::kFrameSize % 4096);
  }
  EXPECT_EQ(offsets.size(), layout.colours);
}

}  // namespace
