// base/bit_map_test.cpp -- proves that bits are set, cleared and counted over any range, and that
// nothing beside the range is touched.

#include "base/bit_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace {
using namespace ashlar;

using base::BitMap;

constexpr size_t kBits = 256;

// Every range of 256 bits against a vector of booleans: words are 64 bits, so every way of lying
// across their borders comes up.
template <class Act>
void for_every_range(Act act) {
  for (size_t first = 0; first < kBits; ++first)
    for (size_t count = 0; first + count <= kBits; count += 1 + count / 5) act(first, count);
}

TEST(BitMap, SetTouchesTheRangeAndNothingElse) {
  for_every_range([](size_t first, size_t count) {
    uint64_t words[kBits / 64] = {};
    BitMap map(words);
    map.set(first, count);
    for (size_t bit = 0; bit < kBits; ++bit)
      ASSERT_EQ(words[bit / 64] >> (bit % 64) & 1, bit >= first && bit < first + count)
          << "bit " << bit << " after set(" << first << ", " << count << ")";
  });
}

TEST(BitMap, ClearTouchesTheRangeAndNothingElse) {
  for_every_range([](size_t first, size_t count) {
    uint64_t words[kBits / 64];
    for (uint64_t& word : words) word = ~uint64_t{0};
    BitMap map(words);
    map.clear(first, count);
    for (size_t bit = 0; bit < kBits; ++bit)
      ASSERT_EQ(words[bit / 64] >> (bit % 64) & 1, bit < first || bit >= first + count)
          << "bit " << bit << " after clear(" << first << ", " << count << ")";
  });
}

TEST(BitMap, CountIsTheNumberOfBitsInTheRange) {
  uint64_t words[kBits / 64] = {0x8000000000000001, ~uint64_t{0}, 0, 0x00ff00ff00ff00ff};
  BitMap map(words);
  for_every_range([&](size_t first, size_t count) {
    size_t expected = 0;
    for (size_t bit = first; bit < first + count; ++bit)
      expected += words[bit / 64] >> (bit % 64) & 1;
    ASSERT_EQ(map.count(first, count), expected) << first << " +" << count;
  });
}

TEST(BitMap, AnEmptyRangeReadsNoWord) {
  BitMap map(nullptr);
  EXPECT_EQ(map.count(64, 0), 0u);
  map.set(0, 0);
  map.clear(128, 0);
}

}  // namespace
