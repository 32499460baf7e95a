// front/promotion_test.cpp -- proves when a class gets an object cache: never before the process
// has outgrown SLOB, and after that only where a slab pays.

#include "front/promotion.h"

#include <gtest/gtest.h>

namespace {
using namespace ashlar;

using front::Demand;
using front::Promotion;

constexpr uint64_t kMax = 256 * 1024;

class PromotionTest : public testing::Test {
 protected:
  PromotionTest() { promotion.start(kMax); }
  // How many requests in a row SLOB serves; at most `most`.
  unsigned served(Demand demand, unsigned most) {
    for (unsigned i = 0; i < most; ++i)
      if (promotion.note_demand(demand)) return i;
    return most;
  }
  Promotion promotion;
};

TEST_F(PromotionTest, ASmallHeapThatAsksSeldomStaysWithSlob) {
  EXPECT_EQ(served({.id = 3, .size = 48, .slob_bytes = kMax}, 5000), 5000u);
}

TEST_F(PromotionTest, OneThatAsksOftenDoesNot) {
  unsigned calls = served({.id = 3, .size = 48}, 1000000);
  EXPECT_GT(calls, 2000u) << "a shell must not be promoted";
  EXPECT_LT(calls, 200000u);
  EXPECT_TRUE(promotion.note_demand({.id = 3, .size = 48})) << "for good";
}

TEST_F(PromotionTest, ALargerHeapIsPromotedSooner) {
  EXPECT_LT(served({.id = 3, .size = 48, .slob_bytes = kMax}, 1000000), 20000u);
}

TEST_F(PromotionTest, CallsForWholeFramesCountForSome) {
  unsigned calls = served({.id = 40, .size = 8192}, 1000000);
  EXPECT_LE(calls, Promotion::kManyCalls / 2) << "each takes as long as some others";
  EXPECT_GT(calls, 10000u) << "not the files that a shell opens";
}

TEST_F(PromotionTest, CallsThatAskNoMoreThanWhetherSlobIsAloneCountLikeOthers) {
  unsigned calls = 0;
  for (; promotion.is_alone() && calls < 1000000; ++calls) promotion.note_call(3);
  EXPECT_GT(calls, 2000u);
  EXPECT_LT(served({.id = 3, .size = 48}, 1000), 2u);
  EXPECT_FALSE(promotion.is_alone());
  promotion.note_bytes(0);
  EXPECT_FALSE(promotion.is_alone()) << "for good";
}

TEST_F(PromotionTest, SlobIsNotAloneOnceWhatItHoldsDecides) {
  auto is_alone_with = [&](size_t bytes) {
    promotion.note_bytes(bytes);
    return promotion.is_alone();
  };
  EXPECT_TRUE(is_alone_with(kMax));
  EXPECT_FALSE(is_alone_with(kMax + 1));
  unsigned calls = 0;
  for (; is_alone_with(kMax) && calls < 1000000; ++calls) promotion.note_call(3);
  EXPECT_LT(calls, 20000u) << "a larger heap asks sooner";
  EXPECT_TRUE(is_alone_with(0)) << "a shell's would not";
}

TEST_F(PromotionTest, SlobIsAloneNoMoreWhereAnotherThreadHasBeen) {
  EXPECT_TRUE(promotion.is_alone());
  promotion.note_demand({.id = 3, .size = 48, .has_threads = true});
  EXPECT_FALSE(promotion.is_alone());
  promotion.note_bytes(0);
  EXPECT_FALSE(promotion.is_alone());
}

TEST_F(PromotionTest, InAChildSlobIsAloneAgainBesideWhatWasInherited) {
  promotion.note_demand({.id = 3, .size = 48, .has_threads = true});
  promotion.restart(5 * kMax);
  EXPECT_TRUE(promotion.is_alone());
  promotion.note_bytes(6 * kMax);
  EXPECT_TRUE(promotion.is_alone());
  promotion.note_bytes(6 * kMax + 1);
  EXPECT_FALSE(promotion.is_alone());
}

TEST_F(PromotionTest, OftenIsMeantWithinAnInterval) {
  for (int interval = 0; interval < 100; ++interval) {
    EXPECT_EQ(served({.id = 3, .size = 48}, 2000), 2000u);
    promotion.end_interval();
  }
}

TEST_F(PromotionTest, PastTheBoundAClassThatIsRareStillHasNoCache) {
  Demand rare{.id = 3, .size = 2048, .slob_bytes = kMax + 1};
  EXPECT_EQ(served(rare, 50), 50u);
  EXPECT_LT(served(rare, 5000), 5000u) << "one that is asked for often has";
  Demand other{.id = 4, .size = 512, .slob_bytes = kMax + 1};
  EXPECT_EQ(served(other, 50), 50u) << "each class for itself";
}

TEST_F(PromotionTest, WhoDropsOftenIsKnownUntilTheIntervalEnds) {
  for (unsigned i = 0; i < 2 * Promotion::kSomeDrops; ++i) promotion.note_call(1 + i % 7);
  EXPECT_FALSE(promotion.drops_often()) << "to ask is not to drop";
  for (unsigned i = 0; i < Promotion::kSomeDrops; ++i) promotion.note_drop();
  EXPECT_FALSE(promotion.drops_often());
  promotion.note_drop();
  EXPECT_TRUE(promotion.drops_often());
  promotion.end_interval();
  EXPECT_FALSE(promotion.drops_often());
}

// More calls than are counted of a class.
TEST_F(PromotionTest, AClassThatWasAskedForAllTheTimeIsBusy) {
  for (unsigned i = 0; i < 65536; ++i) promotion.note_call(3);
  EXPECT_LT(served({.id = 3, .size = 48}, 10), 10u);
}

// A script of a shell asks for two sizes all the time, and for others a thousand times.
TEST_F(PromotionTest, OfAProcessThatAsksOftenOnlyTheBusyClassesHaveCaches) {
  unsigned busy = served({.id = 1, .size = 16, .slob_bytes = kMax}, 100000);
  EXPECT_LT(busy, 20000u);
  EXPECT_EQ(served({.id = 4, .size = 64, .slob_bytes = kMax}, 1000), 1000u);
}

// A hundred KiB, and fifty thousand calls: slabs and their tables would be half as much again.
TEST_F(PromotionTest, AShellsHeapIsNotPromoted) {
  EXPECT_EQ(served({.id = 1, .size = 16, .slob_bytes = 140 * 1024}, 52000), 52000u);
  EXPECT_LT(served({.id = 1, .size = 16, .slob_bytes = 140 * 1024}, 52000), 20000u);
  EXPECT_EQ(served({.id = 4, .size = 64, .slob_bytes = 140 * 1024}, 1000), 1000u);
}

TEST_F(PromotionTest, ManyClassesThatAreHalfBusyDoNotStayWithSlob) {
  unsigned all = 0;
  for (uint8_t id = 1; id <= 80; ++id)
    all += served({.id = id, .size = size_t{16} * id, .slob_bytes = kMax}, 1500);
  EXPECT_LT(all, 45000u);
}

// What of them is rare had best not wait until eight thousand calls more have taken the long way.
TEST_F(PromotionTest, ASmallHeapThatHasBecomeBusySoonHasCachesForAllThatItAsksFor) {
  unsigned by_slob = 0;
  bool has_cache[64] = {};  // then nobody asks
  for (unsigned i = 0; i < 200000; ++i) {
    uint8_t id = static_cast<uint8_t>(i % 16 == 0 ? 33 + i / 16 % 8 : 1 + i % 16);
    Demand demand{.id = id, .size = size_t{16} * id, .slob_bytes = 140 * 1024};
    if (!has_cache[id]) has_cache[id] = promotion.note_demand(demand);
    by_slob += !has_cache[id];
  }
  EXPECT_LT(by_slob, Promotion::kManyCalls + 2048);
}

TEST_F(PromotionTest, WhatSlobHoldsOfAClassCountsWhileItIsLive) {
  Demand demand{.id = 5, .size = 80, .slob_bytes = kMax + 1};
  promotion.note_live(5, 100000);
  promotion.note_free(5, 100000);
  EXPECT_FALSE(promotion.note_demand(demand));
  promotion.note_live(5, 100000);
  EXPECT_TRUE(promotion.note_demand(demand));
  promotion.note_free(5, 200000);
  EXPECT_FALSE(promotion.note_demand(demand)) << "a count that lost a race does not wrap";
}

// Half a slab of the largest objects is more than all that smaller ones may have in SLOB.
TEST_F(PromotionTest, AFewLargeObjectsAreNotWorthASlabOfThem) {
  Demand demand{.id = 80, .size = 32768, .slob_bytes = kMax + 1};
  promotion.note_live(80, 3 * 32768);
  EXPECT_FALSE(promotion.note_demand(demand));
  promotion.note_live(80, 2 * 32768);
  EXPECT_TRUE(promotion.note_demand(demand));
}

TEST_F(PromotionTest, ASecondThreadEndsItForWhatSharesALine) {
  EXPECT_TRUE(promotion.note_demand({.id = 2, .size = 32, .has_threads = true}));
  EXPECT_FALSE(promotion.note_demand({.id = 40, .size = 2048, .has_threads = true}));
}

TEST_F(PromotionTest, AChildStartsAnewFromWhereItsParentWas) {
  ASSERT_TRUE(
      promotion.note_demand({.id = 3, .size = 48, .has_cache = true, .slob_bytes = 9 * kMax}));
  promotion.restart(9 * kMax);
  EXPECT_FALSE(promotion.is_over());
  EXPECT_EQ(served({.id = 3, .size = 48, .has_cache = true, .slob_bytes = 10 * kMax}, 2000), 2000u);
  EXPECT_TRUE(
      promotion.note_demand({.id = 3, .size = 48, .has_cache = true, .slob_bytes = 10 * kMax + 1}))
      << "and its caches are there at once when it has grown";
}

TEST_F(PromotionTest, SlobItselfIsBounded) {
  EXPECT_TRUE(promotion.note_demand({.id = 9, .size = 144, .slob_bytes = 2 * kMax + 2}));
  EXPECT_TRUE(promotion.note_demand({.id = 50, .size = 4095, .slob_bytes = 2 * kMax + 2}));
}

// They are frames, mostly, without a slab as well, and one of eight would mostly stay empty.
TEST_F(PromotionTest, ObjectsOfAFrameAndMoreAreNoPartOfThatBound) {
  Demand demand{.id = 60, .size = 4096, .slob_bytes = 10 * kMax};
  EXPECT_EQ(served(demand, 50), 50u);
  EXPECT_LT(served(demand, 5000), 5000u) << "one that is asked for often has a slab";
}

TEST(PromotionExtremes, NeverAndAlways) {
  Promotion never;
  never.start(0);
  EXPECT_FALSE(never.is_alone());
  EXPECT_TRUE(never.note_demand({.id = 1, .size = 16}));
  Promotion always;
  always.start(Promotion::kUnlimited);
  for (int i = 0; i < 100000; ++i) always.note_call(1);
  always.note_bytes(SIZE_MAX);
  EXPECT_TRUE(always.is_alone());
  for (int i = 0; i < 100000; ++i)
    ASSERT_FALSE(
        always.note_demand({.id = 1, .size = 16, .slob_bytes = SIZE_MAX, .has_threads = true}));
}

}  // namespace
