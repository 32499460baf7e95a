// model/slab_model_test.cpp -- runs seeded programs of slab_model.h; what fails is shrunk and
// printed.

#include "model/slab_model.h"

namespace {

TEST(SlabModel, HoldsForEveryProgram) {
  test::expect_holds<test::SlabModel>(150, 300);
}

}  // namespace
