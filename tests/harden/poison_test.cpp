// harden/poison_test.cpp -- a write to poisoned memory is found where it was.

#include "harden/poison.h"

#include <gtest/gtest.h>

#include <array>

namespace {
using namespace ashlar;

TEST(Poison, AChangedByteIsFoundWhereverItIs) {
  std::array<unsigned char, 200> memory{};
  harden::poison(memory.data() + 1, 198);
  EXPECT_EQ(memory.front(), 0);
  EXPECT_EQ(memory.back(), 0);
  EXPECT_EQ(harden::find_damage(memory.data() + 1, 198), 198u);
  for (size_t at = 1; at < 199; ++at) {
    unsigned char kept = memory[at]++;
    EXPECT_EQ(harden::find_damage(memory.data() + 1, 198), at - 1);
    memory[at] = kept;
  }
}

TEST(Poison, NothingIsWholeWhenItIsEmpty) {
  EXPECT_EQ(harden::find_damage(nullptr, 0), 0u);
}

}  // namespace
