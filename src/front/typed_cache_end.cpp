// front/typed_cache_end.cpp -- how what is free ends: when memory is short, and with its cache.
//
// Idea
//   Destructors are the program's code, and run where its other calls do. So when the end of a
//   cache meets a fork that lasts too long, what is left of it goes without: its slabs and its
//   place are given back as soon as the gate is open, but no destructor runs then.
//
// Locking
//   None of its own.
#include <algorithm>

#include "front/process.h"
#include "front/shrinkers.h"
#include "front/typed_cache.h"
#include "harden/misuse.h"

namespace ashlar::front {

using cache::g_registry;

// What asking for everything is told by.
constexpr size_t kEverything = SIZE_MAX / 2 + 1;

void TypedCache::destroy() {
  if (shrinker_ != Shrinkers::kNone) g_shrinkers.remove(shrinker_);
  // In the child of a fork they may be other threads' of the parent. (To count them empties the
  // magazines.)
  bool is_own = made_in_ == fork_count();
  size_t live = is_own ? count_live() : 0;
  if (live > 0 && live != SIZE_MAX) misuse::live_objects(name_, live);
  end_waiting();
  if (keeps_slabs() && cache_ != nullptr) {
    if (!is_own) inside([&] { g_registry.empty(*cache_); });
    end_empties(0, true);
  }
  if (!inside([&] { end(); })) put_off(end_);
}

// What a fork has kept from being destructed will not be: to the program the cache has ended.
void TypedCache::end() {
  if (keeps_slabs() && cache_ != nullptr) {
    g_registry.empty(*cache_);
    slab::SlabStock& stock = cache_->stock();
    while (slab::Slab* slab = stock.take_empty(0)) stock.retire_taken(*slab);
  }
  if (cache_ != nullptr) g_registry.end_own(*cache_);
  g_heap.pages().meta().free(this, sizeof(TypedCache));
}

void TypedCache::end_late(PutOff& work) {
  static_cast<End&>(work).cache->end();
}

size_t TypedCache::end_waiting() {
  size_t ended = 0;
  for (std::atomic<void*>& place : waiting_) {
    void* object = place.exchange(nullptr);
    if (object == nullptr) continue;
    end_block(object);
    ended += size_;
  }
  return ended;
}

// Ends the objects of empty slabs, but for `spared` of these, and retires them; of no more slabs
// than there are, for those that destructors empty. How many bytes. Only at the cache's end does it
// wait for a fork.
size_t TypedCache::end_empties(size_t spared, bool is_last) {
  slab::SlabStock& stock = cache_->stock();
  auto end = [&](void* handle) { destruct_(object_of(handle), data_); };
  size_t ended = 0;
  for (size_t slabs = stock.stats().slabs; slabs > 0; --slabs) {
    slab::Slab* slab = nullptr;
    auto take = [&] { slab = stock.take_empty(spared); };
    is_last ? inside(take) : inside_soon(take);
    if (slab == nullptr) break;
    if (ends()) slab->for_each_made(stock.layout(), end);
    ended += slab->bytes();
    if (!inside([&] { stock.retire_taken(*slab); }))
      put_off(*new (slab->objects) PutOff{nullptr, retire_late});
  }
  return ended;
}

// A slab that has been taken, whose first object holds the work.
void TypedCache::retire_late(PutOff& work) {
  slab::Slab& slab = slab_of(&work);
  slab.stock->retire_taken(slab);
}

size_t TypedCache::shrink() {
  inside_gate(GateWait::kSecond, [] {});
  return shrink_now();
}

// Where a fork is under way, only what needs no gate: whoever asks all caches would wait for each.
size_t TypedCache::shrink_now() {
  size_t ended = end_waiting();
  if (cache_ == nullptr) return ended;
  slab::SlabStock& stock = cache_->stock();
  size_t before = stock.stats().frames;
  if (!inside_soon([&] { g_registry.empty(*cache_); })) return ended;
  if (keeps_slabs()) return ended + end_empties(0);
  inside_soon([&] { stock.reap(true); });
  return ended + ((before - std::min(before, stock.stats().frames)) << base::kFrameShift);
}

size_t TypedCache::shrink_asked(void* cache, size_t) {
  return static_cast<TypedCache*>(cache)->shrink_now();
}

size_t TypedCache::shrink_kept(void* cache, size_t bytes) {
  return bytes >= kEverything ? static_cast<TypedCache*>(cache)->shrink_now() : 0;
}

size_t TypedCache::shrink_all() {
  inside_gate(GateWait::kSecond, [] {});
  return g_shrinkers.ask_all(shrink_asked) + g_shrinkers.ask_all(shrink_kept);
}

}  // namespace ashlar::front
