// front/api_pool.cpp -- the C entry points of ashlar/pool.h. The small library goes without them.
//
// Idea
//   The sources that Ashlar has itself stand here: caches, sizes, pages.
#include <cerrno>
#include <cstdint>

#include "ashlar/cache.h"
#include "ashlar/pages.h"
#include "ashlar/pool.h"
#include "base/attributes.h"
#include "front/effort.h"
#include "front/pool.h"
#include "front/typed_cache.h"

using namespace ashlar;

using front::Pool;

namespace {

Pool& real(ashlar_pool* pool) {
  return *reinterpret_cast<Pool*>(pool);
}

// What a source knows of its objects lies in the pointer that it is given.
void* as_data(size_t value) {
  return reinterpret_cast<void*>(value);
}
size_t of_data(void* data) {
  return reinterpret_cast<size_t>(data);
}

void* cache_alloc(void* data, unsigned flags) {
  return ashlar_cache_alloc(static_cast<ashlar_cache*>(data), flags);
}
void cache_free(void* data, void* object) {
  ashlar_cache_free(static_cast<ashlar_cache*>(data), object);
}
void* size_alloc(void* data, unsigned flags) {
  return ashlar_kmalloc(of_data(data), flags);
}
void size_free(void*, void* object) {
  ashlar_kfree(object);
}
void* pages_alloc(void* data, unsigned flags) {
  return ashlar_pages_get(static_cast<unsigned>(of_data(data)), flags);
}
void pages_free(void*, void* pages) {
  ashlar_pages_free(pages);
}

ashlar_pool* create(size_t least, const Pool::Source& source) {
  bool is_allowed = least > 0 && least <= Pool::kMost;
  is_allowed &= source.alloc != nullptr && source.free != nullptr;
  Pool* pool = is_allowed ? Pool::create(least, source) : nullptr;
  if (pool == nullptr) errno = is_allowed ? ENOMEM : EINVAL;
  return reinterpret_cast<ashlar_pool*>(pool);
}

}  // namespace

extern "C" {

ASHLAR_EXPORT ashlar_pool* ashlar_pool_create(size_t least, ashlar_pool_alloc_fn* alloc,
                                              ashlar_pool_free_fn* free, void* data) {
  return create(least, {.alloc = alloc, .free = free, .data = data});
}

ASHLAR_EXPORT ashlar_pool* ashlar_pool_create_cache(size_t least, ashlar_cache* cache) {
  if (cache == nullptr) return create(0, {});
  return create(least, {.alloc = cache_alloc,
                        .free = cache_free,
                        .data = cache,
                        .size = reinterpret_cast<front::TypedCache*>(cache)->clearable()});
}

ASHLAR_EXPORT ashlar_pool* ashlar_pool_create_size(size_t least, size_t size) {
  size_t known = size == 0 ? 1 : size;
  return create(least,
                {.alloc = size_alloc, .free = size_free, .data = as_data(known), .size = known});
}

ASHLAR_EXPORT ashlar_pool* ashlar_pool_create_pages(size_t least, unsigned order) {
  if (order > ASHLAR_PAGES_MOST_ORDER) return create(0, {});
  return create(least, {.alloc = pages_alloc,
                        .free = pages_free,
                        .data = as_data(order),
                        .size = base::kFrameSize << order});
}

ASHLAR_EXPORT void ashlar_pool_destroy(ashlar_pool* pool) {
  if (pool != nullptr) real(pool).destroy();
}

ASHLAR_EXPORT void* ashlar_pool_alloc(ashlar_pool* pool, unsigned flags, long wait_ms) {
  int error = EINVAL, kept = errno;
  constexpr unsigned kZones = ASHLAR_LOW32 | ASHLAR_PINNED;  // the reserve is not there
  bool is_refused = front::has_unknown(flags) || (flags & kZones) != 0;
  void* object = is_refused ? nullptr : real(pool).alloc(flags, wait_ms, error);
  errno = object != nullptr ? kept : error;
  return object;
}

ASHLAR_EXPORT void ashlar_pool_free(ashlar_pool* pool, void* object) {
  int kept = errno;
  real(pool).free(object);
  errno = kept;
}

ASHLAR_EXPORT int ashlar_pool_resize(ashlar_pool* pool, size_t least) {
  bool is_allowed = least > 0 && least <= Pool::kMost;
  if (is_allowed && real(pool).resize(least)) return 0;
  errno = is_allowed ? ENOMEM : EINVAL;
  return -1;
}

ASHLAR_EXPORT size_t ashlar_pool_ready(ashlar_pool* pool) {
  return real(pool).ready();
}

ASHLAR_EXPORT size_t ashlar_pool_least(ashlar_pool* pool) {
  return real(pool).least();
}

}  // extern "C"
