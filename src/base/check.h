// base/check.h -- ASHLAR_CHECK and ASHLAR_ASSERT.
//
// Idea
//   CHECK is always on, for facts whose violation would let a fault of ours corrupt memory. ASSERT
//   is for debug builds. Both compile their condition in every build, so that a condition cannot
//   rot. A failure prints the condition and its place on standard error and aborts; it allocates
//   nothing and stands on no other floor, because it may be that floor which is broken.
#pragma once

#include "base/attributes.h"
#include "base/config.h"

namespace ashlar::base {

/// Prints "ashlar: <file>:<line>: check failed: <condition>" and aborts. Async-signal-safe.
[[noreturn]] ASHLAR_COLD void check_failed(const char* condition, const char* file, int line);

/// Writes one line to standard error, as far as it goes; errno is left alone. Async-signal-safe.
void write_error(const char* bytes, unsigned long size);

/// What a failure tells: in the small library only its place.
#define ASHLAR_CONDITION(condition) (::ashlar::base::kHasCaches ? #condition : "")

}  // namespace ashlar::base

#define ASHLAR_CHECK(condition)                                                      \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::ashlar::base::check_failed(ASHLAR_CONDITION(condition), __FILE__, __LINE__); \
  } while (false)

#define ASHLAR_ASSERT(condition)                                                       \
  do {                                                                                 \
    if constexpr (::ashlar::base::kAsserts) {                                          \
      if (!(condition)) [[unlikely]]                                                   \
        ::ashlar::base::check_failed(ASHLAR_CONDITION(condition), __FILE__, __LINE__); \
    }                                                                                  \
  } while (false)
