// cache/registry.h -- all object caches, and what is done to all of them at once.
//
// Idea
//   malloc's size classes are caches with fixed ids that come to life when first used. Draining,
//   reaping, auditing and forking concern them all, and go through here.
//
// Invariants
//   1. A cache's id is its index; id 0 is no cache.
//
// Locking
//   The seats' lock (LockRank::kRegistry) while CPUs are drained or a cache comes to life.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache/object_cache.h"
#include "page/page_heap.h"

namespace cache {

class Registry {
 public:
  constexpr Registry() = default;
  /// Readies the seats; caches exist from now on.
  os::RseqMode start(page::PageHeap& heap, bool allow_rseq, void (*on_exit)(void*));

  /// The cache with this id, which has been created.
  ObjectCache& at(uint8_t id) { return caches_[id]; }

  /// Brings the cache with a fixed id to life, if it is not yet.
  ObjectCache& create(uint8_t id, const slab::SlabLayout& layout, const char* name);

  /// Whether an object that bears the mark of a free one is free in truth. Drains all CPUs.
  bool is_free(uint8_t id, const slab::Slab& slab, const void* object);

  /// Counts the objects in magazines and depots, by cache id. Drains all CPUs; where threads have
  /// magazines of their own, only the caller's are counted.
  void count_ready(size_t (&counts)[base::kMaxCaches]);

  /// Ends an interval. Empties the depots of what it did not need and, where they hold much, the
  /// magazines that it did not touch; halves the others where they may hold much.
  void reap();
  /// Empties all CPUs' magazines, all depots, and keeps no empty slab.
  void reap_everything();

  /// Purges what of the slabs' vacant frames need not be kept, the emptiest slabs first, or all of
  /// them. How many frames went. Called with no lock held.
  size_t trim(uint64_t now_ms);
  size_t purge_everything(uint64_t now_ms);

  /// Calls visit(ObjectCache&) for each cache.
  template <class Visit>
  void for_each(Visit visit) {
    for (unsigned id = 1; id < base::kMaxCaches; ++id)
      if (caches_[id].is_started()) visit(caches_[id]);
  }
  /// Calls visit(os::Lock&) for each lock of this floor and the stocks', in order.
  template <class Visit>
  void for_each_lock(Visit visit) {
    visit(seat_lock());
    for_each([&](ObjectCache& cache) {
      visit(cache.depot().lock());
      visit(cache.stock().lock());
    });
  }

  /// Leaves what lies in all CPUs' magazines where it is, and forgets it: a loss, bounded by what
  /// magazines hold, for the child of a fork that could not be fenced. The CPUs are drained or
  /// idle.
  void forget_magazines();

  /// Ends the calling thread's own seat: for the exit hook that start() was given.
  void end_seat(void* area);

  void audit();

 private:
  template <class Wanted>
  void flush_area(Area& area, Wanted wanted);
  void empty_area(Area& area);
  size_t idle_bytes(const Area& area);
  void note_seen(Area& area);
  void reap_idle();
  void fade(const Seat& seat);
  size_t purge(size_t most, uint64_t now_ms);

  page::PageHeap* heap_ = nullptr;
  ObjectCache caches_[base::kMaxCaches]{};
};

/// The process's caches.
ASHLAR_HIDDEN extern Registry g_registry;

}  // namespace cache
