// bench/workloads/batches.cpp -- n blocks of one size are allocated, then all are freed.
//
// Models
//   A request that builds its objects and drops them together. Small batches live in the caches
//   next to the CPU; large ones must be refilled and flushed through the floors below, and a cache
//   that hands objects on one by one shows here.
//
// Operation
//   One malloc and one free with the stamp between them. Blocks are freed oldest first.

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kLargestBatch = 10'000;
constexpr std::array<size_t, 2> kSizes = {64, 4096};
constexpr size_t kBlocksPerPass = 10'000;

uint64_t batch_of(size_t count, size_t size) {
  static std::array<Block, kLargestBatch> blocks;
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) blocks[i] = workload::new_block(size, i);
  for (size_t i = 0; i < count; ++i) sum += workload::end_block(blocks[i]);
  return sum;
}

}  // namespace

int main() {
  uint64_t sum = 0;
  for (size_t size : kSizes) {
    for (size_t count = 10; count <= kLargestBatch; count *= 10) {
      auto pass = [&] {
        for (size_t done = 0; done < kBlocksPerPass; done += count) sum += batch_of(count, size);
      };
      const double ns = workload::median_pass_ns(pass);
      char row[32];
      std::snprintf(row, sizeof(row), "%zux%zu", count, size);
      workload::report_ns(row, ns / kBlocksPerPass);
      const uint64_t answer = sum;
      workload::report_slow_path(row, 2 * kBlocksPerPass, pass);
      sum = answer;
    }
  }
  workload::report_live(kLargestBatch * kSizes.back());
  workload::report_answer(sum);
}
