// slab/slab_frames_test.cpp -- proves that slabs are shorter where memory that is held already has
// no longer pieces, and that nothing else about them changes.

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "slab/slab_stock.h"
#include "support/stock_ground.h"

namespace {
using namespace ashlar;

using page::FrameKind;

using SlabLengths = test::StockGround;

TEST_F(SlabLengths, SlabsAreAsLongAsTheMemoryThatIsHeldAlready) {
  page::Zone& zone = heap.slabs();
  std::vector<page::Frame*> pairs;
  for (int i = 0; i < 6; ++i)
    pairs.push_back(zone.alloc(base::Pages(2), base::Order(0), FrameKind::kLarge));
  for (size_t i : {0, 4}) zone.free(zone.number_of(*pairs[i]), base::Pages(2));
  size_t held = frames_live() + zone.stats().dirty, pairs_left = frames_live();
  std::vector<void*> objects = take_all(layout.count);
  EXPECT_EQ(stock.stats().slabs, 2u) << "each half as long as it might be";
  EXPECT_EQ(stock.stats().frames, 4u);
  EXPECT_EQ(stock.stats().held, layout.count);
  EXPECT_EQ(frames_live() + zone.stats().dirty, held) << "memory was fetched though some was free";
  std::set<void*> distinct(objects.begin(), objects.end());
  EXPECT_EQ(distinct.size(), layout.count);
  for (void* object : objects) {
    const page::Frame& frame = zone.frame_of(object);
    EXPECT_EQ(static_cast<slab::Slab*>(frame.tenant)->bytes(), 2 * base::kFrameSize);
    EXPECT_EQ(zone.class_map()[zone.number_of(object)], 7);
  }
  std::vector<void*> more = take(1);
  EXPECT_EQ(stock.stats().frames, 4u + layout.frames) << "no piece is left";
  put(objects);
  put(more);
  stock.reap(true);
  audit();
  EXPECT_EQ(stock.stats().frames, 0u);
  EXPECT_EQ(frames_live(), pairs_left);
  for (void* object : objects) EXPECT_EQ(zone.class_map()[zone.number_of(object)], 0);
}

// A cache may end, and another have its place, while a purge waits for the lock. What the new one
// is about to end, slab by slab, is out of sight of others.
TEST_F(SlabLengths, APurgeThatCameForAnotherCacheGivesNoSlabBack) {
  auto begin = [&](slab::Empties empties) { stock.start(heap, layout, 7, "test-256", empties); };
  begin(slab::Empties::kKeep);
  put(take_all(layout.count));
  slab::Slab* ending = stock.take_empty(0);
  ASSERT_NE(ending, nullptr);
  begin(slab::Empties::kRetire);
  stock.lock().acquire();
  std::thread purger([&] { stock.purge(slab::SlabStock::kShares - 1, SIZE_MAX); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  begin(slab::Empties::kKeep);
  stock.lock().release();
  purger.join();
  EXPECT_EQ(stock.take_empty(0), nullptr) << "it is just being ended";
  stock.retire_taken(*ending);
  EXPECT_EQ(stock.stats().slabs, 0u);
}

}  // namespace
