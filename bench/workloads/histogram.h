// bench/workloads/histogram.h -- how long single calls take: a clock, and a histogram of durations.
//
// On x86-64 the clock is the time stamp counter, fenced, else clock_gettime. Between two readings
// with nothing between them there is a median time, which callers subtract from each duration;
// steps shorter than the clock can tell are zeros.
#pragma once

#include <bit>

#include "workload.h"

#ifdef __x86_64__
#include <x86intrin.h>
#endif

namespace workload {

inline uint64_t ticks() {
#ifdef __x86_64__
  _mm_lfence();
  const uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
#else
  return static_cast<uint64_t>(wall_ns());
#endif
}

/// Durations in buckets, 16 for each power of two: bounds are 3 to 6 % apart.
class Histogram {
 public:
  void record(uint64_t duration) {
    const unsigned shift = duration < 16 ? 0 : std::bit_width(duration) - 5;
    Bucket& bucket = buckets_[shift * 16 + (duration >> shift)];
    ++bucket.count;
    bucket.ticks += duration;
  }

  void report(const char* row, double ns_per_tick) const {
    size_t calls = 0;
    for (const Bucket& bucket : buckets_) calls += bucket.count;
    size_t fast = 0, fast_ticks = 0;
    const char* separator = "";
    std::printf("lat.%s=", row);
    for (size_t i = 0; i < buckets_.size(); ++i) {
      const auto [count, sum] = buckets_[i];
      if (count == 0) continue;
      if (fast + count <= calls - calls / 1000) fast += count, fast_ticks += sum;
      std::printf("%s%.2f:%zu", separator, static_cast<double>(upper_bound(i)) * ns_per_tick,
                  count);
      separator = ",";
    }
    std::printf("\n");
    report_ns(row, ns_per_tick * static_cast<double>(fast_ticks) / static_cast<double>(fast));
  }

  /// The duration that all but so many of a million calls stay below; with 0 the longest of all.
  uint64_t all_but(size_t per_million) const {
    size_t calls = 0;
    for (const Bucket& bucket : buckets_) calls += bucket.count;
    size_t slower = calls * per_million / 1'000'000;
    for (size_t i = buckets_.size(); i-- > 0;) {
      if (buckets_[i].count > slower) return upper_bound(i);
      slower -= buckets_[i].count;
    }
    return 0;
  }

 private:
  struct Bucket {
    size_t count = 0;
    size_t ticks = 0;
  };

  static uint64_t upper_bound(size_t index) {
    const size_t shift = index < 32 ? 0 : index / 16 - 1;
    return uint64_t{index - shift * 16 + 1} << shift;
  }

  std::array<Bucket, 1024> buckets_;
};

inline uint64_t clock_overhead() {
  static std::array<uint64_t, 10'001> durations;
  for (uint64_t& duration : durations) {
    const uint64_t start = ticks();
    duration = ticks() - start;
  }
  std::nth_element(durations.begin(), durations.begin() + durations.size() / 2, durations.end());
  return durations[durations.size() / 2];
}

/// What a tick is, measured while it lives.
class TickLength {
 public:
  double ns() const { return (wall_ns() - start_) / static_cast<double>(ticks() - start_ticks_); }

 private:
  double start_ = wall_ns();
  uint64_t start_ticks_ = ticks();
};

}  // namespace workload
