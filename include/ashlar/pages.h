/* ashlar/pages.h -- whole pages, and memory where it has to be.
 *
 * Some memory must stand somewhere: below 4 GiB, for code and pointers of 32 bits; or locked in
 * memory, for buffers that a device or the kernel writes to (RDMA, io_uring). Each such place is a
 * zone, laid out when it is first asked for.
 *
 * Blocks are given back by free(), and may be resized by realloc(), which leaves them in their
 * zone: in place where that is possible, else by copying. malloc_usable_size() tells their length.
 *
 * Threads: may be called from every thread. Fork: safe; in the child what was pinned is there, but
 * no longer locked. Signals: not to be called from a handler.
 *
 * Source: the zones and zone lists of Linux's page allocator.
 */
#ifndef ASHLAR_PAGES_H
#define ASHLAR_PAGES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ashlar_zone {
  ASHLAR_ZONE_NORMAL, /* wherever malloc would take it */
  ASHLAR_ZONE_LOW32,  /* below 4 GiB of address space: 1 GiB at most, less where others are there */
  ASHLAR_ZONE_PINNED  /* locked in memory, within RLIMIT_MEMLOCK; what was freed stays locked */
} ashlar_zone;

/* At least `size` bytes, rounded up to 4 KiB and aligned to that, all zero, of the first of `count`
 * zones that has room: from the most to the least preferred. NULL and EINVAL where a zone is not
 * known or count is 0; NULL and ENOMEM where none has room, or the limit of locked memory is
 * reached. Costs system calls where the zone has to grow. */
void* ashlar_pages_alloc(size_t size, const ashlar_zone* zones, size_t count);

#ifdef __cplusplus
}
#endif

#endif
