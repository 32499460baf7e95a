// page/retention.h -- how much free memory a zone keeps: pure arithmetic over counts of frames.
//
// Idea
//   Free memory that a program will want again had better stay, and any other had better go. Kept
//   is a share of the live memory (by amount), and what was *regretted*: memory that was purged and
//   wanted again within an interval would better have been kept, so it is added to what may be
//   kept, and a program that breathes pays once. The least number of dirty free frames seen in an
//   interval is memory that nobody wanted in all that time; at the interval's end it goes, and the
//   regrets shrink by it (by age).
//
//   Live and kept memory together stay within a sixteenth of the most that was live in this
//   interval and the last, so that what is kept hardly raises a program's peak. Zones may share a
//   peak: then what one keeps goes as the other grows. Where blocks are so large that a regret
//   would be large as well, the bound is an eighth above the peak, and half of the live memory
//   takes the regrets' place: what is freed in order to allocate as much again stays, while as much
//   is live.
//
//   Where that costs more than a little of the time, for memory goes and is fetched again and
//   again, page by page, what was fetched lifts these bounds, and time lowers them: fetching goes
//   on at a pace that costs a little, and up to half of the live memory stays beyond them.
//
//   The interval follows from the cost of fetching again what waits or has just gone: what is
//   little is soon fetched, so it goes sooner. It is no longer than what was set, and a sixteenth
//   of that at least, or in a small heap all of it for less than a MiB, but where blocks are large.
//
//   A large block may make a small heap larger than with any such block before, although enough
//   lies free in pieces too short for it. Then as much of these goes as the heap has grown (its
//   *lift*). What is wanted again may lift it next time, so that a program that repeats itself pays
//   once.
//
//   What a heap holds above its soft bound (page/budget.h) goes first of all.
//
// Locking
//   None here. Callers hold their zone's lock (LockRank::kZone).
//
// Source
//   J. Bonwick, J. Adams, Magazines and Vmem, USENIX 2001, 3.3 (working-set rule).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/config.h"

namespace ashlar::page {

/// Whether a moment has come that was set `most_ms` ahead at most. One that lies further ahead has
/// come, too: the clock has jumped back, as it may for a process that is moved to another machine.
inline bool has_come(uint64_t moment_ms, uint64_t now_ms, uint64_t most_ms) {
  return now_ms >= moment_ms || moment_ms - now_ms > most_ms;
}

/// How much free memory a zone keeps.
struct Retention {
  size_t percent = 0;      ///< of live memory
  size_t least_bytes = 0;  ///< where the share is less
  uint32_t interval_ms = 0;
  /// What more may be kept.
  enum class More : uint8_t {
    kRegretted,  ///< as much as was purged and then soon wanted again
    kToPeak,     ///< as brings live memory back to its recent peak; half of it, and what is costly
  };
  More more = More::kRegretted;
};

/// A zone's frames at a moment.
struct Frames {
  size_t live = 0;   ///< in the hands of tenants, and in use
  size_t dirty = 0;  ///< free, and backed by memory
  size_t other = 0;  ///< live in a zone with which this one shares its peak
  size_t kept = 0;   ///< elsewhere, within the same peak
  size_t over = 0;   ///< that must go, dirty ones first: the heap is above its soft bound
};

class Keeping {
 public:
  constexpr Keeping() = default;
  void set(const Retention& retention) { retention_ = retention; }

  /// How the system gives memory for frames: a page at a time, or hundreds, which costs far less.
  enum class Fetch : uint8_t { kByPage, kByHugePage };
  /// After frames were let, `clean` of them from such as held no memory.
  void note_demand(const Frames& now, size_t clean, Fetch fetch = Fetch::kByPage);
  /// The same, after a large block of a small heap.
  void note_lift(const Frames& now);
  /// After `purged` frames went.
  void note_purge(const Frames& now, size_t purged);

  /// From how many dirty frames on some had best go.
  size_t worth_from(const Frames& now) const { return worth_beyond(most(now)); }
  /// Whether so much may be too much that limit() had best be asked.
  bool may_exceed(const Frames& now) const {
    if (base::kHasCaches && lift_ > 0) return true;
    bool is_more = !base::kHasCaches || now.dirty > kSlack;
    return is_more && is_worth_it(now, most(now));
  }

  /// How many dirty frames may stay; no fewer than there are, where it is not worth a system call.
  /// Ends the interval if its time has come.
  size_t limit(const Frames& now, uint64_t now_ms);

  /// Whether what is kept is reckoned as large blocks need it.
  bool keeps_to_peak() const {  // nothing in the small library does
    return base::kHasCaches && retention_.more == Retention::More::kToPeak;
  }

 private:
  // Work is worth a system call from here on.
  static constexpr size_t kSlack = (size_t{256} << 10) / base::kFrameSize;

  size_t least(const Frames& now) const;
  size_t most(const Frames& now) const;
  size_t worth_beyond(size_t keep) const;
  bool is_worth_it(const Frames& now, size_t keep) const { return now.dirty > worth_beyond(keep); }
  uint64_t interval_ms(const Frames& now) const;

  void pay(uint64_t now_ms);

  Retention retention_{};
  size_t low_dirty_ = 0;      // least in this interval
  size_t lately_purged_ = 0;  // in this interval, not wanted again
  size_t regretted_ = 0;
  uint32_t debt_ms_ = 0;             // of what was regretted: in so long a time it costs little
  uint32_t paid_at_ms_ = 0;          // when that was true, modulo 2^32
  uint32_t most_held_ = 0;           // by a small heap with a large block, and what was regretted
  uint32_t lift_ = 0;                // by how much that was more, and it has not gone yet
  size_t peak_ = 0, last_peak_ = 0;  // most that was live, in this interval and the last
  uint64_t interval_begin_ = 0;
};

}  // namespace ashlar::page
