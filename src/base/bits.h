// base/bits.h -- powers of two, rounding, logarithms.
//
// Idea
//   The handful of bit tricks that an allocator lives on, each under a name that says the rounding.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ashlar::base {

constexpr bool is_power_of_two(size_t n) {
  return std::has_single_bit(n);
}

/// `n` rounded down to a multiple of `step`, a power of two.
constexpr size_t round_down(size_t n, size_t step) {
  return n & ~(step - 1);
}

/// `n` rounded up to a multiple of `step`, a power of two. Wraps to 0 where it does not fit.
constexpr size_t round_up(size_t n, size_t step) {
  return (n + step - 1) & ~(step - 1);
}

constexpr bool is_aligned(size_t n, size_t step) {
  return (n & (step - 1)) == 0;
}

inline bool is_aligned(const void* p, size_t step) {
  return is_aligned(reinterpret_cast<size_t>(p), step);
}

/// The largest k with 2^k <= n; n is not 0.
constexpr unsigned log2_floor(size_t n) {
  return static_cast<unsigned>(std::bit_width(n)) - 1;
}

/// The smallest k with 2^k >= n; n is not 0.
constexpr unsigned log2_ceil(size_t n) {
  return n == 1 ? 0 : log2_floor(n - 1) + 1;
}

/// The index of the lowest set bit; n is not 0.
constexpr unsigned lowest_bit(uint64_t n) {
  return static_cast<unsigned>(std::countr_zero(n));
}

/// A word whose `count` lowest bits are set; count is at most 64.
constexpr uint64_t low_mask(unsigned count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

static_assert(round_up(1, 16) == 16 && round_up(16, 16) == 16 && round_down(31, 16) == 16);
static_assert(log2_floor(1) == 0 && log2_ceil(1) == 0 && log2_ceil(5) == 3 && log2_floor(5) == 2);

}  // namespace ashlar::base
