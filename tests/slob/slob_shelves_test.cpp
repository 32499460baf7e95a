// slob/slob_shelves_test.cpp -- proves that room is found wherever it is, at the lowest address
// first, and that a child of a fork uses pages of its own before it writes to those of its parent.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "support/slob_ground.h"

namespace {
using namespace ashlar;

class SlobShelvesTest : public test::SlobGround {
 protected:
  using test::SlobGround::SlobGround;
};

// Sixteen bytes a page of waste at most: 200 blocks of 80 bytes are four pages.
TEST_P(SlobShelvesTest, LongListsAreFilledAsWell) {
  // 85 blocks of three grains leave one grain of each page free.
  for (int i = 0; i < 85 * 400; ++i) ASSERT_NE(slob.alloc(48, 1), nullptr);
  EXPECT_LE(slob.stats().pages, 400u);
}

// Room that is far behind in a list is found, though most pages in front have a little, too.
TEST_P(SlobShelvesTest, RoomFarBehindInALongListIsUsed) {
  std::vector<char*> blocks;
  for (size_t i = 0; i < 1000; ++i)  // a page each: 240 and 32 bytes that will come free
    for (size_t size : {size_t{240}, size_t{32}, size_t{3800}})
      blocks.push_back(static_cast<char*>(slob.alloc(size, 1)));
  size_t pages = slob.stats().pages;
  EXPECT_GE(pages, 1000u);
  for (size_t i = 0; i < 1000; ++i) slob.free(frame_of(blocks[3 * i + 1]), blocks[3 * i + 1]);
  for (size_t i = 600; i < 1000; ++i) slob.free(frame_of(blocks[3 * i]), blocks[3 * i]);
  slob.audit();
  for (size_t i = 0; i < 400; ++i) ASSERT_NE(slob.alloc(240, 1), nullptr);
  EXPECT_LE(slob.stats().pages, pages + 2) << "400 of them are 24 pages";
}

TEST_P(SlobShelvesTest, AFreePlaceAtALowerAddressIsUsedFirst) {
  std::vector<char*> blocks;
  for (int i = 0; i < 500; ++i) blocks.push_back(alloc(48));
  char* low = *std::min_element(blocks.begin(), blocks.end());
  char* high = *std::max_element(blocks.begin(), blocks.end());
  free(high);
  free(low);
  EXPECT_EQ(alloc(48), low);
}

// The page of small blocks is at the higher address: small blocks that came between would leave no
// room for the large one.
TEST_P(SlobShelvesTest, SmallBlocksKeepToPagesOfTheirOwnWhereTheyCan) {
  char* large = alloc(4000);
  char* small = alloc(100);
  free(large);
  char* rest = alloc(10);
  EXPECT_EQ(page_of(alloc(100)), page_of(small));
  EXPECT_EQ(alloc(3000), large) << "in the page that was begun for such";
  EXPECT_EQ(page_of(rest), page_of(small));
}

TEST_P(SlobShelvesTest, ARoomInAnotherListIsUsedBeforeTheHeapGrows) {
  char* large = alloc(2000);
  char* small = alloc(100);
  EXPECT_EQ(page_of(small), page_of(large));
  EXPECT_EQ(slob.stats().pages, 1u);
}

class SlobOfMany : public SlobShelvesTest {
 protected:
  static constexpr unsigned kPages = 64, kInPage = base::kFrameSize / 256;
  SlobOfMany() {
    start(4);
    for (unsigned i = 0; i < kPages * kInPage; ++i)
      blocks.push_back(static_cast<char*>(slob.alloc(256, 1)));
    slob.audit();
  }
  // All but every so many-th.
  void free_each(unsigned step, unsigned keeps) {
    for (size_t i = 0; i < blocks.size(); ++i)
      if (i % step >= keeps) free(blocks[i]);
  }
  bool is_inherited(const char* block) {
    for (const char* old : blocks)
      if (page_of(old) == page_of(block)) return true;
    return false;
  }
  std::vector<char*> blocks;
};

TEST_P(SlobOfMany, AChildUsesNoneOfWhatItsParentKept) {
  char* block = alloc(64);
  char* inherited = alloc(64);
  ASSERT_TRUE(is_kept_when_freed(block));
  slob.restart();
  EXPECT_EQ(slob.take_kept(64), nullptr);
  EXPECT_FALSE(is_kept_when_freed(inherited));
  EXPECT_FALSE(is_inherited(alloc(64)));
}

TEST_P(SlobOfMany, TheZoneIsAskedForSomePagesAtOnce) {
  unsigned asked = 0;
  for (unsigned i = 0; i < 20 * kInPage; ++i) {
    size_t before = heap.slabs().stats().live;
    alloc(256);
    asked += heap.slabs().stats().live != before;
  }
  EXPECT_EQ(slob.stats().pages, kPages + 20);
  EXPECT_LE(asked, 5u);
  EXPECT_LE(heap.slabs().stats().live, kPages + 20 + 4);
}

TEST_P(SlobOfMany, APageMoreOrLessDoesNotConcernTheZone) {
  std::vector<char*> passing(3 * kInPage);
  for (int round = 0; round < 10; ++round) {
    for (char*& block : passing) block = alloc(256);
    size_t with = heap.slabs().stats().live;
    for (char* block : passing) free(block);
    EXPECT_TRUE(round == 0 || heap.slabs().stats().live == with) << round;
  }
}

TEST_P(SlobOfMany, WhatIsReadyGoesBackWhenMemoryIsWanted) {
  alloc(256);
  slob.reap();
  EXPECT_EQ(heap.slabs().stats().live, slob.stats().pages);
}

// Each page that it shares with its parent would be copied for one block.
TEST_P(SlobOfMany, AChildTakesNoGrainsOfWhatItHasInherited) {
  free_each(4, 3);
  slob.restart();
  std::set<uint32_t> pages;
  for (int i = 0; i < 40; ++i) {
    char* block = alloc(100 + 8 * static_cast<size_t>(i));
    EXPECT_FALSE(is_inherited(block));
    pages.insert(page_of(block));
    if (i % 2 == 0) free(block);
  }
  EXPECT_LE(pages.size(), 4u);
}

TEST_P(SlobOfMany, OneThatGrowsFillsThoseInTheEnd) {
  free_each(4, 3);
  slob.restart();
  unsigned own = 0;
  while (own < 2 * slob::kMostApart * kInPage && !is_inherited(alloc(256))) ++own;
  EXPECT_GE(own, (slob::kMostApart - 1) * kInPage);
  EXPECT_LE(own, slob::kMostApart * kInPage);
}

// In the end it writes to what it has inherited, and what came free of that meanwhile is not lost.
TEST_P(SlobOfMany, WhatCameFreeOfInheritedPagesMeanwhileIsUsedInTheEnd) {
  free_each(4, 3);
  slob.restart();
  for (size_t i = 0; i < blocks.size(); i += 4) free(blocks[i]);
  for (unsigned own = 0; own < slob::kMostApart * kInPage; ++own) alloc(256);
  size_t pages = slob.stats().pages;
  for (unsigned i = 0; i < kPages * kInPage / 2; ++i) alloc(256);
  EXPECT_EQ(slob.stats().pages, pages) << "a half of each inherited page is free";
}

TEST_P(SlobOfMany, OneThatGetsNoPageFillsThoseAtOnce) {
  free_each(4, 3);
  heap.budget().set({.hard = heap.budget().held()});
  slob.restart();
  for (unsigned i = 0; i < kPages; ++i) {
    void* block = slob.alloc(256, 1);
    ASSERT_NE(block, nullptr) << i;
  }
  slob.audit();
}

TEST_P(SlobOfMany, NorDoesMuchThatIsFreeLieIdle) {
  free_each(4, 1);
  slob.restart();
  EXPECT_TRUE(is_inherited(alloc(256)));
}

// What it inherits is half free by then, so that it begins no pages of its own.
TEST_P(SlobOfMany, AGrandchildFindsWhatCameFreeInTheChild) {
  slob.restart();
  free_each(4, 1);
  slob.restart();
  size_t pages = slob.stats().pages;
  for (unsigned i = 0; i < kPages * kInPage / 2; ++i) EXPECT_TRUE(is_inherited(alloc(256)));
  EXPECT_EQ(slob.stats().pages, pages);
}

// Few pages are inherited, so that a row has places for those that the child has begun.
TEST_P(SlobShelvesTest, PagesThatAChildHasBegunAreFoundLikeOthersInTheEnd) {
  for (int i = 0; i < 20; ++i) alloc(2000);
  slob.restart();
  for (unsigned i = 0; i < 2 * (slob::kMostApart + 4); ++i) alloc(2000);
  size_t pages = slob.stats().pages;
  for (size_t i = 0; i < pages; ++i) EXPECT_NE(alloc(60), nullptr);
  EXPECT_EQ(slob.stats().pages, pages) << "each page had 96 bytes left";
}

struct SlobOfLargeZone : SlobShelvesTest {
  SlobOfLargeZone() : SlobShelvesTest(size_t{1} << 30) {}
};

// Their numbers are too large for a row.
TEST_P(SlobOfLargeZone, PagesFarBehindServeLikeOthers) {
  base::Pages many(slob::Row::kLast + 1);
  ASSERT_NE(heap.slabs().alloc(many, base::Order(0), page::FrameKind::kLarge), nullptr);
  char *first = alloc(3000), *second = alloc(3000);
  EXPECT_GT(page_of(first), slob::Row::kLast);
  EXPECT_EQ(page_of(alloc(1000)), page_of(first)) << "there is room";
  EXPECT_EQ(page_of(alloc(1000)), page_of(second));
  free(first);
  EXPECT_EQ(alloc(2900), first);
}

INSTANTIATE_TEST_SUITE_P(Rows, SlobShelvesTest, testing::Bool());
INSTANTIATE_TEST_SUITE_P(Rows, SlobOfMany, testing::Bool());
INSTANTIATE_TEST_SUITE_P(Rows, SlobOfLargeZone, testing::Bool());

}  // namespace
