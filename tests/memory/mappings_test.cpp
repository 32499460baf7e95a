// memory/mappings_test.cpp -- however long a program runs, its heap stays a few mappings, and they
// have names.
//
// A user would notice: mmap() that fails in the middle of the night, since the process has 65,530
// mappings, most of them the allocator's; or a /proc/PID/smaps of which half has no name.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "../support/rng.h"
#include "../support/subject.h"
#include "../threads/stamped.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
// Windows, tables and what was advised to be in huge pages, apart from what stands between.
constexpr size_t kMostMappings = 100;
// An hour of a thousand replacements a second.
constexpr size_t kHour = 3'600'000;

std::vector<std::string> mappings() {
  std::ifstream file("/proc/self/maps");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

size_t some_size(test::Rng& rng) {
  const uint64_t permille = rng.below(1000);
  if (permille < 900) return 16 + rng.below(2000);
  if (permille < 985) return 2000 + rng.below(60000);
  if (permille < 998) return 64 * 1024 + rng.below(kMiB);
  return kMiB + rng.below(12 * kMiB);
}

// A kernel may have been built without them.
bool has_names() {
  void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int answer = prctl(0x53564d41, 0, page, 4096, "test");  // PR_SET_VMA_ANON_NAME
  munmap(page, 4096);
  return answer == 0;
}

void churn(uint64_t seed, size_t steps) {
  test::Rng rng(seed);
  std::vector<test::Stamped> blocks(2000);
  for (size_t step = 0; step < steps; ++step) {
    test::Stamped& block = blocks[rng.below(blocks.size())];
    test::free_stamped(block);
    block = {};
    if (rng.below(3) != 0) block = test::make_stamped(some_size(rng), rng.next());
  }
  for (const test::Stamped& block : blocks) test::free_stamped(block);
}

TEST(Mappings, StayFewHoweverLongTheChurn) {
  const size_t before = mappings().size();
  churn(1, kHour);
  EXPECT_LE(mappings().size(), before + kMostMappings);
  std::vector<std::thread> threads;
  for (uint64_t seed = 2; seed < 5; ++seed) threads.emplace_back(churn, seed, 100'000);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(mappings().size(), before + kMostMappings);
}

// Blocks that realloc moves are mappings of their own as long as they live, and no longer.
TEST(Mappings, AreNoMoreWhenLargeBlocksHaveBeenResizedForLong) {
  const size_t before = mappings().size();
  constexpr size_t kSlots = 100, kSteps = 6000;
  test::Rng rng(7);
  std::vector<char*> blocks(kSlots);
  for (size_t step = 0; step < kSteps; ++step) {
    char*& block = blocks[rng.below(kSlots)];
    if (block != nullptr && rng.below(4) == 0) {
      free(block);
      block = nullptr;
      continue;
    }
    const size_t size = 2 * kMiB + rng.below(4 * kMiB);
    char* resized = static_cast<char*>(realloc(block, size));
    ASSERT_NE(resized, nullptr);
    if (block != nullptr) {
      ASSERT_EQ(resized[0], 1) << "lost on the way";
    }
    block = resized;
    for (size_t at = 0; at < size; at += 128 * 1024) block[at] = 1;
  }
  // One for 2 MiB, and of what was moved a few for each block.
  EXPECT_LE(mappings().size(), before + kSlots * 8);
  for (char* block : blocks) free(block);
  malloc_trim(0);
  EXPECT_LE(mappings().size(), before + kMostMappings / 2);
}

TEST(Mappings, OfALargeHeapHaveNames) {
  std::vector<test::Stamped> blocks;
  for (size_t bytes = 0; bytes < 40 * kMiB; bytes += blocks.back().size)
    blocks.push_back(test::make_stamped(1000, bytes));
  blocks.push_back(test::make_stamped(30 * kMiB, 1));
  std::string all;
  for (const std::string& line : mappings()) all += line + "\n";
  for (const test::Stamped& block : blocks) test::free_stamped(block);
  if (!has_names()) GTEST_SKIP() << "not run: the kernel has no names for mappings";
  EXPECT_NE(all.find("[anon:ashlar slabs]"), std::string::npos) << all;
  EXPECT_NE(all.find("[anon:ashlar giants]"), std::string::npos) << all;
  EXPECT_NE(all.find("[anon:ashlar tables]"), std::string::npos) << all;
}

}  // namespace
