// conform/family.h -- the allocation family as the conformance tests call it.
//
// If a name were missing from the library, a program would mix two heaps and die in free(). So
// every name is called from here, through pointers that the optimizer cannot see through: neither
// gcc nor clang may then drop a malloc whose result is unused, nor warn of the absurd sizes that
// these tests ask for on purpose.
#pragma once

#include <dlfcn.h>
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

// C23; not in glibc 2.36, so they may be absent.
extern "C" void free_sized(void* block, size_t size) __attribute__((weak));
extern "C" void free_aligned_sized(void* block, size_t alignment, size_t size)
    __attribute__((weak));

namespace family {

inline void* (*volatile const malloc_)(size_t) = ::malloc;
inline void* (*volatile const calloc_)(size_t, size_t) = ::calloc;
inline void* (*volatile const realloc_)(void*, size_t) = ::realloc;
inline void* (*volatile const reallocarray_)(void*, size_t, size_t) = ::reallocarray;
inline void (*volatile const free_)(void*) = ::free;
inline void* (*volatile const aligned_alloc_)(size_t, size_t) = ::aligned_alloc;
inline void* (*volatile const memalign_)(size_t, size_t) = ::memalign;
inline int (*volatile const posix_memalign_)(void**, size_t, size_t) = ::posix_memalign;
inline void* (*volatile const valloc_)(size_t) = ::valloc;
inline void* (*volatile const pvalloc_)(size_t) = ::pvalloc;
inline size_t (*volatile const usable_)(void*) = ::malloc_usable_size;

/// posix_memalign in the shape of the others: null on failure, the error in errno.
inline void* posix_memalign_or_null(size_t alignment, size_t size) {
  void* block = nullptr;
  const int error = posix_memalign_(&block, alignment, size);
  if (error == 0) return block;
  errno = error;
  return nullptr;
}

/// One way to ask for `size` bytes.
struct Maker {
  const char* name;
  void* (*make)(size_t size);
};

/// Every function of C, POSIX and glibc that hands out memory for free().
inline constexpr Maker kMakers[] = {
    {"malloc", [](size_t n) { return malloc_(n); }},
    {"calloc", [](size_t n) { return calloc_(1, n); }},
    {"realloc(NULL)", [](size_t n) { return realloc_(nullptr, n); }},
    {"reallocarray(NULL)", [](size_t n) { return reallocarray_(nullptr, 1, n); }},
    {"aligned_alloc(64)", [](size_t n) { return aligned_alloc_(64, n); }},
    {"aligned_alloc(4096)", [](size_t n) { return aligned_alloc_(4096, n); }},
    {"memalign(32)", [](size_t n) { return memalign_(32, n); }},
    {"memalign(2 MiB)", [](size_t n) { return memalign_(size_t{2} << 20, n); }},
    {"posix_memalign(8)", [](size_t n) { return posix_memalign_or_null(8, n); }},
    {"posix_memalign(256)", [](size_t n) { return posix_memalign_or_null(256, n); }},
    {"valloc", [](size_t n) { return valloc_(n); }},
    {"pvalloc", [](size_t n) { return pvalloc_(n); }},
};

inline bool is_aligned(const void* block, size_t alignment) {
  return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

/// True if all `size` bytes at `block` are `value`.
inline bool all_bytes_are(const void* block, unsigned char value, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(block);
  return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/// Sizes around every boundary that an allocator may have: small, page, class limits, large.
inline constexpr size_t kSizes[] = {
    0,      1,      7,       8,       15,      16,      17,       24,      31,     32,     33,
    63,     64,     65,      100,     127,     128,     129,      255,     256,    257,    500,
    511,    512,    513,     1000,    1023,    1024,    1025,     2047,    2048,   2049,   3000,
    4095,   4096,   4097,    5000,    8191,    8192,    8193,     12288,   16384,  20000,  32767,
    32768,  32769,  40000,   65535,   65536,   65537,   100000,   131072,  200000, 262144, 524288,
    524289, 999999, 1 << 20, 2000000, 4 << 20, 5000001, 16 << 20, 33 << 20};

}  // namespace family
