// front/contract_test.cpp -- proves the letter of the standards: which sizes and alignments may be.

#include "front/contract.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace {
using namespace ashlar;

TEST(Contract, AProductThatDoesNotFitSaysSo) {
  EXPECT_TRUE(front::product(0, SIZE_MAX).fits);
  EXPECT_EQ(front::product(0, SIZE_MAX).value, 0u);
  EXPECT_TRUE(front::product(1, SIZE_MAX).fits);
  EXPECT_FALSE(front::product(2, SIZE_MAX / 2 + 1).fits);
  EXPECT_TRUE(front::product(SIZE_MAX / 3, 3).fits);
  EXPECT_FALSE(front::product(size_t{1} << 32, size_t{1} << 32).fits);
}

TEST(Contract, AnAlignmentIsAPowerOfTwo) {
  for (size_t align = 1; align < 5000; ++align)
    EXPECT_EQ(front::is_alignment(align), (align & (align - 1)) == 0) << align;
  EXPECT_FALSE(front::is_alignment(0));
  EXPECT_TRUE(front::is_alignment(size_t{1} << 63));
  EXPECT_FALSE(front::is_alignment(SIZE_MAX));
}

TEST(Contract, PosixWantsAPointersSizeAtLeast) {
  for (size_t bad : {0, 1, 2, 4, 12, 24}) EXPECT_FALSE(front::is_posix_alignment(bad)) << bad;
  for (size_t good : {8, 16, 4096, 1 << 20}) EXPECT_TRUE(front::is_posix_alignment(good)) << good;
}

TEST(Contract, RoundingThatDoesNotFitIsZero) {
  EXPECT_EQ(front::rounded_request(0, 4096), 0u);
  EXPECT_EQ(front::rounded_request(1, 4096), 4096u);
  EXPECT_EQ(front::rounded_request(4096, 4096), 4096u);
  EXPECT_EQ(front::rounded_request(SIZE_MAX, 4096), 0u);
  EXPECT_EQ(front::rounded_request(SIZE_MAX - 4095, 4096), SIZE_MAX - 4095);
}

TEST(Contract, NoRequestIsLargerThanAPointerDifference) {
  EXPECT_EQ(front::kMaxRequest, SIZE_MAX / 2);
}

TEST(Contract, NullComesWithAReasonAndNothingElseChangesErrno) {
  int object = 0;
  errno = 0;
  EXPECT_EQ(front::or_errno(&object, ENOMEM), &object);
  EXPECT_EQ(errno, 0);
  EXPECT_EQ(front::or_errno<void>(nullptr, EINVAL), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

}  // namespace
