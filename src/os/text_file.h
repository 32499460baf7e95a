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

namespace os {

/// The beginning of a file, ended by a zero byte.
struct TextFile {
  char text[4096];  // all of a file of /sys; of /proc/self/cgroup a dozen lines of up to 250 bytes
  size_t size = 0;
  bool is_refused = false;  ///< it may be there, but could not be opened
  const char* end() const { return text + size; }
  /// Whether there may be more than was read.
  bool is_cut() const { return size == sizeof text - 1; }
};

/// Reads it; empty where that cannot be done. Three system calls.
TextFile read_file(const char* path);

}  // namespace os
