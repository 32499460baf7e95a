// slob.cpp -- what a block of SLOB costs, by how many pages it has to look through.
//
// An item is one block taken and given back.

#include <benchmark/benchmark.h>

#include <vector>

#include "micro.h"
#include "slob/slob.h"

namespace {
using namespace ashlar;

// A heap of `pages` pages of mixed small blocks, a fifth of which have come free again.
void churn(benchmark::State& state) {
  static slob::Slob slob;
  slob.start(micro::heap().slabs(), micro::heap().meta());
  auto pages = static_cast<size_t>(state.range(0));
  micro::Rng random;
  auto size = [&] { return 16 + random.below(16) * random.below(16); };
  std::vector<void*> live;
  auto free = [&](size_t at) {
    slob.free(micro::heap().slabs().frame_of(live[at]), live[at]);
    live[at] = live.back();
    live.pop_back();
  };
  while (slob.stats().pages < pages) live.push_back(slob.alloc(size(), 1));
  for (size_t i = live.size() / 5; i > 0; --i) free(random.below(live.size()));
  for (auto _ : state) {
    live.push_back(slob.alloc(size(), 1));
    free(random.below(live.size()));
  }
  while (!live.empty()) free(live.size() - 1);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(churn)->ArgName("pages")->Arg(4)->Arg(16)->Arg(64)->Arg(256)->Arg(1024);

}  // namespace
