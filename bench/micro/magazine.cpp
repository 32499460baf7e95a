// magazine.cpp -- what a magazine's operations cost, by restartable sections and without them.
//
// The areas are this program's own, one for each CPU that may exist, each with a half-full
// magazine: so a thread that is moved goes on where it comes to. `own_*` are the same operations on
// a seat that belongs to one thread, as where there are no restartable sequences.

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "cache/magazine.h"
#include "cache/seat.h"
#include "os/env.h"
#include "os/rseq.h"

namespace {
using namespace ashlar;

using cache::Area;
using cache::FreeObject;

constexpr size_t kCache = 1;
constexpr unsigned kCapacity = 64;

struct alignas(64) Object : FreeObject {
  char content[48];
};

// A magazine of half its capacity, of objects that live for ever.
uint64_t half_full_magazine() {
  auto* objects = new std::array<Object, kCapacity / 2>;
  std::array<void*, kCapacity / 2> addresses;
  for (size_t i = 0; i < addresses.size(); ++i) addresses[i] = &(*objects)[i];
  return cache::chain(addresses.data(), kCapacity / 2, kCapacity);
}

Area* new_area() {
  auto* area = new Area;
  cache::close_words(*area);
  area->words[kCache] = half_full_magazine();
  return area;
}

// Whether sections run here; gives every CPU its area the first time.
bool has_sections() {
  static const bool is_open = [] {
    os::start_env();
    if (os::start_rseq(true) == os::RseqMode::kNone) return false;
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu) os::g_fast.areas[cpu] = new_area();
    return true;
  }();
  return is_open;
}

bool skipped(benchmark::State& state) {
  if (has_sections()) return false;
  state.SkipWithError("not run: no restartable sequences here");
  return true;
}

void* pop() {
  void* object = os::rseq_pop(kCache);
  if (object != nullptr) [[likely]]
    static_cast<FreeObject*>(object)->key = 0;
  return object;
}

void pop_and_push(benchmark::State& state) {
  if (skipped(state)) return;
  for (auto _ : state) {
    void* object = pop();
    benchmark::DoNotOptimize(object);
    if (object != nullptr) [[likely]]
      benchmark::DoNotOptimize(os::rseq_push(kCache, object));
  }
}
BENCHMARK(pop_and_push);

// Sixteen objects at a time: each pop has to load a link that no push has just stored.
void pop_16_and_push_16(benchmark::State& state) {
  if (skipped(state)) return;
  std::array<void*, 16> objects;
  for (auto _ : state) {
    for (void*& object : objects) object = pop();
    for (void* object : objects)
      if (object != nullptr) [[likely]]
        benchmark::DoNotOptimize(os::rseq_push(kCache, object));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * objects.size()));
}
BENCHMARK(pop_16_and_push_16);

// A whole magazine changes hands: the word is replaced by itself.
void exchange(benchmark::State& state) {
  if (skipped(state)) return;
  for (auto _ : state) {
    os::CpuArea* area = os::g_fast.areas[os::rseq_cpu()];
    uint64_t word = __atomic_load_n(&area->words[kCache], __ATOMIC_RELAXED);
    benchmark::DoNotOptimize(os::rseq_exchange(area, kCache, word, word));
  }
}
BENCHMARK(exchange);

// The way out of a section into the slow path, from a magazine without objects or room.
void refused_pop(benchmark::State& state) {
  if (skipped(state)) return;
  for (auto _ : state) benchmark::DoNotOptimize(os::rseq_pop(kCache + 1));
}
BENCHMARK(refused_pop);

// What a drain waits for.
void fence(benchmark::State& state) {
  if (skipped(state)) return;
  for (auto _ : state) benchmark::DoNotOptimize(os::rseq_fence());
}
BENCHMARK(fence);

void own_pop_and_push(benchmark::State& state) {
  std::unique_ptr<Area> area(new_area());
  cache::Seat seat(area.get(), true);
  for (auto _ : state) {
    void* object = seat.pop(kCache);
    benchmark::DoNotOptimize(object);
    benchmark::DoNotOptimize(seat.push(kCache, object));
  }
}
BENCHMARK(own_pop_and_push);

void own_exchange(benchmark::State& state) {
  std::unique_ptr<Area> area(new_area());
  cache::Seat seat(area.get(), true);
  for (auto _ : state) {
    uint64_t word = seat.load(kCache);
    benchmark::DoNotOptimize(seat.exchange(kCache, word, word));
  }
}
BENCHMARK(own_exchange);

// A magazine made of a batch, as a refill does it. An item is one object.
void chain(benchmark::State& state) {
  auto count = static_cast<unsigned>(state.range(0));
  std::vector<Object> objects(count);
  std::vector<void*> addresses;
  for (Object& object : objects) addresses.push_back(&object);
  for (auto _ : state) benchmark::DoNotOptimize(cache::chain(addresses.data(), count, count));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * count));
}
BENCHMARK(chain)->ArgName("objects")->Arg(8)->Arg(32)->Arg(cache::kMaxMagazine);

}  // namespace
