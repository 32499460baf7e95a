/* ashlar/cache.h -- object caches: memory for objects of one type, as kernels give it to their own
 * programmers.
 *
 * A cache hands out objects of one size, in a few nanoseconds, from what this CPU has ready. With a
 * constructor it keeps what is costly to make: an object is constructed once, when its memory is
 * first used, stays so while it is free, and is destructed when the memory goes back to the system.
 * So whoever frees an object leaves it as the constructor did: its mutex unlocked, its list empty,
 * its buffer there.
 *
 * An object costs its size rounded up to 16 bytes, or to its alignment; with a constructor or
 * poison 16 bytes more, behind it. A cache costs half a KiB, and a slab of at least 16 KiB of
 * address space, of which only what is used holds memory, once it has objects. Caches of equal
 * layout without constructors are one behind the scenes, also with those of malloc.
 *
 * Threads: every function may be called from every thread; the end of a cache must be its last use.
 * Fork: safe; while another thread forks, a request that finds nothing ready gets an object of 4
 * KiB or more, made for it and ended when it is freed; what makes, looks at, shrinks or ends caches
 * waits for that, ten seconds at most, so better not with a lock that an atfork handler takes: of a
 * cache that ends then, what is left goes when the fork is over, and is not destructed. What other
 * threads held is lost to the child; so there the end of a cache made before is no misuse, whatever
 * lives. Signals: not to be called from a handler.
 *
 * Misuse that shows ends the process by SIGABRT and one line on standard error: an object freed
 * twice, given to another cache (but constructed ones above 32 KiB), or that is none; the end of a
 * cache with live objects.
 *
 * Source: J. Bonwick, The Slab Allocator, USENIX 1994; J. Bonwick and J. Adams, Magazines and Vmem,
 * USENIX 2001; Linux's kmem_cache.
 */
#ifndef ASHLAR_CACHE_H
#define ASHLAR_CACHE_H

#include <stddef.h>

#include "ashlar/flags.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ashlar_cache ashlar_cache;

/* Makes an object of the bytes at `object`, which are whatever they were. 0; anything else where it
 * could not, and then nothing of it is left: the request fails. Called with no lock of Ashlar held,
 * by a thread that is just allocating from the cache: it may allocate, also from this cache, wait
 * for locks, and call whatever it likes, but not leave by longjmp or an exception. */
typedef int ashlar_constructor(void* object, void* data);
/* Ends an object before its memory goes back. Called like the constructor, by a thread that is
 * freeing to the cache, shrinking or ending it; and, like a shrinker (ashlar/limits.h), by one that
 * finds no memory, which may hold locks: where that matters, ASHLAR_CACHE_KEEP. It must not
 * allocate from this cache: what it makes there may outlive the cache's end unended. */
typedef void ashlar_destructor(void* object, void* data);

enum {
  /* Objects begin at multiples of 64 bytes, or of the next power of two if they are smaller than
   * 33: no two CPUs write to one line because of objects that lie beside each other. */
  ASHLAR_CACHE_LINES = 1,
  /* Has slabs of its own: no other cache's objects lie among its own. Then what it holds is its
   * own, too, and ashlar_cache_get_info() tells it. */
  ASHLAR_CACHE_NO_MERGE = 2,
  /* Each object is all zero when it is given out. Not with a constructor. */
  ASHLAR_CACHE_ZERO = 4,
  /* Free objects are filled with a pattern, which is looked at when they are given out: a write to
   * a freed object is told. Costs that much each time. Not with a constructor, and not with objects
   * above 32 KiB - 32 or aligned to more than 4 KiB. */
  ASHLAR_CACHE_POISON = 8,
  /* Shares slabs with malloc (but with LINES, up to 32 bytes), and counts live objects all the
   * same, at the cost of an atomic addition per call. Not with a constructor. */
  ASHLAR_CACHE_COUNT = 16,
  /* What is constructed goes back when ashlar_cache_shrink(), ashlar_caches_reap() or
   * ashlar_cache_destroy() say so, and at no other time. Of objects without slabs (above 32 KiB, or
   * see ashlar_cache_create()) sixteen are kept at most, of 16 MiB together, and others end when
   * they are freed. */
  ASHLAR_CACHE_KEEP = 32
};

/* What may be said of a cache beyond its name and size. All zero is a choice. */
struct ashlar_cache_args {
  size_t align; /* a power of two up to 2 MiB; 0 for 16 */
  unsigned flags;
  ashlar_constructor* construct; /* or NULL */
  ashlar_destructor* destruct;   /* or NULL */
  void* data;                    /* given to both */
};

/* A cache of objects of `size` bytes, from 1 to 64 MiB. Up to 31 bytes of the name are kept. args
 * may be NULL. NULL and EINVAL where size, align or flags are not allowed, or contradict each
 * other; ENOMEM where memory is out; ENOSPC as follows. Takes locks; a system call or two where
 * memory has to grow, or a place that was used before is closed.
 *
 * A process has 54 places for caches with slabs of their own. A cache with a constructor or poison
 * takes two of them, NO_MERGE alone one, and each further layout that malloc has no size for one,
 * however many caches share it; those of objects above 32 KiB take none. What comes when they are
 * taken:
 *   with a constructor   the cache works without slabs: each object is a block of malloc's,
 *                        constructed when it is given out and destructed when it is freed, but for
 *                        sixteen, of 4 MiB together, that stay constructed; NOWAIT finds these
 *   NO_MERGE, POISON     NULL and ENOSPC: what they promise cannot be had. COUNT needs no place and
 *                        tells as much of a type
 *   other layouts        share with malloc's next larger size
 * ashlar_cache_get_info() then tells that `slabs` and `held` are 0. (Of objects without slabs, 36
 * caches with constructors may have some wait so; further ones keep none.) */
ashlar_cache* ashlar_cache_create(const char* name, size_t size,
                                  const struct ashlar_cache_args* args);

/* Ends a cache: destructs what is free and gives its memory back. With live objects that is misuse,
 * told with their number; caches that have merged do not know it and let them live. NULL does
 * nothing. Waits for threads that are just shrinking it, also within a shrinker: destructors must
 * not wait for whoever ends their cache. errno is not changed. Costs a fence over all CPUs, a
 * system call. */
void ashlar_cache_destroy(ashlar_cache* cache);

/* An object, aligned as the cache says, at least to 16 bytes; its bytes are as the constructor or
 * the last owner left them, or whatever they were. NULL and ENOMEM where memory is out, EAGAIN with
 * ASHLAR_NOWAIT, ECANCELED where the constructor has failed. A few nanoseconds where one is ready.
 * errno is not changed on success. */
void* ashlar_cache_alloc(ashlar_cache* cache, unsigned flags);

/* Takes an object of this cache back; NULL does nothing. errno is not changed. A few nanoseconds
 * where the magazine of this CPU has room. */
void ashlar_cache_free(ashlar_cache* cache, void* object);

/* `count` objects at once into `objects`: all of them, or none. The count; 0 and errno, as
 * ashlar_cache_alloc, where that cannot be. Of 64 at once each costs a third of one by one, of 16
 * a little more than half, where they follow each other in memory. */
size_t ashlar_cache_alloc_bulk(ashlar_cache* cache, unsigned flags, size_t count, void** objects);

/* Takes `count` objects back. errno is not changed. */
void ashlar_cache_free_bulk(ashlar_cache* cache, size_t count, void* const* objects);

/* Gives back the slabs of a cache that are free as a whole: destructs their objects and returns the
 * memory to the heap. The bytes that went. errno is not changed but by what the destructor calls.
 * Costs a fence over all CPUs. */
size_t ashlar_cache_shrink(ashlar_cache* cache);

/* The same for all caches, malloc's, too; then all free memory goes back to the system. The bytes
 * of slabs that went from caches with destructors, and of constructed objects without slabs. errno
 * as above. Where another thread's fork lasts longer than a second, free memory stays. Costs fences
 * and a system call for each free block. */
size_t ashlar_caches_reap(void);

/* What is known of a cache, in bytes but for the counts. */
struct ashlar_cache_info {
  const char* name; /* valid as long as the cache */
  size_t size;      /* as it was asked for */
  size_t stride;    /* from one object to the next */
  size_t live;      /* objects that the program holds, about while others are at work; (size_t)-1
                       where the cache has merged */
  size_t ready;     /* free objects in magazines and the depot */
  size_t held;      /* objects that there is room for in its slabs */
  size_t slabs;     /* count */
  size_t made;      /* constructor calls so far that did not fail */
};

/* Fills *info. Costs a fence over all CPUs. errno is not changed. */
void ashlar_cache_get_info(ashlar_cache* cache, struct ashlar_cache_info* info);

/* General caches: objects of any size in bytes up to 512 GiB, from malloc's caches, which free(),
 * realloc() and malloc_usable_size() take, too. They are aligned to 16 bytes; where the size is a
 * power of two, to that, up to 4 KiB: larger powers are aligned to 4 KiB, too. NULL and ENOMEM
 * where memory is out (EAGAIN with ASHLAR_NOWAIT); size 0 counts as 1. errno is not changed on
 * success. A few nanoseconds up to 32 KiB where one is ready. */
void* ashlar_kmalloc(size_t size, unsigned flags);
/* The same at a multiple of `align`, a power of two, whatever the size. NULL and EINVAL where it is
 * none. Above 4 KiB of alignment nothing lies ready: that costs what a large block does. */
void* ashlar_kmalloc_aligned(size_t size, size_t align, unsigned flags);
/* `count` times `size` bytes. NULL and ENOMEM where the product overflows. */
void* ashlar_kmalloc_array(size_t count, size_t size, unsigned flags);
/* As realloc(), with flags; what is new is zero with ASHLAR_ZERO, where each request for this block
 * has had that. A block that moves is aligned as one of ashlar_kmalloc(); one that stays where it
 * is keeps its alignment and its zone, whatever the size and the flags. One that is long enough
 * stays, as long as it is, where no other is to be had, and with ASHLAR_NOWAIT always. NULL and
 * errno as ashlar_kmalloc(), and then the block is as it was. size 0 frees and returns NULL. */
void* ashlar_krealloc(void* p, size_t size, unsigned flags);
/* As free(): NULL does nothing, and errno is not changed. */
void ashlar_kfree(void* p);
/* As free(), of a block whose size is known, and its alignment, if one was asked for (else 0). */
void ashlar_kfree_sized(void* p, size_t size, size_t align);
/* The bytes that may be used; 0 for NULL. As malloc_usable_size(): a look at the heap's records. */
size_t ashlar_ksize(const void* p);
/* The largest size that costs no more than `size`, once the process has object caches (option
 * slob_max): a container that can use it asks for that instead. A look at a table. */
size_t ashlar_kmalloc_size(size_t size);

#ifdef __cplusplus
}
#endif

#endif
