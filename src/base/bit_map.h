// base/bit_map.h -- one bit for each of many things, in words that are somebody else's.
//
// Idea
//   Of a heap that is told in ones and zeros (which frames may hold memory, which grains of a page
//   are taken) whole ranges are asked for and changed, a word at a time. Since the bits lie apart
//   from what they tell of, blocks can be split and merged without regard to them. Each word is
//   written whole, and after what was written before, for those who look without a lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/config.h"

namespace ashlar::base {

class BitMap {
 public:
  constexpr BitMap() = default;
  explicit BitMap(uint64_t* words) : words_(words) {}

  uint64_t* words() const { return words_; }

  void set(size_t first, size_t count) {
    visit(first, count, [](uint64_t& word, uint64_t mask) { store(word, word | mask); });
  }
  void clear(size_t first, size_t count) {
    visit(first, count, [](uint64_t& word, uint64_t mask) { store(word, word & ~mask); });
  }
  /// How many bits of the range are set.
  size_t count(size_t first, size_t count) const {
    size_t sum = 0;
    visit(first, count, [&](const uint64_t& word, uint64_t mask) {
      sum += static_cast<size_t>(std::popcount(word & mask));
    });
    return sum;
  }

 private:
  static void store(uint64_t& word, uint64_t bits) {
    if (kHasCaches)
      __atomic_store_n(&word, bits, __ATOMIC_RELEASE);
    else
      word = bits;  // in the small library nobody looks without a lock
  }

  // Calls act(word, mask) for each word that the range touches; mask holds the range's bits in it.
  template <class Act>
  void visit(size_t first, size_t count, Act act) const {
    while (count > 0) {
      size_t bit = first % 64;
      size_t here = count < 64 - bit ? count : 64 - bit;
      act(words_[first / 64], low_mask(static_cast<unsigned>(here)) << bit);
      first += here;
      count -= here;
    }
  }

  uint64_t* words_ = nullptr;
};

}  // namespace ashlar::base
