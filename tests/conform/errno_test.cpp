// conform/errno_test.cpp -- errno is the program's, not the allocator's.
//
// A user would notice: `if (errno) ...` after strtol() and a free() in between reports an error
// that never happened. POSIX.1-2024 forbids free to change errno; no allocation that succeeds may
// either.

#include <gtest/gtest.h>

#include "family.h"

using namespace family;

namespace {

constexpr int kMark = 12345;

TEST(Errno, IsUntouchedByEverySuccessfulAllocationAndByFree) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kSizes) {
      errno = kMark;
      void* block = maker.make(size);
      ASSERT_NE(block, nullptr) << maker.name << "(" << size << ")";
      ASSERT_EQ(errno, kMark) << maker.name << "(" << size << ") succeeded";
      ASSERT_GE(usable_(block), size) << maker.name;
      ASSERT_EQ(errno, kMark) << "malloc_usable_size after " << maker.name;
      free_(block);
      ASSERT_EQ(errno, kMark) << "free after " << maker.name << "(" << size << ")";
    }
  }
}

TEST(Errno, IsUntouchedByGrowingAndShrinking) {
  void* block = malloc_(1);
  for (int round = 0; round < 3; ++round) {
    for (size_t size : kSizes) {
      if (size == 0) continue;
      errno = kMark;
      block = realloc_(block, size);
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(errno, kMark) << "realloc to " << size;
    }
  }
  errno = kMark;
  free_(block);
  EXPECT_EQ(errno, kMark);
}

TEST(Errno, IsUntouchedByFreeOfNullAndByReallocToZero) {
  errno = kMark;
  free_(nullptr);
  EXPECT_EQ(errno, kMark) << "free(NULL)";
  for (size_t size : kSizes) {
    void* block = malloc_(size);
    ASSERT_NE(block, nullptr);
    errno = kMark;
    (void)realloc_(block, 0);
    ASSERT_EQ(errno, kMark) << "realloc(block of " << size << ", 0)";
  }
}

TEST(Errno, IsUntouchedWhenManyLargeBlocksAreFreedAtOnce) {
  // Enough to make any allocator give memory back to the kernel inside free().
  constexpr int kBlocks = 64;
  void* blocks[kBlocks];
  for (void*& block : blocks) {
    block = malloc_(4 << 20);
    ASSERT_NE(block, nullptr);
    memset(block, 1, 4 << 20);
  }
  for (void* block : blocks) {
    errno = kMark;
    free_(block);
    ASSERT_EQ(errno, kMark);
  }
}

}  // namespace
