// bench/workloads/aligned.cpp -- aligned_alloc with alignments from 32 bytes to a page.
//
// Models
//   Buffers for vector instructions, for direct I/O, and types that fill cache lines of their own.
//   An allocator that over-allocates and cuts shows it here in time and in memory.
//
// Operation
//   One replacement among 2,000 live blocks, the alignment checked.

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kReplacements = 400'000;

Block new_aligned(workload::Live& live, workload::Rng& rng) {
  const size_t alignment = size_t{32} << rng.below(8);
  const size_t size = (workload::mixed_size(rng) + alignment - 1) / alignment * alignment;
  const Block block{workload::must(std::aligned_alloc(alignment, size)), size};
  if (reinterpret_cast<uintptr_t>(block.memory) % alignment != 0) workload::wrong("not aligned");
  live.add(size);
  workload::stamp(block, rng.next());
  return block;
}

}  // namespace

int main() {
  workload::Rng rng(1);
  std::array<Block, 2'000> blocks;

  workload::Live live;
  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (Block& block : blocks) block = new_aligned(live, rng);
  for (size_t i = 0; i < kReplacements; ++i) {
    Block& block = blocks[rng.below(blocks.size())];
    sum += workload::end_block(live, block);
    block = new_aligned(live, rng);
  }
  for (const Block& block : blocks) sum += workload::end_block(live, block);
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(blocks.size() + kReplacements));
  workload::report_live(live.most());
  workload::report_answer(sum);
}
