// front/promotion.h -- when a size class gets an object cache, and what SLOB serves until then:
// pure arithmetic over counts.
//
// Idea
//   Slabs are fast and cost a slab a class; SLOB is slower and costs next to nothing. A process
//   starts with SLOB alone. It is *promoted*, once, when what SLOB holds has grown past a bound,
//   when it calls malloc so often that speed matters (sooner where slabs would be little beside
//   what it holds), or when a second thread starts: from then on there are object caches, each
//   class has one as soon as it is worth a slab, and what was served before stays where it is until
//   it is freed.
//
//   A class is worth a slab when it is asked for often, or when what SLOB holds of it would fill a
//   half of one; and, unless its objects are whole frames, when SLOB holds twice the bound. So a
//   process that uses forty sizes a few times each does not pay for forty slabs.
//
//   The child of a fork starts anew: what it shares with its parent costs nothing until somebody
//   writes to it, and to write into a page of each slab would cost a page for each. Its heap may
//   grow by as much as a process's own before it is promoted again.
//
//   What is asked often is counted within an interval: a process that calls malloc a few times a
//   second has no need for speed, however long it runs.
//
// Locking
//   None. The counts are hints: one that is lost to a race is lost.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/config.h"

namespace ashlar::front {

/// What is known when a class is asked for that is not known to have a cache.
struct Demand {
  uint8_t id = 0;            ///< of the class
  size_t size = 0;           ///< of its objects
  bool has_cache = false;    ///< it has one already, of the parent's
  size_t slob_bytes = 0;     ///< of SLOB's pages
  bool has_threads = false;  ///< there is a second thread
};

class Promotion {
 public:
  /// SLOB alone serves every small request, for good.
  static constexpr uint64_t kUnlimited = UINT64_MAX;

  constexpr Promotion() = default;
  /// Where SLOB holds more than `slob_max` bytes, the process is promoted; 0: at once, and SLOB
  /// serves nothing.
  void start(uint64_t slob_max) {
    slob_max_ = slob_max;
    note_bytes(0);
  }

  /// In the child of a fork, where SLOB holds so much.
  void restart(size_t slob_bytes) {
    inherited_ = slob_bytes;
    is_over_.store(false, std::memory_order_relaxed);
    note_bytes(slob_bytes);
    end_interval();
  }
  /// Whether the process has outgrown SLOB alone.
  bool is_over() const { return is_over_.load(std::memory_order_relaxed); }

  /// More calls than this in an interval are worth more than the memory: SLOB takes up to a tenth
  /// of a microsecond more a call than a magazine does, so these cost some milliseconds a second.
  static constexpr uint32_t kManyCalls = 65536;
  /// How many calls one counts for where whole frames come and go: it takes some times as long.
  static constexpr uint32_t kCallsOfFrames = 4;
  /// The same for a heap with more bytes of SLOB than kSmallSlob: slabs are little beside the rest.
  static constexpr uint32_t kManyCallsOfLarger = 8192;
  static constexpr size_t kSmallSlob = size_t{192} << 10;
  /// This many of one class, once there are object caches, cost SLOB less than a millisecond. A
  /// slab that is half empty and a magazine that holds objects idle cost ten pages and more. (A
  /// count stops one above it.)
  static constexpr uint32_t kManyOfOne = 2048;

  /// Counts a request for a class. Whether it shall be served by a cache.
  bool note_demand(const Demand& demand);
  /// Whether no request need be where there is no other thread.
  bool is_alone() const {
    return calls_.load(std::memory_order_relaxed) < calls_alone_.load(std::memory_order_relaxed);
  }
  /// Tells how much SLOB holds now.
  void note_bytes(size_t slob_bytes) {
    bool may_be = !is_over() && slob_max_ != 0 && !is_large(slob_bytes);
    uint32_t calls = slob_max_ == kUnlimited ? UINT32_MAX : may_be ? many_calls(slob_bytes) : 0;
    calls_alone_.store(calls);
    if (calls != 0 && is_over_.load()) calls_alone_.store(0);  // by another thread meanwhile
  }
  /// More blocks than this dropped in an interval tell that there will be more. (That many were
  /// asked for tells less: the parent of workers has built up its state, and they begin with what
  /// it has counted.)
  static constexpr uint32_t kSomeDrops = 4096;
  void note_drop() { add(drops_, 1); }
  bool drops_often() const { return drops_.load(std::memory_order_relaxed) > kSomeDrops; }
  /// Counts a request for a class where is_alone().
  void note_call(uint8_t id) {
    std::atomic<uint16_t>& calls = classes_[id].calls;
    if (calls.load(std::memory_order_relaxed) <= kManyOfOne) add(calls, 1);
    add(calls_, 1);
  }
  /// Counts what SLOB gave, and got back, of the class.
  void note_live(uint8_t id, size_t bytes) { add(classes_[id].live, bytes / base::kGrain); }
  void note_free(uint8_t id, size_t bytes) {
    uint16_t had = classes_[id].live.load(std::memory_order_relaxed);
    size_t left = had - std::min<size_t>(had, bytes / base::kGrain);
    classes_[id].live.store(static_cast<uint16_t>(left), std::memory_order_relaxed);
  }
  void end_interval();

 private:
  bool is_large(size_t slob_bytes) const { return slob_bytes > inherited_ + slob_max_; }
  uint32_t many_calls(size_t slob_bytes) const {
    return slob_bytes > inherited_ + kSmallSlob ? kManyCallsOfLarger : kManyCalls;
  }
  bool is_busy(const Demand& demand);
  bool is_worth_a_slab(const Demand& demand);
  template <class Count>
  static void add(std::atomic<Count>& count, size_t more) {
    auto sum = static_cast<Count>(count.load(std::memory_order_relaxed) + more);
    count.store(sum, std::memory_order_relaxed);
  }

  // Few bits, since a small process has this in the page that it writes to. Where more than a MiB
  // of a class is live in SLOB the count begins anew: what it decides, a slab, comes later.
  struct Class {
    std::atomic<uint16_t> calls{0};  // in this interval
    std::atomic<uint16_t> live{0};   // grains in SLOB's pages
  };

  uint64_t slob_max_ = 0;
  size_t inherited_ = 0;                  // bytes that SLOB held when this process began
  std::atomic<uint32_t> calls_alone_{0};  // up to how many SLOB alone will do
  std::atomic<bool> is_over_{false};      // it will not any more
  std::atomic<uint32_t> calls_{0};        // in this interval
  std::atomic<uint32_t> drops_{0};
  Class classes_[base::kHasCaches ? base::kMaxClasses : 1]{};
};

}  // namespace ashlar::front
