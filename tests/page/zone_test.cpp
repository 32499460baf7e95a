// page/zone_test.cpp -- proves what a zone promises with a kernel that a test commands: memory
// where and as it was asked for, and nothing lost when the kernel says no.

#include "page/zone.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using base::kFrameSize;
using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;
using page::Retention;
using page::Zone;
using test::FakeVm;
using test::kKeepAll;
using test::kKeepNothing;
using test::kMiB;

class ZoneTest : public test::ZoneGround {};

TEST_F(ZoneTest, FailsToStartWithoutAddressSpaceAndCanStartLater) {
  vm.failing_reserves = 1;
  EXPECT_FALSE(zone.start(vm.vm(), kKeepAll, size_t{1} << 40));
  zone.audit();
  start();
  EXPECT_NE(alloc(1), nullptr);
}

TEST_F(ZoneTest, BlocksAreWritableApartAndAligned) {
  start();
  std::vector<Frame*> blocks;
  for (size_t pages = 1; pages <= 40; ++pages) {
    Frame* block = alloc(pages, pages % 5);
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(base::is_aligned(bytes(block), Order(pages % 5).pages().bytes()));
    EXPECT_EQ(block->count, pages);
    std::memset(bytes(block), static_cast<int>(pages), Pages(pages).bytes());
    blocks.push_back(block);
  }
  for (size_t pages = 1; pages <= 40; ++pages) {
    char* at = bytes(blocks[pages - 1]);
    for (size_t i = 0; i < Pages(pages).bytes(); ++i)
      ASSERT_EQ(at[i], static_cast<char>(pages)) << "block of " << pages << " was written over";
  }
  for (Frame* block : blocks) free(block);
  EXPECT_EQ(zone.stats().live, 0u);
  EXPECT_EQ(zone.stats().free, zone.stats().committed);
}

TEST_F(ZoneTest, NewMemorySaysSoAndIsZero) {
  start();
  Frame* block = alloc(3);
  EXPECT_TRUE(block->is_new);
  for (size_t i = 0; i < 3 * kFrameSize; ++i) ASSERT_EQ(bytes(block)[i], 0);
  std::memset(bytes(block), 1, 3 * kFrameSize);
  free(block);
  EXPECT_FALSE(alloc(3)->is_new);
}

TEST_F(ZoneTest, ZeroFramesAndTooManyAreRefusedWithoutACall) {
  start();
  unsigned commits = vm.commits;
  EXPECT_EQ(alloc(0), nullptr);
  EXPECT_EQ(alloc(Order(base::kMaxOrder).pages().n + 1), nullptr);
  EXPECT_EQ(vm.commits, commits);
}

TEST_F(ZoneTest, RefusesWhatTheWindowCannotHoldAndLivesOn) {
  start();
  EXPECT_EQ(alloc(Pages::ceil(256 * kMiB).n), nullptr);
  EXPECT_NE(alloc(1), nullptr);
}

TEST_F(ZoneTest, FillsTheWholeWindowAndThenSaysNo) {
  start();
  std::vector<Frame*> blocks;
  while (Frame* block = alloc(256)) blocks.push_back(block);
  EXPECT_EQ(blocks.size() * kMiB, zone.place().size / 2);
  for (Frame* block : blocks) free(block);
  EXPECT_NE(alloc(256), nullptr);
}

page::Choices eight_or_two() {
  page::Choices choices;
  choices.add(Pages(8));
  choices.add(Pages(2));
  return choices;
}

TEST_F(ZoneTest, OfSeveralCountsAShorterOneIsTakenThatHoldsMemory) {
  start();
  std::vector<Frame*> pairs;
  for (int i = 0; i < 8; ++i) pairs.push_back(zone.alloc(Pages(2), Order(0), FrameKind::kLarge));
  for (size_t i : {0, 4}) zone.free(zone.number_of(*pairs[i]), Pages(2));
  size_t held = zone.stats().live + zone.stats().dirty;
  for (int i = 0; i < 2; ++i) {
    Frame* block = zone.alloc_any(eight_or_two(), FrameKind::kSlab);
    zone.audit();
    EXPECT_EQ(block->count, 2u);
    EXPECT_FALSE(block->is_new);
  }
  EXPECT_EQ(zone.stats().live + zone.stats().dirty, held) << "there was memory for them";
  EXPECT_EQ(zone.alloc_any(eight_or_two(), FrameKind::kSlab)->count, 8u);
  zone.audit();
}

TEST_F(ZoneTest, WhereLittleIsFreeItsPiecesWaitToBecomeWhole) {
  start();
  Frame* pair = zone.alloc(Pages(2), Order(0), FrameKind::kLarge);
  for (size_t pages : {2, 4, 24})
    ASSERT_NE(zone.alloc(Pages(pages), Order(0), FrameKind::kLarge), nullptr);
  zone.free(zone.number_of(*pair), Pages(2));
  ASSERT_EQ(zone.stats().dirty, 2u);
  EXPECT_EQ(zone.alloc_any(eight_or_two(), FrameKind::kSlab)->count, 8u);
  EXPECT_EQ(zone.stats().dirty, 2u);
  zone.audit();
}

TEST_F(ZoneTest, OfSeveralCountsAShorterOneIsTakenWhereMemoryIsOut) {
  start();
  std::vector<Frame*> blocks;
  while (Frame* block = zone.alloc(Pages(2), Order(0), FrameKind::kLarge)) blocks.push_back(block);
  EXPECT_EQ(zone.alloc_any(eight_or_two(), FrameKind::kSlab), nullptr);
  zone.free(zone.number_of(*blocks[9]), Pages(2));
  zone.purge(0);
  Frame* block = zone.alloc_any(eight_or_two(), FrameKind::kSlab);
  ASSERT_NE(block, nullptr) << "two frames are left";
  EXPECT_EQ(block->count, 2u);
  zone.audit();
}

// Every commit of a growing heap fails once: before and after, nothing is lost.
TEST_F(ZoneTest, NothingIsLostWhenACommitFails) {
  for (unsigned nth = 0; nth < 12; ++nth) {
    FakeVm* kernel = &vm;
    Zone fresh;
    ASSERT_TRUE(fresh.start(kernel->vm(), kKeepAll, size_t{1} << 40));
    std::vector<Frame*> blocks;
    bool has_failed = false;
    for (unsigned i = 0; i < 30; ++i) {
      if (i == nth) kernel->failing_commits = 4;
      Frame* block = fresh.alloc(Pages(300), Order(0), FrameKind::kLarge);
      kernel->failing_commits = 0;
      fresh.audit();
      has_failed |= block == nullptr;
      if (block != nullptr) blocks.push_back(block);
    }
    EXPECT_GE(blocks.size(), 28u);
    EXPECT_EQ(fresh.stats().live, blocks.size() * 300);
    for (Frame* block : blocks) fresh.free_large(*block);
    fresh.audit();
    EXPECT_EQ(fresh.stats().live, 0u);
    EXPECT_EQ(fresh.stats().free, fresh.stats().committed);
  }
}

TEST_F(ZoneTest, GrowsABlockInPlaceWhenWhatFollowsIsFree) {
  start();
  Frame* block = alloc(10);
  bytes(block)[10 * kFrameSize - 1] = 7;
  ASSERT_TRUE(zone.try_grow(*block, Pages(100)));
  zone.audit();
  EXPECT_EQ(block->count, 100u);
  EXPECT_EQ(bytes(block)[10 * kFrameSize - 1], 7);
  EXPECT_EQ(zone.stats().live, 100u);
  EXPECT_EQ(zone.stats().large, 100u);
  EXPECT_EQ(zone.stats().large_blocks, 1u);
  free(block);
}

TEST_F(ZoneTest, DoesNotGrowOverANeighbour) {
  start();
  Frame* block = alloc(8);
  Frame* neighbour = alloc(8);
  ASSERT_EQ(zone.number_of(*neighbour), zone.number_of(*block) + 8);
  EXPECT_FALSE(zone.try_grow(*block, Pages(9)));
  zone.audit();
  EXPECT_EQ(block->count, 8u);
  free(neighbour);
  EXPECT_TRUE(zone.try_grow(*block, Pages(16)));
  zone.audit();
}

TEST_F(ZoneTest, TheLastBlockGrowsWithTheWindow) {
  start();
  Frame* block = alloc(Pages::ceil(zone.place().size / 16).n);
  size_t before = zone.window_size();
  Pages longer = Pages::ceil(before + 5 * kMiB);
  if (zone.number_of(*block) + block->count <= before / kFrameSize) {
    ASSERT_TRUE(zone.try_grow(*block, longer));
    zone.audit();
    EXPECT_GT(zone.window_size(), before);
    std::memset(bytes(block), 5, longer.bytes());
  }
  free(block);
}

TEST_F(ZoneTest, GrowthThatTheKernelRefusesChangesNothing) {
  start();
  Frame* block = alloc(1);
  page::ZoneStats before = zone.stats();
  vm.failing_commits = 1000;
  EXPECT_FALSE(zone.try_grow(*block, Pages::ceil(32 * kMiB)));
  vm.failing_commits = 0;
  zone.audit();
  EXPECT_EQ(block->count, 1u);
  EXPECT_EQ(zone.stats().live, before.live);
  EXPECT_EQ(zone.stats().free, before.free);
}

TEST_F(ZoneTest, ShrinkingGivesTheTailBack) {
  start();
  Frame* block = alloc(100);
  zone.shrink(*block, Pages(30));
  zone.audit();
  EXPECT_EQ(block->count, 30u);
  EXPECT_EQ(zone.stats().live, 30u);
  EXPECT_EQ(zone.stats().large, 30u);
  EXPECT_TRUE(zone.try_grow(*block, Pages(100))) << "its own tail is free";
  zone.audit();
}

TEST_F(ZoneTest, PurgeReturnsAllButWhatIsToBeKept) {
  start();
  Frame* block = alloc(1024);
  std::memset(bytes(block), 1, Pages(1024).bytes());
  free(block);
  EXPECT_EQ(zone.stats().dirty, 1024u);
  size_t gone = zone.purge(200);
  zone.audit();
  EXPECT_LE(zone.stats().dirty, 200u);
  EXPECT_EQ(gone, 1024u - zone.stats().dirty);
  EXPECT_GE(vm.purged_bytes(), gone * kFrameSize);
  zone.purge(0);
  EXPECT_EQ(zone.stats().dirty, 0u);
  EXPECT_EQ(zone.stats().purged, 1024u);
}

TEST_F(ZoneTest, WhatWasPurgedIsNewAndZero) {
  start();
  Frame* block = alloc(64);
  std::memset(bytes(block), 1, Pages(64).bytes());
  free(block);
  zone.purge(0);
  block = alloc(64);
  EXPECT_TRUE(block->is_new);
  for (size_t i = 0; i < Pages(64).bytes(); ++i) ASSERT_EQ(bytes(block)[i], 0);
}

TEST_F(ZoneTest, APurgeNeverTouchesWhatIsLet) {
  start();
  std::vector<Frame*> blocks;
  for (int i = 0; i < 64; ++i) {
    blocks.push_back(alloc(3));
    std::memset(bytes(blocks.back()), i, Pages(3).bytes());
  }
  for (size_t i = 0; i < 64; i += 2) free(blocks[i]);
  zone.purge(0);
  for (size_t i = 1; i < 64; i += 2)
    for (size_t at = 0; at < Pages(3).bytes(); ++at)
      ASSERT_EQ(bytes(blocks[i])[at], static_cast<char>(i));
}

TEST_F(ZoneTest, APurgeThatTheKernelRefusesEndsAndLosesNothing) {
  start();
  free(alloc(100));
  vm.failing_purges = 1000;
  EXPECT_EQ(zone.purge(0), 0u);
  zone.audit();
  EXPECT_EQ(zone.stats().dirty, 100u);
  EXPECT_GE(vm.failing_purges, 990u) << "locked memory will be refused again and again";
  vm.failing_purges = 0;
  EXPECT_EQ(zone.purge(0), 100u);
}

TEST_F(ZoneTest, OfLockedMemoryNoMoreStaysThanIsLockedAndOnce) {
  start();
  Frame* block = alloc(1000);
  std::memset(bytes(block), 1, Pages(1000).bytes());
  vm.mlocked = {{bytes(block) + 100 * kFrameSize, kFrameSize}};
  Frame* other = alloc(7);
  Frame* wall = alloc(1);
  free(block);
  free(other);
  EXPECT_EQ(zone.purge(0), 1006u);
  zone.audit();
  EXPECT_EQ(zone.stats().dirty, 0u);
  unsigned calls = vm.purge_calls;
  zone.purge(0);
  EXPECT_EQ(vm.purge_calls, calls) << "what cannot go is asked for again";
  Frame* again = alloc(1000);
  EXPECT_TRUE(again->is_new);
  for (size_t i = 0; i < Pages(1000).bytes(); ++i) ASSERT_EQ(bytes(again)[i], 0);
  free(wall);
}

TEST_F(ZoneTest, OfLockedMemoryTheAddressSpaceGoesAtTheEnd) {
  start();
  Frame* stays = alloc(2000);
  free(alloc(8000));
  vm.mlocked = {{zone.window(), 256 * kMiB}};
  EXPECT_GE(zone.purge(0), 8000u);
  zone.audit();
  EXPECT_LE(zone.window_size(), (2000 + 16) * kFrameSize);
  free(stays);
}

// Under mlockall each call would be futile.
TEST_F(ZoneTest, WhereNothingGoesTheKernelIsLeftAloneForAWhile) {
  start(kKeepNothing);
  auto breathe = [&] {
    free(alloc(2000));
    zone.trim();
    zone.audit();
    return vm.purge_calls;
  };
  auto sleep = [&] {  // so long that nothing is kept because it was wanted
    for (size_t i = 0; i < 4; ++i) {
      vm.now_ms += 1000;
      zone.trim();
    }
  };
  breathe();
  vm.mlocked = {{zone.window(), 256 * kMiB}};
  unsigned calls = breathe();
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(breathe(), calls);
  sleep();
  EXPECT_GT(vm.purge_calls, calls);
  vm.mlocked.clear();
  breathe();
  sleep();
  EXPECT_EQ(zone.stats().dirty, 0u) << "and what can go goes again";
}

Zone* g_zone;

// The lock is free while the kernel works: the same thread could not take it otherwise.
TEST_F(ZoneTest, ThePurgeHoldsNoLock) {
  start();
  g_zone = &zone;
  free(alloc(100));
  vm.while_purging = [] {
    Frame* block = g_zone->alloc(Pages(7), Order(0), FrameKind::kLarge);
    g_zone->audit();
    EXPECT_EQ(g_zone->purge(0), 0u) << "one purge at a time";
    g_zone->free_large(*block);
  };
  zone.purge(0);
  vm.while_purging = nullptr;
  zone.audit();
  EXPECT_EQ(zone.stats().live, 0u);
}

TEST_F(ZoneTest, RecordsInsideALargeFreeBlockGoWithItsMemory) {
  start();
  Frame* block = alloc(4096);
  uint32_t number = zone.number_of(*block);
  for (uint32_t i = 1; i < 4096; ++i) zone.frame_at(number + i).count = i;  // old use has left this
  free(block);
  zone.purge(0);
  zone.audit();
  unsigned left = 0;
  for (uint32_t i = 1; i < 4096; ++i) left += zone.frame_at(number + i).count != 0;
  EXPECT_LE(left, 512u) << "a page of records for each purge";
  for (int i = 0; i < 100; ++i) alloc(40);
}

// Nine frames and three wait; ten are asked for, and memory is used that is there.
TEST_F(ZoneTest, ASmallHeapUsesWhatWaitsBeforeItTouchesMore) {
  start();
  Frame* blocks[] = {alloc(9), alloc(3), alloc(1)};
  free(blocks[0]);
  free(blocks[1]);
  ASSERT_EQ(zone.stats().dirty, 12u);
  Frame* single = zone.alloc(Pages(1), Order(0), FrameKind::kSlob);
  ASSERT_NE(single, nullptr);
  EXPECT_EQ(alloc(9), blocks[0]) << "a single frame does not break up what waits";
  free(blocks[0]);
  size_t before = zone.stats().dirty;
  ASSERT_NE(alloc(10), nullptr);
  EXPECT_EQ(zone.stats().dirty, before - 10);
}

// Whoever frees and asks again gets the same memory; what has waited longest goes back instead.
TEST_F(ZoneTest, TheLatestThatWereFreedWait) {
  start();
  std::vector<Frame*> blocks;
  for (size_t pages = 20; pages < 30; ++pages) blocks.push_back(alloc(pages));
  for (Frame* block : blocks) free(block);
  for (size_t pages = 29; pages >= 22; --pages) EXPECT_EQ(alloc(pages), blocks[pages - 20]);
}

// Near the hard bound. Else who frees a block and asks for another one would make all of the heap
// give back what it keeps, each time.
class ZoneInBoundsTest : public ZoneTest {
 protected:
  // Of blocks of 256 frames as many as fit.
  void fill(size_t hard) {
    budget.set({.hard = hard});
    zone.join(budget);
    start();
    while (Frame* block = alloc(256)) blocks.push_back(block);
    ASSERT_GE(blocks.size(), 8u);
    held = budget.held();
  }
  // Memory that is held is had, and no other.
  void expect_nothing_new() {
    EXPECT_EQ(budget.held(), held);
    EXPECT_EQ(vm.purge_calls, 0u);
  }
  page::Budget budget;
  std::vector<Frame*> blocks;
  size_t held = 0;
};

TEST_F(ZoneInBoundsTest, WhatWaitsIsHadAgain) {
  fill(3963);
  ASSERT_EQ(budget.held() + budget.reserve(), 3963u);
  free(blocks[3]);
  EXPECT_EQ(alloc(256), blocks[3]);
  expect_nothing_new();
  free(blocks[3]);
  free(blocks[5]);
  zone.shrink(*blocks[4], Pages(200));
  free(blocks[4]);
  EXPECT_EQ(alloc(150), blocks[4]) << "the shortest that is long enough";
  expect_nothing_new();
  EXPECT_EQ(alloc(257), nullptr);
  EXPECT_NE(alloc(256), nullptr);
  EXPECT_NE(alloc(256), nullptr);
  EXPECT_EQ(alloc(256), nullptr);
  EXPECT_NE(zone.alloc_scrap(FrameKind::kLarge), nullptr);
  expect_nothing_new();
}

TEST_F(ZoneInBoundsTest, ABlockGrowsOverWhatIsHeld) {
  fill(4096);
  ASSERT_EQ(bytes(blocks[5]), bytes(blocks[4]) + 256 * kFrameSize);
  free(blocks[5]);
  EXPECT_FALSE(zone.try_grow(*blocks[4], Pages(513)));
  EXPECT_TRUE(zone.try_grow(*blocks[4], Pages(512)));
  zone.audit();
  expect_nothing_new();
}

TEST_F(ZoneInBoundsTest, WarmBlocksNeedRoomForHalf) {
  fill(4000);
  size_t room = 4000 - budget.reserve() - held;
  ASSERT_LT(room, 64u);
  zone.shrink(*blocks[2], Pages(128));  // what goes back does not wait
  size_t pages = room + room / 2;
  EXPECT_EQ(zone.alloc_any({{Pages(2 * room + 2)}, 1}, FrameKind::kSlab), nullptr);
  Frame* block = zone.alloc_any({{Pages(pages)}, 1}, FrameKind::kSlab);
  ASSERT_NE(block, nullptr);
  zone.audit();
  EXPECT_FALSE(block->is_new);
  expect_nothing_new();
}

TEST_F(ZoneInBoundsTest, ABoundThatIsExceededRefusesAll) {
  fill(4096);
  free(blocks[3]);
  budget.set({.hard = held / 2});
  EXPECT_EQ(alloc(256), nullptr);
  EXPECT_EQ(zone.alloc_scrap(FrameKind::kLarge), nullptr);
  EXPECT_EQ(zone.alloc_any({{Pages(8)}, 1}, FrameKind::kSlab), nullptr);
}

TEST_F(ZoneTest, SlabsAreMarkedInEveryFrameAndInTheClassMap) {
  start();
  Frame* block = zone.alloc(Pages(5), Order(0), FrameKind::kSlab);
  int tenant = 0;
  zone.mark_slab(*block, &tenant, 42);
  zone.audit();
  uint32_t number = zone.number_of(*block);
  for (uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(zone.frame_at(number + i).kind, FrameKind::kSlab);
    EXPECT_EQ(zone.frame_at(number + i).tenant, &tenant);
    EXPECT_EQ(zone.class_map()[number + i], 42);
  }
  EXPECT_EQ(zone.class_map()[number + 5], 0);
  zone.unmark_slab(*block, Pages(block->count));
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(zone.class_map()[number + i], 0);
  zone.free(number, Pages(5));
  zone.audit();
  EXPECT_EQ(zone.stats().live, 0u);
}

}  // namespace
