// memory/huge_pages_test.cpp -- huge pages come for blocks that are filled, and for no others.
//
// A user would notice: two thousand stacks of a MiB each, of which a few pages are used, that are
// two gigabytes all of a sudden; or a page fault for each 4 KiB of buffers that are filled.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "../support/subject.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;

void* (*volatile const ask)(size_t) = ::malloc;
void (*volatile const give_back)(void*) = ::free;

/// The kernel's setting: always, madvise or never; empty where it knows no huge pages.
std::string setting() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string all;
  std::getline(file, all);
  const size_t first = all.find('['), end = all.find(']');
  return end == std::string::npos ? "" : all.substr(first + 1, end - first - 1);
}

long faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

class HugePagesTest : public testing::Test {
 protected:
  ~HugePagesTest() override {
    for (void* block : blocks) give_back(block);
  }
  void add(size_t count, size_t size, size_t written) {
    for (size_t i = 0; i < count; ++i) {
      auto* block = static_cast<char*>(ask(size));
      ASSERT_NE(block, nullptr);
      blocks.push_back(block);
      memset(block, 1, written);
    }
  }
  std::vector<void*> blocks;
};

TEST_F(HugePagesTest, ManyBlocksThatAreFilledShareThem) {
  if (setting() != "madvise") GTEST_SKIP() << "not run: the kernel does as it likes";
  add(64, kMiB, kMiB);
  const long before = faults();
  add(512, kMiB / 2, kMiB / 2);
  EXPECT_LT(faults() - before, 256l * 256 / 2) << "of 256 MiB";
}

// Most of them begin where nothing is known of them yet but that others were filled.
TEST_F(HugePagesTest, BlocksThatStayMostlyEmptyCostWhatIsWritten) {
  if (setting() == "always") GTEST_SKIP() << "not run: the kernel makes huge pages unasked";
  add(64, kMiB, kMiB);
  const size_t before = test::resident_bytes();
  add(1000, kMiB, 2 * kPage);
  EXPECT_LT(test::resident_bytes() - before, 1000 * 4 * kPage + 40 * kMiB) << "of 1,000 MiB";
}

TEST_F(HugePagesTest, WhatTheyBringGoesBack) {
  malloc_trim(0);
  const size_t before = test::resident_bytes();
  add(600, kMiB / 2, kMiB / 2);
  std::vector<void*> some;
  for (size_t i = 0; i < blocks.size(); ++i)
    if (i % 20 == 0)
      some.push_back(blocks[i]);
    else
      give_back(blocks[i]);
  blocks = some;
  // Each of these may begin a huge page anew.
  for (int round = 0; round < 40; ++round) {
    add(10, kMiB / 4, kMiB / 4);
    for (; blocks.size() > some.size(); blocks.pop_back()) give_back(blocks.back());
  }
  malloc_trim(0);
  EXPECT_LT(test::resident_bytes(), before + 15 * kMiB + 4 * kMiB) << "15 MiB are in use";
}

}  // namespace
