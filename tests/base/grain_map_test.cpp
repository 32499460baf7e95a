// base/grain_map_test.cpp -- proves that one page gives each grain once, the lowest run that fits,
// knows where its blocks begin and end, and loses nothing when they come and go.

#include "base/grain_map.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "support/rng.h"

namespace {
using namespace ashlar;

using base::kGrains;
using base::kNoGrain;

class GrainMapTest : public testing::Test {
 protected:
  GrainMapTest() { page.clear(); }
  ~GrainMapTest() override { page.audit(); }
  unsigned take(unsigned count, unsigned align = 1) {
    unsigned grain = page.take(count, align);
    page.audit();
    return grain;
  }
  void put(unsigned grain) {
    page.put(grain);
    page.audit();
  }

  base::GrainMap page{};
};

TEST_F(GrainMapTest, BlocksFollowOnEachOtherUntilThePageIsFull) {
  EXPECT_EQ(take(1), 0u);
  EXPECT_EQ(take(100), 1u);
  EXPECT_EQ(take(155), 101u);
  EXPECT_EQ(page.free_grains(), 0u);
  EXPECT_EQ(take(1), kNoGrain);
  EXPECT_EQ(page.length_at(0), 1u);
  EXPECT_EQ(page.length_at(1), 100u);
  EXPECT_EQ(page.length_at(101), 155u);
}

TEST_F(GrainMapTest, AWholePageIsOneBlock) {
  EXPECT_EQ(take(kGrains), 0u);
  EXPECT_EQ(page.length_at(0), kGrains);
  put(0);
  EXPECT_TRUE(page.is_empty());
  EXPECT_EQ(take(kGrains), 0u);
}

TEST_F(GrainMapTest, TheLowestRunThatFitsIsTaken) {
  for (unsigned i = 0; i < 16; ++i) ASSERT_EQ(take(16), i * 16);
  put(9 * 16);
  put(3 * 16);
  put(4 * 16);
  EXPECT_EQ(take(17), 48u) << "neighbours that came free are one run";
  EXPECT_EQ(take(16), 144u) << "fifteen grains are left in front";
  EXPECT_EQ(take(15), 65u);
  EXPECT_EQ(take(1), kNoGrain);
}

TEST_F(GrainMapTest, ARefusalHidesNoRunThatIsOneShorter) {
  for (unsigned i = 0; i < 4; ++i) ASSERT_EQ(take(64), i * 64);
  put(64);
  EXPECT_EQ(take(1), 64u);
  EXPECT_EQ(take(64), kNoGrain);
  EXPECT_EQ(take(63), 65u);
  put(0);
  put(64);
  EXPECT_EQ(take(65), 0u) << "from one word into the next";
  put(65);
  EXPECT_EQ(take(64), kNoGrain);
  EXPECT_EQ(take(63), 65u);
}

TEST_F(GrainMapTest, AlignmentIsKeptAndWhatIsSkippedStaysFree) {
  EXPECT_EQ(take(1), 0u);
  EXPECT_EQ(take(4, 64), 64u);
  EXPECT_EQ(take(4, 16), 16u);
  EXPECT_EQ(take(15, 1), 1u);
  EXPECT_EQ(take(1, kGrains), kNoGrain) << "only the first grain is aligned so, and it is taken";
  put(0);
  EXPECT_EQ(take(1, kGrains), 0u);
}

TEST_F(GrainMapTest, EachGrainKnowsItsBlock) {
  unsigned first = take(70), second = take(130), third = take(3);
  for (unsigned grain = 0; grain < 203; ++grain) {
    unsigned expected = grain < second ? first : grain < third ? second : third;
    EXPECT_TRUE(page.is_taken(grain));
    EXPECT_EQ(page.begins(grain), grain == expected);
    EXPECT_EQ(page.block_around(grain), expected);
  }
  EXPECT_FALSE(page.is_taken(203));
}

TEST_F(GrainMapTest, ResizeTakesWhatFollowsOrGivesTheTailBack) {
  unsigned first = take(10), second = take(10);
  EXPECT_FALSE(page.try_resize(first, 11)) << "the next block is in the way";
  EXPECT_TRUE(page.try_resize(second, 246));
  EXPECT_FALSE(page.try_resize(second, 247)) << "beyond the page";
  EXPECT_TRUE(page.try_resize(second, 1));
  page.audit();
  EXPECT_EQ(page.free_grains(), kGrains - 11);
  EXPECT_EQ(take(245), 11u);
  put(second);
  EXPECT_TRUE(page.try_resize(first, 11));
  EXPECT_FALSE(page.try_resize(first, 12));
  EXPECT_EQ(page.length_at(first), 11u);
}

// Against a map of what is live: no two blocks overlap, and a request fails only where no run fits.
TEST_F(GrainMapTest, RandomBlocksStayApart) {
  test::Rng rng(7);
  std::map<unsigned, unsigned> live;  // first grain, length
  for (int step = 0; step < 20000; ++step) {
    if (rng.below(2) == 0 && !live.empty()) {
      auto at = live.lower_bound(static_cast<unsigned>(rng.below(kGrains)));
      if (at == live.end()) at = live.begin();
      ASSERT_EQ(page.length_at(at->first), at->second);
      put(at->first);
      live.erase(at);
      continue;
    }
    unsigned count = static_cast<unsigned>(rng.below(40)) + 1;
    unsigned expected = 0;
    for (auto [first, length] : live) {
      if (expected + count <= first) break;
      expected = first + length;
    }
    if (expected + count > kGrains) expected = kNoGrain;
    ASSERT_EQ(take(count), expected);
    if (expected != kNoGrain) live[expected] = count;
  }
}

}  // namespace
