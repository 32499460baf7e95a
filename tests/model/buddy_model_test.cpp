// model/buddy_model_test.cpp -- runs seeded programs of buddy_model.h; what fails is shrunk and
// printed.

#include "model/buddy_model.h"

namespace {

TEST(BuddyModel, HoldsForEveryProgram) {
  test::expect_holds<test::BuddyModel>(300, 400);
}

}  // namespace
