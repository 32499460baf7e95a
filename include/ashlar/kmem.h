/* ashlar/kmem.h -- the Linux kernel's own names for memory, over Ashlar's: for code that is carried
 * over from a kernel, to be run and tested in user space.
 *
 * Everything is a macro or a static inline function: the header adds no symbol to a program, and no
 * other header of Ashlar includes it. Programs that are written for user space use ashlar/cache.h,
 * ashlar/pool.h and ashlar/pages.h; what is said there of cost, threads, fork and signals holds
 * here, too.
 *
 * What differs from a kernel
 *   Nothing here sleeps or is interrupted. A request may call shrinkers and wait for a lock where
 *   its gfp_t has __GFP_DIRECT_RECLAIM, as GFP_KERNEL has; GFP_ATOMIC makes a system call where
 *   memory has to grow, asks nobody to give back, and may use the reserve; GFP_NOWAIT makes no
 *   system call at all: it gives what lies ready, up to 32 KiB (a power of two up to a page), and
 *   otherwise NULL, which is common (always from a new cache, from kmalloc() in a small process,
 *   and from a cache with slabs of its own where the system has no restartable sequences). Carried-
 *   over code has to be prepared for that, and so is tested.
 *   krealloc() aligns a power of two to its size up to a page, and to a page beyond that.
 *   Constructed objects are destructed by nobody, as in a kernel: they just go.
 *   kmem_cache_destroy() with live objects ends the process, if the cache has a constructor,
 *   SLAB_NO_MERGE or SLAB_POISON. Of these caches some dozens have slabs of their own (see
 *   ashlar_cache_create()); what comes after them shares slabs, is not poisoned, and constructs its
 *   objects each time.
 *   A struct page has no members and no neighbours, there is none of a part of a block, and no
 *   count of references. Pages are 4 KiB.
 *   kfree() takes the objects of all caches but two kinds, which count what lives: those of objects
 *   above 32 KiB, and those that came after these dozens. They want kmem_cache_free().
 *   errno tells the reason of a NULL, beside what the kernel's functions return.
 *   Left out, so that what needs it does not compile: RCU (SLAB_TYPESAFE_BY_RCU, kfree_rcu), DMA
 *   caches, per-CPU memory, physical addresses, folios, pages' flags and counts, and what these
 *   headers of a kernel declare for its own use.
 *
 * Where a name clashes with one of the program's own: functions and types can be renamed for the
 * time of the inclusion (`#define page kernel_page`, include, `#undef page`), macros undefined
 * after it. What PAGE_SHIFT and the other three of its kind are defined as stays.
 *
 * Source: names, signatures and meanings are those of Linux's slab.h, gfp.h, mempool.h, vmalloc.h
 * and shrinker.h (5.x and 6.x).
 */
#ifndef ASHLAR_KMEM_H
#define ASHLAR_KMEM_H

#include "ashlar/kmem_pools.h"
#include "ashlar/kmem_slab.h"

#endif
