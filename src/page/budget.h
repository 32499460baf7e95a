// page/budget.h -- how much memory the heap may hold: pure arithmetic over counts of frames.
//
// Idea
//   *Held* is what all zones have of the system's memory: live frames and dirty free ones, but no
//   hollow ones. It has two bounds. The *soft* one is where the kernel's low watermark is: above it
//   no free memory is kept, down to the high watermark, a sixteenth below, and whoever can give
//   something back is asked to. The *hard* one is the min watermark: what would lift held memory
//   above it is refused, as if the system had no more.
//
//   Behind the hard bound lies a *reserve*, a small share of it. It opens when a request has been
//   refused for good, for requests up to the largest cached class: a program that has just been
//   told that memory is out can write its log line, unwind and free. It closes when as much again
//   has come free.
//
//   What the zone beside the heap holds (page/page_heap.h) has a count of its own: in the child of
//   a fork it is forgotten with that zone, whose own word for it may be torn. So has what lies in
//   pages that were set apart (hugetlb): the container's bound is not for these.
//
// Invariants
//   1. held() is the sum of what the zones say.
//   2. The reserve is open only after a refusal.
//
// Locking
//   None: each zone tells its changes under its own lock, the sum is atomic. Zones that grow at the
//   same moment may together pass a bound by what they ask for.
//
// Source
//   Watermarks: Linux, mm/page_alloc.c. The reserve: its emergency pools.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/config.h"

namespace ashlar::page {

class Budget {
 public:
  static constexpr size_t kUnlimited = SIZE_MAX;

  /// Bounds in frames. A soft bound above the hard one is an eighth below it.
  struct Bounds {
    size_t soft = kUnlimited;
    size_t hard = kUnlimited;
  };

  constexpr Budget() = default;
  /// The bounds that the program has chosen. One that is exceeded already refuses what comes now.
  void set(Bounds bounds);
  Bounds bounds() const { return {soft_.load(kRelaxed), hard_.load(kRelaxed)}; }
  /// A bound from outside, the container's: a further soft one, for all but hugetlb.
  void set_outer(size_t frames) { outer_.store(frames, kRelaxed); }
  size_t outer() const { return outer_.load(kRelaxed); }

  /// Which zones say what they hold: those of the heap, the one beside it, or those of hugetlb.
  enum Teller : uint8_t { kHeap, kBeside, kHugetlb, kTellers };
  /// A zone holds so many frames more, or, modulo 2^64, less.
  void change(size_t frames, Teller teller = kHeap) {
    held_[base::kHasCaches ? teller : kHeap].fetch_add(frames, kRelaxed);
  }
  size_t held() const {
    size_t held = held_by(kHeap);
    return base::kHasCaches ? held + held_by(kBeside) + held_by(kHugetlb) : held;
  }
  /// In the child of a fork.
  void forget_beside() {
    if constexpr (base::kHasCaches) held_[kBeside].store(0, kRelaxed);
  }

  /// Who asks: blocks above the largest cached class, or all others, which may use the reserve.
  enum class For : unsigned char { kLarge, kSmall };
  /// Whether so many frames more may be held.
  bool has_room(size_t more, For whom) const {
    size_t hard = hard_.load(kRelaxed);
    return hard == kUnlimited || fits(more, hard, whom);
  }
  /// Whether so many frames more would stay below all bounds.
  bool has_room_for_all(size_t more) const {
    return has_room(more, For::kLarge) && more < left(soft_.load(kRelaxed), held()) &&
           more < left(outer(), held_in_container());
  }
  /// Whether so many frames might be had, were all that is held given back.
  bool may_help(size_t frames) const {
    return frames <= (is_limited() ? hard_.load(kRelaxed) : held());
  }
  /// Whether so many frames cannot be had, whatever is given back.
  bool is_beyond(size_t frames) const {
    return base::kHasCaches && frames > hard_.load(kRelaxed);  // the small library tries and fails
  }
  bool is_limited() const { return hard_.load(kRelaxed) != kUnlimited; }

  /// A request was refused for good. Whether the reserve has been opened for it just now.
  bool open_reserve();
  /// Closes the reserve if enough is free again. Called now and then.
  void close_reserve();
  /// Frames behind the hard bound, 0 where there is none; and whether they may be used now.
  size_t reserve() const { return is_limited() ? reserve_of(hard_.load(kRelaxed)) : 0; }
  bool is_open() const { return is_open_.load(kRelaxed); }

  /// How many frames must go: down to the high watermark, once there are more than at the low one.
  size_t over() const {
    size_t soft = soft_.load(kRelaxed);
    if (!base::kHasCaches) return over(soft, held());
    // Where there is no bound, what is held is not looked at: all zones write to it.
    size_t too_many = soft == kUnlimited ? 0 : over(soft, held());
    size_t low = outer();
    return low == kUnlimited ? too_many : std::max(too_many, over(low, held_in_container()));
  }

 private:
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  static constexpr size_t high_below(size_t low) { return low - low / 16; }
  static size_t reserve_of(size_t hard);
  static size_t over(size_t low, size_t held) { return held <= low ? 0 : held - high_below(low); }
  static size_t left(size_t low, size_t held) { return low - std::min(low, held); }
  size_t held_by(Teller teller) const { return held_[teller].load(kRelaxed); }
  size_t held_in_container() const { return held_by(kHeap) + held_by(kBeside); }
  bool fits(size_t more, size_t hard, For whom) const;

  // The small library's heap is all zero until it starts, which sets both bounds. It has no outer
  // one.
  static constexpr size_t kAtFirst = base::kHasCaches ? kUnlimited : 0;
  std::atomic<size_t> held_[base::kHasCaches ? kTellers : 1]{};
  std::atomic<size_t> soft_{kAtFirst}, hard_{kAtFirst}, outer_{kAtFirst};
  std::atomic<bool> is_open_{false};
};

}  // namespace ashlar::page
