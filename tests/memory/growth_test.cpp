// memory/growth_test.cpp -- an array that grows by realloc is never copied.
//
// A user would notice: a vector of gigabytes that takes seconds to grow, and twice its memory while
// it does.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "../support/subject.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;
// One page in so many is written to: whoever copies reads and writes the others, too.
constexpr size_t kStep = 16 * kPage;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

/// Grows an array by halves up to `end` bytes, with other blocks behind it at each step or not. By
/// how many bytes more memory became resident, or 0 where it is out. (Page faults would tell less:
/// what is copied may be copied into huge pages.)
size_t grow(size_t end, bool has_others) {
  const size_t before = test::resident_bytes();
  std::vector<void*> others;
  char *array = nullptr, *last = nullptr;
  size_t moves = 0;
  for (size_t have = 0, next = 2 * kMiB; have < end; next = std::min(end, have + have / 2)) {
    array = static_cast<char*>(resize(array, next));
    if (array == nullptr) return 0;
    for (size_t at = (have + kStep - 1) / kStep * kStep; at + sizeof at <= next; at += kStep)
      memcpy(array + at, &at, sizeof at);
    have = next;
    moves += array != last;
    last = array;
    // Whatever is free in front of the array is given out first.
    while (has_others && others.size() < 2000) {
      others.push_back(ask(kMiB));
      if (others.back() > array) break;
    }
  }
  if (has_others) {
    EXPECT_GE(moves, 10u) << "what is to be proved did not happen";
  }
  const size_t after = test::resident_bytes();
  for (size_t at = 0; at + sizeof at <= end; at += kStep) {
    size_t found = 0;
    memcpy(&found, array + at, sizeof found);
    if (found != at) ADD_FAILURE() << "lost at " << at;
  }
  give_back(array);
  for (void* other : others) give_back(other);
  return after - before;
}

void expect_no_copy(size_t end, size_t resident) {
  const size_t written = end / kStep * kPage;
  EXPECT_GE(resident, written / 2) << "it was not grown";
  EXPECT_LE(resident, 2 * written + 16 * kMiB);
}

TEST(Growth, ToFourGibibytesCopiesNothing) {
  const size_t resident = grow(4096 * kMiB, false);
  if (resident == 0) GTEST_SKIP() << "not run: there is no address space for 4 GiB";
  expect_no_copy(4096 * kMiB, resident);
}

TEST(Growth, NorWhereOthersStandBehind) {
  expect_no_copy(512 * kMiB, grow(512 * kMiB, true));
}

}  // namespace
