// front/api_caches.cpp -- the C entry points of ashlar/cache.h. The small library goes without
// them.
//
// Idea
//   What the functions add to the front are C's rules: handles for records, and errno.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ashlar/cache.h"
#include "base/attributes.h"
#include "front/contract.h"
#include "front/effort.h"
#include "front/typed_cache.h"

using namespace ashlar;

using front::or_errno;
using front::TypedCache;

namespace {

TypedCache& real(ashlar_cache* cache) {
  return *reinterpret_cast<TypedCache*>(cache);
}

// Functions of their own, so that the fast paths in front of them need no stack.
ASHLAR_NOINLINE void* alloc_otherwise(ashlar_cache* cache, unsigned flags) {
  int error = EINVAL, kept = errno;
  void* object = front::has_unknown(flags) ? nullptr : real(cache).alloc(flags, error);
  errno = object != nullptr ? kept : error;
  return object;
}

ASHLAR_NOINLINE void free_otherwise(ashlar_cache* cache, void* object) {
  int kept = errno;
  real(cache).free_slow(object);
  errno = kept;
}

// What the magazine here does not take. Not having to keep the object beside its handle spares the
// fast path a register.
ASHLAR_NOINLINE void free_handle_otherwise(ashlar_cache* cache, void* handle) {
  free_otherwise(cache, real(cache).object_of(handle));
}

ASHLAR_NOINLINE size_t alloc_rest(ashlar_cache* cache, unsigned flags, size_t count, void** objects,
                                  size_t got) {
  int kept = errno;
  int error =
      front::has_unknown(flags) ? EINVAL : real(cache).alloc_bulk(flags, objects, count, got);
  errno = error == 0 ? kept : error;
  return error == 0 ? count : 0;
}

ASHLAR_NOINLINE void free_rest(ashlar_cache* cache, size_t count, void* const* objects) {
  int kept = errno;
  real(cache).free_bulk(objects, count);
  errno = kept;
}

// What a size's class has by itself, asked of SLOB and of whole frames, too.
size_t kmalloc_alignment(size_t size) {
  return base::is_power_of_two(size) ? std::clamp(size, base::kGrain, base::kFrameSize)
                                     : base::kGrain;
}

ASHLAR_NOINLINE void* kmalloc_otherwise(size_t size, size_t align, unsigned flags) {
  int error = 0;
  void* object = front::alloc_flagged(std::max(size, size_t{1}), align, flags, error);
  return or_errno(object, error);
}

}  // namespace

extern "C" {

ASHLAR_EXPORT ashlar_cache* ashlar_cache_create(const char* name, size_t size,
                                                const ashlar_cache_args* args) {
  TypedCache::Made made =
      TypedCache::create(name, size, args != nullptr ? *args : ashlar_cache_args{});
  return reinterpret_cast<ashlar_cache*>(or_errno(made.cache, made.error));
}

ASHLAR_EXPORT void ashlar_cache_destroy(ashlar_cache* cache) {
  int kept = errno;
  if (cache != nullptr) real(cache).destroy();
  errno = kept;
}

ASHLAR_EXPORT void* ashlar_cache_alloc(ashlar_cache* cache, unsigned flags) {
  if (void* object = real(cache).try_alloc(flags)) [[likely]]
    return object;
  return alloc_otherwise(cache, flags);
}

ASHLAR_EXPORT void ashlar_cache_free(ashlar_cache* cache, void* object) {
  TypedCache& typed = real(cache);
  if (!typed.is_free_fast(object)) [[unlikely]]
    return free_otherwise(cache, object);
  void* handle = typed.handle_of(object);
  if (!typed.try_free_handle(handle)) [[unlikely]]
    free_handle_otherwise(cache, handle);
}

ASHLAR_EXPORT size_t ashlar_cache_alloc_bulk(ashlar_cache* cache, unsigned flags, size_t count,
                                             void** objects) {
  size_t got = real(cache).try_alloc_some(objects, count, flags);
  return got == count ? count : alloc_rest(cache, flags, count, objects, got);
}

ASHLAR_EXPORT void ashlar_cache_free_bulk(ashlar_cache* cache, size_t count, void* const* objects) {
  size_t put = real(cache).put_some(objects, count);
  if (put < count) free_rest(cache, count - put, objects + put);
}

ASHLAR_EXPORT size_t ashlar_cache_shrink(ashlar_cache* cache) {
  return real(cache).shrink();
}

ASHLAR_EXPORT size_t ashlar_caches_reap(void) {
  size_t ended = TypedCache::shrink_all();
  front::reap(front::GateWait::kSecond);
  return ended;
}

ASHLAR_EXPORT void ashlar_cache_get_info(ashlar_cache* cache, ashlar_cache_info* info) {
  int kept = errno;
  *info = real(cache).info();
  errno = kept;
}

ASHLAR_EXPORT void* ashlar_kmalloc(size_t size, unsigned flags) {
  if (flags == 0) [[likely]]
    if (void* object = front::try_alloc(size)) [[likely]]
      return object;
  return kmalloc_otherwise(size, kmalloc_alignment(size), flags);
}

ASHLAR_EXPORT void* ashlar_kmalloc_aligned(size_t size, size_t align, unsigned flags) {
  if (!front::is_alignment(align)) return or_errno<void>(nullptr, EINVAL);
  if (flags == 0 && align <= base::kGrain) [[likely]]
    if (void* object = front::try_alloc(size)) [[likely]]
      return object;
  return kmalloc_otherwise(size, std::max(align, base::kGrain), flags);
}

ASHLAR_EXPORT void* ashlar_kmalloc_array(size_t count, size_t size, unsigned flags) {
  front::Product bytes = front::product(count, size);
  if (!bytes.fits) return or_errno<void>(nullptr, ENOMEM);
  return ashlar_kmalloc(bytes.value, flags);
}

ASHLAR_EXPORT void* ashlar_krealloc(void* p, size_t size, unsigned flags) {
  if (size == 0) {
    front::free(p);
    return nullptr;
  }
  if (p == nullptr) return ashlar_kmalloc(size, flags);
  if (front::cannot_be(flags)) return or_errno<void>(nullptr, EINVAL);
  size_t had = front::usable_size(p), align = kmalloc_alignment(size);
  bool is_plain = (flags & ~unsigned{ASHLAR_ZERO}) == 0;
  bool stays = had <= base::kMaxCached && size <= had && size > had / 2;
  int error = ENOMEM;
  void* resized = p;
  if (!stays)
    resized = is_plain ? front::resize_slow(p, size, align)
                       : front::resize_flagged(p, size, align, flags, error);
  if (resized != nullptr && (flags & ASHLAR_ZERO) != 0) {
    // Also what is given up: it may be had again where the block stands.
    size_t kept = std::min(had, size);
    std::memset(static_cast<char*>(resized) + kept, 0, front::usable_size(resized) - kept);
  }
  return or_errno(resized, error);
}

ASHLAR_EXPORT void ashlar_kfree(void* p) {
  front::free(p);
}

ASHLAR_EXPORT void ashlar_kfree_sized(void* p, size_t size, size_t align) {
  front::free_aligned_sized(p, align, size);
}

ASHLAR_EXPORT size_t ashlar_ksize(const void* p) {
  return front::usable_size(p);
}

ASHLAR_EXPORT size_t ashlar_kmalloc_size(size_t size) {
  if (size <= base::kMaxCached) return front::kClassSize[front::class_of(size)];
  return size > front::kMaxRequest ? size : base::Pages::ceil(size).bytes();
}

}  // extern "C"
