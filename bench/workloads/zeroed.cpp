// bench/workloads/zeroed.cpp -- calloc of small objects and of large sparse tables.
//
// Models
//   small:  records that must start as zeros. Each comes from memory that was used before.
//   sparse: hash tables and page tables of 1 to 8 MiB of which few pages are ever written. Memory
//           fresh from the kernel is zero already; who clears it again pays for all of it.
//
// Operation
//   One replacement. Small objects are read in full, sparse tables at the 16 words that are
//   written.

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kSmall = 300'000;
constexpr size_t kSparse = 200;
constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kWritten = 16;

Block new_zeroed(size_t size) {
  return {workload::must(std::calloc(1, size)), size};
}

void must_be_zero(const uint64_t* words, size_t count) {
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i) bits |= words[i];
  if (bits != 0) workload::wrong("calloc gave a block that is not zero");
}

uint64_t replace_small(workload::Rng& rng) {
  static std::array<Block, 2'000> blocks;
  Block& block = blocks[rng.below(blocks.size())];
  const uint64_t key = block.memory == nullptr ? 0 : workload::end_block(block);
  block = new_zeroed(workload::mixed_size(rng));
  must_be_zero(static_cast<const uint64_t*>(block.memory), block.size / sizeof(uint64_t));
  workload::stamp(block, rng.next());
  return key;
}

uint64_t replace_sparse(workload::Rng& rng) {
  static std::array<Block, 4> tables;
  Block& table = tables[rng.below(tables.size())];
  std::free(table.memory);
  table = new_zeroed(rng.between(kMiB, 8 * kMiB));
  auto* words = static_cast<uint64_t*>(table.memory);
  uint64_t sum = 0;
  for (size_t i = 0; i < kWritten; ++i) {
    uint64_t& word = words[rng.below(table.size / sizeof(uint64_t))];
    sum += word;  // Zero, unless this word has been drawn before.
    word = i;
  }
  return sum;
}

template <class Step>
double step_ns(size_t steps, Step step) {
  const double start = workload::cpu_ns();
  for (size_t i = 0; i < steps; ++i) step();
  return (workload::cpu_ns() - start) / static_cast<double>(steps);
}

}  // namespace

int main() {
  workload::Rng rng(1);
  uint64_t sum = 0;
  workload::report_ns("small", step_ns(kSmall, [&] { sum += replace_small(rng); }));
  workload::report_ns("sparse", step_ns(kSparse, [&] { sum += replace_sparse(rng); }));
  workload::report_answer(sum);
}
