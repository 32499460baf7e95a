// support/blackbox_main.cpp -- runs black-box tests, after a look at whose malloc they run on.
//
// If the look were missing, a build that forgot the preload would pass every test on glibc. Nor is
// it a success where no test has the name that was asked for, or where none could be made.

#include <gtest/gtest.h>

#include "child.h"
#include "subject.h"

int main(int argc, char** argv) {
  test::require_subject();
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (all.test_to_run_count() == 0) {
    fprintf(stderr, "no test has a name like this\n");
    return 2;
  }
  if (failed == 0 && all.skipped_test_count() == all.test_to_run_count()) return test::kNotRun;
  return failed;
}
