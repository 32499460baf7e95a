// cache/depot_test.cpp -- proves that the depot gives back what was put in, never more than its
// limit, and knows which magazines an interval did not need.

#include "cache/depot.h"

#include <gtest/gtest.h>

#include <set>

#include "cache/magazine.h"
#include "support/fake_vm.h"

namespace {
using namespace ashlar;

using cache::Depot;
using cache::Full;

class DepotTest : public testing::Test {
 protected:
  DepotTest() {
    os::Place place = vm.vm().reserve(kSize, kSize);
    meta.start(vm.vm(), place, place.base, kSize);
    depot.start(meta);
  }
  static constexpr size_t kSize = size_t{32} << 20;
  static constexpr unsigned kLimit = 100;
  // A magazine that is not empty; nobody looks behind the address.
  static Full magazine(uint64_t i) { return {(i + 1) << 20 | 0x7ff0, 16}; }

  test::FakeVm vm;
  page::MetaArena meta;
  Depot depot;
};

TEST_F(DepotTest, IsEmptyAtFirst) {
  EXPECT_EQ(depot.take(0), Full{});
  EXPECT_EQ(depot.take_idle(), Full{});
  EXPECT_EQ(depot.count(), 0u);
  depot.audit();
}

TEST_F(DepotTest, GivesBackEachMagazineOnce) {
  std::set<uint64_t> inside;
  for (uint64_t i = 0; i < kLimit; ++i) {
    ASSERT_TRUE(depot.try_put(magazine(i))) << i;
    inside.insert(magazine(i).magazine);
    depot.audit();
  }
  for (Full full; (full = depot.take(0)) != Full{};) {
    EXPECT_EQ(inside.erase(full.magazine), 1u);
    EXPECT_EQ(full.objects, 16u);
  }
  EXPECT_TRUE(inside.empty());
}

TEST_F(DepotTest, IsBoundedAndSaysSo) {
  uint64_t put = 0;
  while (put < 100000 && depot.try_put(magazine(put))) ++put;
  EXPECT_LT(put, 65536u);
  EXPECT_EQ(depot.count(), put);
  depot.audit();
  EXPECT_EQ(depot.take(0), magazine(put - 1));
  EXPECT_TRUE(depot.try_put(magazine(put)));
}

TEST_F(DepotTest, RefusesWithoutMetadataAndKeepsWhatItHas) {
  vm.failing_commits = 1;
  EXPECT_FALSE(depot.try_put(magazine(0)));
  EXPECT_EQ(depot.count(), 0u);
  ASSERT_TRUE(depot.try_put(magazine(0)));
  depot.audit();
  // Use up all metadata: the slots cannot grow any more.
  while (meta.alloc(4096, 1) != nullptr) {
  }
  while (meta.alloc(1, 1) != nullptr) {
  }
  unsigned put = 1;
  while (depot.try_put(magazine(put))) ++put;
  EXPECT_LT(put, 20000u) << "there was no metadata left to grow with";
  EXPECT_EQ(depot.count(), put);
  depot.audit();
}

TEST_F(DepotTest, IdleIsWhatTheIntervalNeverNeeded) {
  for (uint64_t i = 0; i < 10; ++i) depot.try_put(magazine(i));
  EXPECT_EQ(depot.take_idle(), Full{}) << "no interval has passed";
  depot.end_interval();
  depot.take(0);
  depot.take(0);
  depot.take(0);
  depot.try_put(magazine(20));
  depot.try_put(magazine(21));
  // The least count was 7.
  for (int i = 0; i < 7; ++i) EXPECT_NE(depot.take_idle(), Full{}) << i;
  EXPECT_EQ(depot.take_idle(), Full{});
  EXPECT_EQ(depot.count(), 2u);
  depot.audit();
}

TEST_F(DepotTest, ABusyDepotHasNothingIdle) {
  for (uint64_t i = 0; i < 10; ++i) depot.try_put(magazine(i));
  depot.end_interval();
  for (int i = 0; i < 10; ++i) depot.take(0);
  for (uint64_t i = 0; i < 10; ++i) depot.try_put(magazine(i));
  EXPECT_EQ(depot.take_idle(), Full{});
}

TEST_F(DepotTest, AuditSeesAnEmptyMagazine) {
  depot.try_put({cache::empty_word(16), 0});
  EXPECT_DEATH(depot.audit(), "check failed: !is_empty");
}

TEST_F(DepotTest, EachNodeGetsItsOwnMagazines) {
  for (uint64_t i = 0; i < 20; ++i) {
    Full full = magazine(i);
    full.yard = static_cast<uint16_t>(i % 2);
    ASSERT_TRUE(depot.try_put(full));
  }
  std::set<uint64_t> seen;
  for (int i = 0; i < 10; ++i) {
    Full full = depot.take(1);
    EXPECT_EQ(full.yard, 1u);
    EXPECT_TRUE(seen.insert(full.magazine).second) << "twice";
    depot.audit();
  }
  EXPECT_EQ(depot.take(1), Full{});
  EXPECT_EQ(depot.count(), 10u);
  EXPECT_NE(depot.take(0), Full{});
  EXPECT_NE(depot.take_any(), Full{});
  depot.end_interval();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(depot.take_idle().yard, 0u);
  EXPECT_EQ(depot.count(), 0u);
}

TEST_F(DepotTest, WhatLiesDeepBelowAnotherNodesGoesByAge) {
  ASSERT_TRUE(depot.try_put(magazine(0)));
  for (uint64_t i = 1; i <= 1000; ++i) {
    Full full = magazine(i);
    full.yard = 1;
    ASSERT_TRUE(depot.try_put(full));
  }
  EXPECT_EQ(depot.take(0), Full{});
  depot.end_interval();
  unsigned idle = 0;
  while (depot.take_idle() != Full{}) ++idle;
  EXPECT_EQ(idle, 1001u);
}

TEST_F(DepotTest, WhatNobodyTookGoesAndNotWhatIsBusyAboveIt) {
  ASSERT_TRUE(depot.try_put(magazine(0)));
  depot.end_interval();
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 1; i <= 10; ++i) {
      Full full = magazine(i);
      full.yard = 1;
      ASSERT_TRUE(depot.try_put(full));
    }
    for (int i = 0; i < 10 && round < 2; ++i) EXPECT_EQ(depot.take(1).yard, 1u);
  }
  EXPECT_EQ(depot.take_idle(), magazine(0));
  EXPECT_EQ(depot.take_idle(), Full{});
  EXPECT_EQ(depot.count(), 10u);
}

}  // namespace
