// page_heap.cpp -- what a block of frames costs, from a zone on the real kernel.
//
// Blocks as slabs take them go through the buddy lists, split and merged each time where nothing
// else of their size is free; large blocks wait in a row for a request of the same size. Memory is
// touched only where the name says so.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "micro.h"
#include "os/env.h"
#include "page/zone.h"

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;

page::Zone& zone() {
  static constinit page::Zone zone;
  static const bool is_started = [] {
    os::start_env();
    return zone.start(os::kVm, micro::kKeepAll, size_t{1} << 40);
  }();
  if (!is_started) abort();
  return zone;
}

struct Block {
  uint32_t first;
  Pages pages;
};

Block take(Pages pages) {
  Frame* frame = zone().alloc(pages, Order(0), FrameKind::kMeta);
  if (frame == nullptr) abort();
  return {zone().number_of(*frame), pages};
}

void give(Block block) {
  zone().free(block.first, block.pages);
}

// One block taken and given back at once.
void block_pairs(benchmark::State& state) {
  Pages pages(static_cast<size_t>(state.range(0)));
  for (auto _ : state) give(take(pages));
}
BENCHMARK(block_pairs)->ArgName("frames")->Arg(1)->Arg(4)->Arg(9)->Arg(64)->Arg(512);

void large_pairs(benchmark::State& state) {
  Pages pages(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    Frame* frame = zone().alloc(pages, Order(0), FrameKind::kLarge);
    if (frame == nullptr) abort();
    zone().free_large(*frame);
  }
}
BENCHMARK(large_pairs)->ArgName("frames")->Arg(1)->Arg(4)->Arg(9)->Arg(64)->Arg(512);

// As many blocks as 64 MiB hold, at most 1000, given back in random order: every merge there is.
void block_batches(benchmark::State& state) {
  Pages pages(static_cast<size_t>(state.range(0)));
  std::vector<size_t> order(std::min<size_t>(1000, (size_t{64} << 20) / pages.bytes()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  micro::shuffle(order);
  std::vector<Block> blocks(order.size());
  for (auto _ : state) {
    for (Block& block : blocks) block = take(pages);
    for (size_t i : order) give(blocks[i]);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * blocks.size()));
}
BENCHMARK(block_batches)->ArgName("frames")->Arg(1)->Arg(4)->Arg(9)->Arg(64)->Arg(512);

// A thousand live blocks of 1 to 64 frames, replaced at random.
void block_replacements(benchmark::State& state) {
  micro::Rng rng;
  std::vector<Block> blocks(1000);
  for (Block& block : blocks) block = take(Pages(1 + rng.below(64)));
  for (auto _ : state) {
    Block& block = blocks[rng.below(blocks.size())];
    give(block);
    block = take(Pages(1 + rng.below(64)));
  }
  for (Block block : blocks) give(block);
}
BENCHMARK(block_replacements);

// A block that is written, given back and purged: the faults and the system call.
void purges(benchmark::State& state) {
  Pages pages(static_cast<size_t>(state.range(0)));
  zone().purge(0);
  for (auto _ : state) {
    Block block = take(pages);
    std::memset(zone().address_of(block.first), 1, pages.bytes());
    give(block);
    benchmark::DoNotOptimize(zone().purge(0));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * pages.n));
}
BENCHMARK(purges)->ArgName("frames")->Arg(1)->Arg(64)->Arg(512);

}  // namespace
