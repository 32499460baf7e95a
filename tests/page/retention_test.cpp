// page/retention_test.cpp -- proves what a zone keeps of free memory, by amount, by age, by regret,
// up to the recent peak, and where a small heap is lifted beyond its own.

#include "page/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/zone_ground.h"

namespace {
using namespace ashlar;

using page::Frame;
using page::Retention;
using test::kKeepNothing;
using test::kMiB;

class RetentionTest : public test::ZoneGround {};

TEST_F(RetentionTest, AsksForATrimWhenMuchMoreIsFreeThanIsKept) {
  start(kKeepNothing);
  Frame* block = alloc(1024);
  EXPECT_FALSE(zone.wants_trim());
  free(block);
  EXPECT_TRUE(zone.wants_trim());
  zone.trim();
  EXPECT_FALSE(zone.wants_trim());
  EXPECT_EQ(zone.stats().dirty, 0u);
}

TEST_F(RetentionTest, KeepsAShareOfLiveMemory) {
  start({.percent = 50, .least_bytes = 0, .interval_ms = 1000});
  Frame* live = alloc(2048);
  Frame* half = alloc(512);
  Frame* gone = alloc(4096);
  free(half);
  EXPECT_FALSE(zone.wants_trim()) << "half of live memory may be kept";
  free(gone);
  EXPECT_TRUE(zone.wants_trim());
  zone.trim();
  EXPECT_LE(zone.stats().dirty, 1024u);
  free(live);
}

TEST_F(RetentionTest, KeepsTheLeastBytesInAnyCase) {
  start({.percent = 0, .least_bytes = 4 * kMiB, .interval_ms = 1000});
  free(alloc(4096));
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 1024u);
}

TEST_F(RetentionTest, ByAgeWhatNobodyNeededInAnIntervalGoes) {
  start({.percent = 1000, .least_bytes = 64 * kMiB, .interval_ms = 1000});
  Frame* live = alloc(10);
  free(alloc(1024));
  EXPECT_EQ(zone.stats().dirty, 1024u);
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 1024u) << "its interval has only begun";
  for (int i = 0; i < 6; ++i) {
    vm.now_ms += 1001;
    zone.trim();
  }
  EXPECT_EQ(zone.stats().dirty, 0u) << "nobody has wanted it for six intervals";
  free(live);
}

TEST_F(RetentionTest, ByAgeWhatIsNeededInEveryIntervalStays) {
  start({.percent = 1000, .least_bytes = 64 * kMiB, .interval_ms = 1000});
  for (int i = 0; i < 10; ++i) {
    free(alloc(1024));
    vm.now_ms += 1001;
    zone.trim();
  }
  EXPECT_EQ(zone.stats().dirty, 1024u);
  EXPECT_TRUE(vm.purged.empty()) << "memory went and was asked for again";
}

TEST_F(RetentionTest, WhatWasPurgedAndSoonWantedAgainIsKeptTheNextTime) {
  start(kKeepNothing);
  free(alloc(1024));
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 0u);
  free(alloc(1024));
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 1024u);
}

// What is little is soon fetched again; what is much might be wanted for just as long again.
TEST_F(RetentionTest, ByAgeLittleGoesSoonerThanMuch) {
  auto goes_after = [&](size_t pages) {
    vm.now_ms += 1001;
    zone.trim();  // with nothing to wait for an interval begins that is as short as can be
    free(alloc(pages));
    double waited = 0;
    for (; waited < 3000 && zone.stats().dirty != 0; waited += 25) {
      vm.now_ms += 25;
      zone.trim();
    }
    return waited;
  };
  start({.percent = 1000, .least_bytes = 1024 * kMiB, .interval_ms = 800});
  Frame* live = alloc(10);
  goes_after(1);  // the very first interval
  EXPECT_NEAR(goes_after(256), 2 * 50, 25) << "a sixteenth of an interval, twice";
  EXPECT_NEAR(goes_after(8000), 2 * 250, 25) << "as long as its memory costs";
  EXPECT_NEAR(goes_after(30000), 2 * 800, 25) << "and no longer than was set";
  EXPECT_NEAR(goes_after(200), 2 * 800, 25) << "as what is hardly worth a call does";
  free(live);
}

// By amount it went at once, and little was left: the regret has its time all the same.
TEST_F(RetentionTest, WhatIsMuchIsRegrettedForLonger) {
  start(kKeepNothing);
  auto wait = [&](int ms) {
    for (int waited = 0; waited < ms; waited += 25) {
      vm.now_ms += 25;
      zone.trim();
    }
  };
  wait(2000);
  free(alloc(16000));
  wait(400);
  EXPECT_EQ(zone.stats().dirty, 0u);
  free(alloc(16000));
  wait(25);
  EXPECT_EQ(zone.stats().dirty, 16000u) << "it was wanted within half a second";
}

// A process that is moved to another machine may find a clock that has run for a shorter time.
TEST_F(RetentionTest, AClockThatJumpsBackStopsNoInterval) {
  start({.percent = 1000, .least_bytes = 64 * kMiB, .interval_ms = 1000});
  Frame* live = alloc(10);
  vm.now_ms = 100'000'000;
  free(alloc(1024));
  zone.trim();
  vm.now_ms = 5000;
  for (int i = 0; i < 6; ++i) {
    zone.trim();
    vm.now_ms += 1001;
  }
  EXPECT_EQ(zone.stats().dirty, 0u) << "it waits for a time that is hours away";
  free(live);
}

TEST_F(RetentionTest, AClockThatJumpsToAndFroLeavesNothingBehind) {
  start({.percent = 50, .least_bytes = 0, .interval_ms = 1000});
  Frame* live = alloc(2048);
  for (uint64_t now : {uint64_t{5000}, uint64_t{0}, UINT64_MAX, uint64_t{1}, UINT64_MAX - 1}) {
    vm.now_ms = now;
    free(alloc(4096));
    zone.trim();
    zone.audit();
  }
  for (int i = 0; i < 6; ++i) {
    vm.now_ms = 5000 + 1001 * static_cast<uint64_t>(i);
    zone.trim();
  }
  EXPECT_EQ(zone.stats().dirty, 0u);
  free(live);
}

constexpr Retention kKeepToPeak{
    .percent = 0, .least_bytes = 0, .interval_ms = 1000, .more = Retention::More::kToPeak};

TEST_F(RetentionTest, ToItsPeakWhatIsFreedToBeReplacedStays) {
  start(kKeepToPeak);
  for (int i = 0; i < 4; ++i) alloc(2048);
  Frame* last = alloc(2048);
  for (int i = 0; i < 10; ++i) {
    free(last);
    zone.trim();
    last = alloc(2048);
  }
  EXPECT_TRUE(vm.purged.empty()) << "memory went and was asked for again";
}

// Replaces blocks one after the other by such of ever new sizes, so that what is free seldom fits
// what is wanted, every so many milliseconds; and sees that what is kept raises the peak by so many
// eighths of it and `fetched` frames at most.
class ReplacementTest : public RetentionTest {
 protected:
  void replace(uint64_t every_ms, size_t eighths, size_t fetched) {
    Retention retention = kKeepToPeak;
    retention.least_bytes = 16 * kMiB;
    start(retention);
    std::vector<Frame*> blocks;
    size_t live_peak = 0;
    for (size_t i = 0; i < 8; ++i) blocks.push_back(alloc(128 + 64 * i));
    for (size_t i = 0; i < 100; ++i) {
      Frame*& block = blocks[i % blocks.size()];
      free(block);
      if (zone.wants_trim()) zone.trim();
      block = alloc(64 + (i * 397) % 512);
      if (zone.wants_trim()) zone.trim();
      page::ZoneStats stats = zone.stats();
      live_peak = std::max(live_peak, stats.live);
      EXPECT_LE(stats.live + stats.dirty, live_peak + live_peak * eighths / 8 + fetched + 64)
          << "after replacement " << i;
      vm.now_ms += every_ms;
    }
  }
};

TEST_F(ReplacementTest, RaisesThePeakByWhatOneHasFetchedAtMost) {
  replace(300, 1, 576);
}

TEST_F(ReplacementTest, RaisesItByHalfWhereItWouldCostMuchElse) {
  replace(0, 5, 0);
}

TEST_F(RetentionTest, ToItsPeakHalfOfLiveMemoryIsTheMostThatStays) {
  start(kKeepToPeak);
  Frame* live = alloc(1024);
  free(alloc(8192));
  zone.trim();
  EXPECT_LE(zone.stats().dirty, 512u);
  free(live);
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 0u);
}

TEST_F(RetentionTest, ToItsPeakAnOldPeakIsForgotten) {
  start(kKeepToPeak);
  alloc(4096);
  Frame* gone = alloc(1024);
  for (int i = 0; i < 3; ++i) {
    vm.now_ms += 1001;
    zone.trim();
  }
  free(gone);
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 1024u) << "it was live a moment ago";
  for (int i = 0; i < 3; ++i) {
    vm.now_ms += 1001;
    zone.trim();
  }
  EXPECT_LE(zone.stats().dirty, 4096u / 8 + 64) << "nobody has wanted it for three intervals";
}

// Threads that free and take while one of them purges would keep it at it without end.
TEST_F(RetentionTest, APurgeEndsThoughOthersFreeAsMuchMeanwhile) {
  static page::Zone* shared = nullptr;
  static std::vector<Frame*> live;
  shared = &zone;
  start(kKeepNothing);
  // Apart from each other, so that each is a range of its own.
  live.clear();
  for (int i = 0; i < 256; ++i) {
    live.push_back(alloc(16));
    alloc(16);
  }
  for (int i = 0; i < 32; ++i) {
    free(live.back());
    live.pop_back();
  }
  vm.while_purging = [] {
    if (live.empty()) return;
    shared->free_large(*live.back());
    live.pop_back();
  };
  zone.trim();
  vm.while_purging = nullptr;
  EXPECT_LE(vm.purged_bytes(), 33u * 16 * base::kFrameSize);
  EXPECT_GE(vm.purged_bytes(), 32u * 16 * base::kFrameSize);
}

TEST_F(RetentionTest, WhatOthersFreedDuringAPurgeIsNotForgotten) {
  static page::Zone* shared = nullptr;
  static Frame* large = nullptr;
  shared = &zone;
  start(kKeepNothing);
  Frame* block = alloc(2048);
  large = alloc(4096);
  free(block);
  vm.while_purging = [] {
    if (large != nullptr) shared->free_large(*std::exchange(large, nullptr));
    shared->trim();  // somebody else's, who finds us at it
  };
  zone.trim();
  vm.while_purging = nullptr;
  EXPECT_TRUE(zone.wants_trim());
}

// A small heap with so many single frames that hold memory and are free.
class LiftTest : public test::ZoneGround {
 protected:
  void start_with_holes(size_t holes) {
    start();
    std::vector<Frame*> blocks(2 * holes);
    for (Frame*& block : blocks) block = alloc(1);
    for (size_t i = 0; i < blocks.size(); i += 2) free(blocks[i]);
    ASSERT_EQ(zone.stats().dirty, holes);
  }
  size_t dirty_after_trim() {
    if (zone.wants_trim()) zone.trim();
    return zone.stats().dirty;
  }
};

TEST_F(LiftTest, WhatIsTooShortGoesAsALargeBlockLiftsTheHeap) {
  start_with_holes(30);
  for (int i = 0; i < 10; ++i) alloc(4);
  alloc(8);
  EXPECT_EQ(dirty_after_trim(), 0u) << "smaller ones before it have lifted the heap as well";
}

TEST_F(LiftTest, NoMoreOfItGoesThanTheHeapWasLiftedBy) {
  page::Keeping keeping;
  keeping.set(test::kKeepAll);
  keeping.note_lift({.live = 100, .dirty = 0});
  page::Frames now{.live = 80, .dirty = 40};
  keeping.note_lift(now);
  EXPECT_TRUE(keeping.may_exceed(now));
  EXPECT_EQ(keeping.limit(now, 5000), 20u);
  EXPECT_FALSE(keeping.may_exceed(now)) << "once is enough";
}

// A program that takes small blocks, drops half of them, and takes a large one, over and over.
TEST_F(LiftTest, WhoDoesTheSameAgainPaysOnce) {
  start();
  alloc(16);
  for (int round = 0; round < 100; ++round) {
    std::vector<Frame*> blocks(40);
    for (Frame*& block : blocks) block = alloc(1);
    for (size_t i = 0; i < blocks.size(); i += 2) free(blocks[i]);
    blocks.push_back(alloc(20));
    dirty_after_trim();
    for (size_t i = 1; i < blocks.size(); i += 2) free(blocks[i]);
    free(blocks.back());
    dirty_after_trim();
  }
  EXPECT_GT(vm.purged.size(), 0u);
  EXPECT_LT(vm.purged.size(), 100u) << "a few times";
}

TEST_F(LiftTest, UpToItsPeakAllStays) {
  start_with_holes(30);
  Frame* block = alloc(200);
  dirty_after_trim();
  free(block);
  zone.trim();
  EXPECT_EQ(zone.stats().dirty, 200u);
  vm.purged.clear();
  alloc(200);
  EXPECT_FALSE(zone.wants_trim());
}

TEST_F(LiftTest, WhatSmallBlocksFetchLiftsNothing) {
  start_with_holes(30);
  for (int i = 0; i < 20; ++i) alloc(7);
  EXPECT_FALSE(zone.wants_trim());
}

TEST_F(LiftTest, ALittleThatIsFreeStays) {
  start_with_holes(7);
  alloc(64);
  EXPECT_FALSE(zone.wants_trim());
}

TEST_F(LiftTest, InALargerHeapAllStays) {
  start();
  alloc(2 * kMiB / base::kFrameSize);
  std::vector<Frame*> blocks(60);
  for (Frame*& block : blocks) block = alloc(1);
  for (size_t i = 0; i < blocks.size(); i += 2) free(blocks[i]);
  alloc(64);
  EXPECT_FALSE(zone.wants_trim());
}

// What a zone keeps of as many free frames as are live, where `clean` of them at a time are purged
// and fetched again.
class CostTest : public testing::Test {
 protected:
  CostTest() { keeping.set(kKeepNothing); }
  size_t limit() { return keeping.limit(kNow, now_ms); }
  void fetch(size_t clean) {
    keeping.note_purge(kNow, clean);
    keeping.note_demand(kNow, clean);
  }

  static constexpr page::Frames kNow{.live = 1000, .dirty = 1000};
  static constexpr size_t kShare = 1000 / 16;  // of the peak
  page::Keeping keeping;
  uint64_t now_ms = 5000;
};

TEST_F(CostTest, WhatIsFetchedAgainAndAgainStaysThoughItIsAboveThePeaksShare) {
  fetch(0);
  EXPECT_EQ(limit(), 0u);
  fetch(300);
  EXPECT_EQ(limit(), 300u);
}

TEST_F(CostTest, HalfOfLiveMemoryIsTheMostThatStays) {
  fetch(0);
  limit();
  for (int i = 0; i < 100; ++i) fetch(100);
  EXPECT_EQ(limit(), kShare + 500);
}

TEST_F(CostTest, WhatIsFetchedSlowlyDoesNot) {
  limit();
  for (int i = 0; i < 5000; ++i) {
    fetch(1);
    EXPECT_LE(limit(), kShare + 2) << "after " << i;
    now_ms += i % 2 == 0 ? 1 : 3;
  }
}

TEST_F(CostTest, NothingStaysForItWhenNothingIsLive) {
  limit();
  for (int i = 0; i < 20; ++i) fetch(100);
  EXPECT_EQ(keeping.limit({.live = 0, .dirty = 3000}, now_ms), 1000 + kShare);
}

TEST_F(CostTest, HugePagesCostLittle) {
  fetch(0);
  limit();
  keeping.note_purge(kNow, 300);
  keeping.note_demand(kNow, 300, page::Keeping::Fetch::kByHugePage);
  EXPECT_LE(limit(), kShare);
}

TEST_F(CostTest, LargeBlocksAreNoExceptionFromIt) {
  Retention retention = kKeepNothing;
  retention.more = Retention::More::kToPeak;
  keeping.set(retention);
  fetch(0);
  limit();
  EXPECT_LE(limit(), 1000u / 8);
  fetch(300);
  EXPECT_EQ(limit(), 1000u / 8 + 300);
}

TEST_F(CostTest, NeitherIsHalfOfWhatIsLiveOfThem) {
  Retention retention = kKeepNothing;
  retention.more = Retention::More::kToPeak;
  keeping.set(retention);
  keeping.note_demand({.live = 4000, .dirty = 0}, 0);
  EXPECT_EQ(limit(), 500u);
  fetch(300);
  EXPECT_EQ(limit(), 800u);
}

TEST_F(CostTest, TimePaysForIt) {
  fetch(0);
  limit();
  for (int i = 0; i < 4; ++i) fetch(100);
  EXPECT_GT(limit(), kShare + 200);
  now_ms += 250;
  EXPECT_GT(limit(), kShare + 200);
  now_ms += 600;
  EXPECT_LE(limit(), kShare);
}

TEST_F(CostTest, AClockThatJumpsBackIsNoHarm) {
  fetch(0);
  limit();
  fetch(300);
  EXPECT_GT(limit(), kShare);
  now_ms = 1;
  EXPECT_LE(limit(), kShare);
}

}  // namespace
