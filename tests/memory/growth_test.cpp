// memory/growth_test.cpp -- an array that grows by realloc is never copied.
//
// A user would notice: a vector of gigabytes that takes seconds to grow, and twice its memory while
// it does.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;
// One page in so many is written to: whoever copies reads and writes the others, too.
constexpr size_t kStep = 16 * kPage;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

size_t faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_minflt);
}

/// Grows an array by halves up to `end` bytes, with another block behind it at each step or not.
/// The faults that this took, or 0 where memory is out.
size_t grow(size_t end, bool has_others) {
  const size_t before = faults();
  void* other = nullptr;
  char *array = nullptr, *last = nullptr;
  size_t moves = 0;
  for (size_t have = 0, next = 64 << 10; have < end; next = std::min(end, have + have / 2)) {
    array = static_cast<char*>(resize(array, next));
    if (array == nullptr) return 0;
    for (size_t at = (have + kStep - 1) / kStep * kStep; at + sizeof at <= next; at += kStep)
      memcpy(array + at, &at, sizeof at);
    have = next;
    moves += array != last;
    last = array;
    give_back(other);
    other = has_others ? ask(have) : nullptr;
  }
  if (has_others) EXPECT_GE(moves, 4u) << "what is to be proved did not happen";
  const size_t after = faults();
  for (size_t at = 0; at + sizeof at <= end; at += kStep) {
    size_t found = 0;
    memcpy(&found, array + at, sizeof found);
    if (found != at) ADD_FAILURE() << "lost at " << at;
  }
  give_back(array);
  give_back(other);
  return after - before;
}

void expect_no_copy(bool has_others) {
  constexpr size_t kEnd = 4096 * kMiB;
  const size_t count = grow(kEnd, has_others);
  if (count == 0) GTEST_SKIP() << "not run: there is no address space for 4 GiB";
  constexpr size_t kWritten = kEnd / kStep;
  // Blocks below 2 MiB are copied: some hundreds of pages. The tables of the heap, and of pages.
  EXPECT_LE(count, kWritten + kWritten / 16 + 2000);
}

TEST(Growth, ToFourGibibytesCopiesNothing) {
  expect_no_copy(false);
}

TEST(Growth, NorWhereOthersStandBehind) {
  expect_no_copy(true);
}

}  // namespace
