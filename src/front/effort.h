// front/effort.h -- how hard a request with flags (ashlar/flags.h) is tried.
//
// Idea
//   A ladder, written once for all functions that take flags: what is ready; more memory, with
//   RESERVE also from the reserve; more after all that can has given back; more after the program's
//   shrinkers; and again, with NOFAIL, as long as a bound lets through so much at all. NOWAIT stops
//   after the first rung, NORETRY after the second. Whoever has come to its end is refused for
//   good: then the reserve opens. And whoever is served above the soft bound has the program's
//   shrinkers asked, but for NORETRY.
//
// Source
//   Linux, mm/page_alloc.c: the slow path of its page allocator.
#pragma once

#include <cstddef>

#include "ashlar/flags.h"
#include "front/heap.h"
#include "front/upkeep.h"

namespace ashlar::front {

/// Whether flags have bits that no version so far gives a meaning: what they ask for cannot be had.
constexpr bool has_unknown(unsigned flags) {
  unsigned known = ASHLAR_ZERO | ASHLAR_NOWAIT | ASHLAR_RESERVE | ASHLAR_NOFAIL | ASHLAR_NORETRY |
                   ASHLAR_LOW32 | ASHLAR_PINNED;
  return (flags & ~known) != 0;
}

/// Whether a block cannot be had with these flags: no zone is both low and pinned.
constexpr bool cannot_be(unsigned flags) {
  unsigned both = ASHLAR_LOW32 | ASHLAR_PINNED;
  return has_unknown(flags) || (flags & both) == both;
}

/// Whether so many bytes could be had if nobody held any.
bool may_be_had(size_t bytes, page::Manners::Where where);

/// Lets requests with ASHLAR_RESERVE have what the hard limit holds back.
void open_reserve();

/// Calls `once()` until it gives something, as the flags say; null where nothing helped.
template <class Once>
void* try_hard(unsigned flags, size_t bytes, Once once,
               page::Manners::Where where = page::Manners::Where::kAnywhere) {
  if ((flags & ASHLAR_RESERVE) != 0) open_reserve();
  void* memory = once();
  if ((flags & ASHLAR_NORETRY) != 0) return memory;
  auto has_some = [&] { return (memory = once()) != nullptr; };
  for (unsigned tries = kReturnTries; memory == nullptr && tries > 0 && reap(); --tries) has_some();
  if (memory == nullptr) ask_program_until(bytes, where, has_some);
  while (memory == nullptr && (flags & ASHLAR_NOFAIL) != 0 && may_be_had(bytes, where)) {
    sleep_a_moment();
    reap();
    if (!has_some()) ask_program_until(bytes, where, has_some);
  }
  if (memory == nullptr)
    open_reserve();
  else if (g_heap.has_wish()) [[unlikely]]
    answer_wish();
  return memory;
}

/// At least `size` bytes, 1 or more, at a multiple of `align`, a power of two of 16 or more. null,
/// and in `error` why.
void* alloc_flagged(size_t size, size_t align, unsigned flags, int& error);

/// A block made `size` bytes long, 1 or more, as the flags say but for ASHLAR_ZERO: where it
/// stands, if that can be, else a new one. One that is long enough already stays where no other is
/// to be had. null, and in `error` why, and then the block is as it was.
void* resize_flagged(void* p, size_t size, size_t align, unsigned flags, int& error);

}  // namespace ashlar::front
