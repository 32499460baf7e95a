// front/contract.h -- the rules of C and POSIX.
//
// Idea
//   What a request may be, before memory is looked at: sizes that overflow, sizes that no pointer
//   difference can express, alignments that are none; and that null comes with a reason. The letter
//   of the standards stands here once. All but or_errno are pure functions.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"

namespace ashlar::front {

/// More than this can never be given: two pointers into it could not be subtracted. (C 6.5.6)
inline constexpr size_t kMaxRequest = PTRDIFF_MAX;

/// A product that may not fit.
struct Product {
  size_t value = 0;
  bool fits = false;
};
constexpr Product product(size_t count, size_t size) {
  Product result;
  result.fits = !__builtin_mul_overflow(count, size, &result.value);
  return result;
}

/// aligned_alloc, memalign: a power of two. (C 7.22.3.1)
constexpr bool is_alignment(size_t align) {
  return base::is_power_of_two(align);
}

/// posix_memalign: also a multiple of the size of a pointer. (POSIX)
constexpr bool is_posix_alignment(size_t align) {
  return is_alignment(align) && align % sizeof(void*) == 0;
}

/// `size` rounded up to a multiple of `align`, which pvalloc gives; 0 where it does not fit.
constexpr size_t rounded_request(size_t size, size_t align) {
  return base::round_up(size, align);
}

/// What a C function returns: where it is null, errno says why.
template <class T>
T* or_errno(T* result, int error) {
  if (result == nullptr) errno = error;
  return result;
}

static_assert(!product(SIZE_MAX, 2).fits && product(3, 5).value == 15 && product(0, 9).fits);
static_assert(!is_alignment(0) && !is_alignment(24) && is_alignment(1) && !is_posix_alignment(4));

}  // namespace ashlar::front
