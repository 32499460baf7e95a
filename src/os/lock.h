// os/lock.h -- a lock of four bytes that knows its place in the order.
//
// Idea
//   A futex lock whose word names its holder, or is 0; its lowest bit says that somebody waits. The
//   holder's name is for the child of a fork, which must tell the locks of threads that do not
//   exist any more from its own. The order of locks is the order of the
//   floors; a debug build keeps, per thread, the set of ranks it holds and refuses any that is not
//   further down. Critical sections are short (tens of nanoseconds), so a taker spins a little
//   before it sleeps.
//
//   A thread that ends the process where it stands, since it has seen misuse, may hold locks, and
//   runs the program's handler of SIGABRT, which may allocate. Such a thread gets what it holds
//   once more, in any order: the section that it was in does not go on. (In the small library it
//   holds none.)
//
// Invariants
//   1. Whoever sleeps has seen or set the waiting bit, and is woken when the word becomes 0.
//
// Source
//   U. Drepper, Futexes Are Tricky, 2011 (the second mutex).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/attributes.h"
#include "base/config.h"

namespace ashlar::os {

/// Outermost first. Whoever holds a lock may only take one further down this list.
enum class LockRank : uint8_t {
  kUnset,      //          a lock in zeroed memory, before set_rank()
  kFork,       // front/   one fork at a time
  kPool,       // front/   those who wait for an object of a pool
  kPromotion,  // front/   going over from SLOB to object caches
  kHeaps,      // front/   the list of heaps of their own
  kRegistry,   // cache/   draining CPUs, bringing a cache to life
  kDepot,      // cache/   one cache's full magazines, between the CPUs and the stock
  kStock,      // slab/    one cache's slabs
  kRemnants,   // slab/    what dissolved slabs have left
  kSlob,       // slob/    one small heap
  kZoneStart,  // page/    laying out a further zone
  kZone,       // page/    one zone's buddy lists and frame records
  kMetaArena,  // page/    metadata space
};

class ASHLAR_CAPABILITY Lock {
 public:
  /// The rank is for debug builds alone: elsewhere a lock that nobody holds is all zero.
  constexpr explicit Lock(LockRank rank) : rank_(base::kAsserts ? rank : LockRank::kUnset) {}
  /// For locks in memory that must be all zero until it is used: set_rank() comes first.
  constexpr Lock() = default;
  void set_rank(LockRank rank) {
    if constexpr (base::kAsserts) rank_ = rank;
  }

  void acquire() ASHLAR_ACQUIRES();
  void release() ASHLAR_RELEASES();
  /// Whether nobody holds it, for now.
  bool is_free() const { return word_.load(std::memory_order_relaxed) == 0; }
  /// Whether the calling thread holds it.
  bool is_mine() const;
  /// In the child of a fork: frees the lock if the thread that holds it does not exist here.
  void reset_in_child() {
    if (!is_mine()) word_.store(0, std::memory_order_relaxed);
  }

 private:
  void acquire_slow(uint32_t me);

  static constexpr uint32_t kWaiting = 1;
  std::atomic<uint32_t> word_{0};
  LockRank rank_ = LockRank::kUnset;
};

/// Holds a lock for as long as it lives.
class ASHLAR_SCOPED_CAPABILITY Locked {
 public:
  explicit Locked(Lock& lock) ASHLAR_ACQUIRES(lock) : lock_(lock) { lock_.acquire(); }
  ~Locked() ASHLAR_RELEASES() { lock_.release(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Lock& lock_;
};

/// Before the calling thread ends the process: from now on no lock that it holds is in its way.
void ignore_held_locks();
/// How many stays inside the slow path will never end, for their threads end the process there.
uint32_t endless_stays();
/// In the child of a fork the other threads do not exist.
void forget_endless_stays();

/// Sleeps while `word` is `expected`, at most `microseconds` (0: without end).
void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, unsigned microseconds);
void futex_wake_all(const std::atomic<uint32_t>& word);

}  // namespace ashlar::os
