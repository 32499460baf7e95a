// model/page_heap_model_test.cpp -- runs seeded programs of page_heap_model.h; what fails is shrunk
// and printed.

#include "model/page_heap_model.h"

namespace {

TEST(PageHeapModel, HoldsForEveryProgram) {
  test::expect_holds<test::PageHeapModel>(200, 300);
}

}  // namespace
