// slob/slob_page_test.cpp -- proves that a page knows which of its blocks began in front of it.

#include "slob/slob_page.h"

#include <gtest/gtest.h>

namespace {
using namespace ashlar;

using slob::kGrains;

class SlobPageTest : public testing::Test {
 protected:
  SlobPageTest() { page.start(frame); }
  ~SlobPageTest() override { page.audit(); }

  page::Frame frame{};
  slob::SlobPage page{};
};

TEST_F(SlobPageTest, FramesInFrontBelongToTheFirstBlockAlone) {
  unsigned first = page.take(10, 1), second = page.take(10, 1);
  EXPECT_EQ(page.in_front_of(first), 0u);
  page.in_front = 3;
  page.audit();
  EXPECT_EQ(page.in_front_of(first), 3 * kGrains);
  EXPECT_EQ(page.in_front_of(second), 0u);
}

}  // namespace
