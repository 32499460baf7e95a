// page/dirty_map.h -- which frames may hold memory.
//
// Idea
//   One bit a frame: set when the frame is given out, cleared when it is purged. A free block with
//   no set bit costs the system nothing and reads as zero, so calloc need not clear it and the
//   page heap need not return it. Since the bits are apart from the blocks, blocks split and merge
//   without regard to them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"

namespace page {

class DirtyMap {
 public:
  constexpr DirtyMap() = default;
  explicit DirtyMap(uint64_t* words) : words_(words) {}

  uint64_t* words() const { return words_; }

  void set(size_t first, size_t count) {
    visit(first, count, [](uint64_t& word, uint64_t mask) { word |= mask; });
  }
  void clear(size_t first, size_t count) {
    visit(first, count, [](uint64_t& word, uint64_t mask) { word &= ~mask; });
  }
  /// How many of the frames may hold memory.
  size_t count(size_t first, size_t count) const {
    size_t sum = 0;
    visit(first, count, [&](const uint64_t& word, uint64_t mask) {
      sum += static_cast<size_t>(std::popcount(word & mask));
    });
    return sum;
  }

 private:
  // Calls act(word, mask) for each word that the range touches; mask holds the range's bits in it.
  template <class Act>
  void visit(size_t first, size_t count, Act act) const {
    while (count > 0) {
      size_t bit = first % 64;
      size_t here = count < 64 - bit ? count : 64 - bit;
      act(words_[first / 64], base::low_mask(static_cast<unsigned>(here)) << bit);
      first += here;
      count -= here;
    }
  }

  uint64_t* words_ = nullptr;
};

}  // namespace page
