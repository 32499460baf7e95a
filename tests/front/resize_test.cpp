// front/resize_test.cpp -- proves that a block which becomes longer keeps its content, and what is
// asked to give way for it. Run in all the ways that heap_test.cpp is.

#include <gtest/gtest.h>

#include <vector>

#include "front/heap.h"
#include "front/shrinkers.h"
#include "front/upkeep.h"
#include "inspect/audit.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kFramesOfMib = 256;

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

// Where no memory is to be had for a shorter block, the longer one serves.
TEST_F(ResizeTest, ABlockThatBecomesShorterIsNeverRefused) {
  struct Shrinking {
    size_t from, to;
  };
  for (Shrinking block : {Shrinking{4096, 2000}, Shrinking{20000, 5000}, Shrinking{2000, 100}}) {
    void* p = front::alloc(block.from);
    ASSERT_TRUE(front::set_limits({.hard = 1}));
    for (void* more = p; more != nullptr;) more = front::alloc(block.to);
    EXPECT_NE(front::resize(p, block.to), nullptr) << block.from;
    front::set_limits({});
  }
}

// What stands behind it is the program's to free, and the whole of it twice is above the bound.
TEST_F(ResizeTest, ABlockGrowsIntoWhatTheProgramsCachesLeave) {
  struct Cache {
    std::vector<void*> blocks;
    size_t wanted = 0;
  } cache;
  void* block = front::alloc(30 * kMiB);
  for (int i = 0; i < 31; ++i) cache.blocks.push_back(front::alloc(kMiB));
  unsigned slot = front::g_shrinkers.add(
      [](void* data, size_t bytes) -> size_t {
        Cache& cache = *static_cast<Cache*>(data);
        if (cache.wanted == 0) cache.wanted = bytes;
        size_t freed = 0;
        for (; freed < bytes && !cache.blocks.empty(); cache.blocks.pop_back(), freed += kMiB)
          front::free(cache.blocks.back());
        return freed;
      },
      &cache);
  ASSERT_TRUE(front::set_limits({.hard = 64 * kFramesOfMib}));
  void* grown = front::resize(block, 36 * kMiB);
  EXPECT_NE(grown, nullptr);
  EXPECT_EQ(cache.wanted, 6 * kMiB) << "what it lacks, at first";
  front::g_shrinkers.remove(slot);
  front::set_limits({});
  front::free(grown != nullptr ? grown : block);
  for (void* rest : cache.blocks) front::free(rest);
}

}  // namespace
