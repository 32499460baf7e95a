// front/pressure.h -- whether memory is short: the heap's bounds, the container's, the kernel's
// word.
//
// Idea
//   Memory is short where the heap is above its soft bound (page/budget.h), or where the kernel
//   says that tasks have waited for memory (os/cgroup.h). The container's bound makes a soft one:
//   an eighth below it, since code, stacks and files count there, too. It is looked up anew from
//   time to time, for it may change, and only once the heap is large enough to matter: a small
//   process opens no file.
//
//   While memory is short, whoever comes by in the slow path *relieves* the heap now and then: all
//   magazines and depots are emptied, and what that leaves free is purged; then the program's own
//   caches are asked.
//
// Invariants
//   1. One thread looks at a time, and one relieves.
//
// Locking
//   None. What is read is a moment old.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/cgroup.h"
#include "page/budget.h"

namespace ashlar::front {

class Pressure {
 public:
  constexpr Pressure() = default;
  /// A heap of less, in frames, is not worth opening files for.
  static constexpr size_t kLeastWatched = (size_t{16} << 20) / base::kFrameSize;
  struct Rules {
    bool follows = true;       ///< the container's bound and the kernel's word count
    uint64_t interval_ms = 0;  ///< between two questions to the kernel
    const char* root = "";     ///< where its files are, but for tests
  };
  /// Asks the kernel if the time has come. Whether the heap is to be relieved now, by the caller.
  bool look(page::Budget& budget, const Rules& rules, uint64_t now_ms);

  /// What the program's caches shall free, in bytes, where the heap has been relieved.
  size_t wish(const page::Budget& budget) const;

  /// In the child of a fork: a look that another thread had under way is nobody's any more.
  void reset_in_child() { is_looking_.store(false, std::memory_order_relaxed); }

  /// Whether the kernel says that tasks wait for memory.
  bool is_system_short() const { return is_system_short_.load(std::memory_order_relaxed); }

 private:
  void ask_kernel(page::Budget& budget, const char* root);
  void forget_bound(page::Budget& budget);

  std::atomic<uint32_t> looks_{0};
  std::atomic<bool> is_looking_{false};
  std::atomic<uint64_t> next_look_ms_{0}, next_relief_ms_{0};
  std::atomic<bool> is_system_short_{false};
  os::Cgroup group_{};
};

}  // namespace ashlar::front
