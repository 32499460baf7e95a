/* ashlar/kmem_slab.h -- the part of ashlar/kmem.h that is requests and their flags, object caches,
 * general caches, and pages. Include that one, which tells what differs from a kernel.
 *
 * Source: names and signatures of Linux's gfp.h, slab.h, string.h, vmalloc.h.
 */
#ifndef ASHLAR_KMEM_SLAB_H
#define ASHLAR_KMEM_SLAB_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ashlar/cache.h"
#include "ashlar/flags.h"
#include "ashlar/pages.h"

/* ---- gfp_t: how a request is to be served ---------------------------------------------------- */

typedef unsigned gfp_t;

/* Each has a bit of its own, since code asks for them; not the kernel's numbers. */
#define __GFP_DMA ((gfp_t)1 << 0)   /* below 4 GiB: pages and general caches */
#define __GFP_DMA32 ((gfp_t)1 << 1) /* the same */
#define __GFP_ZERO ((gfp_t)1 << 2)
#define __GFP_HIGH ((gfp_t)1 << 3)     /* may use the reserve (ashlar/limits.h) */
#define __GFP_MEMALLOC ((gfp_t)1 << 4) /* the same */
#define __GFP_NOMEMALLOC ((gfp_t)1 << 5)
#define __GFP_DIRECT_RECLAIM ((gfp_t)1 << 6) /* may ask shrinkers, and wait */
#define __GFP_KSWAPD_RECLAIM ((gfp_t)1 << 7)
#define __GFP_RECLAIM (__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)
#define __GFP_NORETRY ((gfp_t)1 << 8)
#define __GFP_NOFAIL ((gfp_t)1 << 9)
/* From here on without a meaning in user space. */
#define __GFP_RETRY_MAYFAIL ((gfp_t)1 << 10)
#define __GFP_IO ((gfp_t)1 << 11)
#define __GFP_FS ((gfp_t)1 << 12)
#define __GFP_NOWARN ((gfp_t)1 << 13)
#define __GFP_COMP ((gfp_t)1 << 14)
#define __GFP_HIGHMEM ((gfp_t)1 << 15)
#define __GFP_MOVABLE ((gfp_t)1 << 16)
#define __GFP_RECLAIMABLE ((gfp_t)1 << 17)
#define __GFP_HARDWALL ((gfp_t)1 << 18)
#define __GFP_THISNODE ((gfp_t)1 << 19)
#define __GFP_ACCOUNT ((gfp_t)1 << 20)
#define __GFP_WRITE ((gfp_t)1 << 21)
#define __GFP_NOLOCKDEP ((gfp_t)1 << 22)

#define GFP_KERNEL (__GFP_RECLAIM | __GFP_IO | __GFP_FS)
#define GFP_KERNEL_ACCOUNT (GFP_KERNEL | __GFP_ACCOUNT)
#define GFP_ATOMIC (__GFP_HIGH | __GFP_KSWAPD_RECLAIM)
#define GFP_NOWAIT (__GFP_KSWAPD_RECLAIM | __GFP_NOWARN)
#define GFP_NOIO (__GFP_RECLAIM)
#define GFP_NOFS (__GFP_RECLAIM | __GFP_IO)
#define GFP_USER (GFP_KERNEL | __GFP_HARDWALL)
#define GFP_HIGHUSER (GFP_USER | __GFP_HIGHMEM)
#define GFP_HIGHUSER_MOVABLE (GFP_HIGHUSER | __GFP_MOVABLE)
#define GFP_DMA __GFP_DMA
#define GFP_DMA32 __GFP_DMA32

#define NUMA_NO_NODE (-1)

static inline int gfpflags_allow_blocking(gfp_t gfp) {
  return (gfp & __GFP_DIRECT_RECLAIM) != 0;
}

/* The same in Ashlar's words. A constant becomes a constant. */
static inline unsigned ashlar_kmem_flags(gfp_t gfp) {
  unsigned flags = 0;
  if (gfp & __GFP_ZERO) flags |= ASHLAR_ZERO;
  if (gfp & (__GFP_DMA | __GFP_DMA32)) flags |= ASHLAR_LOW32;
  if (gfp & __GFP_NOFAIL) flags |= ASHLAR_NOFAIL;
  if (gfp & __GFP_NORETRY) flags |= ASHLAR_NORETRY;
  if ((gfp & (__GFP_HIGH | __GFP_MEMALLOC)) && !(gfp & __GFP_NOMEMALLOC)) flags |= ASHLAR_RESERVE;
  if (gfp & __GFP_DIRECT_RECLAIM) return flags;
  /* A kernel refills its lists behind the back of who must not wait, so that GFP_ATOMIC mostly
   * comes through. Nobody does so here: it may fetch its memory itself. */
  return flags | ((gfp & (__GFP_HIGH | __GFP_KSWAPD_RECLAIM)) == __GFP_KSWAPD_RECLAIM
                      ? (unsigned)ASHLAR_NOWAIT
                      : (unsigned)ASHLAR_NORETRY);
}

/* And back, for functions that a pool calls: as long as a reserve stands behind them, they need not
 * try hard, and must not wait. */
static inline gfp_t ashlar_kmem_gfp(unsigned flags) {
  gfp_t gfp = GFP_KERNEL;
  if (flags & ASHLAR_NORETRY) gfp = __GFP_NORETRY;
  if (flags & ASHLAR_RESERVE) gfp |= flags & ASHLAR_NORETRY ? GFP_ATOMIC : __GFP_HIGH;
  if (flags & ASHLAR_NOWAIT) gfp = GFP_NOWAIT;
  return gfp | __GFP_NOWARN;
}

/* The kernel's panic(), where that is asked for. */
static inline void ashlar_kmem_panic(const char* what, const char* name) {
  fprintf(stderr, "ashlar: %s of \"%s\" failed: %s\n", what, name, strerror(errno));
  abort();
}

/* ---- object caches --------------------------------------------------------------------------- */

struct kmem_cache; /* an ashlar_cache */

typedef unsigned slab_flags_t;

#define SLAB_HWCACHE_ALIGN ((slab_flags_t)ASHLAR_CACHE_LINES)
#define SLAB_NO_MERGE ((slab_flags_t)ASHLAR_CACHE_NO_MERGE)
/* Nothing with a constructor, as there, nor for objects that ASHLAR_CACHE_POISON is not for. */
#define SLAB_POISON ((slab_flags_t)ASHLAR_CACHE_POISON)
#define SLAB_PANIC ((slab_flags_t)1 << 31) /* SIGABRT and one line where it fails */
/* Without a meaning here. */
#define SLAB_RED_ZONE ((slab_flags_t)0)
#define SLAB_CONSISTENCY_CHECKS ((slab_flags_t)0)
#define SLAB_STORE_USER ((slab_flags_t)0)
#define SLAB_RECLAIM_ACCOUNT ((slab_flags_t)0)
#define SLAB_ACCOUNT ((slab_flags_t)0)
#define SLAB_MEM_SPREAD ((slab_flags_t)0)
#define SLAB_TEMPORARY ((slab_flags_t)0)
#define SLAB_TRACE ((slab_flags_t)0)
#define SLAB_DEBUG_OBJECTS ((slab_flags_t)0)

/* What newer kernels take in one record. Of the fields align and ctor count. */
struct kmem_cache_args {
  unsigned align;
  unsigned useroffset, usersize;
  unsigned freeptr_offset;
  int use_freeptr_offset;
  void (*ctor)(void*);
};

/* A kernel's constructor gets nothing but the object, and cannot fail. */
static inline int ashlar_kmem_construct(void* object, void* data) {
  ((void (*)(void*))(uintptr_t)data)(object);
  return 0;
}

static inline struct kmem_cache* ashlar_kmem_create(const char* name, size_t size, size_t align,
                                                    slab_flags_t flags, void (*ctor)(void*)) {
  struct ashlar_cache_args args;
  memset(&args, 0, sizeof args);
  args.align = align;
  args.flags = flags & ~SLAB_PANIC;
  if (ctor != NULL || size > 32768 - 32 || align > 4096) args.flags &= ~SLAB_POISON;
  if (ctor != NULL) {
    args.construct = ashlar_kmem_construct;
    args.data = (void*)(uintptr_t)ctor;
  }
  int kept = errno;
  ashlar_cache* cache = ashlar_cache_create(name, size, &args);
  if (cache == NULL && errno == ENOSPC) {
    args.flags &= ~(SLAB_NO_MERGE | SLAB_POISON);
    if (ctor == NULL) args.flags |= ASHLAR_CACHE_COUNT;
    cache = ashlar_cache_create(name, size, &args);
    if (cache != NULL) errno = kept;
  }
  if (cache == NULL && (flags & SLAB_PANIC)) ashlar_kmem_panic("kmem_cache_create", name);
  return (struct kmem_cache*)cache;
}

static inline struct kmem_cache* ashlar_kmem_create_args(const char* name, size_t size,
                                                         const struct kmem_cache_args* args,
                                                         slab_flags_t flags) {
  return ashlar_kmem_create(name, size, args ? args->align : 0, flags, args ? args->ctor : NULL);
}

/* Both forms: (name, size, align, flags, constructor) and (name, size, &args or NULL, flags). */
#ifdef __cplusplus
static inline struct kmem_cache* kmem_cache_create(const char* name, size_t size, size_t align,
                                                   slab_flags_t flags, void (*ctor)(void*)) {
  return ashlar_kmem_create(name, size, align, flags, ctor);
}
static inline struct kmem_cache* kmem_cache_create(const char* name, size_t size,
                                                   const struct kmem_cache_args* args,
                                                   slab_flags_t flags) {
  return ashlar_kmem_create_args(name, size, args, flags);
}
#else
#define kmem_cache_create(name, size, third, ...) \
  _Generic((third),                                                  \
           struct kmem_cache_args*: ashlar_kmem_create_args,         \
           const struct kmem_cache_args*: ashlar_kmem_create_args,   \
           void*: ashlar_kmem_create_args,                           \
           default: ashlar_kmem_create)(name, size, third, __VA_ARGS__)
#endif

/* Nothing here copies to user space, so there is no part that may be. */
static inline struct kmem_cache* kmem_cache_create_usercopy(const char* name, size_t size,
                                                            size_t align, slab_flags_t flags,
                                                            size_t useroffset, size_t usersize,
                                                            void (*ctor)(void*)) {
  (void)useroffset, (void)usersize;
  return ashlar_kmem_create(name, size, align, flags, ctor);
}

/* A cache named after `struct type`. */
#define KMEM_CACHE(type, flags) \
  ashlar_kmem_create(#type, sizeof(struct type), __alignof__(struct type), flags, NULL)
#define KMEM_CACHE_USERCOPY(type, flags, field) KMEM_CACHE(type, flags)

static inline void kmem_cache_destroy(struct kmem_cache* cache) {
  ashlar_cache_destroy((ashlar_cache*)cache);
}
static inline void* kmem_cache_alloc(struct kmem_cache* cache, gfp_t gfp) {
  return ashlar_cache_alloc((ashlar_cache*)cache, ashlar_kmem_flags(gfp));
}
static inline void* kmem_cache_zalloc(struct kmem_cache* cache, gfp_t gfp) {
  return kmem_cache_alloc(cache, gfp | __GFP_ZERO);
}
static inline void* kmem_cache_alloc_node(struct kmem_cache* cache, gfp_t gfp, int node) {
  (void)node;
  return kmem_cache_alloc(cache, gfp);
}
static inline void kmem_cache_free(struct kmem_cache* cache, void* object) {
  ashlar_cache_free((ashlar_cache*)cache, object);
}
/* All of them, or none and 0. */
static inline int kmem_cache_alloc_bulk(struct kmem_cache* cache, gfp_t gfp, size_t count,
                                        void** objects) {
  return (int)ashlar_cache_alloc_bulk((ashlar_cache*)cache, ashlar_kmem_flags(gfp), count, objects);
}
static inline int kmem_cache_shrink(struct kmem_cache* cache) {
  ashlar_cache_shrink((ashlar_cache*)cache);
  return 0;
}
/* Costs a fence over all CPUs, unlike there. */
static inline unsigned kmem_cache_size(struct kmem_cache* cache) {
  struct ashlar_cache_info info;
  ashlar_cache_get_info((ashlar_cache*)cache, &info);
  return (unsigned)info.size;
}

/* ---- general caches -------------------------------------------------------------------------- */

/* No bytes are an address that must not be touched, as there: not NULL, and for kfree() alone. */
#define ZERO_SIZE_PTR ((void*)16)
#define ZERO_OR_NULL_PTR(p) ((uintptr_t)(p) <= (uintptr_t)ZERO_SIZE_PTR)

/* A power of two stands at a multiple of itself, up to 2 MiB: beyond a page it costs what pages do.
 */
static inline void* kmalloc(size_t size, gfp_t gfp) {
  if (size == 0) return ZERO_SIZE_PTR;
  if (size > 4096 && size <= (size_t)1 << 21 && (size & (size - 1)) == 0)
    return ashlar_kmalloc_aligned(size, size, ashlar_kmem_flags(gfp));
  return ashlar_kmalloc(size, ashlar_kmem_flags(gfp));
}
static inline void* kzalloc(size_t size, gfp_t gfp) {
  return kmalloc(size, gfp | __GFP_ZERO);
}
static inline void* kmalloc_node(size_t size, gfp_t gfp, int node) {
  (void)node;
  return kmalloc(size, gfp);
}
static inline void* kzalloc_node(size_t size, gfp_t gfp, int node) {
  return kmalloc_node(size, gfp | __GFP_ZERO, node);
}
static inline void* kmalloc_array(size_t count, size_t size, gfp_t gfp) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, size, &bytes)) return kmalloc(bytes, gfp);
  errno = ENOMEM;
  return NULL;
}
static inline void* kcalloc(size_t count, size_t size, gfp_t gfp) {
  return kmalloc_array(count, size, gfp | __GFP_ZERO);
}
static inline void* kmalloc_array_node(size_t count, size_t size, gfp_t gfp, int node) {
  (void)node;
  return kmalloc_array(count, size, gfp);
}
static inline void* kcalloc_node(size_t count, size_t size, gfp_t gfp, int node) {
  return kmalloc_array_node(count, size, gfp | __GFP_ZERO, node);
}
static inline void kfree(const void* p) {
  if (!ZERO_OR_NULL_PTR(p)) ashlar_kfree((void*)(uintptr_t)p);
}
static inline void kfree_bulk(size_t count, void** blocks) {
  for (size_t i = 0; i < count; ++i) kfree(blocks[i]);
}
/* Of no cache: objects of any, as there. */
static inline void kmem_cache_free_bulk(struct kmem_cache* cache, size_t count, void** objects) {
  if (cache == NULL)
    kfree_bulk(count, objects);
  else
    ashlar_cache_free_bulk((ashlar_cache*)cache, count, objects);
}
static inline size_t ksize(const void* p) {
  return ZERO_OR_NULL_PTR(p) ? 0 : ashlar_ksize(p);
}
static inline size_t kmalloc_size_roundup(size_t size) {
  return size == 0 ? 0 : ashlar_kmalloc_size(size);
}
static inline void* krealloc(const void* p, size_t size, gfp_t gfp) {
  if (size == 0) {
    kfree(p);
    return ZERO_SIZE_PTR;
  }
  return ashlar_krealloc(ZERO_OR_NULL_PTR(p) ? NULL : (void*)(uintptr_t)p, size,
                         ashlar_kmem_flags(gfp));
}
static inline void* krealloc_array(void* p, size_t count, size_t size, gfp_t gfp) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, size, &bytes)) return krealloc(p, bytes, gfp);
  errno = ENOMEM;
  return NULL;
}
/* Overwrites the bytes before they go; the compiler must not think that nobody will see. */
static inline void kfree_sensitive(const void* p) {
  void* bytes = (void*)(uintptr_t)p;
  if (!ZERO_OR_NULL_PTR(p)) memset(bytes, 0, ksize(p));
  __asm__ __volatile__("" : : "r"(bytes) : "memory");
  kfree(p);
}

static inline void* kmemdup(const void* from, size_t size, gfp_t gfp) {
  void* copy = kmalloc(size, gfp);
  if (copy != NULL && size != 0) memcpy(copy, from, size);
  return copy;
}
/* `size` bytes and a 0 behind them. */
static inline char* kmemdup_nul(const char* from, size_t size, gfp_t gfp) {
  char* copy = from == NULL ? NULL : (char*)kmalloc(size + 1, gfp);
  if (copy == NULL) return NULL;
  memcpy(copy, from, size);
  copy[size] = 0;
  return copy;
}
static inline char* kstrdup(const char* text, gfp_t gfp) {
  return text == NULL ? NULL : kmemdup_nul(text, strlen(text), gfp);
}
static inline char* kstrndup(const char* text, size_t most, gfp_t gfp) {
  const void* end = text == NULL ? NULL : memchr(text, 0, most);
  return kmemdup_nul(text, end == NULL ? most : (size_t)((const char*)end - text), gfp);
}
/* Every text is copied: what of a process is constant is not looked for. */
static inline const char* kstrdup_const(const char* text, gfp_t gfp) {
  return kstrdup(text, gfp);
}
static inline void kfree_const(const void* p) {
  kfree(p);
}

/* Every block of a process is virtually contiguous: these are the same as without the v. */
static inline void* kvmalloc(size_t size, gfp_t gfp) {
  return kmalloc(size, gfp);
}
static inline void* kvzalloc(size_t size, gfp_t gfp) {
  return kzalloc(size, gfp);
}
static inline void* kvmalloc_node(size_t size, gfp_t gfp, int node) {
  return kmalloc_node(size, gfp, node);
}
static inline void* kvzalloc_node(size_t size, gfp_t gfp, int node) {
  return kzalloc_node(size, gfp, node);
}
static inline void* kvmalloc_array(size_t count, size_t size, gfp_t gfp) {
  return kmalloc_array(count, size, gfp);
}
static inline void* kvcalloc(size_t count, size_t size, gfp_t gfp) {
  return kcalloc(count, size, gfp);
}
static inline void* kvrealloc(const void* p, size_t size, gfp_t gfp) {
  return krealloc(p, size, gfp);
}
static inline void kvfree(const void* p) {
  kfree(p);
}

static inline void* __vmalloc(size_t size, gfp_t gfp) {
  return size == 0 ? NULL : ashlar_vmalloc(size, ashlar_kmem_flags(gfp));
}
static inline void* vmalloc(size_t size) {
  return __vmalloc(size, GFP_KERNEL);
}
static inline void* vzalloc(size_t size) {
  return __vmalloc(size, GFP_KERNEL | __GFP_ZERO);
}
static inline void vfree(const void* p) {
  ashlar_pages_free((void*)(uintptr_t)p);
}

/* ---- pages ----------------------------------------------------------------------------------- */

#ifndef PAGE_SHIFT
#define PAGE_SHIFT 12
#endif
#ifndef PAGE_SIZE
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#endif
#ifndef PAGE_MASK
#define PAGE_MASK (~(PAGE_SIZE - 1))
#endif
#ifndef PAGE_ALIGN
#define PAGE_ALIGN(address) (((address) + PAGE_SIZE - 1) & PAGE_MASK)
#endif

struct page; /* an ashlar_page */

/* The least order whose block holds `size` bytes. */
static inline int get_order(unsigned long size) {
  return size <= 4096 ? 0 : 64 - __builtin_clzll((unsigned long long)(size - 1) >> 12);
}
static inline void* page_address(const struct page* page) {
  return ashlar_page_address((const ashlar_page*)page);
}
static inline struct page* virt_to_page(const void* address) {
  return (struct page*)ashlar_page_of(address);
}
/* The bytes of the block that begins with this page. */
static inline unsigned long page_size(const struct page* page) {
  return ashlar_page_block_size((const ashlar_page*)page);
}

static inline unsigned long __get_free_pages(gfp_t gfp, unsigned order) {
  return (unsigned long)(uintptr_t)ashlar_pages_get(order, ashlar_kmem_flags(gfp));
}
static inline unsigned long __get_free_page(gfp_t gfp) {
  return __get_free_pages(gfp, 0);
}
static inline unsigned long get_zeroed_page(gfp_t gfp) {
  return __get_free_pages(gfp | __GFP_ZERO, 0);
}
static inline void free_pages(unsigned long address, unsigned order) {
  (void)order;
  ashlar_pages_free((void*)(uintptr_t)address);
}
static inline void free_page(unsigned long address) {
  free_pages(address, 0);
}
static inline struct page* alloc_pages(gfp_t gfp, unsigned order) {
  void* block = ashlar_pages_get(order, ashlar_kmem_flags(gfp));
  return block == NULL ? NULL : virt_to_page(block);
}
static inline struct page* alloc_pages_node(int node, gfp_t gfp, unsigned order) {
  (void)node;
  return alloc_pages(gfp, order);
}
static inline struct page* alloc_page(gfp_t gfp) {
  return alloc_pages(gfp, 0);
}
static inline void __free_pages(struct page* page, unsigned order) {
  free_pages((unsigned long)(uintptr_t)page_address(page), order);
}
static inline void __free_page(struct page* page) {
  __free_pages(page, 0);
}
static inline void* alloc_pages_exact(size_t size, gfp_t gfp) {
  return ashlar_pages_get_exact(size, ashlar_kmem_flags(gfp));
}
static inline void free_pages_exact(void* address, size_t size) {
  (void)size;
  ashlar_pages_free(address);
}

#endif
