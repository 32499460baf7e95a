// typed_cache.cpp -- what the calls of ashlar/cache.h cost beside malloc's, and what colouring
// gains.
//
//   pairs      one object taken and given back: malloc, a plain cache, one with slabs of its own,
//              one with a constructor
//   bulk       objects by 16 and 64 at once, and the same one by one; time is per object
//   walk       the first field of 10,000 objects, in an order without pattern: objects at multiples
//              of their size, objects of which each slab starts a cache line further (coloured),
//              and objects 16 bytes apart, as those with a constructor are
// ASHLAR_CONF=thp:always puts the slabs of `walk` into huge pages. For cachegrind's view:
// valgrind --tool=cachegrind --cache-sim=yes typed_cache --benchmark_filter=walk.

#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ashlar/cache.h"
#include "cache/registry.h"
#include "front/heap.h"
#include "micro.h"

namespace {
using namespace ashlar;

int construct(void* object, void* size) {
  std::memset(object, 0, *static_cast<size_t*>(size));
  return 0;
}

enum Kind : int { kMalloc, kPlain, kOwn, kConstructed };

ashlar_cache* cache_of(Kind kind, size_t& size) {
  ashlar_cache_args args{};
  if (kind == kOwn) args.flags = ASHLAR_CACHE_NO_MERGE;
  if (kind == kConstructed) args.construct = construct;
  args.data = &size;
  ashlar_cache* cache = ashlar_cache_create("micro", size, &args);
  if (cache == nullptr) abort();
  return cache;
}

// As the shim calls them, and no compiler sees through.
[[gnu::noinline]] void* call_malloc(size_t size) {
  return front::alloc(size);
}
[[gnu::noinline]] void call_free(void* object) {
  front::free(object);
}

void pairs_of_malloc(benchmark::State& state) {
  auto size = static_cast<size_t>(state.range(0));
  front::free(front::alloc(size));
  if (!front::start_heap() || !front::g_heap.promote()) abort();
  for (auto _ : state) {
    void* object = call_malloc(size);
    benchmark::DoNotOptimize(object);
    call_free(object);
  }
}

template <Kind kind>
void pairs(benchmark::State& state) {
  auto size = static_cast<size_t>(state.range(0));
  ashlar_cache* cache = cache_of(kind, size);
  for (auto _ : state) {
    void* object = ashlar_cache_alloc(cache, 0);
    benchmark::DoNotOptimize(object);
    ashlar_cache_free(cache, object);
  }
  ashlar_cache_destroy(cache);
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (int size : {16, 64, 256, 1024, 4096}) bench->Arg(size);
}
BENCHMARK(pairs_of_malloc)->Apply(sizes);
BENCHMARK(pairs<kPlain>)->Name("pairs/plain")->Apply(sizes);
BENCHMARK(pairs<kOwn>)->Name("pairs/own")->Apply(sizes);
BENCHMARK(pairs<kConstructed>)->Name("pairs/constructed")->Apply(sizes);

void bulk(benchmark::State& state) {
  auto count = static_cast<size_t>(state.range(0));
  size_t size = 64;
  ashlar_cache* cache = cache_of(kOwn, size);
  std::array<void*, 64> objects;
  for (auto _ : state) {
    if (ashlar_cache_alloc_bulk(cache, 0, count, objects.data()) != count) abort();
    benchmark::DoNotOptimize(objects);
    ashlar_cache_free_bulk(cache, count, objects.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  ashlar_cache_destroy(cache);
}
BENCHMARK(bulk)->Arg(16)->Arg(64);

void one_by_one(benchmark::State& state) {
  auto count = static_cast<size_t>(state.range(0));
  size_t size = 64;
  ashlar_cache* cache = cache_of(kOwn, size);
  std::array<void*, 64> objects;
  for (auto _ : state) {
    for (size_t i = 0; i < count; ++i) objects[i] = ashlar_cache_alloc(cache, 0);
    benchmark::DoNotOptimize(objects);
    for (size_t i = 0; i < count; ++i) ashlar_cache_free(cache, objects[i]);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  ashlar_cache_destroy(cache);
}
BENCHMARK(one_by_one)->Arg(16)->Arg(64);

enum Placing : int { kAtMultiples, kColoured, kApart };

// As slab::layout_for, with room for colours bought with a further frame.
slab::SlabLayout layout_of(size_t size, Placing placing) {
  if (placing == kApart) return slab::layout_for(size + base::kGrain, base::kGrain);
  slab::SlabLayout layout = slab::layout_for(size, base::kGrain);
  layout.colours = 1;
  if (placing == kAtMultiples) return layout;
  ++layout.frames;
  layout.colours = static_cast<uint16_t>(base::kFrameSize / base::kCacheLine);
  layout.colour_step = base::kCacheLine;
  return layout;
}

template <Placing placing>
void walk(benchmark::State& state) {
  constexpr size_t kObjects = 10'000;
  auto size = static_cast<size_t>(state.range(0));
  if (!front::start_heap() || !front::g_heap.promote()) abort();
  cache::Registry::Own own;
  own.layout = layout_of(size, placing);
  cache::ObjectCache* cache = cache::g_registry.create_own(own, "walk");
  if (cache == nullptr) abort();
  std::vector<void*> objects(kObjects);

  size_t got = 0;
  for (unsigned more = 1; got < kObjects && more > 0; got += more)
    more = cache->stock().refill(objects.data() + got, static_cast<unsigned>(kObjects - got));
  micro::shuffle(objects);
  // Each object leads to the next: no load can begin before the one in front of it has ended.
  for (size_t i = 0; i < kObjects; ++i)
    *static_cast<void**>(objects[i]) = objects[(i + 1) % kObjects];
  void* at = objects[0];
  for (auto _ : state) {
    for (size_t i = 0; i < kObjects; ++i) at = *static_cast<void**>(at);
    benchmark::DoNotOptimize(at);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kObjects));
  cache->stock().flush(objects.data(), kObjects);
  cache::g_registry.end_own(*cache);
}

void walked_sizes(benchmark::internal::Benchmark* bench) {
  for (int size : {1024, 2048, 4096}) bench->Arg(size);
}
BENCHMARK(walk<kAtMultiples>)->Name("walk/at_multiples")->Apply(walked_sizes);
BENCHMARK(walk<kColoured>)->Name("walk/coloured")->Apply(walked_sizes);
BENCHMARK(walk<kApart>)->Name("walk/apart")->Apply(walked_sizes);

}  // namespace
