// model/slob_model_test.cpp -- runs seeded programs of slob_model.h; what fails is shrunk and
// printed.

#include "model/slob_model.h"

namespace {

TEST(SlobModel, HoldsForEveryProgram) {
  test::expect_holds<test::SlobModel>(150, 400);
}

}  // namespace
