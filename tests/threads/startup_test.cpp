// threads/startup_test.cpp -- fresh processes, many times.
//
// A user would notice: a program that does not start, one time in a hundred. startup_stampede.c and
// early_malloc.c say what exactly; this file starts them.

#include <gtest/gtest.h>

#include "../support/child.h"

namespace {

TEST(Startup, SixtyFourThreadsRaceTheFirstMalloc) {
  for (int i = 0; i < 25; ++i) {
    const test::Ending ending = test::run({BLACKBOX_DIR "/startup_stampede"});
    ASSERT_TRUE(ending.clean()) << "start number " << i << " " << ending.text();
  }
}

TEST(Startup, MallocBeforeConstructors) {
  for (int i = 0; i < 10; ++i) {
    const test::Ending ending = test::run({BLACKBOX_DIR "/early_malloc"});
    ASSERT_TRUE(ending.clean()) << ending.text();
    ASSERT_EQ(ending.out, "early blocks are sound\n");
  }
}

}  // namespace
