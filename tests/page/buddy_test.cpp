// page/buddy_test.cpp -- proves the buddy algorithm over frames that are a plain array: blocks
// split, merge and stand aligned, counts are exact, warm memory goes first, and audit() sees what
// is planted.

#include "page/buddy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {
using namespace ashlar;

using base::BitMap, base::Order, base::Pages;
using page::Buddy, page::Frame, page::FrameKind, page::kNone;

// A ground of frames without memory behind them.
class BuddyTest : public testing::Test {
 protected:
  static constexpr size_t kFrames = 1024;

  uint32_t take(size_t pages, unsigned align = 0) {
    uint32_t first = buddy.take(Pages(pages), Order(align), FrameKind::kLarge);
    buddy.audit();
    return first;
  }
  void give(uint32_t first, size_t pages) {
    buddy.give(first, Pages(pages));
    buddy.audit();
  }
  void extend(uint32_t first, size_t pages) {
    buddy.extend(first, Pages(pages));
    buddy.audit();
  }
  // What the zone does around madvise.
  void purge(uint32_t block) {
    dirty.clear(block, Order(frames[block].order).pages().n);
    buddy.put_back(block);
    buddy.audit();
  }

  std::vector<Frame> frames = std::vector<Frame>(kFrames);
  std::vector<uint64_t> words = std::vector<uint64_t>(kFrames / 64);
  BitMap dirty{words.data()};
  Buddy buddy{frames.data(), dirty};
};

TEST_F(BuddyTest, NothingComesOutOfNothing) {
  EXPECT_EQ(take(1), kNone);
  EXPECT_EQ(buddy.free_frames(), 0u);
}

TEST_F(BuddyTest, OneThatIsNotThereYetHasNothing) {
  const Buddy none;
  for (unsigned order = 0; order <= base::kMaxOrder; ++order)
    EXPECT_EQ(none.blocks(Order(order)), 0u);
  EXPECT_EQ(none.fragmentation(Order(9)), 0);
  EXPECT_EQ(none.free_frames(), 0u);
}

TEST_F(BuddyTest, SplitsOnTheWayOutAndMergesOnTheWayBack) {
  extend(0, 64);
  EXPECT_EQ(buddy.blocks(Order(6)), 1u);
  ASSERT_EQ(take(1), 0u);
  EXPECT_EQ(buddy.free_frames(), 63u);
  for (unsigned order = 0; order < 6; ++order) EXPECT_EQ(buddy.blocks(Order(order)), 1u) << order;
  EXPECT_EQ(buddy.blocks(Order(6)), 0u);
  give(0, 1);
  EXPECT_EQ(buddy.blocks(Order(6)), 1u);
  EXPECT_EQ(buddy.free_frames(), 64u);
}

TEST_F(BuddyTest, MarksOnlyTheFirstFrameOfWhatItLets) {
  extend(0, 64);
  uint32_t block = take(5);
  EXPECT_EQ(frames[block].kind, FrameKind::kLarge);
  EXPECT_EQ(frames[block].count, 5u);
  for (uint32_t i = 1; i < 5; ++i) EXPECT_EQ(frames[block + i].kind, FrameKind::kInside);
}

TEST_F(BuddyTest, GivesTheTailBackWhateverTheCount) {
  for (size_t pages = 1; pages <= 64; ++pages) {
    frames.assign(kFrames, Frame{});
    words.assign(words.size(), 0);
    buddy = Buddy(frames.data(), dirty);
    extend(0, 64);
    uint32_t block = take(pages);
    ASSERT_NE(block, kNone);
    EXPECT_EQ(buddy.free_frames(), 64 - pages) << pages;
    give(block, pages);
    EXPECT_EQ(buddy.blocks(Order(6)), 1u) << pages;
  }
}

TEST_F(BuddyTest, AlignsWhereItIsAskedTo) {
  extend(1, 200);
  for (unsigned align = 0; align <= 6; ++align)
    for (size_t pages : {1, 2, 3, 7}) {
      uint32_t block = take(pages, align);
      ASSERT_NE(block, kNone) << pages << " at order " << align;
      EXPECT_EQ(block % (1u << align), 0u) << pages << " at order " << align;
      give(block, pages);
    }
  EXPECT_EQ(buddy.free_frames(), 200u);
}

TEST_F(BuddyTest, RangesThatStartAnywhereBecomeAlignedBlocks) {
  extend(3, 10);  // 3, 4..7, 8..11, 12
  EXPECT_EQ(buddy.blocks(Order(0)), 2u);
  EXPECT_EQ(buddy.blocks(Order(2)), 2u);
  EXPECT_EQ(buddy.free_frames(), 10u);
}

TEST_F(BuddyTest, GrowthMergesWithWhatWasThere) {
  extend(0, 8);
  extend(8, 8);
  EXPECT_EQ(buddy.blocks(Order(4)), 1u);
}

TEST_F(BuddyTest, AHoleIsNeverGivenOutNorMergedOver) {
  extend(0, 8);
  extend(16, 16);  // 8..15 is somebody else's
  EXPECT_EQ(buddy.free_frames(), 24u);
  EXPECT_TRUE(buddy.blocks(Order(3)) == 1 && buddy.blocks(Order(4)) == 1);
  std::vector<uint32_t> all;
  for (uint32_t one = take(1); one != kNone; one = take(1)) all.push_back(one);
  EXPECT_EQ(all.size(), 24u);
  for (uint32_t one : all) EXPECT_TRUE(one < 8 || one >= 16) << one;
}

TEST_F(BuddyTest, TakesTheSmallestBlockThatFits) {
  extend(0, 64);
  uint32_t a = take(16), b = take(32), c = take(16);
  give(b, 32);
  give(a, 16);
  uint32_t small = take(8);
  EXPECT_TRUE(small >= a && small < a + 16) << "the block of 32 was broken up for 8";
  give(small, 8);
  give(c, 16);
}

TEST_F(BuddyTest, AScrapHoldsMemoryAndHasTooFewNeighbours) {
  auto take_scrap = [&] {
    uint32_t frame = buddy.take_scrap(FrameKind::kLarge);
    buddy.audit();
    return frame;
  };
  extend(0, 64);
  EXPECT_EQ(take_scrap(), kNone) << "a whole block of 64";
  ASSERT_EQ(take(64), 0u);
  give(32, 4);
  EXPECT_EQ(take_scrap(), kNone) << "four frames are a slab";
  dirty.clear(41, 1);
  buddy.give_partly_dirty(40, Pages(2));
  EXPECT_EQ(take_scrap(), kNone) << "one of these two holds no memory";
  give(10, 1);
  EXPECT_EQ(take_scrap(), 10u);
  give(20, 2);
  EXPECT_EQ(take_scrap(), 20u);
  EXPECT_EQ(take_scrap(), 21u);
  EXPECT_EQ(take_scrap(), kNone);
}

TEST_F(BuddyTest, OfSeveralCountsTheFirstThatHoldsMemoryIsTaken) {
  auto take_warm = [&] {
    page::Choices choices;
    for (size_t pages : {5, 4, 2}) choices.add(Pages(pages));
    uint32_t first = buddy.take_warm(choices, FrameKind::kLarge);
    buddy.audit();
    return std::pair(first, first == kNone ? 0 : frames[first].count);
  };
  using Answer = std::pair<uint32_t, uint32_t>;
  extend(0, 128);
  EXPECT_EQ(take_warm(), Answer(kNone, 0)) << "none of it was ever touched";
  ASSERT_EQ(take(128), 0u);
  give(10, 1);
  give(20, 2);
  give(32, 4);
  dirty.clear(41, 7);
  buddy.give_partly_dirty(40, Pages(8));
  EXPECT_EQ(take_warm(), Answer(32, 4)) << "of the longer one an eighth holds memory";
  EXPECT_EQ(take_warm(), Answer(20, 2));
  EXPECT_EQ(take_warm(), Answer(40, 2)) << "half of these do";
  EXPECT_EQ(take_warm(), Answer(kNone, 0)) << "one frame is too short, the others are cold";
  give(64, 16);
  EXPECT_EQ(take_warm(), Answer(64, 5)) << "the best, though nothing else needs cutting up";
}

TEST_F(BuddyTest, OfSeveralCountsNoneFollowsOnOverColdFramesWhereOthersAreWarm) {
  auto take_warm = [&](size_t pages) {
    page::Choices choices;
    choices.add(Pages(pages));
    uint32_t first = buddy.take_warm(choices, FrameKind::kLarge);
    buddy.audit();
    return first;
  };
  extend(0, 128);
  ASSERT_EQ(take(128), 0u);
  dirty.clear(16, 16);
  buddy.give_partly_dirty(16, Pages(16));
  give(8, 8);
  EXPECT_EQ(take_warm(5), 8u);
  give(64, 16);
  EXPECT_EQ(take_warm(9), 64u) << "of the nine that follow three hold memory";
  give(96, 16);
  EXPECT_EQ(take_warm(3), 73u) << "and of these all";
}

TEST_F(BuddyTest, OddCountsFollowOnOneAnotherAndLeaveNothingBetween) {
  extend(0, 64);
  for (uint32_t i = 0; i < 7; ++i) EXPECT_EQ(take(9), 9 * i);
  EXPECT_EQ(buddy.free_frames(), 1u);
}

TEST_F(BuddyTest, OddCountsTakeWarmFramesBeforeTheyFollowOnOverColdOnes) {
  extend(0, 256);
  EXPECT_EQ(take(9), 0u);
  give(take(16), 16);
  EXPECT_EQ(take(9), 16u) << "what follows the first has never been touched";
  EXPECT_EQ(take(9), 25u);
}

TEST_F(BuddyTest, SaysNoWhenNoBlockIsLongEnough) {
  extend(0, 64);
  uint32_t a = take(32), b = take(32);
  give(a, 32);
  EXPECT_EQ(take(33), kNone);
  EXPECT_EQ(buddy.free_frames(), 32u);
  give(b, 32);
  EXPECT_NE(take(33), kNone);
}

TEST_F(BuddyTest, WhatNobodyHadIsNewAndWhatCameBackIsNot) {
  extend(0, 64);
  uint32_t block = take(4);
  EXPECT_TRUE(frames[block].is_new);
  give(block, 4);
  EXPECT_EQ(buddy.dirty_frames(), 4u);
  uint32_t again = take(4);
  EXPECT_EQ(again, block);
  EXPECT_FALSE(frames[again].is_new);
  EXPECT_EQ(buddy.dirty_frames(), 0u) << "dirty frames count free ones only";
}

TEST_F(BuddyTest, ABlockThatIsPartlyNewIsNewWhereItIs) {
  extend(0, 16);
  uint32_t first = take(8);
  give(first, 8);  // merges with the clean half: 16 frames, 8 of them dirty
  ASSERT_EQ(buddy.blocks(Order(4)), 1u);
  uint32_t dirty_half = take(8);
  EXPECT_EQ(dirty_half, first);
  EXPECT_FALSE(frames[dirty_half].is_new);
  uint32_t clean_half = take(8);
  EXPECT_TRUE(frames[clean_half].is_new);
}

TEST_F(BuddyTest, WarmBlocksGoBeforeColdOnes) {
  extend(0, 64);
  uint32_t blocks[4];
  for (uint32_t& block : blocks) block = take(16);
  give(blocks[0], 16);
  give(blocks[2], 16);
  uint32_t isolated = buddy.isolate(Order(0), Pages(64));
  purge(isolated);
  uint32_t warm = isolated == blocks[0] ? blocks[2] : blocks[0];
  EXPECT_EQ(take(16), warm);
  EXPECT_EQ(take(16), isolated);
  EXPECT_TRUE(frames[isolated].is_new);
}

TEST_F(BuddyTest, IsolationTakesTheLargestDirtyBlockOutOfReach) {
  extend(0, 64);
  uint32_t a = take(4), b = take(4), c = take(16);
  take(1);  // keeps the rest apart
  give(a, 4);
  give(c, 16);
  size_t free = buddy.free_frames();
  uint32_t isolated = buddy.isolate(Order(0), Pages(64));
  EXPECT_EQ(isolated, c);
  EXPECT_EQ(frames[isolated].kind, FrameKind::kIsolated);
  EXPECT_EQ(buddy.free_frames(), free - 16);
  give(b, 4);
  purge(isolated);
  EXPECT_EQ(buddy.dirty_frames(), 8u);
}

// Whole huge pages first, which cost least for what they hold; then ever smaller blocks; of those
// of a size the one that has been free for longest. What came free last is what is wanted next.
TEST_F(BuddyTest, IsolationGoesFromTheLargestToTheSmallestAndByAge) {
  std::vector<Frame> many(16384);
  std::vector<uint64_t> bits(16384 / 64);
  BitMap map{bits.data()};
  Buddy heap{many.data(), map};
  heap.extend(0, Pages(16384));
  ASSERT_TRUE(heap.try_take_range(0, Pages(16384)));
  // Of each size three, apart, given back in this order.
  const std::vector<std::pair<uint32_t, size_t>> given = {
      {3, 1}, {4096, 512}, {16, 8}, {8192, 512}, {101, 1}, {32, 8}, {1024, 512}, {64, 8}, {7, 1}};
  for (auto [first, pages] : given) heap.give(first, Pages(pages));
  std::vector<uint32_t> order;
  for (uint32_t block; (block = heap.isolate(Order(0), Pages(16384))) != kNone;) {
    order.push_back(block);
    map.clear(block, Order(many[block].order).pages().n);
    heap.put_back(block);
    heap.audit();
  }
  EXPECT_EQ(order, (std::vector<uint32_t>{4096, 8192, 1024, 16, 32, 64, 3, 101, 7}));
}

TEST_F(BuddyTest, IsolationTakesNoMoreThanIsWantedAndLeavesTheLowerPartWarm) {
  extend(0, 64);
  uint32_t all = take(64);
  give(all, 64);
  uint32_t isolated = buddy.isolate(Order(0), Pages(8));
  EXPECT_EQ(isolated, 56u);
  EXPECT_EQ(Order(frames[isolated].order).pages(), Pages(8));
  EXPECT_EQ(buddy.dirty_frames(), 56u);
  purge(isolated);
  EXPECT_EQ(buddy.free_frames(), 64u);
  EXPECT_EQ(take(1), 0u) << "the lowest frames were to stay warm";
}

TEST_F(BuddyTest, IsolationGoesPastACleanUpperPart) {
  extend(0, 64);
  uint32_t low = take(2);
  give(low, 2);  // two dirty frames at the front of a block of 64
  uint32_t isolated = buddy.isolate(Order(0), Pages(2));
  ASSERT_NE(isolated, kNone);
  EXPECT_EQ(dirty.count(isolated, Order(frames[isolated].order).pages().n), 2u);
  purge(isolated);
  EXPECT_EQ(buddy.dirty_frames(), 0u);
  EXPECT_EQ(buddy.blocks(Order(6)), 1u);
}

TEST_F(BuddyTest, IsolationLeavesBlocksBelowThePageSizeAlone) {
  extend(0, 64);
  uint32_t block = take(2);
  ASSERT_TRUE(buddy.try_take_range(block + 2, Pages(62)));
  give(block, 2);
  EXPECT_EQ(buddy.isolate(Order(2), Pages(64)), kNone) << "a page of 16 KiB is four frames";
  EXPECT_NE(buddy.isolate(Order(1), Pages(64)), kNone);
}

TEST_F(BuddyTest, ABlockThatCouldNotBePurgedComesBackDirty) {
  extend(0, 16);
  give(take(16), 16);
  uint32_t isolated = buddy.isolate(Order(0), Pages(16));
  buddy.put_back(isolated);
  buddy.audit();
  EXPECT_EQ(buddy.dirty_frames(), 16u);
}

TEST_F(BuddyTest, ARangeIsTakenWholeOrNotAtAll) {
  extend(0, 64);
  uint32_t block = take(8);
  ASSERT_EQ(block, 0u);
  EXPECT_TRUE(buddy.try_take_range(8, Pages(13)));
  buddy.audit();
  EXPECT_EQ(buddy.free_frames(), 64u - 21);
  EXPECT_FALSE(buddy.try_take_range(21, Pages(44))) << "the ground ends at 64";
  EXPECT_EQ(buddy.free_frames(), 64u - 21);
  EXPECT_TRUE(buddy.try_take_range(21, Pages(43)));
  EXPECT_EQ(buddy.free_frames(), 0u);
  give(0, 64);
  EXPECT_EQ(buddy.blocks(Order(6)), 1u);
}

// Twenty pairs of neighbours that are no buddies. All that stand in front in their list are upper
// ones, but each of them leads to its run.
TEST_F(BuddyTest, ARunIsFoundFromAnyOfItsBlocks) {
  constexpr uint32_t kSize = 8;
  extend(0, 4 * kSize * 20 + kSize);
  ASSERT_TRUE(buddy.try_take_range(0, Pages(4 * kSize * 20 + kSize)));
  for (uint32_t part : {1u, 2u})
    for (uint32_t i = 0; i < 20; ++i) give(kSize * (4 * i + part), kSize);
  uint32_t first =
      buddy.take_run(Pages(2 * kSize), Pages(1), Buddy::Run::kDirty, FrameKind::kLarge);
  ASSERT_NE(first, kNone);
  EXPECT_EQ(first % (4 * kSize), kSize);
  buddy.audit();
}

TEST_F(BuddyTest, ABlockThatIsShorterNowReachesNoFurther) {
  extend(0, 32);
  take(32);
  give(16, 16);
  EXPECT_EQ(buddy.free_tail().n, 16u);
  ASSERT_EQ(buddy.isolate(Order(0), Pages(8)), 24u);
  buddy.audit();
  EXPECT_EQ(buddy.free_tail().n, 0u);
}

TEST_F(BuddyTest, OfRunsThatHoldAsMuchTheShortestIsTaken) {
  extend(0, 1024);
  // Runs of 300, 90 and 120 frames between others, all used.
  ASSERT_TRUE(buddy.try_take_range(0, Pages(1024)));
  for (auto [first, pages] : {std::pair{10u, 300u}, {400u, 90u}, {600u, 120u}}) give(first, pages);
  EXPECT_EQ(buddy.take_run(Pages(80), Pages(1), Buddy::Run::kDirty, FrameKind::kLarge), 400u);
  buddy.audit();
  EXPECT_EQ(buddy.take_run(Pages(100), Pages(1), Buddy::Run::kDirty, FrameKind::kLarge), 600u);
  EXPECT_EQ(buddy.take_run(Pages(301), Pages(1), Buddy::Run::kDirty, FrameKind::kLarge), kNone);
  EXPECT_EQ(buddy.take_run(Pages(300), Pages(1), Buddy::Run::kDirty, FrameKind::kLarge), 10u);
  buddy.audit();
}

TEST_F(BuddyTest, OfRunsTheOneThatHoldsMostMemoryIsTaken) {
  extend(0, 1024);
  ASSERT_TRUE(buddy.try_take_range(0, Pages(1024)));
  // A short run of small blocks, looked at first, of which 16 frames hold memory; and a long one.
  dirty.clear(32, 74);
  buddy.give_partly_dirty(16, Pages(90));
  give(512, 512);
  EXPECT_EQ(buddy.take_run(Pages(80), Pages(1), Buddy::Run::kFree, FrameKind::kLarge), 512u);
  EXPECT_FALSE(frames[512].is_new);
  ASSERT_TRUE(buddy.try_take_range(592, Pages(432)));
  EXPECT_EQ(buddy.take_run(Pages(80), Pages(1), Buddy::Run::kFree, FrameKind::kLarge), 16u);
  buddy.audit();
}

TEST_F(BuddyTest, WhatLiesInFrontHoldsNoMoreMemoryThanBefore) {
  extend(0, 1024);
  ASSERT_EQ(take(1), 0u);
  give(take(1), 1);
  EXPECT_EQ(buddy.take_run(Pages(300), Pages(512), Buddy::Run::kFree, FrameKind::kLarge), 512u);
  EXPECT_EQ(buddy.dirty_frames(), 1u);
  give(512, 300);
  EXPECT_EQ(buddy.retract(Pages(8)), 8u);
  EXPECT_EQ(buddy.dirty_frames(), 1u);
}

TEST_F(BuddyTest, ARangeThatSomebodyHoldsPartOfIsRefusedUnchanged) {
  extend(0, 64);
  uint32_t a = take(8), b = take(8), c = take(8);
  ASSERT_EQ(b, a + 8);
  ASSERT_EQ(c, b + 8);
  give(b, 8);
  EXPECT_FALSE(buddy.try_take_range(b, Pages(9)));
  buddy.audit();
  EXPECT_TRUE(buddy.try_take_range(b, Pages(8)));
}

TEST_F(BuddyTest, EveryCountComesBackToOneBlockInEveryOrderOfReturn) {
  extend(0, 512);
  std::vector<std::pair<uint32_t, size_t>> held;
  for (size_t pages = 1; pages <= 20; ++pages) {
    held.push_back({take(pages), pages});
    ASSERT_NE(held.back().first, kNone) << pages;
  }
  for (int way = 0; way < 3; ++way) {
    if (way == 1) std::reverse(held.begin(), held.end());
    if (way == 2) std::rotate(held.begin(), held.begin() + 7, held.end());
    for (auto [block, pages] : held) give(block, pages);
    EXPECT_EQ(buddy.blocks(Order(9)), 1u) << "way " << way;
    for (auto& [block, pages] : held) block = take(pages);
  }
}

TEST_F(BuddyTest, TheIndexTellsWantFromPieces) {
  EXPECT_EQ(buddy.fragmentation(Order(3)), 0) << "nothing is free";
  extend(0, 64);
  EXPECT_EQ(buddy.fragmentation(Order(6)), -1000) << "it could be had";
  EXPECT_EQ(buddy.fragmentation(Order(7)), 0) << "half of it, in one piece";
  for (int i = 0; i < 64; ++i) ASSERT_NE(take(1), kNone);
  for (uint32_t frame = 0; frame < 64; frame += 2) give(frame, 1);
  // 32 pieces of one frame: four times what is asked for.
  EXPECT_EQ(buddy.fragmentation(Order(3)), 1000 - (1000 + 4000) / 32);
  EXPECT_EQ(buddy.fragmentation(Order(0)), -1000);
}

TEST_F(BuddyTest, AuditSeesAWrongOrderAtEitherEnd) {
  extend(0, 64);
  frames[0].order = 5;
  EXPECT_DEATH(buddy.audit(), "check failed: ");
  frames[0].order = 6;
  frames[63].order = 5;
  EXPECT_DEATH(buddy.audit(), "check failed: frames_\\[at \\+ size - 1\\].order == order");
}

TEST_F(BuddyTest, AuditSeesADirtyBitThatNobodyCounted) {
  extend(0, 64);
  dirty.set(17, 1);
  EXPECT_DEATH(buddy.audit(), "check failed: frame.count == dirty_map_.count");
}

TEST_F(BuddyTest, AuditSeesTwoBuddiesThatWereNotMerged) {
  extend(0, 64);
  ASSERT_EQ(take(1), 0u);
  // Frame 1 is free and alone; frame 0 claims to be a free block as well.
  frames[0].kind = FrameKind::kFree;
  frames[0].order = 0;
  EXPECT_DEATH(buddy.audit(), "check failed: ");
}

TEST_F(BuddyTest, GrowthBackwardsIsRefused) {
  extend(16, 16);
  EXPECT_DEATH(buddy.extend(0, Pages(16)), "check failed: first >= end_");
}

}  // namespace
