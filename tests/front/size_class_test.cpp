// front/size_class_test.cpp -- proves that every request has the smallest class that holds it, that
// aligned requests get aligned classes, and that rounding wastes no more than is promised.

#include "front/size_class.h"

#include <gtest/gtest.h>

#include <string>

namespace {
using namespace ashlar;

using base::kMaxCached;
using front::class_of;
using front::class_of_aligned;
using front::kClasses;
using front::kClassSize;

TEST(SizeClass, EverySizeGetsTheSmallestClassThatHoldsIt) {
  for (size_t size = 0; size <= kMaxCached; ++size) {
    unsigned id = class_of(size);
    ASSERT_GE(id, 1u);
    ASSERT_LE(id, kClasses);
    ASSERT_GE(kClassSize[id], size);
    if (id > 1) {
      ASSERT_LT(kClassSize[id - 1], size);
    }
  }
}

TEST(SizeClass, SizesRiseAndAreWholeGrains) {
  EXPECT_EQ(kClassSize[1], 16);
  EXPECT_EQ(kClassSize[kClasses], kMaxCached);
  for (unsigned id = 2; id <= kClasses; ++id) {
    EXPECT_GT(kClassSize[id], kClassSize[id - 1]);
    EXPECT_EQ(kClassSize[id] % 16, 0);
  }
}

TEST(SizeClass, RoundingWastesAtMostANinthOfTheBlock) {
  for (size_t size = 129; size <= kMaxCached; ++size) {
    size_t block = kClassSize[class_of(size)];
    ASSERT_LE((block - size) * 9, block) << size << " in " << block;
  }
}

TEST(SizeClass, AlignedRequestsGetObjectsThatAreAligned) {
  for (size_t align = 16; align <= base::kFrameSize; align *= 2)
    for (size_t size = 0; size <= kMaxCached; size += 13) {
      unsigned id = class_of_aligned(size, align);
      if (id == 0) continue;
      ASSERT_GE(kClassSize[id], size);
      ASSERT_EQ(kClassSize[id] % align, 0u) << size << " at " << align;
      ASSERT_EQ(front::kLayouts[id].colour_step % align, 0u) << size << " at " << align;
    }
}

TEST(SizeClass, AlignedRequestsWasteLittle) {
  for (size_t align = 16; align <= base::kFrameSize; align *= 2)
    for (size_t size = align; size <= kMaxCached; size += 13) {
      unsigned id = class_of_aligned(size, align);
      ASSERT_NE(id, 0u) << size << " at " << align;
      size_t rounded = (size + align - 1) / align * align;
      ASSERT_LE(kClassSize[id], 2 * rounded) << size << " at " << align;
    }
}

TEST(SizeClass, WhatTheFramesCannotAlignHasNoClass) {
  EXPECT_EQ(class_of_aligned(1, 2 * base::kFrameSize), 0);
  EXPECT_EQ(class_of_aligned(kMaxCached + 1, 16), 0);
  EXPECT_EQ(class_of_aligned(SIZE_MAX, 16), 0);
  EXPECT_EQ(class_of_aligned(0, size_t{1} << 63), 0);
}

TEST(SizeClass, NamesTellTheSize) {
  for (unsigned id = 1; id <= kClasses; ++id)
    EXPECT_STREQ(front::class_name(id), ("malloc-" + std::to_string(kClassSize[id])).c_str());
}

TEST(SizeClass, ALayoutIsItsClasss) {
  for (unsigned id = 1; id <= kClasses; ++id)
    EXPECT_EQ(front::kLayouts[id].object_size, kClassSize[id]);
}

}  // namespace
