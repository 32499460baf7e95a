// ashlar/general.hpp -- bytes from the general caches, as operator new gives them.
//
// What the allocator and the memory resources have in common: a request that fails asks the
// program's new_handler, as operator new does, and throws std::bad_alloc at last; a block goes back
// with its size, so that its cache is known without a look at the heap's records. A program's own
// operator new has no part in it.
//
// Where exceptions are switched off (-fno-exceptions), what would throw calls std::abort().
#ifndef ASHLAR_GENERAL_HPP
#define ASHLAR_GENERAL_HPP

#include <cstddef>
#include <cstdlib>
#include <new>

#include "ashlar/cache.h"

namespace ashlar {

/// Every block of Ashlar's stands at a multiple of so many bytes.
inline constexpr std::size_t kBlockAlign = 16;

namespace detail {

[[noreturn, gnu::cold]] inline void throw_bad_alloc() {
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

[[noreturn, gnu::cold]] inline void throw_bad_length() {
#if defined(__cpp_exceptions)
  throw std::bad_array_new_length();
#else
  std::abort();
#endif
}

/// What operator new does once memory is out: has the new_handler free some and attempts it again,
/// until there is memory or no handler.
template <class Attempt>
[[gnu::noinline, gnu::cold]] void* insist(Attempt attempt) {
  for (;;) {
    std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw_bad_alloc();
    handler();
    if (void* p = attempt()) return p;
  }
}

}  // namespace detail

/// `bytes` bytes at a multiple of `align`, a power of two.
///
/// failure     std::bad_alloc, once there is no new_handler; or what that throws.
/// threads     every thread.
/// cost        a few nanoseconds up to 32 KiB, as malloc; more where `align` is above 4 KiB.
[[nodiscard]] inline void* allocate_bytes(std::size_t bytes, std::size_t align = kBlockAlign) {
  auto attempt = [bytes, align] { return ashlar_kmalloc_aligned(bytes, align, 0); };
  void* p = attempt();
  return __builtin_expect(p != nullptr, 1) ? p : detail::insist(attempt);
}

/// Takes back what allocate_bytes() gave for the same figures. Never fails.
inline void free_bytes(void* p, std::size_t bytes, std::size_t align = kBlockAlign) noexcept {
  ashlar_kfree_sized(p, bytes, align);
}

}  // namespace ashlar

#endif
