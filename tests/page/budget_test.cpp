// page/budget_test.cpp -- proves what a heap may hold: up to the hard bound but for the reserve,
// which opens after a refusal and closes again; how much must go above the soft one; and that zones
// keep to it and tell what they hold.

#include "page/budget.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;
using page::Budget;
using page::Frame;
using page::FrameKind;
constexpr auto kSmall = Budget::For::kSmall;
constexpr auto kLarge = Budget::For::kLarge;

TEST(Budget, WithoutBoundsEverythingFits) {
  Budget budget;
  budget.change(1u << 30);
  EXPECT_TRUE(budget.has_room(SIZE_MAX, kLarge));
  EXPECT_EQ(budget.over(), 0u);
  EXPECT_FALSE(budget.is_limited());
  EXPECT_FALSE(budget.open_reserve());
}

TEST(Budget, TheHardBoundHoldsBackAReserve) {
  Budget budget;
  budget.set({.hard = 3200});
  budget.change(3000);
  EXPECT_TRUE(budget.has_room(100, kLarge));
  EXPECT_FALSE(budget.has_room(101, kLarge));
  EXPECT_FALSE(budget.has_room(101, kSmall));
  EXPECT_FALSE(budget.has_room(SIZE_MAX, kSmall));
}

TEST(Budget, TheReserveIsAMebibyteAtMost) {
  Budget budget;
  budget.set({.hard = 1u << 20});
  EXPECT_TRUE(budget.has_room((1u << 20) - 256, kLarge));
  EXPECT_FALSE(budget.has_room((1u << 20) - 255, kLarge));
}

TEST(Budget, AfterARefusalSmallRequestsMayUseTheReserve) {
  Budget budget;
  budget.set({.hard = 3200});
  budget.change(3100);
  EXPECT_TRUE(budget.open_reserve());
  EXPECT_FALSE(budget.open_reserve()) << "it is open";
  EXPECT_TRUE(budget.has_room(100, kSmall));
  EXPECT_FALSE(budget.has_room(101, kSmall));
  EXPECT_FALSE(budget.has_room(1, kLarge));
}

TEST(Budget, TheReserveClosesWhenAsMuchAgainHasComeFree) {
  Budget budget;
  budget.set({.hard = 3200});
  budget.change(3150);
  budget.open_reserve();
  budget.close_reserve();
  EXPECT_TRUE(budget.has_room(50, kSmall)) << "too early";
  budget.change(size_t{0} - 50);
  budget.close_reserve();
  EXPECT_TRUE(budget.has_room(100, kSmall)) << "the reserve alone is free, and not as much again";
  budget.change(size_t{0} - 100);
  budget.close_reserve();
  EXPECT_FALSE(budget.has_room(101, kSmall));
  EXPECT_TRUE(budget.has_room(100, kSmall));
}

TEST(Budget, NewBoundsCloseTheReserve) {
  Budget budget;
  budget.set({.hard = 3200});
  budget.change(3150);
  budget.open_reserve();
  budget.set({.hard = 3200});
  EXPECT_FALSE(budget.has_room(1, kSmall));
}

TEST(Budget, AboveTheSoftBoundMemoryGoesDownToASixteenthBelow) {
  Budget budget;
  budget.set({.soft = 1600});
  budget.change(1600);
  EXPECT_EQ(budget.over(), 0u);
  budget.change(1);
  EXPECT_EQ(budget.over(), 101u);
  EXPECT_TRUE(budget.has_room(1u << 30, kLarge)) << "nothing is refused";
}

TEST(Budget, TheLowerOfTwoSoftBoundsCounts) {
  Budget budget;
  budget.change(1000);
  budget.set({.soft = 1600});
  budget.set_outer(800);
  EXPECT_EQ(budget.over(), 250u);
  budget.set({.soft = 400});
  EXPECT_EQ(budget.over(), 625u);
  budget.set_outer(Budget::kUnlimited);
  budget.set({});
  EXPECT_EQ(budget.over(), 0u);
}

// The kernel counts them elsewhere.
TEST(Budget, PagesThatWereSetApartAreNotInTheContainer) {
  Budget budget;
  budget.set_outer(800);
  budget.change(500);
  budget.change(200, Budget::kBeside);
  budget.change(5000, Budget::kHugetlb);
  EXPECT_EQ(budget.held(), 5700u);
  EXPECT_EQ(budget.over(), 0u);
  EXPECT_TRUE(budget.has_room_for_all(99));
  EXPECT_FALSE(budget.has_room_for_all(100));
  budget.change(200);
  EXPECT_EQ(budget.over(), 150u);
  budget.set({.soft = 1600});
  EXPECT_EQ(budget.over(), 4400u) << "in what the program has chosen they are";
  budget.set({.hard = 5900});
  EXPECT_FALSE(budget.has_room(1, kLarge));
}

TEST(Budget, ASoftBoundAboveTheHardOneIsBelowIt) {
  Budget budget;
  budget.set({.soft = 5000, .hard = 3200});
  EXPECT_EQ(budget.bounds().soft, 2800u);
  budget.set({.soft = 3200, .hard = 3200});
  EXPECT_EQ(budget.bounds().soft, 3200u);
}

TEST(Budget, ABoundBelowWhatIsHeldRefusesAndWraps) {
  Budget budget;
  budget.change(5000);
  budget.set({.hard = 3200});
  EXPECT_FALSE(budget.has_room(0, kLarge));
  EXPECT_FALSE(budget.has_room(1, kSmall));
  EXPECT_GT(budget.over(), 2000u);
}

// What a zone holds is what the budget hears of it, whatever is done: audit() proves it each time.
class BudgetOfZoneTest : public test::ZoneGround {
 protected:
  BudgetOfZoneTest() { zone.join(budget); }
  size_t held() const { return budget.held(); }
  Frame* alloc_small(size_t pages) {
    Frame* block = zone.alloc(Pages(pages), Order(0), FrameKind::kSlab);
    zone.audit();
    return block;
  }

  Budget budget;
};

TEST_F(BudgetOfZoneTest, HeardIsWhatIsLiveOrDirty) {
  start();
  EXPECT_EQ(held(), 0u);
  Frame* block = alloc(100);
  EXPECT_EQ(held(), 100u);
  ASSERT_TRUE(zone.try_grow(*block, Pages(150)));
  EXPECT_EQ(held(), 150u);
  zone.shrink(*block, Pages(50));
  EXPECT_EQ(held(), 150u) << "the tail is kept";
  free(block);
  EXPECT_EQ(held(), 150u);
  zone.purge(10);
  EXPECT_EQ(held(), 10u);
  zone.audit();
  EXPECT_NE(alloc(10), nullptr);
  EXPECT_EQ(held(), 10u) << "out of what was kept";
}

TEST_F(BudgetOfZoneTest, HollowFramesDoNotCount) {
  start();
  Frame* slab = alloc_small(64);
  uint32_t first = zone.number_of(*slab);
  zone.hollow_out(first + 16, Pages(48));
  EXPECT_EQ(held(), 16u);
  EXPECT_EQ(zone.touch(first, Pages(32)), 16u);
  EXPECT_EQ(held(), 32u);
  os::Range range{zone.address_of(first), Pages(8).bytes()};
  EXPECT_EQ(zone.purge_let(&range, 1), 8u);
  EXPECT_EQ(held(), 24u);
  zone.audit();
  zone.free(first, Pages(64));
  EXPECT_EQ(held(), 24u);
  zone.audit();
}

TEST_F(BudgetOfZoneTest, WhatPassesTheBoundIsRefusedWhoeverAsks) {
  start();
  budget.set({.hard = 320});
  Frame* block = alloc(300);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(alloc(11), nullptr);
  EXPECT_EQ(alloc_small(11), nullptr);
  EXPECT_EQ(zone.alloc_clean(Pages(11)), nullptr);
  EXPECT_FALSE(zone.try_grow(*block, Pages(311)));
  EXPECT_FALSE(zone.may_touch(11));
  EXPECT_TRUE(zone.may_touch(10));
  EXPECT_NE(alloc(10), nullptr);
  budget.open_reserve();
  EXPECT_EQ(alloc(9), nullptr);
  EXPECT_NE(alloc(4), nullptr);
  EXPECT_NE(alloc_small(6), nullptr);
  EXPECT_EQ(alloc_small(1), nullptr);
  EXPECT_EQ(held(), 320u);
}

TEST_F(BudgetOfZoneTest, AboveTheSoftBoundNothingIsKept) {
  start();
  std::vector<Frame*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(alloc(1000));
  budget.set({.soft = 6400});
  for (int i = 0; i < 4; ++i) free(blocks[static_cast<size_t>(i)]);
  EXPECT_TRUE(zone.wants_trim());
  zone.trim();
  EXPECT_LE(held(), 6000u + 64) << "a sixteenth below, but for what is not worth a call";
  EXPECT_GE(held(), 6000u);
  budget.set({});
  free(blocks[4]);
  zone.trim();
  EXPECT_GE(held(), 6000u) << "without a bound it stays";
}

TEST_F(BudgetOfZoneTest, AZoneThatEndsHoldsNothing) {
  page::Zone other;
  other.join(budget);
  ASSERT_TRUE(other.start(vm.vm(), test::kKeepAll, 64 * test::kMiB));
  ASSERT_NE(other.alloc(Pages(77), Order(0), FrameKind::kLarge), nullptr);
  EXPECT_EQ(held(), 77u);
  other.stop();
  EXPECT_EQ(held(), 0u);
}

TEST_F(BudgetOfZoneTest, WhatIsGivenUpAtTheEndDoesNotCount) {
  start();
  Frame* block = alloc(4096);
  free(block);
  EXPECT_EQ(held(), 4096u);
  ASSERT_TRUE(zone.retract());
  zone.audit();
  EXPECT_LT(held(), 16u);
}

}  // namespace
