// bench/workloads/large_blocks.cpp -- large blocks with random lifetimes.
//
// Models
//   Image and matrix buffers of 5 to 25 MiB; network and file buffers of 64 KiB to 4 MiB, or of 32
//   to 300 KiB. Each block is written in full pages, so an allocator that gives every block back to
//   the kernel pays for its pages again and again, and one that keeps them all shows it in its
//   resident memory.
//
// Operation
//   One replacement of a block, with one word written to and checked in each of its pages.
//
// Arguments
//   least, most   sizes in KiB; 5120 and 25600 where they are not given
//   blocks        that live at a time; 6
//   times         replacements; 30

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kPage = 4096;

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

struct Sizes {
  size_t least, most;
  size_t next(workload::Rng& rng) const { return rng.between(least, most) / kPage * kPage; }
};

}  // namespace

int main(int argc, char** argv) {
  const Sizes sizes{workload::argument(argc, argv, 1, 5120) * 1024,
                    workload::argument(argc, argv, 2, 25600) * 1024};
  workload::Vector<Block> blocks(workload::argument(argc, argv, 3, 6));
  const size_t replacements = workload::argument(argc, argv, 4, 30);
  workload::Rng rng(1);

  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (Block& block : blocks) block = new_pages(sizes.next(rng), rng.next());
  for (size_t i = 0; i < replacements; ++i) {
    Block& block = blocks[rng.below(blocks.size())];
    sum += end_pages(block);
    block = new_pages(sizes.next(rng), rng.next());
  }
  for (const Block& block : blocks) sum += end_pages(block);
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(blocks.size() + replacements));
  workload::report_live(workload::live.most());
  workload::report_answer(sum);
}
