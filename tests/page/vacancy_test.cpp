// page/vacancy_test.cpp -- proves when vacant frames are to go and how many: above a share of the
// live memory, not what was regretted, all that an interval did not need, and nothing where the
// kernel refuses.

#include "page/vacancy.h"

#include <gtest/gtest.h>

namespace {
using namespace ashlar;

using page::Retention;
using page::Vacancy;

constexpr Retention kTenth{.percent = 10, .least_bytes = size_t{256} << 10, .interval_ms = 1000};
constexpr size_t kLive = 10000;

class VacancyTest : public testing::Test {
 protected:
  VacancyTest() { vacancy.set(kTenth); }

  // What the stocks do: as many go as are asked for.
  size_t trim(size_t live, size_t over = 0) {
    size_t most = vacancy.begin({.live = live + vacancy.frames(), .over = over}, now_ms);
    if (most == 0) return 0;
    vacancy.remove(most);
    vacancy.note_purged(most);
    vacancy.end(now_ms, false);
    return most;
  }
  void want_again(size_t frames) { vacancy.note_wanted(frames); }

  Vacancy vacancy;
  uint64_t now_ms = 5000;
};

TEST_F(VacancyTest, ATrimIsWantedFromWhereOnItIsWorthIt) {
  trim(kLive);
  vacancy.add(500);
  EXPECT_FALSE(vacancy.wants_trim());
  EXPECT_EQ(trim(kLive), 0u);
  vacancy.add(1000);
  EXPECT_TRUE(vacancy.wants_trim());
  EXPECT_GT(trim(kLive), 0u);
  EXPECT_FALSE(vacancy.wants_trim());
  EXPECT_LE(vacancy.frames(), kLive / 10);
  EXPECT_GE(vacancy.frames(), kLive / 20) << "live and kept together stay near the peak";
}

TEST_F(VacancyTest, TheBoundFollowsWhatIsLive) {
  trim(kLive);
  vacancy.add(600);
  EXPECT_EQ(trim(kLive), 0u);
  EXPECT_GT(trim(kLive / 10), 0u) << "a tenth of what is left";
  EXPECT_LE(vacancy.frames(), kLive / 100);
}

TEST_F(VacancyTest, AboveTheSoftBoundNoMoreStaysThanMay) {
  trim(kLive);
  vacancy.add(500);
  EXPECT_EQ(trim(kLive, 300), 300u);
  EXPECT_EQ(vacancy.frames(), 200u);
  EXPECT_EQ(trim(kLive, 1000), 200u);
}

TEST_F(VacancyTest, WhatWasPurgedAndSoonWantedAgainIsKeptTheNextTime) {
  trim(kLive);
  size_t gone[2];
  for (size_t& frames : gone) {
    vacancy.add(4000);
    frames = trim(kLive - 4000);
    want_again(frames);
    vacancy.remove(vacancy.frames());
    trim(kLive);
  }
  EXPECT_GT(gone[0], 2000u);
  EXPECT_EQ(gone[1], 0u);
}

TEST_F(VacancyTest, ByAgeWhatNobodyNeededGoes) {
  trim(kLive);
  vacancy.add(500);
  EXPECT_EQ(trim(kLive), 0u);
  for (int i = 0; i < 3; ++i) {
    now_ms += 1001;
    trim(kLive);
  }
  EXPECT_EQ(vacancy.frames(), 0u);
}

TEST_F(VacancyTest, OneThreadTrimsAtATime) {
  vacancy.add(5000);
  EXPECT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
  EXPECT_EQ(vacancy.begin({.live = kLive}, now_ms), 0u);
  EXPECT_FALSE(vacancy.begin_all());
  vacancy.end(now_ms, false);
  EXPECT_TRUE(vacancy.begin_all());
  vacancy.reset_in_child();
  EXPECT_GT(vacancy.begin({.live = kLive}, now_ms), 0u) << "whoever trimmed is not in the child";
}

TEST_F(VacancyTest, AKernelThatRefusesIsLeftAloneForAnInterval) {
  vacancy.add(5000);
  ASSERT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
  vacancy.end(now_ms, true);
  vacancy.add(5000);
  EXPECT_FALSE(vacancy.wants_trim());
  EXPECT_EQ(vacancy.begin({.live = kLive}, now_ms + 999), 0u);
  EXPECT_GT(vacancy.begin({.live = kLive}, now_ms + 1000), 0u);
}

TEST_F(VacancyTest, AClockThatJumpsBackStopsNoTrim) {
  now_ms = 100'000'000;
  vacancy.add(5000);
  ASSERT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
  vacancy.end(now_ms, true);
  EXPECT_EQ(vacancy.begin({.live = kLive}, now_ms), 0u) << "the kernel has refused";
  now_ms = 5000;
  EXPECT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
  vacancy.end(now_ms, false);
  now_ms = UINT64_MAX - 10;  // an interval from here on ends beyond what the word can hold
  ASSERT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
  vacancy.end(now_ms, true);
  now_ms = 5000;
  EXPECT_GT(vacancy.begin({.live = kLive}, now_ms), 0u);
}

}  // namespace
