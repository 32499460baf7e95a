// support/rng.h -- numbers that look random and are the same in every run.
//
// A user would notice nothing of this file; a maintainer would: a failing test that used rand() or
// the clock could not be run again. Every generator is seeded with a constant, and the generator
// is ours, so no libc lock and no library version changes the sequence.
#pragma once

#include <cstdint>

namespace test {

/// Steele, Lea and Flood's SplitMix64: one addition and three mixing steps per number.
class Rng {
 public:
  constexpr explicit Rng(uint64_t seed) : state_(seed) {}

  constexpr uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  /// A number in [0, bound). The bias for bounds below 2^32 is under one in four thousand million.
  constexpr uint64_t below(uint64_t bound) { return next() % bound; }

  /// Sizes as programs ask for them: every power of two is equally likely up to `limit`.
  constexpr uint64_t size(uint64_t limit) {
    uint64_t bits = below(64 - static_cast<uint64_t>(__builtin_clzll(limit | 1)) + 1);
    uint64_t span = bits >= 64 ? limit : (uint64_t{1} << bits);
    return below((span < limit ? span : limit) + 1);
  }

 private:
  uint64_t state_;
};

}  // namespace test
