// micro.h -- what the micro-benchmarks share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "os/env.h"
#include "page/page_heap.h"

namespace micro {
using namespace ashlar;

/// Pseudo-random numbers from a fixed seed: Marsaglia's xorshift with shifts 13, 7, 17.
class Rng {
 public:
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  /// From 0 to bound - 1.
  size_t below(size_t bound) { return next() % bound; }

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

template <class T>
void shuffle(std::vector<T>& items) {
  Rng rng;
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.below(i)]);
}

/// Everything that comes free is kept: returning memory to the kernel is measured by itself.
inline constexpr page::Retention kKeepAll{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 3'600'000};

/// A page heap that keeps all, started on first use.
inline page::PageHeap& heap() {
  static constinit page::PageHeap heap;
  static const bool is_started = [] {
    os::start_env();
    return heap.start(os::kVm, kKeepAll, {.huge_pages = page::Manners::HugePages::kNever});
  }();
  if (!is_started) abort();
  return heap;
}

}  // namespace micro
