// base/bits_test.cpp -- proves each trick against the plain way of saying it.

#include "base/bits.h"

#include <gtest/gtest.h>

namespace {
using namespace ashlar;

TEST(Bits, RoundingIsToTheNextMultiple) {
  for (size_t step = 1; step <= 65536; step *= 2)
    for (size_t n = 0; n < 300000; n += 1 + n / 17) {
      ASSERT_EQ(base::round_up(n, step), (n + step - 1) / step * step) << n << " to " << step;
      ASSERT_EQ(base::round_down(n, step), n / step * step);
      ASSERT_EQ(base::is_aligned(n, step), n % step == 0);
    }
}

TEST(Bits, RoundingUpPastTheEndIsZero) {
  EXPECT_EQ(base::round_up(SIZE_MAX, 4096), 0u);
  EXPECT_EQ(base::round_up(SIZE_MAX - 4094, 4096), 0u);
  EXPECT_EQ(base::round_up(SIZE_MAX - 4095, 4096), SIZE_MAX - 4095);
}

TEST(Bits, LogarithmsEncloseTheNumber) {
  for (size_t n = 1; n < 100000; ++n) {
    unsigned floor = base::log2_floor(n), ceil = base::log2_ceil(n);
    ASSERT_LE(size_t{1} << floor, n);
    ASSERT_GT(size_t{2} << floor, n);
    ASSERT_GE(size_t{1} << ceil, n);
    if (ceil > 0) {
      ASSERT_LT(size_t{1} << (ceil - 1), n);
    }
  }
  EXPECT_EQ(base::log2_floor(SIZE_MAX), 63u);
  EXPECT_EQ(base::log2_ceil(SIZE_MAX), 64u);
  EXPECT_EQ(base::log2_ceil(size_t{1} << 63), 63u);
}

TEST(Bits, MasksHaveTheirBits) {
  for (unsigned count = 0; count <= 64; ++count) {
    EXPECT_EQ(std::popcount(base::low_mask(count)), static_cast<int>(count));
    if (count < 64) {
      EXPECT_EQ(base::low_mask(count) >> count, 0u);
    }
  }
}

TEST(Bits, TheLowestBitIsFound) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(base::lowest_bit(uint64_t{1} << bit), bit);
    EXPECT_EQ(base::lowest_bit(~uint64_t{0} << bit), bit);
  }
}

TEST(Bits, PowersOfTwoAreTold) {
  EXPECT_FALSE(base::is_power_of_two(0));
  for (size_t n = 1; n < 5000; ++n) EXPECT_EQ(base::is_power_of_two(n), (n & (n - 1)) == 0) << n;
}

}  // namespace
