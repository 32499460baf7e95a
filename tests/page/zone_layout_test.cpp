// page/zone_layout_test.cpp -- proves that a zone asks for no more than it needs and goes around
// obstacles, that one within given memory keeps to it, and that one that ends leaves nothing
// behind.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "page/zone.h"
#include "support/auxv.h"
#include "support/rng.h"
#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using base::kFrameSize;
using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;
using page::Manners;
using page::Zone;
using test::FakeVm;
using test::kKeepAll;
using test::kMiB;

class ZoneLayoutTest : public test::ZoneGround {
 protected:
  ZoneLayoutTest() : ZoneGround(1024 * kMiB) {}
};

TEST_F(ZoneLayoutTest, TablesThatNobodyNeedsAreNotThere) {
  start();
  alloc(1);
  EXPECT_FALSE(vm.is_committed({reinterpret_cast<char*>(zone.class_map()), 1}));
  EXPECT_EQ(zone.class_at(zone.window()), 0) << "nor are they looked at";
  unsigned commits = vm.commits;
  ASSERT_TRUE(zone.cover_classes());
  EXPECT_EQ(vm.commits, commits + 1);
  EXPECT_TRUE(vm.is_committed({reinterpret_cast<char*>(zone.class_map()), 1}));
  ASSERT_TRUE(zone.cover_classes());
  EXPECT_EQ(vm.commits, commits + 1) << "once";
}

TEST_F(ZoneLayoutTest, KnowsItsOwnAddresses) {
  start();
  int local = 0;
  EXPECT_FALSE(zone.contains(&local));
  EXPECT_FALSE(zone.contains(nullptr));
  Frame* block = alloc(2);
  EXPECT_TRUE(zone.contains(bytes(block)));
  EXPECT_TRUE(zone.contains(bytes(block) + 2 * kFrameSize - 1));
  EXPECT_FALSE(zone.contains(zone.window() - 1));
  EXPECT_FALSE(zone.contains(zone.window() + zone.window_size()));
  EXPECT_EQ(&zone.frame_of(bytes(block) + 17), block);
  EXPECT_EQ(&zone.frame_at(zone.number_of(*block)), block);
}

TEST_F(ZoneLayoutTest, PublishesItsSizeAsItGrows) {
  start();
  size_t published = 1;
  zone.publish_size(published);
  EXPECT_EQ(published, 0u);
  ASSERT_NE(alloc(1024), nullptr);
  EXPECT_EQ(published, zone.window_size());
  ASSERT_NE(alloc(4096), nullptr);
  EXPECT_EQ(published, zone.window_size());
}

TEST_F(ZoneLayoutTest, AClassOutsideSlabsIsAStray) {
  start();
  ASSERT_TRUE(zone.cover_classes());
  Frame* block = alloc(1);
  zone.class_map()[zone.number_of(*block)] = 3;
  EXPECT_EQ(zone.slab_frames().strays, 1u);
}

TEST_F(ZoneLayoutTest, ARefusedClassMapIsAskedForAgain) {
  start();
  alloc(1);
  vm.failing_commits = 1;
  EXPECT_EQ(zone.alloc(Pages(4), Order(0), FrameKind::kSlab), nullptr);
  EXPECT_NE(alloc(1000), nullptr) << "what needs no class map grows without it";
  EXPECT_NE(zone.alloc(Pages(4), Order(0), FrameKind::kSlab), nullptr);
}

// They stay; and of a request of many GiB they would be most of what a small process may have.
TEST_F(ZoneLayoutTest, WhatIsRefusedLeavesNoTables) {
  start();
  alloc(1);
  size_t committed = vm.committed_bytes();
  vm.limit = committed + 2 * kMiB;
  EXPECT_EQ(alloc(100 * kMiB / kFrameSize), nullptr);
  EXPECT_EQ(vm.committed_bytes(), committed);
  EXPECT_NE(alloc(kMiB / kFrameSize), nullptr);
}

TEST_F(ZoneLayoutTest, ARefusedTableLeavesTheWindowAsItWas) {
  start();
  alloc(1);
  size_t had = zone.window_size();
  for (unsigned refused = 1; refused <= 4; ++refused) {
    vm.limit = vm.committed_bytes() + 500 * kMiB + refused * 100;  // not for tables as well
    EXPECT_EQ(alloc(500 * kMiB / kFrameSize), nullptr);
    EXPECT_EQ(zone.window_size(), had);
    zone.audit();
  }
  vm.limit = SIZE_MAX;
  EXPECT_NE(alloc(500 * kMiB / kFrameSize), nullptr);
}

TEST_F(ZoneLayoutTest, WhatIsLeftInFrontOfARetractedEndHoldsNoMemory) {
  start();
  Frame* stays = alloc(100);
  free(alloc(4 * kMiB / kFrameSize));
  zone.purge(0);
  ASSERT_GT(zone.retract(), 0u);
  zone.audit();
  EXPECT_EQ(zone.purge(0), 0u) << "there is nothing to purge in front of it";
  free(stays);
}

// Else each block that grows in vain makes the window longer, and nothing makes it shorter.
TEST_F(ZoneLayoutTest, ABlockThatCannotGrowInPlaceLengthensNoWindow) {
  start();
  Frame* block = alloc(512);
  Frame* hole = alloc(8);
  Frame* in_the_way = alloc(8);
  ASSERT_EQ(bytes(hole), bytes(block) + 512 * kFrameSize);
  ASSERT_EQ(bytes(in_the_way), bytes(hole) + 8 * kFrameSize);
  free(hole);
  size_t had = zone.window_size();
  EXPECT_FALSE(zone.try_grow(*block, Pages(had / kFrameSize + 100)));
  EXPECT_EQ(zone.window_size(), had);
}

TEST_F(ZoneLayoutTest, ABlockAtTheEndMovesWhereThereIsRoomInFront) {
  start();
  std::vector<Frame*> blocks;
  auto window_end = [&] { return zone.window() + zone.window_size(); };
  do blocks.push_back(alloc(256));
  while (blocks.size() < 30 || bytes(blocks.back()) + kMiB != window_end());
  Frame* last = blocks.back();
  vm.limit = vm.committed_bytes() + 2 * kMiB;  // so that it grows by no more than is missing
  ASSERT_TRUE(zone.try_grow(*last, Pages(300))) << "nothing else is free";
  vm.limit = SIZE_MAX;
  blocks.pop_back();
  for (Frame* block : blocks) free(block);
  size_t had = zone.window_size();
  size_t rest = static_cast<size_t>(window_end() - bytes(last)) / kFrameSize;
  EXPECT_FALSE(zone.try_grow(*last, Pages(rest + 1)));
  EXPECT_EQ(zone.window_size(), had);
  EXPECT_TRUE(zone.try_grow(*last, Pages(rest))) << "up to the window's end";
}

TEST_F(ZoneLayoutTest, AWindowEndsWhereItWasToldTo) {
  ASSERT_TRUE(zone.start(vm.vm(), kKeepAll, 3 * kMiB));
  size_t frames = 0;
  while (alloc(1) != nullptr) ++frames;
  EXPECT_EQ(frames, 3 * kMiB / 4096);
}

TEST_F(ZoneLayoutTest, ASmallZoneHasNoNameAndALargeOneHasOneThroughout) {
  zone.set_manners({.name = "test"});
  start();
  alloc(1024);
  EXPECT_TRUE(vm.named.empty());
  alloc(8192);
  ASSERT_EQ(vm.named.size(), 2u);
  EXPECT_EQ(vm.named[0].second, "test");
  EXPECT_EQ(vm.named[0].first.at, zone.window());
  EXPECT_EQ(vm.named[0].first.size, zone.window_size());
  EXPECT_EQ(vm.named[1].second, "ashlar tables");
  EXPECT_EQ(vm.named[1].first.at + vm.named[1].first.size, zone.window());
  size_t had = zone.window_size();
  alloc(8192);
  ASSERT_EQ(vm.named.size(), 4u);
  EXPECT_EQ(vm.named[2].first.at, zone.window() + had) << "only what is new";
  EXPECT_EQ(vm.named[2].first.size, zone.window_size() - had);
}

TEST_F(ZoneLayoutTest, AKernelWithoutNamesIsAskedOnce) {
  vm.has_names = false;
  zone.set_manners({.name = "test"});
  start();
  alloc(8192);
  alloc(8192);
  EXPECT_EQ(vm.named.size(), 1u);
}

TEST_F(ZoneLayoutTest, WithoutANameNothingIsNamed) {
  start();
  alloc(16384);
  EXPECT_TRUE(vm.named.empty());
}

TEST_F(ZoneLayoutTest, AnEndLeavesNothingCommitted) {
  for (bool is_reserving : {false, true}) {
    vm.is_reserving = is_reserving;
    Zone other;
    ASSERT_TRUE(other.start(vm.vm(), kKeepAll, 64 * kMiB));
    ASSERT_TRUE(other.cover_classes());
    for (int i = 0; i < 20; ++i)
      std::memset(other.address_of(*other.alloc(Pages(300), Order(0), FrameKind::kLarge)), 1,
                  300 * 4096);
    EXPECT_GT(vm.committed_bytes(), 20u * 300 * 4096);
    other.stop();
    EXPECT_EQ(vm.committed_bytes(), 0u);
    EXPECT_EQ(other.window_size(), 0u);
  }
}

// The fake kernel refuses to unmap what is not committed.
TEST_F(ZoneLayoutTest, AnEndGoesAroundSomebodyElsesMappings) {
  Zone other;
  ASSERT_TRUE(other.start(vm.vm(), kKeepAll, 512 * kMiB));
  for (size_t hole = 0; hole < 3; ++hole) {
    char* end = other.window() + other.window_size();
    vm.occupied.push_back({end, kMiB});
    Frame* block = other.alloc(Pages(2000), Order(0), FrameKind::kLarge);
    ASSERT_NE(block, nullptr);
    EXPECT_GT(other.address_of(*block), end);
  }
  other.stop();
  EXPECT_EQ(vm.committed_bytes(), 0u);
}

// Whatever the memory's bounds: frames lie within, tables do, and what was there is not taken for
// zeros.
TEST_F(ZoneLayoutTest, OneWithinMemoryKeepsToIt) {
  for (size_t size : {size_t{8192}, size_t{20000}, size_t{65536}, 3 * kMiB + 17})
    for (size_t offset : {0u, 1u, 16u, 4095u}) {
      constexpr unsigned char kMark = 0xa5;
      std::vector<unsigned char> memory(size + offset + 4096, kMark);
      char* first = reinterpret_cast<char*>(memory.data() + offset);
      Zone within;
      if (!within.start_within(first, size)) {
        EXPECT_LT(size, 3u * 4096);
        continue;
      }
      size_t frames = 0;
      while (Frame* frame = within.alloc(Pages(1), Order(0), FrameKind::kLarge)) {
        char* at = within.address_of(*frame);
        ASSERT_TRUE(at >= first && at + 4096 <= first + size);
        ASSERT_EQ(reinterpret_cast<size_t>(at) % 4096, 0u);
        std::memset(at, 1, 4096);
        within.audit();
        ++frames;
      }
      EXPECT_GE((frames + 3) * 4096, size * 250 / 256) << "more than the tables are missing";
      for (size_t i = 0; i < memory.size(); ++i) {
        bool is_inside = i >= offset && i < offset + size;
        ASSERT_TRUE(is_inside || memory[i] == kMark) << i;
      }
    }
  EXPECT_EQ(vm.commits, 0u);
  EXPECT_EQ(vm.reserves, 0u);
}

// It may be a file's, a device's, or another process's, too.
TEST_F(ZoneLayoutTest, OneWithinMemoryNeverHasItPurged) {
  std::vector<unsigned char> memory(8 * kMiB, 0xa5);
  Zone within;
  ASSERT_TRUE(within.start_within(reinterpret_cast<char*>(memory.data()), memory.size()));
  std::vector<Frame*> blocks;
  for (int round = 0; round < 3; ++round) {
    while (Frame* block = within.alloc(Pages(16), Order(0), FrameKind::kLarge)) {
      std::memset(within.address_of(*block), 0x5a, 16 * 4096);
      blocks.push_back(block);
    }
    EXPECT_GT(blocks.size(), 100u);
    for (Frame* block : blocks) within.free_large(*block);
    blocks.clear();
    EXPECT_FALSE(within.wants_trim());
  }
  EXPECT_EQ(within.purge(0), 0u);
  EXPECT_GT(std::count(memory.begin(), memory.end(), 0x5a), int(7 * kMiB));
  within.audit();
}

TEST_F(ZoneLayoutTest, TakesAsLittleAsItNeedsWhenTheKernelIsShort) {
  start();
  while (zone.window_size() < 64 * kMiB) ASSERT_NE(alloc(256), nullptr);
  while (zone.stats().free >= 16) ASSERT_NE(alloc(16), nullptr);
  vm.limit = vm.committed_bytes() + 128 * 1024;
  EXPECT_NE(alloc(16), nullptr) << "128 KiB were there to be had";
}

// Cut from powers of two they would take a half more.
TEST_F(ZoneLayoutTest, LargeBlocksOfManySizesLieWhereTheyFit) {
  start();
  test::Rng rng(1);
  std::vector<Frame*> blocks(200);
  size_t most_live = 0;
  for (int step = 0; step < 10000; ++step) {
    Frame*& block = blocks[rng.below(blocks.size())];
    if (block != nullptr) zone.free_large(*block);
    block = zone.alloc(Pages(9 + rng.below(66)), Order(0), FrameKind::kLarge);
    ASSERT_NE(block, nullptr);
    most_live = std::max(most_live, zone.stats().live);
  }
  zone.audit();
  page::ZoneStats stats = zone.stats();
  EXPECT_LE(stats.live + stats.dirty, most_live * 5 / 4);
}

// Growth that does not lead to the block it was made for is address space for nothing.
TEST_F(ZoneLayoutTest, OneGrowthIsEnoughForAnyCount) {
  for (size_t pages : {300, 500, 900, 1000, 1023, 1025, 3000, 5000}) {
    Zone fresh;
    ASSERT_TRUE(fresh.start(vm.vm(), kKeepAll, size_t{1} << 40));
    EXPECT_NE(fresh.alloc(Pages(pages), Order(0), FrameKind::kLarge), nullptr) << pages;
    EXPECT_EQ(fresh.stats().growths, 1u) << pages;
    EXPECT_NE(fresh.alloc(Pages(pages), Order(0), FrameKind::kLarge), nullptr) << pages;
  }
}

TEST_F(ZoneLayoutTest, GoesAroundSomebodyElsesMapping) {
  start();
  Frame* first = alloc(1);
  ASSERT_NE(first, nullptr);
  char* end = zone.window() + zone.window_size();
  vm.occupied.push_back({end, kMiB});
  Frame* beyond = alloc(Pages::ceil(4 * kMiB).n);
  ASSERT_NE(beyond, nullptr);
  EXPECT_GE(bytes(beyond), end + kMiB);
  std::memset(bytes(beyond), 1, 4 * kMiB);
  page::ZoneStats stats = zone.stats();
  EXPECT_LT(stats.committed * kFrameSize, zone.window_size()) << "the hole is not memory of ours";
  EXPECT_EQ(stats.committed, stats.live + stats.free);
  free(beyond);
  free(first);
}

// Their owner may have other plans with them.
TEST_F(ZoneLayoutTest, NothingIsSaidOfSomebodyElsesMapping) {
  zone.set_manners({.node = 0, .node_number = Manners::kNoNumber, .name = "test"});
  start();
  alloc(1);
  FakeVm::Range others{zone.window() + zone.window_size(), kMiB};
  vm.occupied.push_back(others);
  alloc(Pages::ceil(32 * kMiB).n);
  zone.settle(3);
  size_t named = 0, bound = 0;
  for (const auto& [range, name] : vm.named) {
    EXPECT_FALSE(range.meets(others));
    if (name == "test") named += range.size;
  }
  for (const auto& [range, node] : vm.bound) {
    EXPECT_FALSE(range.meets(others));
    bound += range.size;
  }
  EXPECT_EQ(named, zone.stats().committed * kFrameSize);
  EXPECT_EQ(bound, named);
}

class ZonePartTest : public test::ZoneGround {
 protected:
  ZonePartTest() : ZoneGround(16 * kPart) {}
  static constexpr size_t kPart = size_t{4} << 30;
};

TEST_F(ZonePartTest, NamesTheTablesAndNoOtherPart) {
  start();
  ASSERT_TRUE(zone.divide(2, kPart));
  Zone part;
  part.set_manners({.name = "part"});
  part.start_part(zone, 1, kKeepAll);
  ASSERT_NE(part.alloc(Pages(8192), Order(0), FrameKind::kLarge), nullptr);
  FakeVm::Range window{zone.window(), zone.part_size()};
  ASSERT_EQ(vm.named.size(), 2u);
  for (const auto& [range, name] : vm.named) EXPECT_FALSE(range.meets(window)) << name;
}

TEST_F(ZoneLayoutTest, AReservedPlaceHasNoObstaclesToGoAround) {
  vm.is_reserving = true;
  start();
  ASSERT_NE(alloc(1), nullptr);
  vm.failing_commits = 1000;
  unsigned commits = vm.commits;
  EXPECT_EQ(alloc(Pages::ceil(4 * kMiB).n), nullptr);
  EXPECT_LE(vm.commits - commits, 8u) << "there is nothing to skip";
  vm.failing_commits = 0;
  EXPECT_NE(alloc(Pages::ceil(4 * kMiB).n), nullptr);
}

TEST_F(ZoneLayoutTest, MemoryThatCouldNotBeGivenUpIsNotTakenForZeroed) {
  start();
  Frame* block = alloc(1024);
  std::memset(bytes(block), 0xee, 1024 * kFrameSize);
  free(block);
  vm.failing_decommits = 1;
  EXPECT_FALSE(zone.retract());
  zone.audit();
  block = alloc(1024);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(block->is_new, 0);
}

TEST_F(ZoneLayoutTest, WhatIsPinnedStays) {
  zone.set_manners({.where = Manners::Where::kPinned});
  start(test::kKeepNothing);
  free(alloc(1024));
  EXPECT_FALSE(zone.wants_trim());
  EXPECT_EQ(zone.purge(0), 0u);
  EXPECT_EQ(zone.retract(), 0u);
  EXPECT_EQ(zone.window_size(), 1024 * kFrameSize);
}

TEST_F(ZoneLayoutTest, RetractedAddressSpaceComesBackAsNew) {
  start();
  Frame* block = alloc(1024);
  std::memset(bytes(block), 0xee, 1024 * kFrameSize);
  free(block);
  size_t before = zone.window_size();
  EXPECT_TRUE(zone.retract());
  zone.audit();
  EXPECT_LT(zone.window_size(), before);
  block = alloc(1024);
  ASSERT_NE(block, nullptr);
  EXPECT_NE(block->is_new, 0);
  EXPECT_EQ(bytes(block)[0], 0);
}

// Frames stay 4 KiB where the system's page is larger; commits and purges round. The fake kernel
// refuses every range that is not made of whole pages.
class ZoneOnLargePages : public testing::TestWithParam<size_t> {};

TEST_P(ZoneOnLargePages, CommitsAndPurgesWholePages) {
  test::PageSize page(GetParam());
  FakeVm vm;
  Zone zone;
  ASSERT_TRUE(zone.start(vm.vm(), kKeepAll, size_t{1} << 40));
  std::vector<Frame*> blocks;
  for (size_t pages : {1, 2, 3, 5, 8, 16, 31, 100, 1024, 4, 7, 64}) {
    Frame* block = zone.alloc(Pages(pages), Order(0), FrameKind::kLarge);
    ASSERT_NE(block, nullptr);
    std::memset(zone.address_of(*block), static_cast<int>(pages), Pages(pages).bytes());
    blocks.push_back(block);
  }
  zone.audit();
  for (size_t i = 0; i < blocks.size(); i += 2) zone.free_large(*blocks[i]);
  EXPECT_GT(zone.purge(0), 0u);
  zone.audit();
  for (size_t i = 1; i < blocks.size(); i += 2) {
    char* at = zone.address_of(*blocks[i]);
    size_t pages = blocks[i]->count;
    for (size_t b = 0; b < Pages(pages).bytes(); ++b)
      ASSERT_EQ(at[b], static_cast<char>(pages)) << "a purge took a neighbour's half page";
    zone.free_large(*blocks[i]);
  }
  zone.purge(0);
  zone.audit();
  EXPECT_EQ(zone.stats().live, 0u);
  EXPECT_EQ(zone.stats().dirty, 0u) << "everything is free, and whole pages of it";
}

INSTANTIATE_TEST_SUITE_P(KiB, ZoneOnLargePages,
                         testing::Values(size_t{4096}, size_t{16384}, size_t{65536}),
                         [](const auto& info) { return std::to_string(info.param / 1024); });

}  // namespace
