// conform/zero_size_test.cpp -- nothing is also a size.
//
// A user would notice: a program that calls malloc(0) and takes NULL for "out of memory" gives up;
// one that calls realloc(p, 0) as glibc documents it leaks p, or frees it twice.

#include <gtest/gtest.h>

#include <set>

#include "../support/subject.h"
#include "family.h"

using namespace family;

namespace {

TEST(ZeroSize, EveryAllocationOfNothingIsUniqueAndFreeable) {
  for (const Maker& maker : kMakers) {
    std::set<void*> seen;
    for (int i = 0; i < 100; ++i) {
      void* block = maker.make(0);
      ASSERT_NE(block, nullptr) << maker.name << "(0)";
      ASSERT_TRUE(seen.insert(block).second) << maker.name << "(0) gave " << block << " twice";
    }
    for (void* block : seen) free_(block);
  }
}

TEST(ZeroSize, ReallocToZeroFreesAndReturnsNull) {
  for (size_t size : kSizes) {
    void* block = malloc_(size);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(realloc_(block, 0), nullptr) << "realloc(block of " << size << ", 0)";
  }
}

TEST(ZeroSize, ReallocToZeroReallyFrees) {
  // 4 GiB in all: were the blocks kept, resident memory would show it.
  const size_t before = test::resident_bytes();
  for (int i = 0; i < 4096; ++i) {
    void* block = malloc_(1 << 20);
    ASSERT_NE(block, nullptr);
    memset(block, 1, 1 << 16);
    ASSERT_EQ(realloc_(block, 0), nullptr);
  }
  EXPECT_LT(test::resident_bytes(), before + (size_t{64} << 20));
}

TEST(ZeroSize, ReallocOfNullToZeroGivesABlock) {
  void* block = realloc_(nullptr, 0);
  EXPECT_NE(block, nullptr);
  free_(block);
}

TEST(ZeroSize, ReallocarrayWithAZeroFactorFreesAsReallocDoes) {
  EXPECT_EQ(reallocarray_(malloc_(100), 0, 8), nullptr);
  EXPECT_EQ(reallocarray_(malloc_(100), 8, 0), nullptr);
}

TEST(ZeroSize, CallocWithAZeroFactorGivesABlock) {
  void* first = calloc_(0, SIZE_MAX);
  void* second = calloc_(SIZE_MAX, 0);
  EXPECT_NE(first, nullptr);
  EXPECT_NE(second, nullptr);
  EXPECT_NE(first, second);
  free_(first);
  free_(second);
}

TEST(ZeroSize, UsableSizeOfNullIsZero) {
  EXPECT_EQ(usable_(nullptr), 0u);
}

}  // namespace
