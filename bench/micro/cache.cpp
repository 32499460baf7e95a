// cache.cpp -- what an object costs: from the magazine, and by the ways behind it.
//
// ASHLAR_CONF=rseq:0 asks for magazines per thread. `slow` counts entries of the slow path in a
// thousand calls, `stock` those that went on to the slabs. What magazines hold is chosen by
// `batches`: see kMagazineBytes in cache/object_cache.cpp.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "cache/registry.h"
#include "micro.h"
#include "os/env.h"

namespace {
using namespace ashlar;

using cache::FreeObject;
using cache::g_registry;
using cache::ObjectCache;

bool g_has_rseq = false;

page::PageHeap& heap() {
  static constinit page::PageHeap heap;
  static const bool is_started = [] {
    os::start_env();
    const char* wish = std::getenv("ASHLAR_CONF");
    bool allow_rseq = wish == nullptr || std::strstr(wish, "rseq:0") == nullptr;
    if (!heap.start(os::kVm, micro::kKeepAll, {.huge_pages = page::Manners::HugePages::kNever}))
      return false;
    g_has_rseq = g_registry.start(heap, allow_rseq, [](void* area) {
      cache::leave_seat();
      g_registry.end_seat(*static_cast<cache::Area*>(area));
    }) != os::RseqMode::kNone;
    return true;
  }();
  if (!is_started) abort();
  return heap;
}

// The cache of a size, made the first time; some threads may ask at once.
ObjectCache& cache_of(size_t size) {
  static std::mutex mutex;
  static std::map<size_t, ObjectCache*> caches;
  std::lock_guard held(mutex);
  heap();
  ObjectCache*& cache = caches[size];
  if (cache != nullptr) return *cache;
  // As malloc's classes: at multiples of the largest power of two that divides the size.
  size_t align = std::min(size & (~size + 1), base::kFrameSize);
  auto* layout = new slab::SlabLayout(slab::layout_for(size, align));
  cache = &g_registry.create(static_cast<uint8_t>(caches.size()), *layout, "micro");
  return *cache;
}

// As the front does it: the section first where sections may run, else the thread's own seat.
void* try_take(ObjectCache& cache) {
  if (g_has_rseq) return os::rseq_pop(cache.id());
  cache::Seat seat = cache::own_seat();
  return seat.is_none() ? nullptr : seat.pop(cache.id());
}

bool try_give(ObjectCache& cache, void* object) {
  if (g_has_rseq) return os::rseq_push(cache.id(), object);
  cache::Seat seat = cache::own_seat();
  return !seat.is_none() && seat.push(cache.id(), object);
}

void* take(ObjectCache& cache) {
  void* object = try_take(cache);
  if (object == nullptr) object = cache.alloc_slow();
  if (object == nullptr) abort();
  static_cast<FreeObject*>(object)->key = 0;
  return object;
}

void give(ObjectCache& cache, void* object) {
  if (!try_give(cache, object)) cache.free_slow(object);
}

// Entries of the slow path since `before`, in a thousand calls.
void count_trips(benchmark::State& state, ObjectCache& cache, const cache::CacheStats& before,
                 size_t calls) {
  if (state.thread_index() != 0) return;
  cache::CacheStats after = cache.stats();
  size_t slow = after.slow_allocs + after.slow_frees - before.slow_allocs - before.slow_frees;
  size_t stock = after.refills + after.flushes - before.refills - before.flushes;
  double thousands = static_cast<double>(calls) * state.threads() / 1000;
  state.counters["slow"] = static_cast<double>(slow) / thousands;
  state.counters["stock"] = static_cast<double>(stock) / thousands;
}

// One object taken, written and given back. At 4096 and above objects lie at the starts of frames.
void pairs(benchmark::State& state) {
  ObjectCache& cache = cache_of(static_cast<size_t>(state.range(0)));
  give(cache, take(cache));
  for (auto _ : state) {
    void* object = take(cache);
    *static_cast<uint64_t*>(object) = 1;
    benchmark::ClobberMemory();
    give(cache, object);
  }
}
BENCHMARK(pairs)->ArgName("size")->Arg(16)->Arg(64)->Arg(256)->Arg(1024)->Arg(4096)->Arg(32768);

// So many objects taken, then all given back. An item is one of them.
void batches(benchmark::State& state) {
  ObjectCache& cache = cache_of(static_cast<size_t>(state.range(0)));
  std::vector<void*> objects(static_cast<size_t>(state.range(1)));
  cache::CacheStats before = cache.stats();
  for (auto _ : state) {
    for (void*& object : objects) object = take(cache);
    for (void* object : objects) give(cache, object);
  }
  auto items = static_cast<size_t>(state.iterations()) * objects.size();
  state.SetItemsProcessed(static_cast<int64_t>(items));
  count_trips(state, cache, before, 2 * items);
}
BENCHMARK(batches)
    ->ArgNames({"size", "objects"})
    ->ArgsProduct({{64, 4096}, {10, 100, 1000, 10000}});
// Two threads that share the depot and the stock.
BENCHMARK(batches)
    ->ArgNames({"size", "objects"})
    ->ArgsProduct({{64}, {100, 1000}})
    ->Threads(2)
    ->UseRealTime();

// A magazine filled from the slabs and flushed to them. An item is one object.
void refill_and_flush(benchmark::State& state) {
  ObjectCache& cache = cache_of(static_cast<size_t>(state.range(0)));
  unsigned count = cache.stats().capacity;
  size_t moved = 0;  // a refill may give less than a magazine: what was there in slabs
  cache::Batch batch;
  for (auto _ : state) {
    batch.count = cache.stock().refill(batch.objects, count);
    moved += batch.count;
    cache.flush(cache::chain(batch.objects, batch.count, count));
  }
  state.SetItemsProcessed(static_cast<int64_t>(moved));
}
BENCHMARK(refill_and_flush)->ArgName("size")->Arg(16)->Arg(64)->Arg(1024)->Arg(4096)->Arg(32768);

// A full magazine put into the depot and taken out. The two threads want the same lock.
void depot_exchange(benchmark::State& state) {
  static constinit cache::Depot depot;
  if (state.thread_index() == 0) depot.start(heap().meta());
  alignas(16) FreeObject object{};
  uint64_t magazine = cache::pushed(cache::empty_word(1), &object);
  for (auto _ : state) {
    if (!depot.try_put({magazine, 1})) abort();
    benchmark::DoNotOptimize(depot.take(0));
  }
}
BENCHMARK(depot_exchange)->ThreadRange(1, 2);

// All CPUs drained, everything flushed. A thousand small objects have been freed before.
void reap_everything(benchmark::State& state) {
  ObjectCache& cache = cache_of(64);
  std::vector<void*> objects(1000);
  for (auto _ : state) {
    for (void*& object : objects) object = take(cache);
    for (void* object : objects) give(cache, object);
    g_registry.reap_everything();
  }
}
BENCHMARK(reap_everything);

}  // namespace
