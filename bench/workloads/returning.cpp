// bench/workloads/returning.cpp -- how long malloc takes while another thread gives much back.
//
// Models
//   A server that drops a large table, a cache or a tenant's data while it goes on answering. One
//   thread frees hundreds of MiB of mixed small objects and some large blocks; meanwhile another
//   allocates and frees, and each pair is timed. An allocator that returns memory to the system
//   under a lock that malloc needs shows it here, and nowhere in a mean.
//
// Operation
//   ns.malloc= is the mean of a pair of malloc and free, but for the slowest in a thousand. The
//   histogram holds all of them.
//
// Arguments
//   mib   how much is returned; 512 where it is not given
//   "worst" prints for people the slowest pair but 100 of a million, and the slowest, and the same
//   of
//         a loop without malloc and free: what the machine itself does to a thread meanwhile

#include <atomic>
#include <cstring>
#include <thread>

#include "histogram.h"

namespace {

using workload::Block;
using workload::Histogram;
using workload::ticks;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kLarge = 3 * kMiB;
constexpr size_t kLargeEvery = 64 * kMiB;
constexpr size_t kSlots = 64;

/// Objects of so many bytes together, in the order in which they were made.
workload::Vector<Block> build(size_t bytes) {
  workload::Rng rng(1);
  workload::Vector<Block> blocks;
  size_t made = 0, next_large = kLargeEvery;
  while (made < bytes) {
    const bool is_large = made >= next_large;
    if (is_large) next_large += kLargeEvery;
    const size_t size = is_large ? kLarge : workload::mixed_size(rng);
    blocks.push_back(workload::new_block(workload::live, size, rng.next()));
    if (is_large) std::memset(blocks.back().memory, 1, size / 2), workload::stamp(blocks.back(), 1);
    made += size;
  }
  return blocks;
}

/// Times `pair` over and over while the objects are freed by another thread. The sum of their keys.
template <class Pair>
uint64_t while_returning(size_t bytes, Histogram& histogram, Pair pair) {
  workload::Vector<Block> blocks = build(bytes);
  std::atomic<bool> is_over{false};
  uint64_t sum = 0;
  std::thread other([&] {
    for (const Block& block : blocks) sum += workload::end_block(workload::live, block);
    is_over = true;
  });
  const uint64_t overhead = workload::clock_overhead();
  workload::Rng rng(2);
  while (!is_over) {
    const uint64_t key = rng.next();
    const uint64_t start = ticks();
    pair(key);
    const uint64_t duration = ticks() - start;
    histogram.record(duration - std::min(duration, overhead));
  }
  other.join();
  return sum;
}

void print_worst(const char* row, const Histogram& histogram, double ns_per_tick) {
  auto us = [&](size_t per_million) {
    return static_cast<double>(histogram.all_but(per_million)) * ns_per_tick / 1000;
  };
  std::printf("%s: p99.99 %.1f us, worst %.1f us\n", row, us(100), us(0));
}

}  // namespace

int main(int argc, char** argv) {
  const size_t bytes = workload::argument(argc, argv, 1, 512) * kMiB;
  static Histogram with_malloc, with_nothing;
  std::array<Block, kSlots> slots{};
  const workload::TickLength tick;

  uint64_t sum = while_returning(bytes, with_malloc, [&](uint64_t key) {
    Block& block = slots[key % kSlots];
    std::free(block.memory);
    block.size = 16 + (key >> 32) % 2000;
    block.memory = workload::must(std::malloc(block.size));
    *static_cast<uint64_t*>(block.memory) = key;
  });
  for (const Block& block : slots) std::free(block.memory);
  sum +=
      while_returning(bytes, with_nothing, [&](uint64_t key) { slots[key % kSlots].size = key; });

  const double ns_per_tick = tick.ns();
  if (argc > 2 && std::strcmp(argv[2], "worst") == 0) {
    print_worst("malloc", with_malloc, ns_per_tick);
    print_worst("nothing", with_nothing, ns_per_tick);
    return 0;
  }
  with_malloc.report("malloc", ns_per_tick);
  workload::report_live(workload::live.most());
  workload::report_answer(sum);
}
