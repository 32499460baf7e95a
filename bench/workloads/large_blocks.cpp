// bench/workloads/large_blocks.cpp -- blocks of 5 to 25 MiB with random lifetimes.
//
// Models
//   Image and matrix buffers. Each block is written in full pages, so an allocator that gives every
//   block back to the kernel pays for its pages again and again, and one that keeps them all shows
//   it in its resident memory.
//
// Operation
//   One replacement of a block, with one word written to and checked in each of its pages.

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;
constexpr size_t kReplacements = 30;

Block new_pages(size_t size, uint64_t key) {
  char* bytes = static_cast<char*>(workload::must(std::malloc(size)));
  for (size_t offset = 0; offset < size; offset += kPage) {
    workload::stamp({bytes + offset, kPage}, key + offset);
  }
  workload::live.add(size);
  return {bytes, size};
}

uint64_t end_pages(const Block& block) {
  char* bytes = static_cast<char*>(block.memory);
  uint64_t sum = 0;
  for (size_t offset = 0; offset < block.size; offset += kPage) {
    sum += workload::checked({bytes + offset, kPage});
  }
  workload::live.remove(block.size);
  std::free(bytes);
  return sum;
}

size_t large_size(workload::Rng& rng) {
  return rng.between(5 * kMiB, 25 * kMiB) / kPage * kPage;
}

}  // namespace

int main() {
  workload::Rng rng(1);
  std::array<Block, 6> blocks;

  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (Block& block : blocks) block = new_pages(large_size(rng), rng.next());
  for (size_t i = 0; i < kReplacements; ++i) {
    Block& block = blocks[rng.below(blocks.size())];
    sum += end_pages(block);
    block = new_pages(large_size(rng), rng.next());
  }
  for (const Block& block : blocks) sum += end_pages(block);
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(blocks.size() + kReplacements));
  workload::report_live(workload::live.most());
  workload::report_answer(sum);
}
