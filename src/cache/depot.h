// cache/depot.h -- the full magazines of one cache, between the CPUs and the stock.
//
// Idea
//   A CPU whose magazine is full exchanges it here, and one whose magazine is empty takes a full
//   one: one word under a lock, whatever the magazine holds. So objects that one CPU allocates and
//   another frees come back a magazine at a time, and no object is touched on the way.
//
//   Each magazine bears the number of the yard (slab/slab_stock.h) whose objects it holds, and only
//   CPUs that this yard serves take it. One that lies too deep below those of other yards is not
//   found; it goes by age.
//
//   What an interval never needed goes back to the stock: the least number of magazines seen in it
//   is the number that could have been missing.
//
// Invariants (audit())
//   1. idle <= count <= room.
//   2. Each slot below count holds a magazine that is not empty.
//
// Locking
//   lock_ (LockRank::kDepot).
//
// Source
//   J. Bonwick, J. Adams, Magazines and Vmem, USENIX 2001, 3.3.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache/magazine.h"
#include "os/lock.h"
#include "page/meta_arena.h"

namespace ashlar::cache {

/// A magazine with the number of its objects, as far as that is known: what it counts for.
struct Full {
  uint64_t magazine = kNoMagazine;
  uint16_t objects = 0;
  uint16_t yard = 0;
  bool operator==(const Full&) const = default;
};

class Depot {
 public:
  constexpr Depot() = default;
  void start(page::MetaArena& meta) {
    lock_.set_rank(os::LockRank::kDepot);
    meta_ = &meta;
  }

  /// A magazine of a yard, or kNoMagazine.
  Full take(unsigned yard) ASHLAR_EXCLUDES(lock_);
  /// A magazine of any yard, or kNoMagazine.
  Full take_any() ASHLAR_EXCLUDES(lock_);
  /// False where memory for it is out, or the depot is as large as it may be: then the caller still
  /// has it.
  bool try_put(Full full) ASHLAR_EXCLUDES(lock_);
  /// A magazine that nobody has needed since end_interval() was last called, or kNoMagazine.
  Full take_idle() ASHLAR_EXCLUDES(lock_);
  void end_interval() ASHLAR_EXCLUDES(lock_);

  /// Calls visit(word) for each magazine, under the lock.
  template <class Visit>
  void for_each(Visit visit) ASHLAR_EXCLUDES(lock_) {
    os::Locked held(lock_);
    for (unsigned i = 0; i < count_; ++i) visit(slots_[i].magazine);
  }
  unsigned count() ASHLAR_EXCLUDES(lock_) {
    os::Locked held(lock_);
    return count_;
  }
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  bool make_room() ASHLAR_REQUIRES(lock_);
  Full remove(unsigned slot) ASHLAR_REQUIRES(lock_);

  os::Lock lock_;
  uint16_t room_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint16_t count_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint16_t idle_ ASHLAR_GUARDED_BY(lock_) = 0;  // least count in this interval
  Full* slots_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  page::MetaArena* meta_ = nullptr;
};

}  // namespace ashlar::cache
