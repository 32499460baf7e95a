// page/zone_moved_test.cpp -- proves that frames without memory do not count as live, that what was
// moved to a zone is there no longer than the block, that all which was said of its memory is said
// again, and that no more than a bound comes.

#include <gtest/gtest.h>

#include <cstring>

#include "page/zone.h"
#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using base::kFrameSize;
using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;
using test::FakeVm;
using test::kKeepAll;
using test::kMiB;

constexpr size_t kPages = 4 * kMiB / kFrameSize;

class ZoneMovedTest : public test::ZoneGround {
 protected:
  // A block to which the kernel has moved another's pages.
  Frame* moved(size_t pages = kPages) {
    Frame* from = alloc(pages);
    Frame* to = alloc(pages);
    std::memset(bytes(from), 7, pages * kFrameSize);
    EXPECT_EQ(vm.vm().move(bytes(from), bytes(to), pages * kFrameSize), os::Moved::kYes);
    zone.note_moved(*to, 1);
    free(from);
    return to;
  }
};

TEST_F(ZoneMovedTest, WhatIsLockedOfASlabIsClearedButHasNotGone) {
  start();
  Frame* block = zone.alloc(Pages(8), Order(0), FrameKind::kSlab);
  std::memset(bytes(block), 1, Pages(8).bytes());
  os::Range ranges[] = {{bytes(block), kFrameSize}, {bytes(block) + 2 * kFrameSize, kFrameSize}};
  vm.mlocked = {{bytes(block), kFrameSize}};
  EXPECT_EQ(zone.purge_let(ranges, 2), 1u);
  EXPECT_EQ(bytes(block)[0], 0);
  zone.free(zone.number_of(*block), Pages(8));
  zone.audit();
}

TEST_F(ZoneMovedTest, HollowFramesDoNotCountAsLive) {
  start();
  Frame* block = zone.alloc(Pages(8), Order(0), FrameKind::kSlab);
  uint32_t number = zone.number_of(*block);
  std::memset(bytes(block), 1, Pages(8).bytes());
  os::Range ranges[] = {{bytes(block) + kFrameSize, kFrameSize},
                        {bytes(block) + 4 * kFrameSize, 2 * kFrameSize}};
  EXPECT_EQ(zone.purge_let(ranges, 2), 3u);
  EXPECT_EQ(zone.stats().hollow, 3u);
  EXPECT_EQ(zone.live_bytes(), 5 * kFrameSize);
  EXPECT_EQ(zone.touch(number + 4, Pages(4)), 2u);
  EXPECT_EQ(zone.count_hollow(number, Pages(8)), 1u);
  zone.free(number, Pages(8));
  zone.audit();
  EXPECT_EQ(zone.stats().hollow, 0u);
  EXPECT_EQ(zone.stats().dirty, 7u) << "a frame without memory came back as if it had some";
}

TEST_F(ZoneMovedTest, WhatTheKernelWouldNotTakeOfASlabIsNotHollow) {
  start();
  Frame* block = zone.alloc(Pages(8), Order(0), FrameKind::kSlab);
  std::memset(bytes(block), 1, Pages(8).bytes());
  os::Range ranges[] = {{bytes(block), kFrameSize}, {bytes(block) + 2 * kFrameSize, kFrameSize}};
  vm.failing_purges = 2;
  EXPECT_EQ(zone.purge_let(ranges, 2), 0u);
  EXPECT_EQ(zone.stats().hollow, 0u);
  zone.free(zone.number_of(*block), Pages(8));
  zone.audit();
  EXPECT_FALSE(alloc(8)->is_new) << "it would be taken for zeroed";
}

TEST_F(ZoneMovedTest, NothingIsLeftOfItWhenTheBlockIsFree) {
  start();
  Frame* block = moved();
  EXPECT_EQ(vm.moved.size(), 1u);
  size_t dirty = zone.stats().dirty;
  free(block);
  EXPECT_EQ(vm.moved.size(), 0u);
  EXPECT_EQ(zone.stats().live, 0u);
  EXPECT_EQ(zone.stats().dirty, dirty) << "its memory has gone";
}

TEST_F(ZoneMovedTest, WhatComesInItsPlaceIsNewAndZero) {
  start();
  Frame* block = moved();
  char* at = bytes(block);
  free(block);
  zone.purge(0);
  Frame* again = alloc(2 * kPages);
  ASSERT_LE(bytes(again), at);
  EXPECT_TRUE(again->is_new);
  for (size_t i = 0; i < 2 * kPages; ++i) ASSERT_EQ(bytes(again)[i * kFrameSize], 0);
  free(again);
  EXPECT_EQ(again->moved, 0);
}

TEST_F(ZoneMovedTest, ATailThatIsGivenBackIsNone) {
  start();
  Frame* block = moved();
  zone.shrink(*block, Pages(kPages / 4));
  zone.audit();
  ASSERT_EQ(vm.moved.size(), 1u);
  EXPECT_EQ(vm.moved[0].size, kMiB);
  for (size_t i = 0; i < kMiB; ++i) ASSERT_EQ(bytes(block)[i], 7);
  free(block);
  EXPECT_EQ(vm.moved.size(), 0u);
}

TEST_F(ZoneMovedTest, WhereTheKernelRefusesTheBlockIsFreeAllTheSame) {
  start();
  Frame* block = moved();
  vm.failing_renews = 1;
  zone.shrink(*block, Pages(kPages / 2));
  zone.audit();
  vm.failing_renews = 1;
  free(block);
  EXPECT_EQ(zone.stats().live, 0u);
  EXPECT_EQ(zone.stats().large, 0u);
  EXPECT_EQ(zone.stats().dirty, 2 * kPages) << "nobody has taken its memory";
}

TEST_F(ZoneMovedTest, WhatTheKernelHasLostIsNeverGivenOut) {
  start();
  Frame* block = moved();
  vm.loses_targets = true;
  vm.failing_renews = 1;
  zone.shrink(*block, Pages(kPages / 2));
  zone.audit();
  EXPECT_EQ(block->count, kPages / 2);
  EXPECT_EQ(zone.stats().live, kPages);
  EXPECT_EQ(zone.stats().hollow, kPages / 2);
  vm.failing_renews = 1;
  free(block);
  EXPECT_EQ(zone.stats().live, kPages);
  EXPECT_EQ(zone.stats().hollow, kPages) << "there is no memory";
}

TEST_F(ZoneMovedTest, NoMoreThanABoundComes) {
  start();
  Frame* block = alloc(kPages);
  EXPECT_FALSE(zone.may_take_moved(Pages(kPages), 100)) << "so many for one block";
  size_t count = 0;
  for (; zone.may_take_moved(Pages(kPages), 1) && count < 10'000; ++count)
    zone.note_moved(*block, 1);
  EXPECT_LT(count, 4096u);
  EXPECT_TRUE(zone.may_take_moved(Pages(64 * kMiB / kFrameSize), 1)) << "great ones have some left";
  free(block);
  EXPECT_TRUE(zone.may_take_moved(Pages(kPages), 1));
}

TEST_F(ZoneMovedTest, WhatWasSaidOfItsMemoryIsSaidAgain) {
  zone.set_manners({.huge_pages = page::Manners::HugePages::kNever, .node_number = 3, .name = "x"});
  start();
  Frame* wall = alloc(32 * kMiB / kFrameSize);
  Frame* block = moved();
  char* at = bytes(block);
  vm.named.clear();
  vm.bound.clear();
  vm.advised.clear();
  free(block);
  ASSERT_EQ(vm.named.size(), 1u);
  EXPECT_EQ(vm.named[0].first.at, at);
  EXPECT_EQ(vm.named[0].first.size, 4 * kMiB);
  ASSERT_EQ(vm.bound.size(), 1u);
  EXPECT_EQ(vm.bound[0].second, 3u);
  ASSERT_EQ(vm.advised.size(), 1u);
  EXPECT_EQ(vm.advised[0].first.at, at);
  EXPECT_FALSE(vm.advised[0].second);
  free(wall);
}

TEST_F(ZoneMovedTest, AdviceForHugePagesIsGivenAgain) {
  start();
  Frame* block = moved(3 * kPages);
  zone.advise_huge(*block);
  ASSERT_EQ(vm.advised.size(), 1u);
  FakeVm::Range advised = vm.advised[0].first;
  vm.advised.clear();
  free(block);
  ASSERT_EQ(vm.advised.size(), 1u);
  EXPECT_TRUE(vm.advised[0].second);
  EXPECT_EQ(vm.advised[0].first.at, advised.at);
  EXPECT_EQ(vm.advised[0].first.size, advised.size);
}

TEST_F(ZoneMovedTest, InTheChildOfAForkNothingIsRenewed) {
  start();
  Frame* block = moved();
  zone.abandon();
  vm.failing_renews = 100;
  zone.free_large(*block);
  EXPECT_EQ(vm.failing_renews, 100u);
}

}  // namespace
