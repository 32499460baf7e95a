// page/vacancy.h -- how much of the memory stays that tenants hold and do not use.
//
// Idea
//   A tenant that carves its blocks into objects has frames in them of which no part is in use:
//   *vacant* ones. They are as good as free memory, and the same rule decides how much of them
//   stays (page/retention.h): a share of the live memory, what was regretted, and what was needed
//   within the interval. Tenants count vacant frames here as they come and go, whenever that is
//   cheap for them. Where there are more than is worth keeping, whoever has just freed something
//   is told to trim: it asks how many are to go, has the tenants purge them, and says what came of
//   it.
//
//   The bound depends on how much is live, and so it is looked at from time to time (begin), not by
//   each tenant that frees a few objects: add() is one addition and one comparison.
//
// Invariants
//   1. frames() is the sum of what the tenants say: proved from above.
//   2. One thread trims at a time.
//
// Locking
//   lock_ (LockRank::kZone) for the rule; the counts are read and written without it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/lock.h"
#include "page/retention.h"

namespace ashlar::page {

class Vacancy {
 public:
  constexpr Vacancy() = default;
  void set(const Retention& retention) ASHLAR_EXCLUDES(lock_);

  /// Frames that hold memory have become vacant.
  void add(size_t frames) {
    size_t now = frames_.fetch_add(frames, std::memory_order_relaxed) + frames;
    if (now > most_.load(std::memory_order_relaxed))
      wants_trim_.store(true, std::memory_order_relaxed);
  }
  /// Vacant frames are in use again, have left with their block, or hold no memory any more.
  void remove(size_t frames) { frames_.fetch_sub(frames, std::memory_order_relaxed); }
  size_t frames() const { return frames_.load(std::memory_order_relaxed); }

  /// Frames of blocks of which little is in use come and, modulo 2^64, go.
  void add_sparse(size_t frames) { sparse_.fetch_add(frames, std::memory_order_relaxed); }
  size_t sparse() const { return sparse_.load(std::memory_order_relaxed); }

  /// Vacant frames have been purged; such as had been purged are in use again.
  void note_purged(size_t frames) { purged_.fetch_add(frames, std::memory_order_relaxed); }
  void note_wanted(size_t frames) { wanted_.fetch_add(frames, std::memory_order_relaxed); }

  bool wants_trim() const { return wants_trim_.load(std::memory_order_relaxed); }

  /// How many vacant frames are to go. `zone` is what the zone holds: live frames, vacant ones
  /// among them, and dirty ones; and by how much the heap is over its soft bound. Called now and
  /// then. If the answer is not 0, the caller trims, alone, until it calls end().
  size_t begin(const Frames& zone, uint64_t now_ms) ASHLAR_EXCLUDES(lock_);
  /// The same where all are to go. False if another thread is at it.
  bool begin_all() ASHLAR_EXCLUDES(lock_);
  /// `is_refused`: the kernel would not purge (locked memory), and is not asked for an interval.
  void end(uint64_t now_ms, bool is_refused) ASHLAR_EXCLUDES(lock_);

  os::Lock& lock() { return lock_; }
  /// In the child of a fork: a trim that another thread had under way is nobody's any more.
  void reset_in_child() { is_trimming_ = false; }
  bool is_trimming() const { return is_trimming_.load(std::memory_order_relaxed); }

 private:
  os::Lock lock_{os::LockRank::kZone};
  std::atomic<size_t> frames_{0};
  std::atomic<size_t> sparse_{0};
  std::atomic<size_t> most_{0};                               // from where on a trim is worth it
  std::atomic<size_t> purged_{0}, wanted_{0};                 // since they were told to keeping_
  std::atomic<bool> wants_trim_{false}, is_trimming_{false};  // the second written under the lock
  Keeping keeping_ ASHLAR_GUARDED_BY(lock_){};
  size_t live_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint32_t interval_ms_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint64_t refused_until_ms_ ASHLAR_GUARDED_BY(lock_) = 0;
};

}  // namespace ashlar::page
