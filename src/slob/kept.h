// slob/kept.h -- blocks that came free and stay taken for the next requests of their length.
//
// Idea
//   A program takes and drops blocks of the same lengths again and again. A few of each short
//   length lie here, as objects lie in a magazine: to take one, or to leave one, costs a quarter of
//   what the maps of a page do. They are told by their numbers, in a quarter of what pointers would
//   fill: so a small process has all of them in the page that it writes to anyway. Blocks
//   beyond the zone's first MiB have no number and are not kept: who needs so much is about to
//   have slabs.
//
// Invariants (audit())
//   1. Those of a length stand first, the last one that came behind the others, and are counted.
//
// Locking
//   None here: see slob/slob.h.
//
// Cost
//   Some ten instructions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/attributes.h"
#include "base/check.h"
#include "base/config.h"

namespace ashlar::slob {

/// The longest blocks that are kept, in grains, and the most of one length.
inline constexpr unsigned kMostKept = 32, kKeptOfALength = 8;
/// And where they shall be few.
inline constexpr unsigned kMostOfFew = 16, kFewOfALength = 2;

/// kMany is for who drops blocks so often that it pays.
enum class Keep : uint8_t { kFew, kMany };

class Kept {
 public:
  /// The number of no block.
  static constexpr uint32_t kNone = 0;
  /// The last number.
  static constexpr uint32_t kLast = UINT16_MAX;

  /// Keeps a block of `length` grains. False where it is too long, one too many of its length, or
  /// has no number.
  bool put(unsigned length, size_t block, Keep keep) {
    Bounds most = kBounds[static_cast<unsigned>(keep)];
    if (length > most.length || block == kNone || block > kLast) return false;
    uint8_t& count = counts_[length - 1];
    if (count >= most.of_a_length) return false;
    few_[length - 1][count++] = static_cast<Number>(block);
    ++count_;
    return true;
  }

  /// The one that came last; kNone where there is none.
  uint32_t take(unsigned length) {
    uint8_t& count = counts_[length - 1];
    if (count == 0) return kNone;
    --count_;
    return std::exchange(few_[length - 1][--count], Number{kNone});
  }

  bool has(unsigned length, size_t block) const {
    if (length > kMostKept || block == kNone || block > kLast) return false;
    auto number = static_cast<Number>(block);
    Number found = 0;  // as wide as they are, so that all are compared at once
    for (Number other : few_[length - 1]) found |= other == number;
    return found != 0;
  }

  /// How many there are.
  unsigned count() const { return count_; }

  /// Calls visit(length, block) for each.
  template <class Visit>
  void for_each(Visit visit) const {
    for (unsigned length = 1; length <= few_.size(); ++length)
      for (uint32_t block : few_[length - 1])
        if (block != kNone) visit(length, block);
  }

  void audit() const {
    unsigned sum = 0;
    for (unsigned length = 1; length <= few_.size(); ++length) {
      for (unsigned i = 0; i < kKeptOfALength; ++i)
        ASHLAR_CHECK((few_[length - 1][i] != kNone) == (i < counts_[length - 1]));
      sum += counts_[length - 1];
    }
    ASHLAR_CHECK(sum == count_);
  }

 private:
  using Number = uint16_t;
  struct Bounds {
    uint8_t length, of_a_length;
  };
  static constexpr Bounds kBounds[] = {{kMostOfFew, kFewOfALength}, {kMostKept, kKeptOfALength}};
  static constexpr unsigned kLengths = base::kHasCaches ? kMostKept : 0;

  // By length.
  std::array<std::array<Number, kKeptOfALength>, kLengths> few_{};
  std::array<uint8_t, kLengths> counts_{};
  unsigned count_ = 0;  // of all lengths
};

}  // namespace ashlar::slob
