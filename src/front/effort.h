// front/effort.h -- how hard a request with flags (ashlar/flags.h) is tried.
//
// Idea
//   A ladder, written once for all functions that take flags: what is ready; more memory; more
//   after all that can has given back; the reserve; and again for ever, if the caller cannot do
//   without. NOWAIT stops after the first rung, NORETRY after the second.
//
// Source
//   Linux, mm/page_alloc.c: the slow path of its page allocator.
#pragma once

#include <atomic>
#include <cstddef>

#include "ashlar/flags.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "os/lock.h"

namespace front {

inline constexpr unsigned kAllFlags = 2 * ASHLAR_PINNED - 1;

constexpr page::Manners::Where where_of(unsigned flags) {
  using Where = page::Manners::Where;
  if ((flags & ASHLAR_PINNED) != 0) return Where::kPinned;
  return (flags & ASHLAR_LOW32) != 0 ? Where::kLow : Where::kAnywhere;
}

inline void sleep_a_moment() {
  static const std::atomic<uint32_t> never{0};
  os::futex_wait(never, 0, 1000);
}

/// Calls `once()` until it gives something, as the flags say; null where nothing helped.
template <class Once>
void* try_hard(unsigned flags, size_t bytes, Once once) {
  if ((flags & ASHLAR_RESERVE) != 0 && start_heap()) g_heap.pages().budget().open_reserve();
  void* memory = once();
  if (memory != nullptr || (flags & ASHLAR_NORETRY) != 0) return memory;
  if (give_way(bytes)) memory = once();
  for (; memory == nullptr && (flags & ASHLAR_NOFAIL) != 0; memory = once()) {
    sleep_a_moment();
    give_way(bytes);
  }
  return memory;
}

}  // namespace front
