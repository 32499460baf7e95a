// bench/trace/summary.h -- what is in a trace, in figures.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "format.h"
#include "mapped.h"
#include "reader.h"

namespace trace {

/// When a thread is there, counted in operations of the whole trace.
struct Life {
  uint64_t last_record;  // Its last record, counting all records but kThread.
  bool is_ended;
};

struct Summary {
  std::array<uint64_t, kKinds> kinds{};
  uint64_t records = 0;     // All but kThread.
  uint64_t operations = 0;  // All but those about threads.
  uint64_t objects = 0;
  uint64_t live_bytes = 0, live_objects = 0;  // At the end.
  uint64_t peak_bytes = 0, peak_objects = 0;
  uint64_t peak_operation = 0;       // How many operations had been made when live bytes peaked.
  std::array<uint64_t, 49> sizes{};  // Objects by size: [n] has those up to 2^n, above 2^(n-1).
  MappedArray<Life> threads;
};

void summarize(const char* path, const MappedArray<uint8_t>& bytes, Summary& summary);

/// Prints the summary to standard output, as JSON.
void print_summary(const char* path, const MappedArray<uint8_t>& bytes, const Summary& summary);

}  // namespace trace
