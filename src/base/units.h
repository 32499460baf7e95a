// base/units.h -- counts of frames and orders of blocks as types.
//
// Idea
//   "How many bytes, how many frames, which power of two" are three kinds of number that a
//   compiler should not let us mix. Each conversion names its rounding.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/config.h"

namespace ashlar::base {

/// A count of 4 KiB frames.
struct Pages {
  size_t n = 0;

  constexpr Pages() = default;
  constexpr explicit Pages(size_t count) : n(count) {}
  /// As many frames as hold `size` bytes; right up to SIZE_MAX.
  static constexpr Pages ceil(size_t size) {
    return Pages((size >> kFrameShift) + ((size & (kFrameSize - 1)) != 0));
  }
  constexpr size_t bytes() const { return n << kFrameShift; }

  friend constexpr auto operator<=>(Pages, Pages) = default;
  friend constexpr Pages operator+(Pages a, Pages b) { return Pages(a.n + b.n); }
  friend constexpr Pages operator-(Pages a, Pages b) { return Pages(a.n - b.n); }
};

/// The exponent of a block of 2^n frames.
struct Order {
  unsigned n = 0;

  constexpr explicit Order(unsigned exponent) : n(exponent) {}
  /// The smallest order whose blocks hold `pages`, which is not 0.
  static constexpr Order ceil(Pages pages) { return Order(log2_ceil(pages.n)); }
  constexpr Pages pages() const { return Pages(size_t{1} << n); }

  friend constexpr auto operator<=>(Order, Order) = default;
};

static_assert(Pages::ceil(0).n == 0 && Pages::ceil(1).n == 1 && Pages::ceil(4097).n == 2);
static_assert(Pages::ceil(SIZE_MAX).n == (SIZE_MAX >> kFrameShift) + 1);
static_assert(Order::ceil(Pages(5)).n == 3 && Order::ceil(Pages(8)).n == 3);

}  // namespace ashlar::base
