// front/resize_test.cpp -- proves that a block which becomes longer keeps its content. Run in all the
// ways that heap_test.cpp is.

#include <gtest/gtest.h>

#include "front/heap.h"
#include "inspect/audit.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

class ResizeTest : public testing::Test {
 protected:
  ~ResizeTest() override { inspect::audit(); }
};

TEST_F(ResizeTest, ABlockThatGrowsStepByStepKeepsItsContent) {
  size_t size = 1;
  auto* p = static_cast<unsigned char*>(front::alloc(1));
  p[0] = 1;
  while (size < 20 * kMiB) {
    size_t larger = size + size / 3 + 1;
    p = static_cast<unsigned char*>(front::resize(p, larger));
    ASSERT_NE(p, nullptr);
    ASSERT_EQ(p[0], 1);
    ASSERT_EQ(p[size - 1], size == 1 ? 1 : static_cast<unsigned char>(size));
    p[larger - 1] = static_cast<unsigned char>(larger);
    size = larger;
  }
  front::free(p);
}

}  // namespace
