// slob/slob_test.cpp -- proves that blocks of all sizes share pages without touching each other,
// that empty pages go back, that a kernel that says no costs nothing, and that misuse is told.

#include "slob/slob.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "base/bits.h"
#include "support/rng.h"
#include "support/slob_ground.h"

namespace {
using namespace ashlar;

class SlobTest : public test::SlobGround {};

TEST_P(SlobTest, EverySizeIsRoundedToGrainsOnly) {
  for (size_t size = 0; size < base::kFrameSize; size += 7) {
    char* block = alloc(size);
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(base::is_aligned(block, 16));
    size_t expected = size == 0 ? 16 : base::round_up(size, 16);
    EXPECT_EQ(usable(block), expected);
    EXPECT_EQ(free(block), expected);
  }
}

TEST_P(SlobTest, AlignmentsUpToAFrameAreKept) {
  std::vector<char*> blocks;
  for (size_t align = 1; align <= 4096; align *= 2)
    for (size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{4095}}) {
      blocks.push_back(alloc(size, align));
      ASSERT_TRUE(base::is_aligned(blocks.back(), std::max(align, size_t{16}))) << size << align;
    }
  for (char* block : blocks) free(block);
  EXPECT_LE(slob.stats().pages, 1u);
}

TEST_P(SlobTest, ABlockThatIsKeptServesTheNextRequestOfItsLength) {
  std::vector<char*> blocks;
  for (unsigned i = 0; i <= slob::kKeptOfALength; ++i) blocks.push_back(alloc(50 + i));
  char* last = blocks.back();
  blocks.pop_back();
  size_t live = slob.stats().live_bytes;
  for (char* block : blocks) {
    EXPECT_EQ(free_alone(block), 64u);
    slob.audit();
    live -= 64;
    EXPECT_EQ(slob.stats().live_bytes, live) << "nobody has them";
  }
  EXPECT_FALSE(is_kept_when_freed(last)) << "one too many of this length";
  EXPECT_EQ(slob.stats().live_bytes, live - 64);
  EXPECT_EQ(slob.take_kept(80), nullptr);
  EXPECT_EQ(slob.take_kept(49), blocks.back()) << "the one that was touched last";
  EXPECT_EQ(usable(blocks.back()), 64u);
  EXPECT_EQ(alloc(64), last) << "the others are for who asks for what is kept";
  blocks.pop_back();
  for (; !blocks.empty(); blocks.pop_back()) EXPECT_EQ(slob.take_kept(64), blocks.back());
  EXPECT_EQ(slob.take_kept(64), nullptr);
  slob.audit();
}

// The very first block of a heap, too.
TEST_P(SlobTest, BlocksOfUpToHalfAKibibyteAreKept) {
  for (size_t size = 16; size <= 512; size += 16) {
    char* block = alloc(size);
    EXPECT_TRUE(is_kept_when_freed(block)) << size;
    EXPECT_EQ(slob.take_kept(size), block);
    free(block);
  }
}

TEST_P(SlobTest, WhoDropsSeldomKeepsFewer) {
  std::vector<char*> blocks;
  for (size_t size = 16; size <= 512; size += 16)
    for (unsigned i = 0; i < slob::kKeptOfALength; ++i) blocks.push_back(alloc(size));
  for (char* block : blocks) slob.free_alone(frame_of(block), block, slob::Keep::kFew);
  EXPECT_LE(kept.count(), slob::kMostOfFew * slob::kFewOfALength);
  EXPECT_GE(kept.count(), (slob::kMostOfFew - 1) * slob::kFewOfALength);
}

TEST_P(SlobTest, WhatIsKeptIsFreeWhenItIsDropped) {
  std::vector<char*> blocks;
  for (size_t size = 16; size <= 512; size += 16)
    for (unsigned i = 0; i < slob::kKeptOfALength; ++i) blocks.push_back(alloc(size));
  for (char* block : blocks) EXPECT_TRUE(is_kept_when_freed(block));
  slob.drop_kept();
  slob.audit();
  EXPECT_EQ(kept.count(), 0u);
  EXPECT_LE(slob.stats().pages, 1u);
}

TEST_P(SlobTest, LongBlocksAreNotKept) {
  for (size_t size : {528u, 1000u, 4000u, 8300u}) {
    char* block = alloc(size);
    EXPECT_FALSE(is_kept_when_freed(block));
  }
  EXPECT_EQ(slob.stats().live_bytes, 0u);
}

TEST_P(SlobTest, ALongBlockLeavesTheRestOfItsLastFrameToOthers) {
  char* block = alloc(2 * 4096 + 100);
  EXPECT_TRUE(base::is_aligned(block, 4096));
  EXPECT_EQ(usable(block), 2 * 4096u + 112);
  EXPECT_EQ(slob.stats().pages, 3u);
  char* other = alloc(3900);
  EXPECT_EQ(other, block + 2 * 4096 + 112);
  EXPECT_EQ(slob.stats().live_bytes, 2 * 4096u + 112 + 3904);
  std::memset(block, 1, usable(block));
  std::memset(other, 2, usable(other));
  EXPECT_EQ(free(block), 2 * 4096u + 112);
  EXPECT_EQ(slob.stats().pages, 1u) << "its frames went back at once";
  EXPECT_EQ(heap.slabs().stats().live, 1u);
  EXPECT_EQ(other[0] + other[3899], 4);
  EXPECT_EQ(alloc(100), other - 112);
}

TEST_P(SlobTest, EveryLongSizeIsRoundedToGrainsOnly) {
  size_t served = 0;
  for (size_t size = base::kFrameSize; size < slob::kEnd; size += 13) {
    if (!slob::serves(size)) continue;
    char* block = alloc(size, size % 2 == 0 ? 4096 : 1);
    EXPECT_EQ(usable(block), base::round_up(size, 16));
    EXPECT_EQ(free(block), base::round_up(size, 16));
    ++served;
  }
  EXPECT_GT(served, 1000u);
  slob.reap();
  EXPECT_EQ(heap.slabs().stats().live, 0u);
}

TEST_P(SlobTest, ALongBlockIsResizedWithinItsLastFrame) {
  char* block = alloc(4096 + 1000);
  char* other = alloc(1000);
  EXPECT_FALSE(slob.try_resize(frame_of(block), block, 4096 + 2000)) << "taken";
  EXPECT_FALSE(slob.try_resize(frame_of(block), block, 4096)) << "in another frame";
  EXPECT_FALSE(slob.try_resize(frame_of(block), block, 10));
  free(other);
  EXPECT_TRUE(slob.try_resize(frame_of(block), block, 2 * 4096));
  EXPECT_FALSE(slob.try_resize(frame_of(block), block, 2 * 4096 + 1));
  EXPECT_EQ(usable(block), 2 * 4096u);
  EXPECT_TRUE(slob.try_resize(frame_of(block), block, 4097));
  EXPECT_EQ(usable(block), 4096u + 16);
  EXPECT_EQ(slob.stats().live_bytes, 4096u + 16);
  free(block);
}

// What is said to be zero need not be cleared by calloc.
TEST_P(SlobTest, OnlyMemoryThatWasNeverUsedIsSaidToBeZero) {
  for (int round = 0; round < 50; ++round)
    for (size_t size : {100, 5000, 9000, 20500}) {
      char* block = alloc(size);
      size_t zeros = frame_of(block).is_new != 0 ? size : 0;
      for (size_t i = 0; i < zeros; ++i) ASSERT_EQ(block[i], 0) << size;
      std::memset(block, 7, size);
      if (round % 3 != 0) free(block);
    }
}

TEST_P(SlobTest, BlocksAreLaidSideBySide) {
  for (int i = 0; i < 200; ++i) ASSERT_NE(alloc(80), nullptr);
  EXPECT_EQ(slob.stats().pages, 4u);
  EXPECT_EQ(slob.stats().live_bytes, 16000u);
}

// In a list of hundreds of pages not all are looked at for room, but the empty one is never missed.
TEST_P(SlobTest, AnEmptyPageIsUsedBeforeTheHeapGrows) {
  constexpr size_t kPages = 400, kInPage = 64;
  std::vector<char*> blocks;
  for (size_t i = 0; i < kPages * kInPage; ++i)
    blocks.push_back(static_cast<char*>(slob.alloc(64, 1)));
  for (size_t i = 0; i < kPages; ++i) slob.free(frame_of(blocks[i * kInPage]), blocks[i * kInPage]);
  size_t pages = slob.stats().pages;
  for (size_t which : {10, 100, 200, 300, 390}) {
    for (size_t i = 1; i < kInPage; ++i) {
      char*& block = blocks[which * kInPage + i];
      slob.free(frame_of(block), block);
    }
    slob.audit();
    ASSERT_NE(alloc(4000), nullptr);
    EXPECT_EQ(slob.stats().pages, pages) << which;
  }
}

TEST_P(SlobTest, WhatIsServedInRoomTakesNoPage) {
  std::vector<char*> blocks;
  for (int i = 0; i < 40; ++i) blocks.push_back(alloc(1000));
  size_t pages = slob.stats().pages, room = slob.room();
  EXPECT_EQ(room, pages * 4096 - slob.stats().live_bytes);
  EXPECT_LT(room, 4096u);
  EXPECT_EQ(slob.alloc_in_room(1000), nullptr);
  for (int i = 0; i < 40; i += 2) free(blocks[i]);
  EXPECT_EQ(slob.room(), room + 20 * 1008);
  for (int i = 0; i < 40; i += 2) {
    blocks[i] = static_cast<char*>(slob.alloc_in_room(990));
    ASSERT_NE(blocks[i], nullptr) << i;
    EXPECT_TRUE(base::is_aligned(blocks[i], 16));
  }
  EXPECT_EQ(slob.alloc_in_room(1000), nullptr);
  EXPECT_EQ(slob.stats().pages, pages);
  for (char* block : blocks) free(block);
}

TEST_P(SlobTest, EmptyPagesGoBackButOne) {
  std::vector<char*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(alloc(200));
  EXPECT_EQ(heap.slabs().stats().live, slob.stats().pages);
  for (char* block : blocks) free(block);
  EXPECT_EQ(slob.stats().live_bytes, 0u);
  EXPECT_EQ(slob.stats().pages, 1u);
  slob.reap();
  EXPECT_EQ(slob.stats().pages, 0u);
  EXPECT_EQ(heap.slabs().stats().live, 0u);
  EXPECT_NE(alloc(200), nullptr);
}

TEST_P(SlobTest, ContentSurvivesWhateverHappensAround) {
  test::Rng rng(3);
  struct Held {
    unsigned char* at;
    size_t size;
    unsigned char name;
  };
  std::vector<Held> held;
  auto check = [](const Held& one, size_t size) {
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(one.at[i], one.name);
  };
  for (int step = 0; step < 6000; ++step) {
    size_t pick = held.empty() ? 0 : rng.below(held.size());
    uint64_t act = rng.below(8);
    if (act < 4) {
      size_t size = rng.size(slob::kEnd - 2) + 1;
      auto* at = reinterpret_cast<unsigned char*>(slob.alloc(size, size_t{1} << rng.below(9)));
      ASSERT_NE(at, nullptr);
      held.push_back({at, size, static_cast<unsigned char>(step)});
      std::memset(at, held.back().name, size);
    } else if (act < 5 && !held.empty()) {
      Held& one = held[pick];
      size_t size = rng.size(slob::kEnd - 2) + 1;
      if (!slob.try_resize(frame_of(one.at), one.at, size)) continue;
      check(one, std::min(size, one.size));
      one.size = size;
      std::memset(one.at, one.name, size);
    } else if (!held.empty()) {
      check(held[pick], held[pick].size);
      slob.free(frame_of(held[pick].at), held[pick].at);
      held[pick] = held.back();
      held.pop_back();
    }
    if (step % 16 == 0) slob.audit();
  }
  for (const Held& one : held) check(one, one.size);
}

TEST_P(SlobTest, WhereMemoryIsOutNothingIsLost) {
  free(alloc(1000));
  vm.limit = vm.committed_bytes();
  std::vector<char*> blocks;
  while (char* block = alloc(1000)) blocks.push_back(block);
  EXPECT_GT(blocks.size(), 500u) << "the first mebibyte is there";
  EXPECT_EQ(alloc(4000), nullptr);
  for (char* block : blocks) free(block);
  for (char*& block : blocks) ASSERT_NE(block = alloc(1000), nullptr);
  for (char* block : blocks) free(block);
}

using SlobDeathTest = SlobTest;

TEST_P(SlobDeathTest, DoubleFree) {
  alloc(10);
  char* block = alloc(100);
  free(block);
  EXPECT_DEATH(slob.free(frame_of(block), block),
               "^ashlar: double free of 0x[0-9a-f]+ \\(small block\\)\n$");
  EXPECT_DEATH(slob.usable_size(frame_of(block), block), "^ashlar: double free of ");
  char* other = alloc(64);
  ASSERT_TRUE(is_kept_when_freed(other));
  EXPECT_DEATH(free_alone(other), "^ashlar: double free of ");
  EXPECT_DEATH(slob.free(frame_of(other), other), "^ashlar: double free of ");
}

// A handler may leave reports to another thread, which allocates.
TEST_P(SlobDeathTest, NothingIsToldWithTheLockHeld) {
  static slob::Slob* heap;
  heap = &slob;
  char* block = alloc(100);
  auto misuse = [&](void* p) {
    std::signal(SIGABRT, [](int) { _exit(heap->lock().is_free() ? 42 : 1); });
    slob.free(frame_of(block), p);
  };
  EXPECT_EXIT(misuse(block + 16), testing::ExitedWithCode(42), "which points into");
  free(block);
  EXPECT_EXIT(misuse(block), testing::ExitedWithCode(42), "double free");
}

TEST_P(SlobDeathTest, FreeInsideALongBlock) {
  char* block = alloc(2 * 4096 + 100);
  page::Frame& last = frame_of(block + 2 * 4096);
  constexpr char kInside[] = "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts ";
  char start[32];
  std::snprintf(start, sizeof start, "at %p", static_cast<void*>(block));
  for (size_t offset : {1u, 16u, 4095u})
    EXPECT_DEATH(slob.free(frame_of(block), block + offset), kInside + std::string(start));
  for (size_t offset : {8192u, 8193u, 8208u})
    EXPECT_DEATH(slob.free(last, block + offset), kInside + std::string(start));
  EXPECT_DEATH(slob.free(last, block + 8192 + 112), "^ashlar: double free of ");
}

TEST_P(SlobDeathTest, FreeInsideABlock) {
  char* block = alloc(100);
  for (size_t offset : {1u, 8u, 16u, 64u, 96u, 111u})
    EXPECT_DEATH(slob.free(frame_of(block), block + offset),
                 "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at ");
}

INSTANTIATE_TEST_SUITE_P(Rows, SlobTest, testing::Bool());
INSTANTIATE_TEST_SUITE_P(Rows, SlobDeathTest, testing::Bool());

}  // namespace
