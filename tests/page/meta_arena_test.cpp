// page/meta_arena_test.cpp -- proves that metadata is zero, aligned, never handed out twice, and
// that a kernel that says no costs nothing.

#include "page/meta_arena.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/bits.h"
#include "support/auxv.h"
#include "support/fake_vm.h"

namespace {
using namespace ashlar;

using page::MetaArena;

class MetaArenaTest : public testing::Test {
 protected:
  MetaArenaTest() : place(vm.vm().reserve(kSize, kSize)) {
    arena.start(vm.vm(), place, place.base, kSize);
  }
  static constexpr size_t kSize = size_t{32} << 20;
  test::FakeVm vm;
  os::Place place;
  MetaArena arena;
};

TEST_F(MetaArenaTest, RecordsAreZeroAlignedAndApart) {
  char* last_end = place.base;
  for (size_t i = 1; i < 3000; ++i) {
    size_t size = i % 300 + 1, align = size_t{1} << (i % 8);
    char* record = static_cast<char*>(arena.alloc(size, align));
    ASSERT_NE(record, nullptr);
    EXPECT_TRUE(base::is_aligned(record, align));
    ASSERT_GE(record, last_end);
    for (size_t b = 0; b < size; ++b) ASSERT_EQ(record[b], 0);
    std::memset(record, 0xff, size);
    last_end = record + size;
  }
  EXPECT_EQ(arena.used(), static_cast<size_t>(last_end - place.base));
}

TEST_F(MetaArenaTest, WhatWasDonatedIsCountedWhenItIsUsed) {
  alignas(64) static char memory[4096];
  arena.donate(memory, sizeof memory);
  EXPECT_EQ(arena.used(), 0u);
  EXPECT_EQ(arena.alloc(100, 4), memory);
  EXPECT_EQ(arena.used(), 100u);
  EXPECT_EQ(arena.alloc(64, 64), memory + 128);
  EXPECT_EQ(arena.used(), 192u) << "with what an alignment costs";
}

TEST_F(MetaArenaTest, SmallRecordsCostFewCalls) {
  for (int i = 0; i < 1000; ++i) ASSERT_NE(arena.alloc(100, 8), nullptr);
  EXPECT_EQ(vm.commits, 1u);
}

TEST_F(MetaArenaTest, ARefusalChangesNothing) {
  ASSERT_NE(arena.alloc(64, 64), nullptr);
  size_t used = arena.used();
  vm.failing_commits = 1;
  EXPECT_EQ(arena.alloc(size_t{1} << 20, 64), nullptr);
  EXPECT_EQ(arena.used(), used);
  EXPECT_NE(arena.alloc(64, 64), nullptr) << "what is committed can still be handed out";
  EXPECT_NE(arena.alloc(size_t{1} << 20, 64), nullptr);
}

TEST_F(MetaArenaTest, EndsWhereItsSpaceEnds) {
  EXPECT_EQ(arena.alloc(kSize + 1, 1), nullptr);
  EXPECT_NE(arena.alloc(kSize, 1), nullptr);
  EXPECT_EQ(arena.alloc(1, 1), nullptr);
}

TEST_F(MetaArenaTest, AlignmentBeyondTheEndIsRefused) {
  ASSERT_NE(arena.alloc(kSize - 1, 1), nullptr);
  EXPECT_EQ(arena.alloc(16, 4096), nullptr);
  EXPECT_NE(arena.alloc(1, 1), nullptr);
}

TEST_F(MetaArenaTest, CommitsWholePagesOf64KiB) {
  test::PageSize page(65536);  // the fake kernel refuses what is not made of its pages
  for (int i = 0; i < 100; ++i) ASSERT_NE(arena.alloc(5000, 16), nullptr);
}

}  // namespace
