/* ashlar/heap.h -- heaps of their own, within a limit, that end as a whole.
 *
 * For what lives and ends together: a plugin, a script, a request. And for programs that must not
 * use more than a given memory: a heap in a buffer touches nothing else.
 *
 * A heap in a buffer costs about 1 KiB, and 113 bytes for each 4 KiB of it. One with memory of its
 * own costs about 12 KiB and three mappings, of which a process may have 65,530 (vm.max_map_count),
 * and for each 4 KiB in use 17 bytes, or 113 where blocks share them. Blocks stand 16 bytes apart,
 * without headers, below 4 KiB, and up to 32 KiB where that leaves 1,280 bytes or more of their
 * last page; all others are whole multiples of 4 KiB. Finding room takes time that grows with the
 * heap: tens of nanoseconds with some tens of pages, microseconds with thousands. malloc is for
 * what must be fast.
 *
 * Threads: every function may be called from every thread, but for the end of a heap, which must be
 * its last use. Fork: safe; while another thread forks, a request waits for that, ten seconds at
 * most: then it is refused, as where there is no room, and so are others until the fork is over.
 * So do not call with a lock that the fork waits for, one that an atfork handler takes, or one of
 * stdio's (flockfile). What is freed or ended meanwhile goes when the fork is over (in a buffer
 * with the heap's next call); in the small library (ASHLAR_SLOB_ONLY) it stays in use where the
 * fork takes longer.
 * Signals: not to be called from a handler.
 *
 * A block belongs to the heap it came from: to give it to free(), to another heap, or twice is
 * misuse. It is told in one line on standard error and ends the process by SIGABRT.
 *
 * Source: SLOB, Linux's allocator for small machines (M. Mackall, 2005); zones that end as a whole:
 * D. R. Hanson, Fast Allocation and Deallocation of Memory Based on Object Lifetimes, 1990.
 */
#ifndef ASHLAR_HEAP_H
#define ASHLAR_HEAP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ashlar_heap ashlar_heap;

/* The least buffer that ashlar_heap_create_in() takes, wherever it stands. */
#define ASHLAR_HEAP_LEAST 16384

/* A heap that grows up to `limit` bytes of blocks, rounded up to 64 KiB, with memory of the
 * system's that goes back to it as blocks are freed. NULL and ENOMEM where there is none, EINVAL
 * where limit is 0 or above 512 GiB. A few system calls. */
ashlar_heap* ashlar_heap_create(size_t limit);

/* A heap in the `size` bytes at `buffer`, of any alignment: its records and all of its blocks. The
 * buffer belongs to the heap until that ends, and no byte outside it is touched. NULL and EINVAL
 * where buffer is NULL or size below ASHLAR_HEAP_LEAST. No system call. */
ashlar_heap* ashlar_heap_create_in(void* buffer, size_t size);

/* Ends the heap with all of its blocks, freed or not. NULL does nothing. For a heap with memory of
 * its own a few system calls, however many blocks there are; for one in a buffer nothing at all. */
void ashlar_heap_destroy(ashlar_heap* heap);

/* At least `size` bytes, aligned to 16; also for 0 a block of its own. NULL and ENOMEM where the
 * heap has no room, or, for one with memory of its own, where a limit of the process
 * (ashlar/limits.h) is reached and nothing that can give back does. The bytes are whatever they
 * were. */
void* ashlar_heap_alloc(ashlar_heap* heap, size_t size);

/* As ashlar_heap_alloc, at a multiple of `align`. NULL and EINVAL where that is no power of two.
 * Above 4 KiB the block is cut from one of a power of two; in a buffer, from a longer one that has
 * room for it wherever it begins, or from a hole that fits. Of many holes some are looked at: the
 * answer may be NULL though one would do. */
void* ashlar_heap_alloc_aligned(ashlar_heap* heap, size_t align, size_t size);

/* `count` times `size` bytes, all zero. NULL and ENOMEM where the product overflows or there is no
 * room. */
void* ashlar_heap_calloc(ashlar_heap* heap, size_t count, size_t size);

/* As realloc(): in place where what follows the block is free, else by copying. NULL and ENOMEM
 * where there is no room; then the block is as it was. With p NULL as ashlar_heap_alloc, with size
 * 0 as ashlar_heap_free, and NULL. */
void* ashlar_heap_realloc(ashlar_heap* heap, void* p, size_t size);

/* Takes a block back; NULL does nothing. errno is not changed. */
void ashlar_heap_free(ashlar_heap* heap, void* p);

/* The bytes of a block that may be used; 0 for NULL. errno is not changed. */
size_t ashlar_heap_usable_size(ashlar_heap* heap, const void* p);

/* The bytes of all live blocks, as they were rounded. errno is not changed. */
size_t ashlar_heap_live(ashlar_heap* heap);

#ifdef __cplusplus
}
#endif

#endif
