// os/cgroup.h -- what the container may have of memory, and how short of it the system is.
//
// Idea
//   A control group bounds the memory of all its processes together, and the groups above it bound
//   it in turn. The kernel tells the bounds in files, and how long tasks have waited for memory
//   (PSI) in others (os/text_file.h).
//
//   Version 2 of the interface is read (memory.max, memory.high, memory.pressure), or version 1
//   where that rules memory (memory.limit_in_bytes). A folder of the path that is not there, as in
//   a container that sees only its own part of the tree, bounds nothing. Where none is there, as
//   for a program that has shut itself into a part of the file system, nothing is known.
//
// Invariants
//   1. No descriptor is left open. errno is not touched.
//
// Locking
//   None: one thread at a time. What is read, and the paths of what is, lie here: together they are
//   half of what the stack of a thread may have.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/text.h"
#include "os/text_file.h"

namespace ashlar::os {

class Cgroup {
 public:
  constexpr Cgroup() = default;
  /// Finds the group of this process in the file system below `root`: "" but for tests. False
  /// where the kernel does not tell.
  bool find(const char* root);

  /// The least that this group and those above it may have, in bytes; SIZE_MAX where that is
  /// unbounded. A few system calls for each folder of the path.
  size_t bound();
  /// Whether, since find(), a file could not be opened that may be there, or there was none: what
  /// was told is too little to go by.
  bool was_refused() const { return was_refused_; }

  /// In how many percent of the last ten seconds some task of the group, or where the kernel does
  /// not tell that, of the system, has waited for memory. 0 where it tells neither.
  unsigned pressure();

 private:
  TextFile read_list();
  bool is_second(const char* folder, size_t length);
  const char* mount_of_second();
  size_t least_of(size_t length);
  size_t read_bytes(const char* path);
  base::Text path_in(const char* folder, size_t length);

  static constexpr size_t kMostPath = 1024, kMostName = 32;
  const char* root_ = nullptr;  // all zero until it is used, like the rest
  char folder_[kMostPath]{};    // of this group
  size_t mount_length_ = 0;     // of the part that is the mount point
  bool is_first_ = false;       // version 1
  bool was_refused_ = false;
  bool was_told_ = false;               // something, since bound() was asked
  char path_[kMostPath + kMostName]{};  // of the file that is read
  char text_[kMostText]{};              // what it says
};

}  // namespace ashlar::os
