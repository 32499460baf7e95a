// page/zone_huge_test.cpp -- proves that huge pages are asked for where blocks will fill them, that
// they are broken up where a part of one goes, and that what they bring is accounted for.

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "page/zone.h"
#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;
using page::Zone;
using test::FakeVm;
using test::kKeepAll;
using test::kMiB;

constexpr size_t kHugeFrames = base::kHugeSize / base::kFrameSize;

class ZoneHugeTest : public test::ZoneGround {
 protected:
  ZoneHugeTest() : ZoneGround(1024 * kMiB) {}
};

TEST_F(ZoneHugeTest, HugePagesAreAskedForNeverOrAlwaysWhereMemoryComes) {
  using HugePages = page::Manners::HugePages;
  for (HugePages mode : {HugePages::kNever, HugePages::kAlways}) {
    vm.advised.clear();
    Zone other;
    other.set_manners({.huge_pages = mode});
    ASSERT_TRUE(other.start(vm.vm(), kKeepAll, 64 * kMiB));
    Frame* block = other.alloc(Pages(4096), Order(0), FrameKind::kLarge);
    ASSERT_NE(block, nullptr);
    other.advise_huge(*block);
    size_t bytes = 0;
    for (const auto& [range, is_huge] : vm.advised) {
      EXPECT_EQ(is_huge, mode == HugePages::kAlways);
      bytes += range.size;
    }
    EXPECT_EQ(bytes, other.window_size());
    other.stop();
  }
}

TEST_F(ZoneHugeTest, ByDefaultOnlyBlocksThatWillBeFilledAreAdvised) {
  start();
  Frame* block = alloc(4096);
  EXPECT_TRUE(vm.advised.empty());
  zone.advise_huge(*block);
  EXPECT_EQ(vm.advised.size(), 1u);
}

// A heap that has once been refused memory gives address space back, and with it the advice.
TEST_F(ZoneHugeTest, WhatWasRetractedIsAdvisedAnew) {
  start();
  for (size_t times : {1, 2}) {
    Frame* block = alloc(65536);
    zone.advise_huge(*block);
    EXPECT_EQ(vm.advised.size(), times);
    free(block);
    EXPECT_GT(zone.retract(), 0u);
  }
}

// 16 MiB that were advised, and then five blocks of which each begins or ends inside a huge page.
TEST_F(ZoneHugeTest, HugePagesOfFreedBlocksAreBrokenUpWhereAPartGoes) {
  start();
  Frame* whole = alloc(8 * kHugeFrames);
  zone.advise_huge(*whole);
  free(whole);
  EXPECT_EQ(zone.purge(0), 8 * kHugeFrames);
  EXPECT_TRUE(vm.broken_up.empty()) << "whole ones go as they are";
  Frame* parts[5];
  for (Frame*& part : parts) part = alloc(300);
  for (int i : {1, 3}) free(parts[i]);
  EXPECT_EQ(zone.purge(0), 600u);
  EXPECT_GE(vm.broken_up.size(), 2u);
  for (char* at : vm.broken_up)
    EXPECT_LT(zone.number_of(at), 5 * 300u) << "there is nothing to be broken up";
}

TEST_F(ZoneHugeTest, WithoutAdviceNothingIsBrokenUp) {
  start();
  Frame* block = alloc(1000);
  free(block);
  EXPECT_GT(zone.purge(100), 0u);
  EXPECT_TRUE(vm.broken_up.empty());
}

TEST_F(ZoneHugeTest, NoHugePageIsCutForASmallerSum) {
  start();
  Frame* block = alloc(8 * kHugeFrames);
  zone.advise_huge(*block);
  free(block);
  EXPECT_EQ(zone.purge(7 * kHugeFrames - 10), 2 * kHugeFrames);
  for (const auto& range : vm.purged) {
    if (!zone.contains(range.at)) continue;  // records
    EXPECT_EQ((range.at - zone.window()) % static_cast<long>(base::kHugeSize), 0);
    EXPECT_EQ(range.size % base::kHugeSize, 0u);
  }
  EXPECT_TRUE(vm.broken_up.empty());
}

// A zone as slabs have it, whose kernel may make huge pages unasked.
class ZoneUnaskedTest : public ZoneHugeTest {
 protected:
  void start_with(page::Manners::HugePages mode) {
    zone.set_vacancy(vacancy);
    zone.set_manners({.huge_pages = mode});
    start();
  }
  // A slab of which the second frame goes, the tenth, and one in another huge page.
  void purge_some(size_t pages) {
    Frame* slab = zone.alloc(Pages(pages), Order(9), FrameKind::kSlab);
    char* at = bytes(slab);
    os::Range ranges[] = {{at + 4096, 4096}, {at + 40960, 4096}, {at + 2 * kMiB, 4096}};
    EXPECT_EQ(zone.purge_let(ranges, 3), 3u);
    zone.audit();
  }
  page::Vacancy vacancy;
};

TEST_F(ZoneUnaskedTest, HugePagesAreBrokenUpAndNoMoreComeOnceAFrameGoesAlone) {
  vm.gives_huge = true;
  start_with(page::Manners::HugePages::kAuto);
  alloc(8192);
  EXPECT_TRUE(vm.advised.empty()) << "what is filled may have them";
  purge_some(1024);
  EXPECT_EQ(vm.broken_up.size(), 2u) << "each once";
  ASSERT_EQ(vm.advised.size(), 1u);
  EXPECT_FALSE(vm.advised[0].second);
  EXPECT_EQ(vm.advised[0].first.at, zone.window());
  size_t had = zone.window_size();
  EXPECT_EQ(vm.advised[0].first.size, had);
  alloc(8192);
  ASSERT_EQ(vm.advised.size(), 2u) << "nor do any come with growth";
  EXPECT_FALSE(vm.advised[1].second);
  EXPECT_EQ(vm.advised[1].first.at, zone.window() + had);
  purge_some(1024);
  EXPECT_EQ(vm.broken_up.size(), 4u);
  EXPECT_EQ(vm.huge_looks, 1u);
  Frame* block = alloc(3);
  alloc(1);
  free(block);
  zone.purge(0);
  EXPECT_GE(vm.broken_up.size(), 5u) << "free blocks are parts of huge pages, too";
}

// What the kernel has been told of the whole window, it has been told of blocks that were advised.
TEST_F(ZoneUnaskedTest, AdviceForBlocksAmongSlabsEndsAndIsGivenAnew) {
  vm.gives_huge = true;
  start_with(page::Manners::HugePages::kAuto);
  alloc(1);
  FakeVm::Range others{zone.window() + zone.window_size(), kMiB};
  vm.occupied.push_back(others);
  Frame* block = alloc(8192);
  zone.advise_huge(*block);
  size_t had = vm.advised.size();
  ASSERT_GT(had, 0u);
  purge_some(1024);
  ASSERT_GT(vm.advised.size(), had);
  for (const auto& [range, huge] : vm.advised) EXPECT_FALSE(range.meets(others));
  zone.advise_huge(*block);
  EXPECT_TRUE(vm.advised.back().second);
}

TEST_F(ZoneUnaskedTest, WhereTheUserWantsThemEverywhereItIsTheSame) {
  start_with(page::Manners::HugePages::kAlways);
  alloc(8192);
  purge_some(1024);
  EXPECT_EQ(vm.huge_looks, 0u);
  EXPECT_EQ(vm.broken_up.size(), 2u);
  EXPECT_FALSE(vm.advised.back().second);
}

TEST_F(ZoneUnaskedTest, AKernelThatMakesNoneIsAskedOnce) {
  start_with(page::Manners::HugePages::kAuto);
  alloc(8192);
  purge_some(1024);
  purge_some(1024);
  EXPECT_EQ(vm.huge_looks, 1u);
  EXPECT_TRUE(vm.broken_up.empty() && vm.advised.empty());
}

TEST_F(ZoneUnaskedTest, ASmallZoneAndOneThatNeverHasThemAskNobody) {
  vm.gives_huge = true;
  start_with(page::Manners::HugePages::kAuto);
  purge_some(1024);
  EXPECT_EQ(vm.huge_looks, 0u);
  zone.set_manners({.huge_pages = page::Manners::HugePages::kNever});
  alloc(8192);
  purge_some(1024);
  EXPECT_EQ(vm.huge_looks, 0u);
  EXPECT_TRUE(vm.broken_up.empty());
}

// A zone as giants have it, and blocks of 512 KiB, of which four share a huge page.
class ZoneAmongTest : public ZoneHugeTest {
 protected:
  static constexpr page::Retention kGiants{.percent = 1000,
                                           .least_bytes = size_t{1} << 40,
                                           .interval_ms = 1000,
                                           .more = page::Retention::More::kToPeak};
  static constexpr size_t kPages = 128;

  Frame* alloc_filled() {
    Frame* block = alloc_sparse();
    vm.filled.push_back({bytes(block), kPages * 4096});
    return block;
  }
  Frame* alloc_sparse() {
    Frame* block = alloc(kPages);
    zone.advise_ends(*block, true);
    zone.audit();
    return block;
  }
  void fill_up_to(size_t size) {
    while (zone.window_size() < size || zone.stats().free >= kPages)
      blocks.push_back(alloc_filled());
  }
  // Free memory, none of it dirty, all of it advised.
  void purge_advised() {
    Frame* whole = alloc(8 * kHugeFrames);
    zone.advise_huge(*whole);
    free(whole);
    zone.purge(0);
    ASSERT_EQ(zone.stats().dirty, 0u);
  }
  size_t advised_bytes() const {
    size_t sum = 0;
    for (const auto& [range, is_huge] : vm.advised) sum += is_huge ? range.size : 0;
    return sum;
  }
  std::vector<Frame*> blocks;
};

TEST_F(ZoneAmongTest, BlocksLikeThoseThatHaveBeenFilledShareHugePages) {
  start(kGiants);
  fill_up_to(32 * kMiB);
  EXPECT_EQ(advised_bytes(), 0u) << "little is live";
  fill_up_to(96 * kMiB);
  EXPECT_GE(advised_bytes(), 44 * kMiB);
  EXPECT_LE(advised_bytes(), 56 * kMiB) << "one of eight tells whether they are filled";
  size_t asked = vm.advised.size(), looks = vm.resident_looks;
  for (size_t i = 0; i < blocks.size(); i += 3) free(blocks[i]);
  for (size_t i = 0; i < blocks.size(); i += 3) blocks[i] = alloc_filled();
  EXPECT_EQ(vm.advised.size(), asked) << "each once";
  EXPECT_EQ(vm.resident_looks, looks) << "and where memory is used again nobody looks";
}

TEST_F(ZoneAmongTest, BlocksThatStayMostlyEmptyGetNone) {
  start(kGiants);
  while (zone.window_size() < 256 * kMiB) {
    Frame* block = alloc_sparse();
    vm.filled.push_back({bytes(block), 3 * kPages / 4 * 4096});
  }
  EXPECT_TRUE(vm.advised.empty());
  EXPECT_LE(vm.resident_looks, 80u) << "three each time that the zone has grown by an eighth";
}

// One that stands alone in a huge page, which came by small ones, comes and goes.
TEST_F(ZoneAmongTest, ABlockThatIsUsedAgainAsksOnce) {
  start(kGiants);
  fill_up_to(96 * kMiB);
  size_t first = 0;  // of the huge page of a block from the time when little was live
  for (Frame* block : blocks)
    if (zone.number_of(*block) < 8 * kHugeFrames) first = zone.number_of(*block) / kHugeFrames;
  Frame* alone = nullptr;
  for (Frame*& block : blocks) {
    if (zone.number_of(*block) / kHugeFrames != first) continue;
    if (alone != nullptr) free(alone);
    alone = block;
  }
  zone.purge(0);
  size_t looks = vm.resident_looks;
  for (int i = 0; i < 100; ++i) {
    free(alone);
    alone = alloc_sparse();
  }
  EXPECT_LE(vm.resident_looks, looks + 2);
}

// The rest of a block that grows may stay empty; what it had keeps its advice.
TEST_F(ZoneAmongTest, ABlockThatGrowsKeepsItsAdvice) {
  start(kGiants);
  Frame* block = alloc(8 * kHugeFrames + 100);
  zone.advise_huge(*block);
  vm.advised.clear();
  ASSERT_TRUE(zone.try_grow(*block, Pages(10 * kHugeFrames)));
  zone.advise_ends(*block, false, Pages(8 * kHugeFrames + 100));
  EXPECT_TRUE(vm.advised.empty());
}

// Eight times as much as a block may be more than the bounds allow.
TEST_F(ZoneAmongTest, NoneAreAskedForWhereBoundsAreNear) {
  page::Budget budget;
  zone.join(budget);
  start(kGiants);
  fill_up_to(64 * kMiB);
  ASSERT_GT(advised_bytes(), 0u);
  budget.set({.soft = budget.held() + kHugeFrames, .hard = page::Budget::kUnlimited});
  size_t advised = vm.advised.size();
  for (int i = 0; i < 3; ++i) alloc_filled();
  EXPECT_EQ(vm.advised.size(), advised);
}

// Where the system's setting, or the process's, is that there are none. (Blocks of 300 pages: when
// the next huge page is asked for, a part of the first is in memory.)
TEST_F(ZoneAmongTest, WhereTheyDoNotComeNoMoreAreAskedFor) {
  for (bool do_come : {true, false}) {
    Zone other;
    ASSERT_TRUE(other.start(vm.vm(), kGiants, 256 * kMiB));
    vm.advised.clear();
    while (other.window_size() < 128 * kMiB) {
      Frame* block = other.alloc(Pages(300), Order(0), FrameKind::kLarge);
      ASSERT_NE(block, nullptr);
      other.advise_ends(*block, true);
      for (size_t page = 0; page < 300; ++page) {
        char* at = other.address_of(*block) + page * 4096;
        if (vm.resident(at, 4096, os::Owner::kAny) != 0) continue;
        bool is_huge = false;
        for (const auto& [range, huge] : vm.advised) is_huge |= huge && range.contains({at, 4096});
        char* first = other.window() +
                      base::round_down(static_cast<size_t>(at - other.window()), base::kHugeSize);
        if (is_huge && do_come)
          vm.filled.push_back({first, base::kHugeSize});
        else
          vm.filled.push_back({at, 4096});
      }
    }
    if (do_come)
      EXPECT_GT(vm.advised.size(), 24u);
    else
      EXPECT_LE(vm.advised.size(), 12u) << "one each time that the zone has grown by an eighth";
    other.stop();
    vm.filled.clear();
  }
}

// What was filled at first tells nothing of what comes later.
TEST_F(ZoneAmongTest, ThoseThatBecomeEmptyEndIt) {
  start(kGiants);
  fill_up_to(64 * kMiB);
  ASSERT_GT(advised_bytes(), 0u);
  while (zone.window_size() < 128 * kMiB) alloc_sparse();
  size_t had = advised_bytes();
  while (zone.window_size() < 256 * kMiB) alloc_sparse();
  EXPECT_EQ(advised_bytes(), had);
}

TEST_F(ZoneAmongTest, ZonesOfSlabsAndThoseToldOtherwiseGetNone) {
  start(kKeepAll);
  fill_up_to(128 * kMiB);
  EXPECT_TRUE(vm.advised.empty());
  Zone never;
  never.set_manners({.huge_pages = page::Manners::HugePages::kNever});
  ASSERT_TRUE(never.start(vm.vm(), kGiants, 256 * kMiB));
  for (size_t i = 0; i < 400; ++i) {
    Frame* block = never.alloc(Pages(kPages), Order(0), FrameKind::kLarge);
    ASSERT_NE(block, nullptr);
    never.advise_ends(*block, true);
  }
  for (const auto& [range, is_huge] : vm.advised) EXPECT_FALSE(is_huge);
}

// Its pages may be partly theirs.
TEST_F(ZoneAmongTest, NoneAreAskedForAroundSomebodyElsesMapping) {
  start(kGiants);
  alloc_filled();
  vm.occupied.push_back({zone.window() + zone.window_size() + kMiB / 2, kMiB});
  for (size_t probe = 0; probe < 128 * kMiB; probe += 8 * base::kHugeSize)
    vm.filled.push_back({zone.window() + probe, base::kHugeSize});
  while (zone.window_size() < 128 * kMiB) alloc_sparse();
  EXPECT_EQ(advised_bytes(), 0u);
}

// The first write to a block brings the whole page: what is free of it is not new any more, and
// goes back like other free memory.
TEST_F(ZoneAmongTest, WhatAHugePageBringsCountsAsMemory) {
  start(kGiants);
  fill_up_to(96 * kMiB);
  size_t advised = vm.advised.size();
  Frame* block = nullptr;
  for (int i = 0; i < 40 && vm.advised.size() == advised; ++i) block = alloc_filled();
  ASSERT_GT(vm.advised.size(), advised);
  size_t dirty = zone.stats().dirty;
  EXPECT_GE(dirty, kHugeFrames - kPages - zone.number_of(*block) % kHugeFrames);
  EXPECT_EQ(zone.purge(0), dirty);
  EXPECT_EQ(zone.stats().dirty, 0u);
}

// The same where a giant's last part lies in one that had gone back.
TEST_F(ZoneAmongTest, AHugePageThatComesAgainCountsAsMemory) {
  start(kGiants);
  purge_advised();
  Frame* giant = alloc(2 * kHugeFrames + 100);
  zone.advise_ends(*giant, true);
  EXPECT_EQ(zone.stats().dirty, kHugeFrames - 100);
  zone.audit();
}

// What a giant had been advised to have is not for what comes into its place.
TEST_F(ZoneAmongTest, AdviceEndsWhereNobodyKnowsThatItWillBeFilled) {
  start(kGiants);
  purge_advised();
  size_t advised = vm.advised.size();
  Frame* block = alloc_sparse();
  ASSERT_EQ(vm.advised.size(), advised + 1);
  EXPECT_EQ(vm.advised.back().first.at, zone.window());
  EXPECT_EQ(vm.advised.back().first.size, base::kHugeSize);
  EXPECT_FALSE(vm.advised.back().second);
  EXPECT_EQ(zone.stats().dirty, 0u);
  free(block);
  purge_advised();
  advised = vm.advised.size();
  zone.advise_ends(*alloc(3 * kHugeFrames), false);
  EXPECT_EQ(vm.advised.size(), advised + 3) << "nor for one that is as large and mostly empty";
}

// Else the kernel would make one of what is left, and fetch again what has gone.
TEST_F(ZoneAmongTest, AHugePageOfWhichAPartGoesIsAdvisedNoMore) {
  start(kGiants);
  Frame* whole = alloc(8 * kHugeFrames);
  zone.advise_huge(*whole);
  free(whole);
  Frame* part = alloc(kHugeFrames / 2);
  vm.advised.clear();
  EXPECT_EQ(zone.purge(0), 8 * kHugeFrames - kHugeFrames / 2);
  ASSERT_EQ(vm.advised.size(), 1u);
  EXPECT_FALSE(vm.advised[0].second);
  EXPECT_EQ(vm.advised[0].first.at, bytes(part));
  EXPECT_EQ(vm.advised[0].first.size, base::kHugeSize);
  free(part);
  whole = alloc(8 * kHugeFrames);
  zone.advise_huge(*whole);
  EXPECT_TRUE(vm.advised.back().second) << "it may be again";
}

}  // namespace
