// page/meta_arena.h -- space for Ashlar's own records, never given back.
//
// Idea
//   Slab descriptors, CPU areas and depots live apart from users' memory, so that neither a stray
//   write nor a purge reaches them. The arena only grows: whoever has no more use for a record
//   keeps it in a list of its own. What is held is bounded by the peak of what it describes.
//
// Locking
//   Its own (LockRank::kMetaArena), the innermost of all.
#pragma once

#include <cstddef>

#include "os/lock.h"
#include "os/vm.h"

namespace page {

class MetaArena {
 public:
  constexpr MetaArena() = default;
  /// Serves [first, first + size) of a place.
  void start(const os::Vm& vm, const os::Place& place, char* first, size_t size);

  /// Zeroed memory, aligned to `align` (a power of two up to a frame); null where the kernel
  /// refuses.
  void* alloc(size_t size, size_t align) ASHLAR_EXCLUDES(lock_);

  /// Bytes handed out, for statistics.
  size_t used() const { return static_cast<size_t>(next_ - first_); }
  os::Lock& lock() { return lock_; }

 private:
  os::Lock lock_{os::LockRank::kMetaArena};
  const os::Vm* vm_ = nullptr;
  os::Place place_{};
  char* first_ = nullptr;
  char* next_ = nullptr;
  char* committed_ = nullptr;
  char* end_ = nullptr;
};

}  // namespace page
