// front/options.h -- what a user may choose when a program starts.
//
// Idea
//   One table of keys with range, default and meaning; one parser. ASHLAR_CONF holds
//   "key:value,key:value". A fault in it gets one line on standard error that names the key, the
//   value and what is allowed, and the program runs on with the default. In a setuid process the
//   variable is not read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/text.h"

namespace front {

struct Options {
  uint64_t retain_percent = 10;
  uint64_t retain_kib = 256;
  uint64_t decay_ms = 1000;
  uint64_t rseq = 1;
  uint64_t thp = 1;
  uint64_t slob_max = 1024;  ///< KiB

  static constexpr uint64_t kUnlimited = UINT64_MAX;
};

/// Reads "key:value,..." into options. Appends a line to `faults` for each fault; that entry, and
/// no other, keeps its default.
Options parse_options(const char* text, base::Text& faults);

/// The options of this process, from the environment. Faults are written to standard error.
Options options_from_environment();

/// The table as text: a line a key, with what is allowed, the default and the meaning.
void describe_options(base::Text& text);

}  // namespace front
