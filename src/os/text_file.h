// os/text_file.h -- what a small file of the kernel's says.
//
// Idea
//   The kernel tells much in files of a line or two, in /proc and /sys. They are opened, read and
//   closed each time: a descriptor kept open would be in the way of programs that close all there
//   are, and would soon be somebody else's.
//
// Invariants
//   1. No descriptor is left open. errno is not touched.
#pragma once

#include <cstddef>

namespace ashlar::os {

/// The beginning of a file, ended by a zero byte, in a buffer of the caller's.
struct TextFile {
  const char* text;
  size_t capacity;
  size_t size = 0;
  bool is_missing = false;  ///< there is no such file
  bool is_refused = false;  ///< it may be there, but could not be opened
  const char* end() const { return text + size; }
  /// Whether there may be more than was read.
  bool is_cut() const { return size == capacity - 1; }
};

/// All of a file of /sys; of /proc/self/cgroup a dozen lines of up to 250 bytes. Too much for the
/// stack of a thread that has little.
inline constexpr size_t kMostText = 4096;

/// Reads as much as the buffer holds, `capacity` with the zero byte; empty where that cannot be
/// done. Three system calls.
TextFile read_file(const char* path, char* buffer, size_t capacity);

}  // namespace ashlar::os
