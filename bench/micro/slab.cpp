// slab.cpp -- what it costs to move a batch of objects between a stock and its slabs.
//
// An item is one object taken and put back. A batch is what a magazine moves at once: one lock for
// all of its objects.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <vector>

#include "micro.h"
#include "slab/slab_stock.h"

namespace {
using namespace ashlar;

// A stock of its own for each benchmark. Never destroyed, as in the library.
slab::SlabStock& new_stock(size_t size) {
  auto* layout = new slab::SlabLayout(slab::layout_for(size, base::kGrain));
  auto* stock = new slab::SlabStock;
  stock->start(micro::heap(), *layout, 1, "micro");
  return *stock;
}

void take(slab::SlabStock& stock, void** objects, size_t count) {
  for (size_t done = 0; done < count;) {
    unsigned more = stock.refill(objects + done, static_cast<unsigned>(count - done));
    if (more == 0) abort();
    done += more;
  }
}

void count_objects(benchmark::State& state, size_t count) {
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * count));
}

// The best case: neighbours of one or two slabs, put back as they came.
void batches(benchmark::State& state) {
  slab::SlabStock& stock = new_stock(static_cast<size_t>(state.range(0)));
  std::vector<void*> objects(static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    take(stock, objects.data(), objects.size());
    stock.flush(objects.data(), static_cast<unsigned>(objects.size()));
  }
  count_objects(state, objects.size());
}
BENCHMARK(batches)
    ->ArgNames({"size", "objects"})
    ->ArgsProduct({{16, 64, 1024}, {1, 8, 32, 128}})
    ->Args({4096, 16})
    ->Args({32768, 4});

// What a long-lived heap does: 20,000 objects are live, and each batch comes from anywhere.
void scattered_batches(benchmark::State& state) {
  constexpr size_t kLive = 20000;
  slab::SlabStock& stock = new_stock(static_cast<size_t>(state.range(0)));
  auto count = static_cast<size_t>(state.range(1));
  std::vector<void*> live(kLive);
  take(stock, live.data(), kLive);
  micro::shuffle(live);
  size_t at = 0;
  for (auto _ : state) {
    stock.flush(live.data() + at, static_cast<unsigned>(count));
    take(stock, live.data() + at, count);
    at = at + 2 * count > kLive ? 0 : at + count;
  }
  stock.flush(live.data(), kLive);
  count_objects(state, count);
}
BENCHMARK(scattered_batches)
    ->ArgNames({"size", "objects"})
    ->ArgsProduct({{16, 64, 1024}, {8, 32, 128}});

// Slabs come and go: four of them are carved from the page heap and retired each time.
void carves_and_retirements(benchmark::State& state) {
  slab::SlabStock& stock = new_stock(static_cast<size_t>(state.range(0)));
  std::vector<void*> objects(size_t{4} * stock.layout().count);
  for (auto _ : state) {
    take(stock, objects.data(), objects.size());
    stock.flush(objects.data(), static_cast<unsigned>(objects.size()));
    stock.reap(true);
  }
  count_objects(state, objects.size());
}
BENCHMARK(carves_and_retirements)->ArgName("size")->Arg(16)->Arg(64)->Arg(1024)->Arg(32768);

// What slabs of 64 bytes have left, of which one object in 64 lives on, serves another size.
void objects_of_remnants(benchmark::State& state) {
  constexpr size_t kObjects = 200000, kOneIn = 64;
  slab::SlabStock& before = new_stock(64);
  std::vector<void*> all(kObjects), gone;
  take(before, all.data(), kObjects);
  for (size_t i = 0; i < kObjects; ++i)
    if (i % kOneIn != 0) gone.push_back(all[i]);
  before.flush(gone.data(), static_cast<unsigned>(gone.size()));
  auto* remnants = new slab::Remnants;
  remnants->start(micro::heap());
  before.dissolve(*remnants, SIZE_MAX);
  slab::SlabLayout layout = slab::layout_for(static_cast<size_t>(state.range(0)), base::kGrain);
  std::vector<void*> objects(static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    if (remnants->take(layout, objects.data(), static_cast<unsigned>(objects.size())) !=
        objects.size())
      abort();
    remnants->put(objects.data(), static_cast<unsigned>(objects.size()));
  }
  count_objects(state, objects.size());
}
BENCHMARK(objects_of_remnants)
    ->ArgNames({"size", "objects"})
    ->ArgsProduct({{48, 192, 1024}, {8, 128}});

}  // namespace
