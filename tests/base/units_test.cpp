// base/units_test.cpp -- proves the rounding of each conversion, up to the largest size.

#include "base/units.h"

#include <gtest/gtest.h>

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;

TEST(Units, PagesHoldTheBytesAndNoPageIsTooMany) {
  for (size_t size = 0; size < 100000; ++size) {
    Pages pages = Pages::ceil(size);
    ASSERT_GE(pages.bytes(), size);
    if (pages.n > 0) {
      ASSERT_LT((pages.n - 1) * base::kFrameSize, size);
    }
  }
}

TEST(Units, TheLargestSizeDoesNotWrap) {
  EXPECT_EQ(Pages::ceil(SIZE_MAX).n, size_t{1} << 52);
  EXPECT_EQ(Pages::ceil(SIZE_MAX - 4095).n,
            (size_t{1} << 52) - 1 + ((SIZE_MAX - 4095) % 4096 != 0));
}

TEST(Units, AnOrderHoldsThePagesAndTheOneBelowDoesNot) {
  for (size_t n = 1; n < 100000; ++n) {
    Order order = Order::ceil(Pages(n));
    ASSERT_GE(order.pages(), Pages(n));
    if (order.n > 0) {
      ASSERT_LT(Order(order.n - 1).pages(), Pages(n));
    }
  }
}

TEST(Units, CountsAreComparedAndAdded) {
  EXPECT_LT(Pages(1), Pages(2));
  EXPECT_EQ(Pages(1) + Pages(2), Pages(3));
  EXPECT_EQ(Pages(3) - Pages(2), Pages(1));
  EXPECT_LT(Order(1), Order(2));
}

}  // namespace
