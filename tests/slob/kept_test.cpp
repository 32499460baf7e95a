// slob/kept_test.cpp -- proves that what is kept of a length is had again, last in first out, and
// no more than that.
#include "slob/kept.h"

#include <gtest/gtest.h>

#include <set>

using namespace ashlar;

using slob::Keep;
using slob::Kept;

TEST(KeptTest, ThoseOfALengthComeBackTheLastOneFirst) {
  Kept kept;
  for (size_t block = 10; block < 10 + slob::kKeptOfALength; ++block)
    EXPECT_TRUE(kept.put(3, block, Keep::kMany));
  EXPECT_FALSE(kept.put(3, 99, Keep::kMany)) << "there is no room";
  EXPECT_TRUE(kept.put(4, 99, Keep::kMany));
  kept.audit();
  for (size_t block = 9 + slob::kKeptOfALength; block >= 10; --block)
    EXPECT_EQ(kept.take(3), block);
  EXPECT_EQ(kept.take(3), Kept::kNone);
  EXPECT_EQ(kept.take(4), 99u);
  EXPECT_EQ(kept.count(), 0u);
  kept.audit();
}

TEST(KeptTest, OneIsToldByLengthAndNumber) {
  Kept kept;
  kept.put(1, 7, Keep::kMany);
  kept.put(slob::kMostKept, 8, Keep::kMany);
  EXPECT_TRUE(kept.has(1, 7));
  EXPECT_TRUE(kept.has(slob::kMostKept, 8));
  EXPECT_FALSE(kept.has(2, 7));
  EXPECT_FALSE(kept.has(1, 8));
  EXPECT_FALSE(kept.has(slob::kMostKept + 1, 8)) << "no such length is kept";
  kept.take(1);
  EXPECT_FALSE(kept.has(1, 7));
}

TEST(KeptTest, FewAreFewerAndShorter) {
  Kept kept;
  unsigned longest = slob::kMostOfFew;
  for (size_t block = 1; block <= slob::kFewOfALength; ++block)
    EXPECT_TRUE(kept.put(longest, block, Keep::kFew));
  EXPECT_FALSE(kept.put(longest, 99, Keep::kFew));
  EXPECT_TRUE(kept.put(longest, 99, Keep::kMany));
  EXPECT_FALSE(kept.put(longest + 1, 99, Keep::kFew));
  EXPECT_TRUE(kept.put(longest + 1, 99, Keep::kMany));
  EXPECT_FALSE(kept.put(slob::kMostKept + 1, 99, Keep::kMany));
  kept.audit();
}

// A MiB behind the start of a zone numbers end.
TEST(KeptTest, WhatHasNoNumberIsNotKept) {
  Kept kept;
  size_t most = Kept::kLast;
  EXPECT_FALSE(kept.put(1, most + 1, Keep::kMany));
  EXPECT_FALSE(kept.put(1, most + 8, Keep::kMany));
  EXPECT_FALSE(kept.put(1, Kept::kNone, Keep::kMany));
  EXPECT_TRUE(kept.put(1, most, Keep::kMany));
  EXPECT_FALSE(kept.has(1, Kept::kNone)) << "where there is room is none";
  EXPECT_FALSE(kept.has(1, size_t{Kept::kLast} + 1 + most)) << "which differs above";
  EXPECT_EQ(kept.take(1), most);
}

TEST(KeptTest, AllOfThemAreVisited) {
  Kept kept;
  std::multiset<unsigned> lengths;
  for (unsigned length = 1; length <= slob::kMostKept; ++length)
    for (unsigned i = 0; i < 1 + length % slob::kKeptOfALength; ++i) {
      kept.put(length, 100 * length + i, Keep::kMany);
      lengths.insert(length);
    }
  EXPECT_EQ(kept.count(), lengths.size());
  kept.for_each([&](unsigned length, uint32_t block) {
    EXPECT_EQ(block / 100, length);
    lengths.erase(lengths.find(length));
  });
  EXPECT_TRUE(lengths.empty());
}
