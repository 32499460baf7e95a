// harden/misuse_test.cpp -- proves the exact words of each finding, that it ends the process by
// SIGABRT, and that it says nothing else.

#include "harden/misuse.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace {
using namespace ashlar;

const void* at(size_t address) {
  return reinterpret_cast<const void*>(address);
}
const auto kAborted = testing::KilledBySignal(SIGABRT);

TEST(MisuseDeathTest, DoubleFree) {
  EXPECT_EXIT(misuse::double_free(at(0x7f1234560040), "malloc-64", 64), kAborted,
              "^ashlar: double free of 0x7f1234560040 \\(cache \"malloc-64\", 64 bytes\\)\n$");
}

TEST(MisuseDeathTest, DoubleFreeLarge) {
  EXPECT_EXIT(misuse::double_free_large(at(0x7f1234560000)), kAborted,
              "^ashlar: double free of 0x7f1234560000 \\(large block\\)\n$");
}

TEST(MisuseDeathTest, ForeignFree) {
  EXPECT_EXIT(misuse::foreign_free(at(0x1000)), kAborted,
              "^ashlar: free of 0x1000, which this heap never gave out\n$");
}

TEST(MisuseDeathTest, InteriorFree) {
  EXPECT_EXIT(misuse::interior_free(at(0x1010), at(0x1000)), kAborted,
              "^ashlar: free of 0x1010, which points into a block that starts at 0x1000\n$");
}

TEST(MisuseDeathTest, WrongSize) {
  EXPECT_EXIT(misuse::wrong_size(at(0x1000), 100, 64), kAborted,
              "^ashlar: sized free of 0x1000 with 100 bytes, but the block was asked for with a "
              "size of another class \\(64 bytes\\)\n$");
}

TEST(MisuseDeathTest, Corrupted) {
  EXPECT_EXIT(misuse::corrupted(at(0x1000), "a freed object was written to"), kAborted,
              "^ashlar: heap corrupted at 0x1000: a freed object was written to\n$");
}

TEST(MisuseDeathTest, ANameTooLongIsCut) {
  std::string name(1000, 'n');
  EXPECT_EXIT(misuse::double_free(at(1), name.c_str(), 1), kAborted,
              "^ashlar: double free of 0x1 ");
}

}  // namespace
