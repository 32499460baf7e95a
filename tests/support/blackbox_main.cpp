// support/blackbox_main.cpp -- runs black-box tests, after a look at whose malloc they run on.
//
// If the look were missing, a build that forgot the preload would pass every test on glibc.

#include <gtest/gtest.h>

#include "subject.h"

int main(int argc, char** argv) {
  test::require_subject();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
