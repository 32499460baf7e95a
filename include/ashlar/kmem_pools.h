/* ashlar/kmem_pools.h -- the part of ashlar/kmem.h that is pools with a reserve, and shrinkers.
 * Include that one, which tells what differs from a kernel.
 *
 * Source: names and signatures of Linux's mempool.h and shrinker.h.
 */
#ifndef ASHLAR_KMEM_POOLS_H
#define ASHLAR_KMEM_POOLS_H

#include "ashlar/kmem_slab.h"
#include "ashlar/limits.h"
#include "ashlar/pool.h"

/* ---- pools ----------------------------------------------------------------------------------- */

typedef void* mempool_alloc_t(gfp_t gfp, void* pool_data);
typedef void mempool_free_t(void* element, void* pool_data);

/* A pool and what a kernel's functions want to be called with. */
typedef struct mempool_s {
  ashlar_pool* pool;
  mempool_alloc_t* alloc;
  mempool_free_t* free;
  void* pool_data;
} mempool_t;

static inline void* ashlar_kmem_pool_alloc(void* data, unsigned flags) {
  const mempool_t* pool = (const mempool_t*)data;
  return pool->alloc(ashlar_kmem_gfp(flags), pool->pool_data);
}
static inline void ashlar_kmem_pool_free(void* data, void* element) {
  const mempool_t* pool = (const mempool_t*)data;
  pool->free(element, pool->pool_data);
}

/* Sources, as mempool_create() takes them: a cache; `pool_data` bytes; a page of order `pool_data`,
 * whose element is its struct page. */
static inline void* mempool_alloc_slab(gfp_t gfp, void* pool_data) {
  return kmem_cache_alloc((struct kmem_cache*)pool_data, gfp);
}
static inline void mempool_free_slab(void* element, void* pool_data) {
  kmem_cache_free((struct kmem_cache*)pool_data, element);
}
static inline void* mempool_kmalloc(gfp_t gfp, void* pool_data) {
  return kmalloc((size_t)(uintptr_t)pool_data, gfp);
}
static inline void mempool_kfree(void* element, void* pool_data) {
  (void)pool_data;
  kfree(element);
}
static inline void* mempool_alloc_pages(gfp_t gfp, void* pool_data) {
  return alloc_pages(gfp, (unsigned)(uintptr_t)pool_data);
}
static inline void mempool_free_pages(void* element, void* pool_data) {
  __free_pages((struct page*)element, (unsigned)(uintptr_t)pool_data);
}

/* Makes a pool of a record that is there: 0, or -ENOMEM, or -EINVAL for a reserve of none. */
static inline int mempool_init(mempool_t* pool, int least, mempool_alloc_t* alloc,
                               mempool_free_t* free_element, void* pool_data) {
  pool->alloc = alloc;
  pool->free = free_element;
  pool->pool_data = pool_data;
  pool->pool = least < 0 ? NULL
                         : ashlar_pool_create((size_t)least, ashlar_kmem_pool_alloc,
                                              ashlar_kmem_pool_free, pool);
  if (pool->pool != NULL) return 0;
  return least <= 0 ? -EINVAL : -errno;
}
static inline int mempool_init_slab_pool(mempool_t* pool, int least, struct kmem_cache* cache) {
  return mempool_init(pool, least, mempool_alloc_slab, mempool_free_slab, cache);
}
static inline int mempool_init_kmalloc_pool(mempool_t* pool, int least, size_t size) {
  return mempool_init(pool, least, mempool_kmalloc, mempool_kfree, (void*)(uintptr_t)size);
}
static inline int mempool_init_page_pool(mempool_t* pool, int least, int order) {
  return mempool_init(pool, least, mempool_alloc_pages, mempool_free_pages, (void*)(intptr_t)order);
}
/* Of a record that was all zero before, as there. */
static inline int mempool_initialized(mempool_t* pool) {
  return pool->pool != NULL;
}
static inline void mempool_exit(mempool_t* pool) {
  ashlar_pool_destroy(pool->pool);
  pool->pool = NULL;
}
static inline mempool_t* mempool_create(int least, mempool_alloc_t* alloc,
                                        mempool_free_t* free_element, void* pool_data) {
  mempool_t* pool = (mempool_t*)kmalloc(sizeof(mempool_t), GFP_KERNEL);
  if (pool == NULL || mempool_init(pool, least, alloc, free_element, pool_data) == 0) return pool;
  kfree(pool);
  return NULL;
}
static inline mempool_t* mempool_create_slab_pool(int least, struct kmem_cache* cache) {
  return mempool_create(least, mempool_alloc_slab, mempool_free_slab, cache);
}
static inline mempool_t* mempool_create_kmalloc_pool(int least, size_t size) {
  return mempool_create(least, mempool_kmalloc, mempool_kfree, (void*)(uintptr_t)size);
}
static inline mempool_t* mempool_create_page_pool(int least, int order) {
  return mempool_create(least, mempool_alloc_pages, mempool_free_pages, (void*)(intptr_t)order);
}
static inline void mempool_destroy(mempool_t* pool) {
  if (pool != NULL) mempool_exit(pool);
  kfree(pool);
}

/* Waits until an element is freed where gfp allows to, so that it does not return NULL; else what
 * the source or the reserve has. Not with __GFP_ZERO, as there; GFP_DMA means nothing, for where
 * the elements lie is the source's business. */
static inline void* mempool_alloc(mempool_t* pool, gfp_t gfp) {
  return ashlar_pool_alloc(pool->pool, ashlar_kmem_flags(gfp & ~(__GFP_DMA | __GFP_DMA32)),
                           gfpflags_allow_blocking(gfp) ? ASHLAR_POOL_FOREVER : 0);
}
static inline void mempool_free(void* element, mempool_t* pool) {
  ashlar_pool_free(pool->pool, element);
}
static inline int mempool_resize(mempool_t* pool, int least) {
  if (least <= 0) return -EINVAL;
  return ashlar_pool_resize(pool->pool, (size_t)least) == 0 ? 0 : -errno;
}

/* ---- shrinkers ------------------------------------------------------------------------------- */

#define SHRINK_STOP (~0UL)
#define SHRINK_EMPTY (~0UL - 1)
#define DEFAULT_SEEKS 2
/* Without a meaning here. */
#define SHRINKER_NUMA_AWARE 0u
#define SHRINKER_MEMCG_AWARE 0u

struct shrink_control {
  gfp_t gfp_mask; /* GFP_KERNEL, whatever the request was: see ashlar_shrink on locks */
  int nid;
  unsigned long nr_to_scan;
  unsigned long nr_scanned;
};

struct shrinker {
  unsigned long (*count_objects)(struct shrinker* shrinker, struct shrink_control* control);
  unsigned long (*scan_objects)(struct shrinker* shrinker, struct shrink_control* control);
  long batch; /* objects asked for at a time; 0 for 128 */
  int seeks;  /* without a meaning here */
  unsigned flags;
  void* private_data;
  int number; /* Ashlar's: 0, or one more than its number for it */
};

/* An object counts as 16 bytes, which is the least that it can be: rather too many go than too few
 * for the request that waits for them. */
static inline size_t ashlar_kmem_shrink(void* data, size_t bytes) {
  struct shrinker* shrinker = (struct shrinker*)data;
  const unsigned long batch = shrinker->batch > 0 ? (unsigned long)shrinker->batch : 128;
  const unsigned long wanted = (unsigned long)bytes / 16 + 1;
  unsigned long freed = 0;
  struct shrink_control control;
  memset(&control, 0, sizeof control);
  control.gfp_mask = GFP_KERNEL;
  unsigned long left = shrinker->count_objects(shrinker, &control);
  if (left == SHRINK_EMPTY || left == SHRINK_STOP) return 0;
  while (left > 0 && freed < wanted) {
    control.nr_to_scan = control.nr_scanned = left < batch ? left : batch;
    const unsigned long gone = shrinker->scan_objects(shrinker, &control);
    if (gone == SHRINK_STOP || control.nr_scanned == 0) break;
    freed += gone;
    left -= control.nr_scanned < left ? control.nr_scanned : left; /* it may have looked further */
  }
  return (size_t)freed * 16;
}

/* Up to 6.6: 0 or a negative errno. What follows, the name, is taken and not kept. */
static inline int register_shrinker(struct shrinker* shrinker, ...) {
  shrinker->number = ashlar_shrinker_register(ashlar_kmem_shrink, shrinker) + 1;
  return shrinker->number == 0 ? -errno : 0;
}
/* One that has not been registered, or not any more, is left alone. */
static inline void unregister_shrinker(struct shrinker* shrinker) {
  if (shrinker->number > 0) ashlar_shrinker_unregister(shrinker->number - 1);
  shrinker->number = 0;
}
/* From 6.7 on. */
static inline struct shrinker* shrinker_alloc(unsigned flags, const char* name, ...) {
  struct shrinker* shrinker = (struct shrinker*)kzalloc(sizeof(struct shrinker), GFP_KERNEL);
  (void)name;
  if (shrinker == NULL) return NULL;
  shrinker->flags = flags;
  return shrinker;
}
/* SIGABRT and one line where there are too many: a kernel knows no such failure. */
static inline void shrinker_register(struct shrinker* shrinker) {
  if (register_shrinker(shrinker) != 0) ashlar_kmem_panic("shrinker_register", "a shrinker");
}
static inline void shrinker_free(struct shrinker* shrinker) {
  if (shrinker == NULL) return;
  unregister_shrinker(shrinker);
  kfree(shrinker);
}

#endif
