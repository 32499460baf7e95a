// bench/workloads/vector_growth.cpp -- one array grown by realloc.
//
// Models
//   A vector, a string or a read buffer that turns out to be large. An allocator that moves pages
//   instead of bytes, or has room behind the block, never copies.
//
// Operation
//   The growth of the array by one MiB; one word is written to each new page, or to each so many,
//   and all are checked in the end.
//
// Arguments
//   "times" P: each step multiplies the size by P percent, up to 1 GiB
//   "plus" N:  each step adds N MiB, up to 64 MiB. This end is nearer, since an allocator that
//              copies at each step moves more with the square of it.
//   END EVERY: up to END MiB instead, with a word in one of EVERY pages. Pages that nobody has
//              written to cost who moves them nothing, and who copies them as much as others.

#include "workload.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;

void write_pages(char* bytes, size_t from, size_t to, size_t step) {
  for (size_t offset = (from + step - 1) / step * step; offset < to; offset += step) {
    std::memcpy(bytes + offset, &offset, sizeof(offset));
  }
}

uint64_t checked_pages(const char* bytes, size_t size, size_t step) {
  uint64_t sum = 0;
  for (size_t offset = 0; offset < size; offset += step) {
    size_t found;
    std::memcpy(&found, bytes + offset, sizeof(found));
    if (found != offset) workload::wrong("a page was lost on the way");
    sum += found;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const bool times = argc < 2 || std::strcmp(argv[1], "plus") != 0;
  const size_t amount = workload::argument(argc, argv, 2, times ? 200 : 1);
  const size_t end_mib = workload::argument(argc, argv, 3, times ? 1024 : 64);
  const size_t step = workload::argument(argc, argv, 4, 1) * kPage;
  const size_t end = end_mib * kMiB;

  char* bytes = nullptr;
  size_t size = 0;
  const double start = workload::cpu_ns();
  while (size < end) {
    const size_t grown = times ? size * amount / 100 : size + amount * kMiB;
    const size_t next = std::min(end, (grown + kPage) / kPage * kPage);
    bytes = static_cast<char*>(workload::must(std::realloc(bytes, next)));
    write_pages(bytes, size, next, step);
    size = next;
  }
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(end_mib));
  if (step == kPage) workload::report_live(size);
  workload::report_answer(checked_pages(bytes, size, step));
  std::free(bytes);
}
