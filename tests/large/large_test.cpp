// large/large_test.cpp -- proves that large blocks are exact counts of frames, keep their content
// wherever a resize leads them, and that a refusal changes nothing.

#include "large/large.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/auxv.h"
#include "support/fake_vm.h"

namespace {
using namespace ashlar;

using base::kFrameSize;
using base::Pages;
using large::Block;
using large::Memory;

constexpr page::Retention kKeepAll{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
constexpr size_t kMiB = size_t{1} << 20;

class LargeTest : public testing::Test {
 protected:
  LargeTest() { EXPECT_TRUE(heap.start(vm.vm(), kKeepAll)); }

  Block block_of(void* p) {
    page::Zone* zone = heap.zone_of(p);
    return {zone, &zone->frame_of(p)};
  }
  void* alloc(size_t size, size_t align = 16) {
    Memory memory = large::alloc(heap, size, align, large::Fill::kWhole);
    heap.audit();
    return memory.address;
  }
  void free(void* p) {
    large::free(heap, block_of(p));
    heap.audit();
  }
  void* resize(void* p, size_t size) {
    void* resized = large::try_resize(heap, block_of(p), size);
    heap.audit();
    return resized;
  }
  // A byte of its own at the start of each frame.
  static void fill(void* p, size_t size) {
    for (size_t at = 0; at < size; at += kFrameSize)
      static_cast<char*>(p)[at] = static_cast<char>(at / kFrameSize * 7 + 1);
  }
  static void expect_filled(void* p, size_t size) {
    for (size_t at = 0; at < size; at += kFrameSize)
      ASSERT_EQ(static_cast<char*>(p)[at], static_cast<char>(at / kFrameSize * 7 + 1)) << at;
  }

  test::FakeVm vm;
  page::PageHeap heap;
};

TEST_F(LargeTest, SizesAreRoundedToFramesAndNoFurther) {
  for (size_t size : {kFrameSize, kFrameSize + 1, 9 * kFrameSize, 33 * kFrameSize - 1, kMiB + 1}) {
    void* p = alloc(size);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(large::usable_size(block_of(p)), base::round_up(size, kFrameSize));
    std::memset(p, 1, size);
    free(p);
  }
}

TEST_F(LargeTest, AlignmentsBeyondAFrameAreKept) {
  for (size_t align = 16; align <= 8 * kMiB; align *= 2) {
    void* p = alloc(40 * 1024, align);
    ASSERT_NE(p, nullptr) << align;
    EXPECT_TRUE(base::is_aligned(p, align)) << align;
    free(p);
  }
}

TEST_F(LargeTest, AnAlignmentThatTheWindowItselfLacksIsOutOfMemory) {
  EXPECT_EQ(alloc(kMiB, size_t{1} << 46), nullptr);
  EXPECT_NE(alloc(kMiB), nullptr);
}

TEST_F(LargeTest, NewMemoryIsKnownToBeZeroAndUsedMemoryIsNot) {
  Memory memory = large::alloc(heap, 100 * kFrameSize, 16, large::Fill::kWhole);
  ASSERT_TRUE(memory.is_zero);
  for (size_t i = 0; i < 100 * kFrameSize; ++i) ASSERT_EQ(static_cast<char*>(memory.address)[i], 0);
  std::memset(memory.address, 1, 100 * kFrameSize);
  free(memory.address);
  EXPECT_FALSE(large::alloc(heap, 100 * kFrameSize, 16, large::Fill::kWhole).is_zero);
}

TEST_F(LargeTest, ShrinkingStaysInPlaceAndGivesTheTailBack) {
  void* p = alloc(100 * kFrameSize);
  fill(p, 100 * kFrameSize);
  EXPECT_EQ(resize(p, 50 * kFrameSize + 1), p);
  EXPECT_EQ(large::usable_size(block_of(p)), 51 * kFrameSize);
  expect_filled(p, 51 * kFrameSize);
  EXPECT_EQ(heap.slabs().stats().live, 51u);
}

TEST_F(LargeTest, GrowsInPlaceWhereItCan) {
  void* p = alloc(10 * kFrameSize);
  fill(p, 10 * kFrameSize);
  EXPECT_EQ(resize(p, 100 * kFrameSize), p);
  expect_filled(p, 10 * kFrameSize);
  EXPECT_EQ(vm.moves, 0u);
}

TEST_F(LargeTest, SmallBlocksThatCannotGrowAreLeftToBeCopied) {
  void* p = alloc(8 * kFrameSize);
  void* wall = alloc(8 * kFrameSize);
  ASSERT_EQ(static_cast<char*>(wall), static_cast<char*>(p) + 8 * kFrameSize);
  EXPECT_EQ(resize(p, 16 * kFrameSize), nullptr);
  EXPECT_EQ(large::usable_size(block_of(p)), 8 * kFrameSize);
  EXPECT_EQ(vm.moves, 0u);
}

TEST_F(LargeTest, BigBlocksAreMovedByTheKernel) {
  size_t size = 4 * kMiB;
  void* p = alloc(size);
  void* wall = alloc(size);
  ASSERT_EQ(static_cast<char*>(wall), static_cast<char*>(p) + size);
  fill(p, size);
  void* moved = resize(p, 2 * size);
  ASSERT_NE(moved, nullptr);
  EXPECT_NE(moved, p);
  EXPECT_EQ(vm.moves, 1u);
  EXPECT_EQ(large::usable_size(block_of(moved)), 2 * size);
  expect_filled(moved, size);
  std::memset(moved, 1, 2 * size);
  // What was left behind can be used again, and is not taken for zeroed memory where it is not.
  Memory again = large::alloc(heap, size, 16, large::Fill::kWhole);
  if (again.is_zero) {
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(static_cast<char*>(again.address)[i], 0);
  }
}

// Moved, it would be a mapping of its own.
TEST_F(LargeTest, WhatIsFilledIsMovedOnlyWhereItIsGreat) {
  for (size_t size : {4 * kMiB, 12 * kMiB, 16 * kMiB}) {
    void* p = alloc(size);
    void* wall = alloc(size);
    fill(p, size);
    vm.filled = {{static_cast<char*>(p), size}};
    unsigned moves = vm.moves;
    bool is_moved = resize(p, 2 * size) != nullptr;
    EXPECT_EQ(is_moved, size == 16 * kMiB) << size;
    EXPECT_EQ(vm.moves - moves, is_moved ? 1u : 0u);
    free(wall);
  }
}

TEST_F(LargeTest, NothingThatWasMovedOutlivesItsBlock) {
  std::vector<void*> blocks;
  for (size_t i = 0; i < 8; ++i) blocks.push_back(alloc(2 * kMiB));
  for (size_t size : {3 * kMiB, 5 * kMiB, 2 * kMiB, 6 * kMiB, 3 * kMiB, 8 * kMiB})
    for (void*& block : blocks) {
      fill(block, 2 * kMiB);
      void* moved = resize(block, size);
      if (moved == nullptr) {  // as realloc does
        moved = alloc(size);
        std::memcpy(moved, block, 2 * kMiB);
        free(block);
      }
      block = moved;
      expect_filled(block, 2 * kMiB);
    }
  EXPECT_GT(vm.moves, 0u);
  EXPECT_LE(vm.moved.size(), 4 * blocks.size());
  for (void* block : blocks) free(block);
  EXPECT_EQ(vm.moved.size(), 0u);
}

TEST_F(LargeTest, AMoveThatTheKernelRefusesChangesNothing) {
  size_t size = 4 * kMiB;
  void* p = alloc(size);
  alloc(size);
  fill(p, size);
  vm.failing_moves = 1;
  EXPECT_EQ(resize(p, 2 * size), nullptr);
  EXPECT_EQ(large::usable_size(block_of(p)), size);
  expect_filled(p, size);
  EXPECT_EQ(heap.giants().stats().live, 2 * size / kFrameSize) << "the target was not given back";
}

TEST_F(LargeTest, ATargetThatIsLostInAMoveIsNeverGivenOut) {
  size_t size = 4 * kMiB;
  void* p = alloc(size);
  alloc(size);
  fill(p, size);
  vm.failing_moves = 1;
  vm.loses_targets = true;
  const size_t held = heap.budget().held();
  EXPECT_EQ(resize(p, 2 * size), nullptr);
  expect_filled(p, size);
  EXPECT_EQ(heap.giants().stats().live, 4 * size / kFrameSize);
  EXPECT_EQ(heap.budget().held(), held) << "there is no memory in it";
}

TEST_F(LargeTest, GrowthWithoutMemoryChangesNothing) {
  void* p = alloc(4 * kMiB);
  fill(p, 4 * kMiB);
  vm.limit = vm.committed_bytes();
  EXPECT_EQ(resize(p, 100 * kMiB), nullptr);
  EXPECT_EQ(large::usable_size(block_of(p)), 4 * kMiB);
  expect_filled(p, 4 * kMiB);
}

// Else a block longer than half of what may be held could not grow. Who asks meanwhile is told no
// less than what is held, and no more than what will be.
TEST_F(LargeTest, TheBoundsCountOnceWhatIsMoved) {
  const size_t size = 20 * kMiB;
  void* p = alloc(size);
  alloc(size);
  fill(p, size);
  page::Budget& budget = heap.budget();
  const size_t held = budget.held();
  budget.set({.hard = held + 12 * kMiB / kFrameSize});  // a part of it is the reserve
  EXPECT_EQ(resize(p, size + 13 * kMiB), nullptr);
  EXPECT_EQ(budget.held(), held);
  static page::Budget* asked;
  static std::vector<size_t> told;
  asked = &budget;
  told.clear();
  vm.while_committing = [] { told.push_back(asked->held()); };
  vm.while_moving = vm.while_committing;
  void* moved = resize(p, size + 8 * kMiB);
  ASSERT_NE(moved, nullptr);
  const size_t grown = held + 8 * kMiB / kFrameSize;
  ASSERT_GE(told.size(), 2u) << "memory is asked for, and moved";
  EXPECT_EQ(told.back(), grown);
  told.pop_back();
  for (size_t frames : told) EXPECT_EQ(frames, held);
  EXPECT_NE(moved, p);
  expect_filled(moved, size);
  EXPECT_EQ(budget.held(), grown);
}

// A block that never leaves its zone's kind: from the slabs' zone into the giants'.
TEST_F(LargeTest, GrowsAcrossTheBorderOfTheZones) {
  void* p = alloc(base::kApartFrom - kFrameSize);
  fill(p, base::kApartFrom - kFrameSize);
  void* grown = resize(p, 3 * kMiB);
  ASSERT_EQ(grown, p) << "what follows it is free";
  expect_filled(grown, base::kApartFrom - kFrameSize);
  EXPECT_GE(large::usable_size(block_of(grown)), 3 * kMiB);
}

TEST_F(LargeTest, WhatBecomesAGiantAmongSlabsMovesToTheOthers) {
  void* p = alloc(3 * kMiB);
  ASSERT_EQ(heap.zone_of(p), &heap.slabs());
  fill(p, 3 * kMiB);
  void* grown = resize(p, base::kGiantSize);
  ASSERT_NE(grown, nullptr);
  EXPECT_EQ(heap.zone_of(grown), &heap.giants());
  expect_filled(grown, 3 * kMiB);
  EXPECT_EQ(heap.slabs().stats().large, 0u);
  EXPECT_EQ(resize(grown, 2 * base::kGiantSize), grown) << "there it has room";
}

// What is asked for zeroed, in the place of a block of which so much is in memory.
class ZeroedTest : public LargeTest {
 protected:
  // Whether it was purged, and need not be cleared.
  bool is_purged(size_t size, size_t in_memory, bool is_midst_written = true) {
    char* p = static_cast<char*>(alloc(size));
    std::memset(p, 0, size);
    p[size / 2 + 100] = is_midst_written ? 1 : 0;
    vm.filled = {{p, in_memory}};
    free(p);
    vm.purged.clear();
    Memory zeroed = large::alloc(heap, size, 16, large::Fill::kSparse);
    EXPECT_EQ(zeroed.address, p);
    EXPECT_EQ(vm.purged.size(), zeroed.is_zero ? 1u : 0u);
    EXPECT_EQ(p[size / 2 + 100] == 0, zeroed.is_zero || !is_midst_written);
    free(p);
    return zeroed.is_zero;
  }
};

TEST_F(ZeroedTest, IsClearedWhereItHadBeenFilled) {
  EXPECT_FALSE(is_purged(3 * kMiB, 3 * kMiB));
  EXPECT_FALSE(is_purged(3 * kMiB, 3 * kMiB - 64 * kFrameSize)) << "as good as filled";
}

TEST_F(ZeroedTest, IsPurgedWhereItHadNot) {
  EXPECT_TRUE(is_purged(3 * kMiB, 2 * kMiB));
  EXPECT_TRUE(is_purged(3 * kMiB, 0)) << "nothing is known";
}

TEST_F(ZeroedTest, TheKernelIsNotAskedWhereTheMidstIsZero) {
  EXPECT_TRUE(is_purged(3 * kMiB, 3 * kMiB, false));
  EXPECT_EQ(vm.resident_looks, 0u);
}

TEST_F(ZeroedTest, TheKernelIsNotAskedWhereHugePagesAreForbidden) {
  page::PageHeap other;
  ASSERT_TRUE(other.start(vm.vm(), kKeepAll, {.huge_pages = page::Manners::HugePages::kNever}));
  auto ask = [&] { return large::alloc(other, 3 * kMiB, 16, large::Fill::kSparse); };
  Memory first = ask();
  std::memset(first.address, 1, 3 * kMiB);
  vm.filled = {{static_cast<char*>(first.address), 3 * kMiB}};
  large::free(other, {other.zone_of(first.address),
                      &other.zone_of(first.address)->frame_of(first.address)});
  EXPECT_TRUE(ask().is_zero);
  EXPECT_EQ(vm.resident_looks, 0u);
}

TEST_F(ZeroedTest, AGiantIsFetchedAnew) {
  EXPECT_TRUE(is_purged(64 * kMiB, 64 * kMiB));
  EXPECT_EQ(vm.resident_looks, 0u);
}

// The kernel rounds to its page, the heap to 4 KiB: a neighbour may share the last page. The fake
// kernel ends the program where it is asked for parts of pages.
class LargeOnLargePages : public LargeTest, public testing::WithParamInterface<size_t> {
  test::PageSize page_{GetParam()};
};

TEST_P(LargeOnLargePages, NeighboursKeepTheirContent) {
  size_t size = 2 * kMiB + kFrameSize;
  void* first = alloc(size);
  void* second = alloc(size);
  fill(first, size);
  fill(second, size);
  if (void* moved = resize(first, 4 * size)) first = moved;
  expect_filled(first, size);
  expect_filled(second, size);
  free(first);
  Memory zeroed = large::alloc(heap, size, 16, large::Fill::kSparse);
  heap.audit();
  if (zeroed.is_zero) {
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(static_cast<char*>(zeroed.address)[i], 0) << i;
  }
  expect_filled(second, size);
}

INSTANTIATE_TEST_SUITE_P(KiB, LargeOnLargePages,
                         testing::Values(size_t{4096}, size_t{16384}, size_t{65536}),
                         [](const auto& info) { return std::to_string(info.param / 1024); });

}  // namespace
