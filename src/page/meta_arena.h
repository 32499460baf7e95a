// page/meta_arena.h -- space for Ashlar's own records, given back only as a whole.
//
// Idea
//   Slab descriptors, CPU areas and depots live apart from users' memory, so that neither a stray
//   write nor a purge reaches them. The arena only grows; records that are given back wait in lists
//   by size for others of their size. What is held is bounded by the peak of what it describes.
//   Where address space is short, a frame of the heap may be donated: free memory must never be out
//   of reach for want of a record that describes it.
//
// Locking
//   Its own (LockRank::kMetaArena), the innermost of all.
#pragma once

#include <cstddef>

#include "base/config.h"
#include "os/lock.h"
#include "os/vm.h"

namespace ashlar::page {

class MetaArena {
 public:
  constexpr MetaArena() = default;
  /// Serves [first, first + size) of a place.
  void start(const os::Vm& vm, const os::Place& place, char* first, size_t size);

  /// Gives all of it back, whoever still has records.
  void stop() {
    if (committed_ != first_)
      vm_->decommit(place_, first_, static_cast<size_t>(committed_ - first_));
  }

  /// Zeroed memory, aligned to `align` (a power of two up to a frame); null where the kernel
  /// refuses.
  void* alloc(size_t size, size_t align) ASHLAR_EXCLUDES(lock_);

  /// Takes back what alloc gave for this size, at most kMostFreed.
  void free(void* record, size_t size) ASHLAR_EXCLUDES(lock_);
  static constexpr size_t kMostFreed = 512;

  /// Adds zeroed memory that the caller has no more use for.
  void donate(char* memory, size_t size) ASHLAR_EXCLUDES(lock_);

  /// Bytes handed out, for statistics.
  size_t used() const { return static_cast<size_t>(next_ - first_) + used_of_donated_; }
  os::Lock& lock() { return lock_; }

 private:
  void* alloc_donated(size_t size, size_t align) ASHLAR_REQUIRES(lock_);

  os::Lock lock_{os::LockRank::kMetaArena};
  const os::Vm* vm_ = nullptr;
  os::Place place_{};
  char* first_ = nullptr;
  char* next_ = nullptr;
  char* committed_ = nullptr;
  char* end_ = nullptr;
  char* donated_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  char* donated_end_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  size_t used_of_donated_ = 0;
  struct Free {
    Free* next;
  };
  Free* free_[kMostFreed / base::kCacheLine + 1] ASHLAR_GUARDED_BY(lock_) = {};  // by lines
};

}  // namespace ashlar::page
