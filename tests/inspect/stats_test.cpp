// inspect/stats_test.cpp -- proves that the numbers are true: what a program holds is live, what it
// gave back is not, and all of it is committed.

#include "inspect/stats.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ashlar/inspect.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/audit.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;

TEST(Stats, LiveIsWhatIsHeld) {
  size_t before = inspect::totals().live;
  std::vector<void*> blocks;
  for (int i = 0; i < 10000; ++i) blocks.push_back(front::alloc(128));
  void* large = front::alloc(3 * kMiB);
  inspect::Totals held = inspect::totals();
  EXPECT_EQ(held.live - before, 10000u * 128 + 3 * kMiB);
  EXPECT_EQ(held.large_bytes, 3 * kMiB);
  EXPECT_EQ(held.large_blocks, 1u);
  EXPECT_GE(held.committed, held.live);
  for (void* p : blocks) front::free(p);
  front::free(large);
  EXPECT_EQ(inspect::totals().live, before);
  EXPECT_EQ(inspect::totals().large_blocks, 0u);
}

TEST(Stats, WhatIsFreeIsCachedOrDirtyUntilItIsReaped) {
  front::reap();
  inspect::Totals before = inspect::totals();
  std::vector<void*> blocks;
  for (int i = 0; i < 10000; ++i) blocks.push_back(front::alloc(1024));
  for (void* p : blocks) front::free(p);
  inspect::Totals after = inspect::totals();
  EXPECT_GT(after.cached + after.dirty, before.cached + before.dirty);
  front::reap();
  after = inspect::totals();
  EXPECT_EQ(after.dirty, 0u);
  EXPECT_EQ(after.cached, 0u);
  EXPECT_EQ(after.ready, 0u);
  EXPECT_GT(after.purged, before.purged);
}

TEST(Stats, SlowCallsAreCounted) {
  size_t before = inspect::totals().slow_allocs;
  std::vector<void*> blocks;
  for (int i = 0; i < 10000; ++i) blocks.push_back(front::alloc(256));
  EXPECT_GT(inspect::totals().slow_allocs, before);
  for (void* p : blocks) front::free(p);
  EXPECT_GT(inspect::totals().slow_frees, 0u);
}

TEST(Stats, EachCacheHasItsLine) {
  void* p = front::alloc(700);
  const inspect::Snapshot snapshot = inspect::take_snapshot();
  const std::string name = front::class_name(front::class_of(700));
  unsigned lines = 0;
  inspect::for_each_cache(snapshot, [&](const inspect::CacheTotals& cache) {
    if (cache.stats.name != name) return;
    ++lines;
    EXPECT_EQ(cache.stats.stock.live - cache.ready, 1u);
  });
  EXPECT_EQ(lines, 1u);
  front::free(p);
}

TEST(Stats, ThePublicNumbersAreTheSame) {
  void* p = front::alloc(kMiB);
  ashlar_stats stats;
  ashlar_get_stats(&stats);
  inspect::Totals totals = inspect::totals();
  EXPECT_EQ(stats.live, totals.live);
  EXPECT_EQ(stats.large_blocks, 1u);
  EXPECT_EQ(stats.large_bytes, kMiB);
  EXPECT_EQ(stats.committed, totals.committed);
  EXPECT_GT(stats.metadata, 0u);
  front::free(p);
}

}  // namespace
