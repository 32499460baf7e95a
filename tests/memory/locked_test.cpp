// memory/locked_test.cpp -- what a program has locked in memory, and forgotten there, is all that
// stays of what it frees.
//
// A user would notice: one mlock() without its munlock(), for a key of 32 bytes, and from then on
// the process holds whatever it ever had, and gets slower.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "../support/subject.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

class LockedTest : public testing::TestWithParam<size_t> {};

TEST_P(LockedTest, APageStaysAndNothingElse) {
  const size_t before = test::resident_bytes();
  std::vector<char*> blocks(64 * kMiB / GetParam());
  for (char*& block : blocks) {
    block = static_cast<char*>(malloc(GetParam()));
    ASSERT_NE(block, nullptr);
    memset(block, 1, GetParam());
  }
  ASSERT_GT(test::resident_bytes(), before + 60 * kMiB);
  if (mlock(blocks[blocks.size() / 2] + GetParam() / 2, 1) != 0)
    GTEST_SKIP() << "not run: may not lock memory";
  for (char* block : blocks) free(block);
  malloc_trim(0);
  EXPECT_LT(test::resident_bytes(), before + 8 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(Bytes, LockedTest,
                         testing::Values(size_t{1000}, size_t{100'000}, size_t{900'000}, 32 * kMiB),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
