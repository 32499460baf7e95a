// bench/workloads/pairs.cpp -- malloc and free at once, one size at a time.
//
// Models
//   Temporary objects: a string built and dropped, a node pushed and popped. The fast path of the
//   allocator and nothing else, since every block has just been freed.
//
// Operation
//   One malloc, two stores, two loads, one free.

#include "workload.h"

namespace {

constexpr int kPairs = 100'000;

uint64_t pairs_of(size_t size) {
  uint64_t sum = 0;
  for (int i = 0; i < kPairs; ++i) sum += workload::end_block(workload::new_block(size, i));
  return sum;
}

}  // namespace

int main() {
  uint64_t sum = 0;
  for (size_t size = 16; size <= 32768; size *= 2) {
    const double ns = workload::median_pass_ns([&] { sum += pairs_of(size); });
    char row[32];
    std::snprintf(row, sizeof(row), "%zu", size);
    workload::report_ns(row, ns / kPairs);
  }
  workload::report_answer(sum);
}
