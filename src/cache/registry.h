// cache/registry.h -- all object caches, and what is done to all of them at once.
//
// Idea
//   malloc's size classes are caches with fixed ids that come to life when first used; caches of
//   the program's own take one of the other ids, or two (cache/object_cache.h), and leave them when
//   they end. Draining, reaping, auditing and forking concern them all, and go through here.
//
//   Own caches of equal layout whose objects keep no state are one, with as many users.
//
// Invariants
//   1. A cache's id is its slabs'; id 0 is no cache. Caches stand in the order in which their ids
//      were first used, so that a process that uses few has few pages of them.
//   2. An own cache without users that has a slab still is started, and its id is taken; one that
//      has none may be stopped, with closed words in every area.
//
// Locking
//   The seats' lock (LockRank::kRegistry) while CPUs are drained, or a cache comes to life or ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cache/object_cache.h"
#include "page/page_heap.h"

namespace ashlar::cache {

class Registry {
 public:
  constexpr Registry() = default;
  /// Readies the seats; caches exist from now on.
  os::RseqMode start(page::PageHeap& heap, bool allow_rseq, void (*on_exit)(void*));

  /// The cache with this id; one that is not started where none has been yet.
  ObjectCache& at(uint8_t id) { return caches_[places_[id].load(std::memory_order_acquire)]; }

  /// Brings the cache with a fixed id to life, if it is not yet.
  ObjectCache& create(uint8_t id, const slab::SlabLayout& layout, const char* name);

  /// How an own cache is made. Those that are shared are found again by their layout.
  enum class Sharing : uint8_t { kAlone, kShared };
  struct Own {
    slab::SlabLayout layout;
    Sharing sharing = Sharing::kAlone;
    slab::Empties empties = slab::Empties::kRetire;
  };
  /// An own cache, a new one or one that is shared; null where all ids are taken.
  ObjectCache* create_own(const Own& own, const char* name);
  /// Ends one user's share in an own cache, and the cache with the last one. Where objects live on,
  /// or slabs are kept, it stays, and whoever wants one of its layout gets it if it was shared.
  void end_own(ObjectCache& cache);
  /// Empties all CPUs' magazines of an own cache, and its depot. False where the kernel cannot
  /// fence: then the magazines are as they were.
  bool empty(ObjectCache& cache);
  /// Empties them, and tells how many objects live on; SIZE_MAX where nobody knows.
  size_t count_live(ObjectCache& cache);

  /// Whether an object that bears the key is free in truth. Drains all CPUs.
  bool is_free(uint8_t id, const void* object);

  /// Counts the objects in magazines and depots, by cache id. Drains all CPUs; where threads have
  /// magazines of their own, only the caller's are counted.
  void count_ready(size_t* counts);

  /// Gives back what was not needed since the last time: what lies idle in depots and, where they
  /// hold much, in magazines.
  void reap_idle();
  /// Ends an interval: the same, and halves the other magazines where they may hold much.
  void reap();
  /// Empties all CPUs' magazines, all depots, and keeps no empty slab.
  void reap_everything();

  /// Purges what of the slabs' vacant frames need not be kept, the emptiest slabs first, or all of
  /// them. How many frames went. Called with no lock held.
  size_t trim(uint64_t now_ms);
  size_t purge_everything(uint64_t now_ms);

  /// Where a size that needs memory has asked for it, dissolves slabs of others of which little is
  /// in use. Called with no lock held.
  void dissolve();

  /// Calls visit(ObjectCache&) for each cache.
  template <class Visit>
  void for_each(Visit visit) {
    for (unsigned id = 1; id < base::kMaxCaches; ++id)
      if (ObjectCache& cache = at(static_cast<uint8_t>(id)); cache.is_started()) visit(cache);
  }
  /// Calls visit(os::Lock&) for each lock of this floor and the stocks', in order.
  template <class Visit>
  void for_each_lock(Visit visit) {
    visit(seat_lock());
    for_each([&](ObjectCache& cache) {
      visit(cache.depot().lock());
      visit(cache.stock().lock());
    });
    visit(g_remnants.lock());
  }

  /// Leaves what lies in all CPUs' magazines where it is, and forgets it: a loss, bounded by what
  /// magazines hold, for the child of a fork that could not be fenced. The CPUs are drained or
  /// idle.
  void forget_magazines();

  /// Empties the seat that a thread has left, and keeps it for another.
  void end_seat(Area& area);

  void audit();

 private:
  static constexpr unsigned kOwn = base::kMaxCaches - base::kMaxClasses;
  struct Record {
    Own own;
    unsigned users = 0;  // 0: nobody uses it; its id is free once no slab is left
    char name[32];
  };
  ObjectCache* find_shared(const Own& own);
  unsigned find_free(unsigned ids);
  ObjectCache& own_at(unsigned at) {
    return this->at(static_cast<uint8_t>(base::kMaxClasses + at));
  }
  bool is_taken(unsigned at);
  bool close_words_of(ObjectCache& cache);
  struct Taken;
  void take_all(Area& area, Taken& taken);
  void take_idle(Area& area, Taken& taken);
  template <class Take>
  void flush_what(Take take);
  void empty_area(Area& area);
  void empty_cpu_areas(void (Registry::*take)(Area&, Taken&));
  size_t idle_bytes(const Area& area);
  void note_seen(Area& area);
  void fade(const Seat& seat);
  size_t purge(size_t most, uint64_t now_ms);

  ObjectCache& place(uint8_t id);

  page::PageHeap* heap_ = nullptr;
  std::atomic<size_t> undissolved_{0};  // with fewer frames of sparse slabs there is nothing to do
  std::atomic<uint8_t> places_[base::kMaxCaches]{};  // in caches_, by id; the first is no cache's
  unsigned last_place_ = 0;
  ObjectCache caches_[base::kMaxCaches]{};
  Record records_[kOwn]{};  // of own caches, by id
};

/// The process's caches.
ASHLAR_HIDDEN extern Registry g_registry;

}  // namespace ashlar::cache
