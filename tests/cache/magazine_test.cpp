// cache/magazine_test.cpp -- proves the arithmetic of words: a magazine knows its top, its height
// and its two ends, and a chain gives back what was put in, the last one first.

#include "cache/magazine.h"

#include <gtest/gtest.h>

#include <vector>

namespace {
using namespace ashlar;

using cache::FreeObject;

class MagazineTest : public testing::Test {
 protected:
  MagazineTest() : objects(cache::kMaxMagazine + 1) {}
  std::vector<FreeObject> objects;
};

TEST_F(MagazineTest, AnEmptyOneIsEmptyAndNotFull) {
  for (unsigned capacity = 1; capacity <= cache::kMaxMagazine; ++capacity) {
    uint64_t word = cache::empty_word(capacity);
    EXPECT_TRUE(cache::is_empty(word));
    EXPECT_FALSE(cache::is_full(word));
  }
}

TEST_F(MagazineTest, AClosedOneIsEmptyAndFull) {
  EXPECT_TRUE(cache::is_empty(os::kClosedWord));
  EXPECT_TRUE(cache::is_full(os::kClosedWord));
}

TEST_F(MagazineTest, IsFullAtItsCapacityAndNoSooner) {
  for (unsigned capacity = 1; capacity <= cache::kMaxMagazine; ++capacity) {
    uint64_t word = cache::empty_word(capacity);
    for (unsigned i = 0; i < capacity; ++i) {
      ASSERT_FALSE(cache::is_full(word)) << i << " of " << capacity;
      ASSERT_EQ(cache::room_in(word), capacity - i);
      word = cache::pushed(word, &objects[i]);
      ASSERT_FALSE(cache::is_empty(word));
      ASSERT_EQ(cache::top_of(word), &objects[i]);
    }
    EXPECT_TRUE(cache::is_full(word)) << capacity;
    EXPECT_EQ(cache::room_in(word), 0u);
  }
  EXPECT_EQ(cache::room_in(os::kClosedWord), 0u);
}

TEST_F(MagazineTest, GivesBackTheLastOneFirst) {
  uint64_t word = cache::empty_word(100);
  for (unsigned i = 0; i < 100; ++i) word = cache::pushed(word, &objects[i]);
  for (unsigned i = 100; i-- > 0;) {
    ASSERT_EQ(cache::top_of(word), &objects[i]);
    word = cache::below(word);
  }
  EXPECT_EQ(word, cache::empty_word(100)) << "the bias comes back with the last object";
}

TEST_F(MagazineTest, AChainHasItsFirstObjectOnTop) {
  std::vector<void*> list;
  for (unsigned i = 0; i < 7; ++i) list.push_back(&objects[i]);
  uint64_t word = cache::chain(list.data(), 7, 16);
  for (unsigned i = 0; i < 7; ++i, word = cache::below(word))
    EXPECT_EQ(cache::top_of(word), list[i]);
  EXPECT_EQ(word, cache::empty_word(16));
  EXPECT_EQ(cache::chain(nullptr, 0, 16), cache::empty_word(16));
}

TEST_F(MagazineTest, EveryObjectInItBearsTheMark) {
  objects[0].key = 0;
  cache::pushed(cache::empty_word(4), &objects[0]);
  EXPECT_EQ(objects[0].key, os::free_key());
}

TEST_F(MagazineTest, AddressesOfFortySevenBitsFit) {
  // Only the arithmetic: nothing is stored there.
  uint64_t highest = 0x7ffffffffff0;
  uint64_t word = highest << 16 | 0x7ff0;
  EXPECT_EQ(reinterpret_cast<uint64_t>(cache::top_of(word)), highest);
  EXPECT_FALSE(cache::is_full(word));
}

}  // namespace
