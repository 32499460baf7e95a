// model/heap_model_test.cpp -- runs seeded programs of heap_model.h; what fails is shrunk and
// printed.

#include "model/heap_model.h"

namespace {

TEST(HeapModel, HoldsForEveryProgram) {
  test::expect_holds<test::HeapModel>(100, 400);
}

}  // namespace
