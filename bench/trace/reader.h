// bench/trace/reader.h -- reads a trace and believes none of it.
//
// Idea
//   Whatever comes out of next() is possible: objects that are freed are alive, threads begin in
//   the order of their numbers, sizes fit into an address space. A file that says otherwise ends
//   the program with one line and exit status 2.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "format.h"
#include "mapped.h"

namespace trace {

/// Prints one line about the file that is being read and ends the program.
[[noreturn]] void refuse(const char* path, const char* why);

/// The bytes of a file, unpacked if it is compressed.
void load(const char* path, MappedArray<uint8_t>& bytes);

struct Record {
  Kind kind;
  uint8_t align_log2;
  uint32_t thread;
  uint64_t object;
  uint64_t size;      // The object's, before it is freed and after it is reallocated.
  uint64_t old_size;  // Before realloc.
};

inline bool is_operation(Kind kind) {
  return kind != Kind::kEnd && kind != Kind::kThread && kind != Kind::kThreadEnd;
}

class Reader {
 public:
  Reader(const char* path, const MappedArray<uint8_t>& bytes);

  /// The next record but kThread; false at the end.
  bool next(Record& record);

  const char* program() const { return program_.data(); }

 private:
  uint64_t varint();
  uint64_t size();
  uint64_t living_object();
  void read_thread();

  const char* path_;
  const uint8_t *cursor_, *end_;
  std::array<char, 256> program_{};
  uint32_t thread_ = 0, threads_ = 1;
  MappedArray<uint64_t> sizes_;  // Of all objects by number; kDead for those that were freed.
};

}  // namespace trace
