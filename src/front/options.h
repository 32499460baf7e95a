// front/options.h -- what a user may choose when a program starts.
//
// Idea
//   One table of keys with range, default and meaning; one parser. ASHLAR_CONF holds
//   "key:value,key:value". A fault in it gets one line on standard error that names the key, the
//   value and what is allowed, and the program runs on with the default. In a setuid process the
//   variable is not read. A program may set most of them later, by the same words.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/text.h"

namespace ashlar::front {

struct Options {
  uint64_t retain_percent = 10;
  uint64_t retain_kib = 256;
  uint64_t decay_ms = 1000;
  uint64_t limit_kib = kUnlimited;
  uint64_t soft_limit_kib = kUnlimited;
  uint64_t container = 1;
  uint64_t reaper = kNever;
  uint64_t thp = kAuto;
  uint64_t hugetlb = kNever;
  uint64_t names = 1;
  uint64_t rseq = 1;
  uint64_t slob_max = 512;  ///< KiB
  uint64_t nodes = kFound;

  static constexpr uint64_t kUnlimited = UINT64_MAX;
  enum : uint64_t { kNever, kAuto, kAlways, k2M, k1G };  ///< values of reaper, thp and hugetlb
  static constexpr uint64_t kFound = 0;                  ///< of nodes: those of the machine
};

/// Before they are read, where a heap is to be all zero until it starts.
inline constexpr Options kNoOptions = std::bit_cast<Options>(std::array<char, sizeof(Options)>{});

/// Which keys may be set: those that are fixed when a process starts only then.
enum class When : uint8_t { kStart, kLater };

/// Reads "key:value,..." into `options`. False where an entry is wrong, or may not be set any more;
/// that one, and no other, keeps its value. Appends a line to `faults` for each that is wrong.
bool parse_options(const char* text, When when, Options& options, base::Text& faults);

/// The options of this process, from the environment. Faults are written to standard error.
Options options_from_environment();

}  // namespace ashlar::front
