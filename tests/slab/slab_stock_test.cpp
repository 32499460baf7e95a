// slab/slab_stock_test.cpp -- proves what all slabs of a cache do together: batches, the fullest
// first, one empty slab kept, colours, misuse told by name, nothing lost when memory is out.

#include "slab/slab_stock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "support/fake_vm.h"

namespace {

using page::FrameKind;
using slab::SlabLayout;
using slab::SlabStock;

constexpr page::Retention kKeepAll{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};

class SlabStockTest : public testing::Test {
 protected:
  explicit SlabStockTest(size_t size = 256) : layout(slab::layout_for(size, 16)) {
    EXPECT_TRUE(heap.start(vm.vm(), kKeepAll, false));
    stock.start(heap, layout, 7, "test-256");
  }
  std::vector<void*> take(unsigned most) {
    std::vector<void*> out(most);
    out.resize(stock.refill(out.data(), most));
    audit();
    return out;
  }
  // Exactly so many, in as many batches as it takes.
  std::vector<void*> take_all(size_t count) {
    std::vector<void*> out;
    while (out.size() < count) {
      std::vector<void*> some = take(static_cast<unsigned>(count - out.size()));
      if (some.empty()) break;
      out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  }
  void put(const std::vector<void*>& objects) {
    stock.flush(objects.data(), static_cast<unsigned>(objects.size()));
    audit();
  }
  void audit() {
    stock.audit();
    heap.audit();
  }
  size_t frames_live() { return heap.slabs().stats().live; }

  test::FakeVm vm;
  page::PageHeap heap;
  SlabLayout layout;
  SlabStock stock;
};

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
  const auto& slab = *static_cast<slab::Slab*>(heap.slabs().frame_of(objects[0]).tenant);
  put({objects[0]});
  EXPECT_TRUE(stock.holds(slab, objects[0]));
  EXPECT_FALSE(stock.holds(slab, objects[1]));
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

// 1040-byte objects leave room for colours at the end of their slabs.
class ColouredStock : public SlabStockTest {
 protected:
  ColouredStock() : SlabStockTest(1040) {}
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
