// front/api.cpp -- the C entry points of ashlar/heap.h.
//
// Idea
//   A heap's public name is its address; what the functions add to front/small_heap.h are C's
//   rules: what a size of 0 means, and errno.
#include "ashlar/heap.h"

#include <cerrno>

#include "base/attributes.h"
#include "front/contract.h"
#include "front/small_heap.h"

using namespace ashlar;

using front::or_errno;
using front::SmallHeap;

namespace {

constexpr size_t kMostLimit = size_t{512} << 30;

SmallHeap& real(ashlar_heap* heap) {
  return *reinterpret_cast<SmallHeap*>(heap);
}

ashlar_heap* named(SmallHeap* heap, int error) {
  return reinterpret_cast<ashlar_heap*>(or_errno(heap, error));
}

}  // namespace

extern "C" {

ASHLAR_EXPORT ashlar_heap* ashlar_heap_create(size_t limit) {
  bool is_limit = limit != 0 && limit <= kMostLimit;
  return named(is_limit ? SmallHeap::create(limit) : nullptr, is_limit ? ENOMEM : EINVAL);
}

ASHLAR_EXPORT ashlar_heap* ashlar_heap_create_in(void* buffer, size_t size) {
  bool is_enough = buffer != nullptr && size >= ASHLAR_HEAP_LEAST;
  return named(is_enough ? SmallHeap::create_in(buffer, size) : nullptr, EINVAL);
}

ASHLAR_EXPORT void ashlar_heap_destroy(ashlar_heap* heap) {
  if (heap != nullptr) real(heap).destroy();
}

ASHLAR_EXPORT void* ashlar_heap_alloc(ashlar_heap* heap, size_t size) {
  return or_errno(real(heap).alloc(size, base::kGrain), ENOMEM);
}

ASHLAR_EXPORT void* ashlar_heap_alloc_aligned(ashlar_heap* heap, size_t align, size_t size) {
  if (!front::is_alignment(align)) return or_errno<void>(nullptr, EINVAL);
  return or_errno(real(heap).alloc(size, align), ENOMEM);
}

ASHLAR_EXPORT void* ashlar_heap_calloc(ashlar_heap* heap, size_t count, size_t size) {
  front::Product bytes = front::product(count, size);
  return or_errno(bytes.fits ? real(heap).alloc_zeroed(bytes.value) : nullptr, ENOMEM);
}

ASHLAR_EXPORT void* ashlar_heap_realloc(ashlar_heap* heap, void* p, size_t size) {
  if (p == nullptr) return ashlar_heap_alloc(heap, size);
  if (size != 0) return or_errno(real(heap).resize(p, size), ENOMEM);
  real(heap).free(p);
  return nullptr;
}

ASHLAR_EXPORT void ashlar_heap_free(ashlar_heap* heap, void* p) {
  real(heap).free(p);
}

ASHLAR_EXPORT size_t ashlar_heap_usable_size(ashlar_heap* heap, const void* p) {
  return real(heap).usable_size(p);
}

ASHLAR_EXPORT size_t ashlar_heap_live(ashlar_heap* heap) {
  return real(heap).live_bytes();
}

}  // extern "C"
