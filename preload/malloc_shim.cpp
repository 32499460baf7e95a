// preload/malloc_shim.cpp -- C's and POSIX's names, led to the front.
//
// Idea
//   Each function is its contract and a call. errno is set here and in the C entry points
//   (front/api*.cpp), nowhere else, and only where a call fails. The whole family is here: whoever
//   replaced malloc but not aligned_alloc would mix two heaps.
#include <malloc.h>

#include <cerrno>

#include "base/attributes.h"
#include "front/contract.h"
#include "front/heap.h"

using namespace ashlar;

namespace {

// Whoever takes malloc from libashlar.a takes the rest of the family, and the fork handlers, too.
ASHLAR_USED size_t (*const g_rest_of_family)(void*) = &malloc_usable_size;

void* or_enomem(void* p) {
  if (p == nullptr) [[unlikely]]
    errno = ENOMEM;
  return p;
}

ASHLAR_NOINLINE void* malloc_slow(size_t size) {
  return or_enomem(front::alloc_slow(size));
}

void* fail(int error) {
  errno = error;
  return nullptr;
}

void* aligned(size_t align, size_t size) {
  return or_enomem(front::alloc_aligned(size, align));
}

size_t page_size() {
  front::start_heap();  // from then on it is known
  return os::page_size();
}

}  // namespace

extern "C" {

ASHLAR_EXPORT void* malloc(size_t size) {
  if (void* p = front::try_alloc(size)) [[likely]]
    return p;
  return malloc_slow(size);
}

ASHLAR_EXPORT void free(void* p) {
  front::free(p);
}
ASHLAR_EXPORT void cfree(void* p) {
  front::free(p);
}
ASHLAR_EXPORT void free_sized(void* p, size_t size) {
  front::free_sized(p, size);
}
ASHLAR_EXPORT void free_aligned_sized(void* p, size_t align, size_t size) {
  front::free_aligned_sized(p, align, size);
}

ASHLAR_EXPORT void* calloc(size_t count, size_t size) {
  front::Product bytes = front::product(count, size);
  return bytes.fits ? or_enomem(front::alloc_zeroed(bytes.value)) : fail(ENOMEM);
}

ASHLAR_EXPORT void* realloc(void* p, size_t size) {
  if (p == nullptr) return malloc(size);
  if (size != 0) return or_enomem(front::resize(p, size));
  front::free(p);
  return nullptr;
}

ASHLAR_EXPORT void* reallocarray(void* p, size_t count, size_t size) {
  front::Product bytes = front::product(count, size);
  return bytes.fits ? realloc(p, bytes.value) : fail(ENOMEM);
}

ASHLAR_EXPORT int posix_memalign(void** result, size_t align, size_t size) {
  if (!front::is_posix_alignment(align)) return EINVAL;
  void* p = front::alloc_aligned(size, align);
  if (p == nullptr) return ENOMEM;
  *result = p;
  return 0;
}

ASHLAR_EXPORT void* aligned_alloc(size_t align, size_t size) {
  return front::is_alignment(align) ? aligned(align, size) : fail(EINVAL);
}

// As glibc does: an alignment that is no power of two is rounded up to one.
ASHLAR_EXPORT void* memalign(size_t align, size_t size) {
  if (align > SIZE_MAX / 2 + 1) return fail(EINVAL);
  return aligned(align <= 1 ? 1 : size_t{1} << base::log2_ceil(align), size);
}

ASHLAR_EXPORT void* valloc(size_t size) {
  return aligned(page_size(), size);
}

ASHLAR_EXPORT void* pvalloc(size_t size) {
  size_t rounded = front::rounded_request(size, page_size());
  return rounded < size ? fail(ENOMEM) : aligned(page_size(), rounded);
}

}  // extern "C"
