// cache/object_cache.h -- ready objects of one size: magazines in front, depot between, stock
// behind.
//
// Idea
//   This is the kernel's kmem_cache. Most calls push or pop this CPU's magazine and touch nothing
//   shared. When the magazine is empty or full the slow path moves a whole one: first to or from
//   the CPU's spare (so that a program which breathes around a magazine's edge stays on its CPU),
//   then the depot, and only then objects one by one to or from the slabs, in one batch.
//
//   All depots together hold a bounded amount; what does not fit goes to the slabs at once. If it
//   is wanted again within the interval, that is *regretted*, and the depot may hold so much more,
//   as long as that does not lift memory above what was in use lately.
//
//   A magazine starts small and grows by a quarter each time it runs empty or full, so a process
//   that uses little holds little. Where objects only come or only go, as between threads that
//   produce and threads that consume, it stops early: a magazine is handed on whole, and a larger
//   one would save little. Where it runs empty and full by turns, the program breathes, and it
//   grows up to what the cache allows. All magazines of a CPU together have a bound, too, up to
//   which they grow: some KiB and a share of the live memory. Where they have grown by much, all
//   shrink by half each interval, when they are next used, and those that are busy grow again.
//
//   Objects that keep their state while they are free (slab/slab_layout.h) must be *made* before
//   they are handed on, by the program's code: outside all locks, which is beyond this floor. So
//   what comes from the slabs is given to the caller, who makes what has not been made and hands
//   the batch back. All that lies in magazines and depots has been made.
//
//   A cache of the program's own has two ids: the slabs' (the class map's) and its word's. Where
//   objects keep their state these differ, and the word of the slabs' id stays closed for ever: so
//   free(), which knows of no handles, comes to the slow path with them.
//
//   Where a stock has several yards, for memory nodes or for CPUs (slab/slab_stock.h), a magazine
//   may hold objects of any of them: those that its CPU has freed. When it leaves its CPU full, it
//   is taken apart: each yard's objects go to the depot, for whom that yard serves, or if they are
//   few back to their slabs. So what is not at home is at most what the magazines of CPUs hold. A
//   magazine is walked through for it; with one yard none is.
//
// Invariants (audit())
//   1. Those of the depot and the stock.
//
// Locking
//   None of its own. alloc and free take kDepot, kStock and kRemnants one after the other, never
//   nested.
//
// Source
//   J. Bonwick, The Slab Allocator, USENIX 1994; J. Bonwick, J. Adams, Magazines and Vmem, 2001.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cache/depot.h"
#include "cache/magazine.h"
#include "cache/seat.h"
#include "slab/slab_stock.h"

namespace ashlar::cache {

struct CacheStats {
  const char* name = nullptr;
  size_t object_size = 0;
  unsigned capacity = 0;                   ///< objects in a magazine at most
  size_t slow_allocs = 0, slow_frees = 0;  ///< entries of the slow path
  size_t refills = 0, flushes = 0;         ///< trips to the stock
  size_t depot_magazines = 0;
  slab::StockStats stock;
};

/// Bytes of the objects in all depots.
size_t bytes_in_depots();

/// What they may hold in any case, where so much memory is live.
size_t always_in_depots(size_t live_bytes);

/// Ends the interval within which the most that was in use bounds what depots hold.
void end_peak(size_t live_bytes);

/// A cache's ids: of its magazines' words, and of its slabs.
struct Ids {
  uint8_t word = 0;
  uint8_t slabs = 0;
};

/// Where objects may come from: without kAll no slab is carved, and only kReady takes no lock of
/// the stock's.
enum class Source : uint8_t { kAll, kHeld, kReady };

/// What dissolved slabs have left, for all of malloc's caches.
ASHLAR_HIDDEN extern slab::Remnants g_remnants;

class ObjectCache {
 public:
  constexpr ObjectCache() = default;
  /// One of malloc's, which takes from g_remnants, too.
  void start(page::PageHeap& heap, const slab::SlabLayout& layout, uint8_t id, const char* name);
  /// One of the program's own. Where threads have magazines of their own it has none: nobody could
  /// empty those when the cache ends.
  void start_own(page::PageHeap& heap, const slab::SlabLayout& layout, Ids ids, const char* name,
                 slab::Empties empties);
  /// Ends it. Magazines are empty, no slab is left, nobody uses it any more.
  void stop() { id_.store(0, std::memory_order_release); }
  bool is_started() const { return id_.load(std::memory_order_acquire) != 0; }

  /// An object; null when memory is out. The bytes are whatever they were, but for the key of a
  /// free object, which is gone.
  void* alloc_slow(Source source = Source::kAll);

  /// Whether the only thread, which found none held, had better get one from elsewhere than from
  /// one more slab. Not so often that what the class asks for all the time would stay slow.
  bool try_without_slab();

  /// One that lies ready on this CPU, without a system call or a lock; null where none does.
  void* take_ready_here();

  /// Objects from the slabs, made or not, as many as the magazine here had best hold. How many.
  unsigned take_raw(Batch& batch);
  /// Takes them back when they have been made, but for the first, which is the caller's.
  void put_made(const Batch& batch);

  /// Takes an object back. Misuse that shows is told.
  void free_slow(void* object);

  /// Takes an object back that bears no key, if it fits in the magazine here.
  bool try_free(void* object);

  /// Gives a whole magazine's objects back to the slabs.
  void flush(uint64_t magazine);

  /// Gives back what all depots together hold too much, as far as this one's goes.
  void trim_depot();

  /// Gives back what the last interval did not need; all of the depot where `everything`.
  void reap(bool everything);

  /// Gives all that the depot holds to the slabs.
  unsigned empty_depot();

  /// Whether an object that bears the key is free in truth: it is searched for in the stock, the
  /// depot, and all CPUs' magazines, which must be drained, and `own`.
  bool holds(const void* object, const Area* own);

  /// Objects in the depot and in all magazines, which must be drained, and in `own`.
  size_t count_ready(const Area* own);

  slab::SlabStock& stock() { return stock_; }
  Depot& depot() { return depot_; }
  uint8_t id() const { return id_.load(std::memory_order_relaxed); }
  /// Objects in a full-grown magazine.
  unsigned capacity() const { return capacity_; }
  CacheStats stats();
  void audit();

  /// Halves what this seat's magazine may hold.
  void fade(const Seat& seat);

 private:
  void start_parts(page::PageHeap& heap, const slab::SlabLayout& layout, Ids ids, const char* name,
                   slab::Empties empties);
  Seat here() const { return has_no_seats_ ? Seat{} : take_seat(); }
  uint64_t next_magazine(const Seat& seat, Source source);
  uint64_t refill(const Seat& seat, unsigned capacity, Source source);
  unsigned learn(const Seat& seat, bool is_full);
  unsigned grown(const Seat& seat, unsigned capacity, unsigned limit);
  void make_room(const Seat& seat, uint64_t loaded);
  void enlarge(const Seat& seat, uint64_t loaded, unsigned capacity);
  unsigned take_from_slabs(void** out, unsigned most, const Seat& seat, Source source);
  void put_to_slabs(void** objects, unsigned count);
  unsigned yard_of(const Seat& seat) const { return stock_.yard_here(seat.yard()); }
  void deposit(Full full);
  void sort_out(Full full);
  void give_back(Full full);
  void give_back(uint64_t magazine, unsigned objects) {
    give_back(Full{magazine, static_cast<uint16_t>(objects)});
  }
  void leave_depot(const Full& full);
  bool fits_in_depots(size_t bytes, unsigned more);
  bool may_be_mine(const void* object);
  template <class Visit>
  void walk(uint64_t magazine, Visit visit);
  Batch unchain(uint64_t magazine);
  template <class Take>
  unsigned flush_depot(Take take);
  template <class Visit>
  void for_each_magazine(const Area* own, Visit visit);

  std::atomic<uint8_t> id_{0};  // 0 until the cache is ready
  uint8_t capacity_ = 0;        // of a full-grown magazine
  uint8_t first_ = 0;           // of a new one
  uint8_t one_way_ = 0;         // of one that only empties or only fills
  bool has_no_seats_ = false;
  bool has_remnants_ = false;  // one of malloc's: it may take from them
  uint16_t without_slab_ = 0;  // answers to try_without_slab()
  std::atomic<uint32_t> slow_allocs_{0}, slow_frees_{0}, refills_{0}, flushes_{0};
  std::atomic<uint32_t> lately_flushed_{0}, regretted_{0};  // magazines
  Depot depot_{};
  slab::SlabStock stock_{};
};

}  // namespace ashlar::cache
