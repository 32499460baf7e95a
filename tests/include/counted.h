// include/counted.h -- an object that tells how many of its kind there are, and fails when asked
// to.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <stdexcept>

#include <ashlar/limits.h>

namespace test {

/// Thrown by a constructor that was asked to fail.
struct Refused : std::runtime_error {
  explicit Refused(int at) : std::runtime_error("refused"), at(at) {}
  int at;
};

/// Knows whether it is alive, where it stands, and what it was given.
struct Counted {
  static inline std::atomic<int> made{0};
  static inline std::atomic<int> live{0};
  /// The construction that throws, counted from 1; 0 for none.
  static inline std::atomic<int> fails_at{0};
  /// Whether all after that throw, too.
  static inline std::atomic<bool> goes_on_failing{false};
  static void reset(int failing = 0) {
    made = live = 0;
    goes_on_failing = false;
    fails_at = failing;
  }

  explicit Counted(uint64_t value = 0) : value(value) { begin(); }
  Counted(const Counted& other) : value(other.value) { begin(); }
  Counted& operator=(const Counted&) = default;
  ~Counted() {
    if (self_ != this) ++strangers;
    self_ = nullptr;
    --live;
  }
  /// Destructors of what no constructor had made.
  static inline std::atomic<int> strangers{0};

  friend bool operator==(const Counted& a, const Counted& b) { return a.value == b.value; }
  friend bool operator<(const Counted& a, const Counted& b) { return a.value < b.value; }

  uint64_t value;
  uint64_t filler[3] = {};

 private:
  void begin() {
    int number = ++made;
    int limit = fails_at;
    if (number == limit || (goes_on_failing && number > limit)) throw Refused(number);
    self_ = this;
    ++live;
  }
  Counted* self_ = nullptr;
};

/// Leaves the heap about `bytes` to grow. For children: bounds are for the whole process.
inline void leave_bytes(size_t bytes) {
  ashlar_limits limits;
  ashlar_get_limits(&limits);
  ashlar_set_limits(ASHLAR_UNLIMITED, limits.held + bytes);
}

}  // namespace test
