// front.cpp -- what malloc and its relatives cost, as the shim calls them.
//
// The library's options hold, e.g. ASHLAR_CONF=rseq:0. `slow` counts entries of the slow path in a
// thousand calls. How this compares with other allocators is bench/compare's subject.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/stats.h"
#include "micro.h"

namespace {
using namespace ashlar;

constexpr int64_t kMiB = 1 << 20;

// Counts the slow path's entries between its making and its end.
class SlowCalls {
 public:
  SlowCalls() : before_(now()) {}
  void report(benchmark::State& state, size_t calls) const {
    state.counters["slow"] =
        static_cast<double>(now() - before_) * 1000 / static_cast<double>(calls);
  }

 private:
  static size_t now() {
    inspect::Totals totals = inspect::totals();
    return totals.slow_allocs + totals.slow_frees;
  }
  size_t before_;
};

// malloc, a store, free.
void pairs(benchmark::State& state) {
  auto size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = front::alloc(size);
    *static_cast<char*>(block) = 1;
    benchmark::DoNotOptimize(block);
    front::free(block);
  }
}
BENCHMARK(pairs)->ArgName("size")->RangeMultiplier(4)->Range(16, 32768);
BENCHMARK(pairs)->ArgName("size")->Arg(40)->Arg(40000)->Arg(kMiB)->Arg(8 * kMiB);
BENCHMARK(pairs)->ArgName("size")->Arg(64)->Arg(4096)->Threads(2)->UseRealTime();

// So many blocks allocated, then all freed. An item is one of them.
void batches(benchmark::State& state) {
  auto size = static_cast<size_t>(state.range(0));
  std::vector<void*> blocks(static_cast<size_t>(state.range(1)));
  SlowCalls slow;
  for (auto _ : state) {
    for (void*& block : blocks) block = front::alloc(size);
    benchmark::ClobberMemory();
    for (void* block : blocks) front::free(block);
  }
  auto items = static_cast<size_t>(state.iterations()) * blocks.size();
  state.SetItemsProcessed(static_cast<int64_t>(items));
  slow.report(state, 2 * items);
}
BENCHMARK(batches)->ArgNames({"size", "blocks"})->ArgsProduct({{64, 4096}, {10, 100, 1000, 10000}});

// So many live blocks of 16 to 1024 bytes, replaced at random.
void replacements(benchmark::State& state) {
  micro::Rng rng;
  std::vector<void*> blocks(static_cast<size_t>(state.range(0)));
  for (void*& block : blocks) block = front::alloc(16 + rng.below(1009));
  SlowCalls slow;
  for (auto _ : state) {
    void*& block = blocks[rng.below(blocks.size())];
    front::free(block);
    block = front::alloc(16 + rng.below(1009));
    *static_cast<char*>(block) = 1;
  }
  slow.report(state, 2 * static_cast<size_t>(state.iterations()));
  for (void* block : blocks) front::free(block);
}
BENCHMARK(replacements)->ArgName("live")->Arg(1000)->Arg(100000);

void zeroed(benchmark::State& state) {
  auto size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = front::alloc_zeroed(size);
    benchmark::DoNotOptimize(block);
    front::free(block);
  }
}
BENCHMARK(zeroed)->ArgName("size")->Arg(64)->Arg(4096)->Arg(65536)->Arg(kMiB);

void aligned(benchmark::State& state) {
  auto align = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = front::alloc_aligned(1000, align);
    benchmark::DoNotOptimize(block);
    front::free(block);
  }
}
BENCHMARK(aligned)->ArgName("align")->Arg(32)->Arg(64)->Arg(4096)->Arg(65536);

// An array that grows by 16 bytes up to a size: realloc stays, or copies. An item is one growth.
void growth(benchmark::State& state) {
  auto most = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = front::alloc(16);
    for (size_t size = 32; size <= most; size += 16) block = front::resize(block, size);
    front::free(block);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * (most / 16 - 1)));
}
BENCHMARK(growth)->ArgName("most")->Arg(1024)->Arg(65536);

// Everything that can be goes back to the kernel; 1 MiB has been used since the last time.
void reap(benchmark::State& state) {
  std::vector<void*> blocks(1024);
  for (auto _ : state) {
    for (void*& block : blocks) block = std::memset(front::alloc(1024), 1, 1024);
    for (void* block : blocks) front::free(block);
    benchmark::DoNotOptimize(front::reap());
  }
}
BENCHMARK(reap);

}  // namespace
