// base/check_test.cpp -- proves that a check that fails says where and what, in one line, and ends
// the process; that one that holds costs no word; and that errors leave errno alone.

#include "base/check.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

namespace {
using namespace ashlar;

TEST(Check, SaysNothingWhileItHolds) {
  testing::internal::CaptureStderr();
  ASHLAR_CHECK(1 + 1 == 2);
  ASHLAR_ASSERT(1 + 1 == 2);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(CheckDeathTest, NamesItsPlaceAndItsCondition) {
  int three = 3;
  EXPECT_EXIT(ASHLAR_CHECK(three == 4), testing::KilledBySignal(SIGABRT),
              "^ashlar: [^ ]*check_test.cpp:[0-9]+: check failed: three == 4\n$");
}

TEST(CheckDeathTest, AnAssertIsACheckWhereAssertsAreOn) {
  int looks = 0;
  auto look = [&] { return ++looks < 100; };
  ASHLAR_ASSERT(look());
  EXPECT_EQ(looks, base::kAsserts ? 1 : 0) << "a build without asserts must not evaluate them";
  if (!base::kAsserts) GTEST_SKIP() << "not run: the death of an assert, in a build without";
  EXPECT_DEATH(ASHLAR_ASSERT(looks == 0), "check failed: looks == 0");
}

TEST(CheckDeathTest, ALongConditionIsCutNotOverrun) {
  std::string condition(2000, 'x');
  EXPECT_DEATH(base::check_failed(condition.c_str(), "f", 1), "^ashlar: f:1: check failed: x+$");
}

TEST(WriteError, LeavesErrnoAlone) {
  testing::internal::CaptureStderr();
  errno = 77;
  base::write_error("abc\n", 4);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "abc\n");
}

TEST(WriteError, EndsWhereNobodyListens) {
  int saved = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = 77;
  base::write_error("abc\n", 4);
  int after = errno;
  dup2(saved, STDERR_FILENO);
  close(saved);
  EXPECT_EQ(after, 77);
}

}  // namespace
