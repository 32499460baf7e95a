// page/page_heap_test.cpp -- proves the page floor's public face: two zones, whose address is
// whose, and what happens when the kernel refuses one of them.

#include "page/page_heap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/auxv.h"
#include "support/fake_vm.h"

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;
using page::PageHeap;
using page::Retention;

constexpr Retention kKeepAll{.percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
constexpr Retention kKeepNothing{.percent = 0, .least_bytes = 0, .interval_ms = 1000};
constexpr size_t kGiantPages = base::kGiantSize / base::kFrameSize;
constexpr size_t kApartPages = base::kApartFrom / base::kFrameSize;

class PageHeapTest : public testing::Test {
 protected:
  void start() { ASSERT_TRUE(heap.start(vm.vm(), kKeepAll)); }
  PageHeap::Block alloc(size_t pages, unsigned align = 0) {
    PageHeap::Block block = heap.alloc_large(Pages(pages), Order(align));
    heap.audit();
    return block;
  }
  test::FakeVm vm;
  PageHeap heap;
};

TEST_F(PageHeapTest, NoAddressSpaceNoHeap) {
  vm.failing_reserves = 1;
  EXPECT_FALSE(heap.start(vm.vm(), kKeepAll));
  heap.audit();
  EXPECT_EQ(heap.zone_of(&vm), nullptr);
}

TEST_F(PageHeapTest, GiantsLiveApart) {
  start();
  EXPECT_EQ(vm.reserves, 1u) << "the second zone is laid out when first needed";
  PageHeap::Block small = alloc(kGiantPages - 1), giant = alloc(kGiantPages);
  EXPECT_EQ(vm.reserves, 2u);
  EXPECT_EQ(small.zone, &heap.slabs());
  EXPECT_EQ(giant.zone, &heap.giants());
  EXPECT_EQ(heap.zone_of(small.zone->address_of(*small.frame)), small.zone);
  EXPECT_EQ(heap.zone_of(giant.zone->address_of(*giant.frame) + base::kGiantSize - 1), giant.zone);
  EXPECT_EQ(heap.zone_of(this), nullptr);
  heap.free_large(small);
  heap.free_large(giant);
  heap.audit();
  EXPECT_EQ(heap.slabs().stats().live + heap.giants().stats().live, 0u);
}

TEST_F(PageHeapTest, ASmallHeapHasOneZoneForAllButGiants) {
  start();
  PageHeap::Block first = alloc(kApartPages);
  EXPECT_EQ(first.zone, &heap.slabs());
  EXPECT_EQ(heap.alloc_clean(Pages(kApartPages)).zone, &heap.slabs());
  EXPECT_EQ(vm.reserves, 1u);
  heap.free_large(first);
  PageHeap::Block again = alloc(kApartPages - 100);
  EXPECT_EQ(again.frame, first.frame) << "what one has left is there for the other";
  while (heap.slabs().live_bytes() + base::kApartFrom <= base::kSmallHeap) alloc(kApartPages / 2);
  EXPECT_EQ(alloc(kApartPages).zone, &heap.giants()) << "the heap is small no more";
  EXPECT_EQ(alloc(kApartPages - 1).zone, &heap.slabs());
  heap.audit();
}

TEST_F(PageHeapTest, InASmallHeapABlockIsFoundAgain) {
  start();
  PageHeap::Block first = alloc(2 * kApartPages);
  heap.free_large(first);
  EXPECT_EQ(alloc(2 * kApartPages).frame, first.frame);
  EXPECT_EQ(vm.reserves, 1u);
}

TEST_F(PageHeapTest, WithoutRoomInTheFirstZoneTheSecondServes) {
  start();
  alloc(1);
  size_t used = heap.slabs().window_size();
  vm.occupied.push_back({heap.slabs().window() + used, size_t{1} << 40});
  EXPECT_EQ(alloc(kApartPages).zone, &heap.giants());
}

TEST_F(PageHeapTest, BesideAGiantOthersLiveTheSooner) {
  start();
  alloc(kGiantPages);
  EXPECT_EQ(alloc(kApartPages).zone, &heap.giants());
  EXPECT_EQ(heap.alloc_clean(Pages(kApartPages)).zone, &heap.giants());
  EXPECT_EQ(alloc(kApartPages - 1).zone, &heap.slabs());
}

TEST_F(PageHeapTest, WhereGiantsAreManySmallerBlocksFillWhatTheyLeave) {
  start();
  constexpr size_t kMany = base::kManyGiants / base::kFrameSize, kOdd = 24;
  static_assert(kOdd * base::kFrameSize > base::kBesideGiants, "and no power of two");
  alloc(kGiantPages);
  EXPECT_EQ(alloc(kApartPages - 1).zone, &heap.slabs()) << "few giants are there";
  PageHeap::Block gone = alloc(kMany);
  alloc(kGiantPages);
  char* first = gone.zone->address_of(*gone.frame);
  heap.free_large(gone);
  PageHeap::Block giant = alloc(kMany - kOdd);
  ASSERT_EQ(giant.zone->address_of(*giant.frame), first);
  EXPECT_EQ(alloc(base::kBesideGiants / base::kFrameSize - 1).zone, &heap.slabs());
  PageHeap::Block filler = alloc(kOdd);
  ASSERT_EQ(filler.zone, &heap.giants());
  EXPECT_EQ(filler.zone->address_of(*filler.frame), first + (kMany - kOdd) * base::kFrameSize);
}

TEST_F(PageHeapTest, WithoutASecondZoneTheFirstServesGiants) {
  start();
  vm.failing_reserves = 1;
  PageHeap::Block giant = alloc(kGiantPages);
  ASSERT_NE(giant.frame, nullptr);
  EXPECT_EQ(giant.zone, &heap.slabs());
  EXPECT_EQ(alloc(kGiantPages).zone, &heap.giants()) << "it is tried again";
}

TEST_F(PageHeapTest, OutOfMemoryIsNullAndPasses) {
  start();
  ASSERT_NE(alloc(1).frame, nullptr);
  vm.limit = vm.committed_bytes();
  EXPECT_EQ(alloc(100000).frame, nullptr);
  EXPECT_EQ(alloc(8192).frame, nullptr);
  vm.limit = SIZE_MAX;
  EXPECT_NE(alloc(8192).frame, nullptr);
}

TEST_F(PageHeapTest, PurgeReachesBothZones) {
  start();
  PageHeap::Block small = alloc(100), giant = alloc(kGiantPages);
  heap.free_large(small);
  heap.free_large(giant);
  EXPECT_EQ(heap.purge(0), 100 + kGiantPages);
  heap.audit();
  EXPECT_EQ(heap.slabs().stats().dirty + heap.giants().stats().dirty, 0u);
}

PageHeap* g_heap;
test::FakeVm* g_kernel;

// Of a fork in the middle of a purge the child has what the other thread had in its hands no more,
// but all the rest goes back as ever.
TEST_F(PageHeapTest, AChildPurgesWhereItsParentWasAtIt) {
  start();
  g_heap = &heap;
  g_kernel = &vm;
  std::vector<PageHeap::Block> blocks;
  for (int i = 0; i < 200; ++i) blocks.push_back(alloc(3));
  for (size_t i = 0; i < blocks.size(); i += 2) heap.free_large(blocks[i]);
  vm.while_purging = [] {
    g_kernel->while_purging = nullptr;
    g_heap->reset_in_child();
    EXPECT_GT(g_heap->purge(0), 0u);
    g_heap->audit();
    PageHeap::Block block = g_heap->alloc_large(Pages(3), Order(0));
    EXPECT_NE(block.frame, nullptr);
    g_heap->free_large(block);
  };
  heap.purge(0);
  heap.audit();
}

TEST_F(PageHeapTest, WhatIsBesideHasTheHeapsManners) {
  ASSERT_TRUE(heap.start(vm.vm(), kKeepAll,
                         {.huge_pages = page::Manners::HugePages::kNever, .name = "test"}));
  heap.start_beside();
  PageHeap::Block block = heap.alloc_beside(Pages(5000), Order(0));
  ASSERT_NE(block.frame, nullptr);
  char* p = block.zone->address_of(*block.frame);
  bool is_advised = false, is_named = false;
  for (const auto& [range, is_huge] : vm.advised) is_advised |= range.contains({p, 1}) && !is_huge;
  for (const auto& [range, name] : vm.named)
    is_named |= range.contains({p, 1}) && name == "ashlar beside";
  EXPECT_TRUE(is_advised && is_named);
  heap.free_large(block);
}

TEST_F(PageHeapTest, WhatIsBesideCountsUntilAChildAbandonsIt) {
  start();
  PageHeap::Block block = alloc(100);
  heap.budget().set({.hard = 1000});
  heap.start_beside();
  PageHeap::Block beside = heap.alloc_beside(Pages(500), Order(0));
  ASSERT_NE(beside.frame, nullptr);
  EXPECT_EQ(heap.alloc_beside(Pages(400), Order(0)).frame, nullptr) << "beyond the hard limit";
  EXPECT_EQ(alloc(400).frame, nullptr);
  EXPECT_EQ(heap.budget().held(), 600u);
  heap.reset_in_child();
  EXPECT_EQ(heap.budget().held(), 100u);
  heap.free_large(beside);
  EXPECT_EQ(heap.budget().held(), 100u);
  heap.start_beside();
  PageHeap::Block other = heap.alloc_beside(Pages(500), Order(0));
  ASSERT_NE(other.frame, nullptr);
  EXPECT_EQ(heap.budget().held(), 600u);
  heap.free_large(other);
  heap.purge_beside();
  EXPECT_EQ(heap.budget().held(), 100u);
  heap.free_large(block);
}

// A child that forks becomes the parent of the next, with threads in each.
TEST_F(PageHeapTest, EachGenerationOfForksHasItsZoneBeside) {
  start();
  std::vector<PageHeap::Block> blocks;
  for (int generation = 0; generation < 20; ++generation) {
    heap.start_beside();
    PageHeap::Block block = heap.alloc_beside(Pages(3), Order(0));
    ASSERT_NE(block.frame, nullptr) << generation;
    blocks.push_back(block);
    heap.reset_in_child();
  }
  for (PageHeap::Block block : blocks) {
    EXPECT_EQ(heap.zone_of(block.zone->address_of(*block.frame)), block.zone);
    heap.free_large(block);
  }
}

TEST_F(PageHeapTest, RetentionReachesBothZones) {
  start();
  PageHeap::Block small = alloc(100), giant = alloc(4 * kGiantPages);
  heap.set_retention({.percent = 0, .least_bytes = 0, .interval_ms = 1000});
  heap.free_large(small);
  heap.free_large(giant);
  EXPECT_TRUE(heap.wants_trim());
  heap.trim();
  EXPECT_EQ(heap.giants().stats().dirty, 0u);
}

TEST_F(PageHeapTest, WhatCameFreeInANamedZoneIsToBeTrimmed) {
  ASSERT_TRUE(heap.start(vm.vm(), kKeepNothing));
  PageHeap::Block block = heap.alloc_in(page::Manners::Where::kLow, Pages(300), Order(0));
  ASSERT_NE(block.frame, nullptr);
  EXPECT_FALSE(heap.wants_trim());
  heap.free_large(block);
  EXPECT_TRUE(heap.wants_trim());
  heap.trim();
  EXPECT_FALSE(heap.wants_trim());
  EXPECT_EQ(block.zone->stats().dirty, 0u);
}

TEST_F(PageHeapTest, WhatIsPinnedIsNoMoreThanWasAskedFor) {
  start();
  size_t frames = 0;
  for (size_t pages : {1, 3, 384, 20, 1, 9000}) {
    frames += pages;
    vm.most_locked = Pages(frames).bytes();
    PageHeap::Block block = heap.alloc_in(page::Manners::Where::kPinned, Pages(pages), Order(0));
    heap.audit();
    ASSERT_NE(block.frame, nullptr) << pages;
    EXPECT_EQ(vm.locked, vm.most_locked);
  }
  PageHeap::Block last = heap.alloc_in(page::Manners::Where::kPinned, Pages(1), Order(0));
  EXPECT_EQ(last.frame, nullptr) << "nothing is free, and no more may be locked";
}

TEST_F(PageHeapTest, AChildLocksAgainWhatIsPinnedOrGetsNone) {
  start();
  auto alloc_pinned = [&](size_t pages) {
    return heap.alloc_in(page::Manners::Where::kPinned, Pages(pages), Order(0));
  };
  PageHeap::Block kept = alloc_pinned(3), freed = alloc_pinned(2);
  char* end = kept.zone->window() + kept.zone->window_size();
  vm.occupied.push_back({end, kept.zone->window_size()});
  PageHeap::Block behind = alloc_pinned(4);
  ASSERT_NE(behind.frame, nullptr) << "somebody else's mapping is gone around";
  heap.free_large(freed);
  heap.note_unpinned();
  vm.locked = 0;
  vm.most_locked = Pages(8).bytes();
  EXPECT_EQ(alloc_pinned(1).frame, nullptr) << "all of it cannot be locked";
  EXPECT_FALSE(kept.zone->try_grow(*kept.frame, Pages(4)));
  vm.locked = 0;
  vm.most_locked = Pages(100).bytes();
  PageHeap::Block fresh = alloc_pinned(1);
  ASSERT_NE(fresh.frame, nullptr);
  EXPECT_GE(vm.locked, Pages(9).bytes());
  size_t locked = vm.locked;
  PageHeap::Block second = alloc_pinned(1);
  ASSERT_NE(second.frame, nullptr);
  EXPECT_EQ(vm.locked, locked) << "once";
  for (PageHeap::Block block : {kept, behind, fresh, second}) heap.free_large(block);
  heap.audit();
  EXPECT_EQ(kept.zone->stats().live, 0u);
}

TEST_F(PageHeapTest, WhatGiantsLeftGoesAsOtherMemoryGrows) {
  start();
  PageHeap::Block live = alloc(2 * kGiantPages - 1);
  heap.free_large(alloc(2 * kGiantPages));
  heap.trim();
  EXPECT_EQ(heap.giants().stats().dirty, 2 * kGiantPages) << "it may be wanted again";
  for (int i = 0; i < 640; ++i) ASSERT_EQ(heap.alloc_large(Pages(8), Order(0)).zone, &heap.slabs());
  heap.trim();
  EXPECT_LE(heap.giants().stats().dirty, kGiantPages) << "the peak would rise by what it kept";
  heap.free_large(live);
}

TEST_F(PageHeapTest, MetadataIsApartFromUsersMemory) {
  start();
  ASSERT_NE(alloc(100).frame, nullptr);
  char* record = static_cast<char*>(heap.meta().alloc(100, 64));
  ASSERT_NE(record, nullptr);
  std::memset(record, 0xff, 100);
  EXPECT_EQ(heap.zone_of(record), nullptr);
  heap.audit();
}

TEST_F(PageHeapTest, ManyMegabytesCostFewCalls) {
  start();
  std::vector<PageHeap::Block> blocks;
  for (int i = 0; i < 400; ++i) blocks.push_back(alloc(50));
  EXPECT_LE(vm.commits, 45u) << "400 blocks of 200 KiB";
  for (PageHeap::Block block : blocks) heap.free_large(block);
}

class PageHeapOnLargePages : public testing::TestWithParam<size_t> {};

TEST_P(PageHeapOnLargePages, ServesBothZones) {
  test::PageSize page(GetParam());
  test::FakeVm vm;
  PageHeap heap;
  ASSERT_TRUE(heap.start(vm.vm(), kKeepAll));
  for (size_t pages : {size_t{1}, size_t{9}, kGiantPages, kGiantPages + 3}) {
    PageHeap::Block block = heap.alloc_large(Pages(pages), Order(0));
    ASSERT_NE(block.frame, nullptr);
    std::memset(block.zone->address_of(*block.frame), 1, Pages(pages).bytes());
    ASSERT_NE(heap.meta().alloc(100, 64), nullptr);
    heap.free_large(block);
  }
  heap.purge(0);
  heap.audit();
  EXPECT_EQ(heap.giants().stats().dirty, 0u);
}

INSTANTIATE_TEST_SUITE_P(KiB, PageHeapOnLargePages,
                         testing::Values(size_t{4096}, size_t{16384}, size_t{65536}),
                         [](const auto& info) { return std::to_string(info.param / 1024); });

// Huge pages that were set apart, with a kernel that has a few of them: they come and go whole, no
// more than is needed, and nothing else is done to them.
constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 2 * kMiB;
using Where = page::Manners::Where;

class HugetlbTest : public testing::Test {
 protected:
  HugetlbTest() : vm(1024 * kMiB) {}
  void start(size_t pages, const page::Retention& retention = kKeepAll) {
    vm.most_hugetlb = pages * kPage;
    ASSERT_TRUE(heap.start(vm.vm(), retention));
  }
  PageHeap::Block alloc(size_t bytes, Where where = Where::kHuge2M) {
    PageHeap::Block block = heap.alloc_in(where, Pages::ceil(bytes), Order(0));
    heap.audit();
    return block;
  }
  void free(PageHeap::Block block) {
    heap.free_large(block);
    heap.audit();
  }
  static char* address(PageHeap::Block block) { return block.zone->address_of(*block.frame); }

  test::FakeVm vm;
  PageHeap heap;
};

TEST_F(HugetlbTest, NoMoreComesThanIsAskedForInWholePages) {
  start(8);
  heap.budget().set_outer(kPage / base::kFrameSize);
  PageHeap::Block first = alloc(3 * kMiB);
  ASSERT_NE(first.frame, nullptr);
  EXPECT_EQ(vm.hugetlb_bytes(), 2 * kPage);
  EXPECT_TRUE(first.frame->is_new);
  std::memset(address(first), 1, 3 * kMiB);
  EXPECT_EQ(reinterpret_cast<size_t>(address(first)) % kPage, 0u);
  EXPECT_EQ(heap.zone_of(address(first)), first.zone);
  ASSERT_NE(alloc(kMiB).frame, nullptr);
  EXPECT_EQ(vm.hugetlb_bytes(), 2 * kPage) << "the first one's page has room";
  ASSERT_NE(alloc(6 * kPage).frame, nullptr);
  EXPECT_EQ(vm.hugetlb_bytes(), 8 * kPage);
  EXPECT_EQ(heap.budget().over(), 0u) << "they are not the container's";
  EXPECT_EQ(alloc(4096).frame, nullptr);
}

TEST_F(HugetlbTest, ALargeZoneTakesNoMoreEither) {
  start(80);
  ASSERT_NE(alloc(64 * kPage).frame, nullptr);
  ASSERT_NE(alloc(kMiB).frame, nullptr);
  EXPECT_EQ(vm.hugetlb_bytes(), 65 * kPage);
}

TEST_F(HugetlbTest, WhatIsNotThereIsAskedForOnceInAWhile) {
  start(1);
  EXPECT_EQ(alloc(4 * kPage).frame, nullptr);
  unsigned asked = vm.hugetlb_asked;
  EXPECT_EQ(alloc(4 * kPage).frame, nullptr);
  EXPECT_EQ(alloc(5 * kPage).frame, nullptr);
  EXPECT_EQ(vm.hugetlb_asked, asked);
  EXPECT_NE(alloc(kMiB).frame, nullptr) << "less may be there";
  vm.most_hugetlb = 8 * kPage;
  vm.now_ms += 1000;
  EXPECT_NE(alloc(4 * kPage).frame, nullptr);
}

TEST_F(HugetlbTest, AHeldPlaceHasNone) {
  vm.is_reserving = true;
  start(8);
  EXPECT_EQ(alloc(kPage).frame, nullptr);
}

TEST_F(HugetlbTest, TheLargestPagesAreGibibytes) {
  start(1024);
  vm.most_hugetlb = size_t{2} << 30;
  EXPECT_EQ(alloc(kMiB, Where::kHuge1G).frame, nullptr) << "there is no room for one";
  EXPECT_EQ(vm.hugetlb_bytes(), 0u);
}

// The fake kernel ends the test where a part of such a page is purged, moved or advised.
TEST_F(HugetlbTest, PagesLeaveWholeAtTheEnd) {
  start(8, kKeepNothing);
  PageHeap::Block blocks[] = {alloc(5 * kMiB), alloc(3 * kMiB), alloc(4 * kMiB)};
  EXPECT_EQ(vm.hugetlb_bytes(), 6 * kPage);
  for (PageHeap::Block& block : blocks) std::memset(address(block), 1, kMiB);
  free(blocks[1]);
  EXPECT_EQ(heap.purge(0), 0u);
  EXPECT_EQ(vm.hugetlb_bytes(), 6 * kPage) << "the last one stands behind it";
  free(blocks[2]);
  EXPECT_EQ(heap.purge(0) * base::kFrameSize, 3 * kPage);
  EXPECT_EQ(vm.hugetlb_bytes(), 3 * kPage) << "of the third page the first block has a part";
  heap.audit();
  PageHeap::Block again = alloc(4 * kMiB);
  ASSERT_NE(again.frame, nullptr);
  for (size_t i = kMiB; i < 4 * kMiB; ++i)
    ASSERT_TRUE(address(again)[i] == 0 || !again.frame->is_new);
  free(again);
  free(blocks[0]);
  heap.purge(0);
  EXPECT_EQ(vm.hugetlb_bytes(), 0u);
  heap.audit();
}

TEST_F(HugetlbTest, WhatNobodyNeededGoesByAge) {
  start(8, kKeepNothing);
  free(alloc(8 * kMiB));
  for (int i = 0; i < 4; ++i) {
    vm.now_ms += 2000;
    heap.trim();
  }
  EXPECT_EQ(vm.hugetlb_bytes(), 0u);
}

TEST_F(HugetlbTest, BlocksGrowInPlaceAndShrink) {
  start(8);
  PageHeap::Block block = alloc(3 * kMiB);
  ASSERT_TRUE(block.zone->try_grow(*block.frame, Pages::ceil(9 * kMiB)));
  EXPECT_EQ(vm.hugetlb_bytes(), 5 * kPage);
  EXPECT_FALSE(block.zone->try_grow(*block.frame, Pages::ceil(17 * kMiB)));
  block.zone->shrink(*block.frame, Pages::ceil(kMiB));
  heap.audit();
  heap.purge(0);
  EXPECT_EQ(vm.hugetlb_bytes(), kPage);
}

TEST_F(HugetlbTest, TheyCountInTheBounds) {
  start(8);
  heap.budget().set({.hard = Pages::ceil(5 * kMiB).n});
  EXPECT_NE(alloc(4 * kMiB).frame, nullptr);
  EXPECT_EQ(alloc(4 * kMiB).frame, nullptr);
  EXPECT_EQ(heap.budget().held(), Pages::ceil(4 * kMiB).n);
}

TEST_F(HugetlbTest, TheChildOfAForkGetsNone) {
  start(8);
  PageHeap::Block block = alloc(3 * kMiB), other = heap.alloc_in(Where::kLow, Pages(4), Order(0));
  heap.abandon_hugetlb();
  EXPECT_EQ(alloc(kMiB).frame, nullptr);
  EXPECT_FALSE(block.zone->try_grow(*block.frame, Pages::ceil(4 * kMiB)));
  heap.free_large(block);
  EXPECT_EQ(alloc(kMiB).frame, nullptr);
  EXPECT_EQ(heap.zone_of(address(block)), block.zone) << "it may read what it has inherited";
  EXPECT_FALSE(other.zone->is_abandoned());
}

}  // namespace
