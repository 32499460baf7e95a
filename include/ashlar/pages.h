/* ashlar/pages.h -- whole pages, and memory where it has to be.
 *
 * Some memory must stand somewhere: below 4 GiB, for code and pointers of 32 bits; locked in
 * memory, for buffers that a device or the kernel writes to (RDMA, io_uring); or in huge pages that
 * an administrator has set apart (hugetlb), for tables that a processor shall find its way in by
 * few entries of its TLB. Each such place is a zone, laid out when it is first asked for.
 *
 * Blocks are given back by free(), and may be resized by realloc(), which leaves them in their
 * zone: in place where that is possible, else by copying. malloc_usable_size() tells their length.
 *
 * On a machine of several memory nodes (NUMA), each node has zones of its own but for LOW32 and
 * HUGETLB. Small blocks and large ones, and these, come from the node of the CPU that the caller
 * runs on, or a request names another. Where a node has no more, the nearest other one serves.
 *
 * Threads: may be called from every thread. Fork: safe; in the child of fork() what was pinned is
 * there, but no longer locked. The first request for pinned memory there locks all of it again, or
 * gets NULL where that is refused. Of pages that were set apart the child gets none. It shares its
 * parent's until one of the two writes; where none is left for the copy, the kernel ends the child
 * (SIGBUS) when it touches that page. Signals: not to be called from a handler.
 *
 * Source: the zones and zone lists of Linux's page allocator.
 */
#ifndef ASHLAR_PAGES_H
#define ASHLAR_PAGES_H

#include <stddef.h>

#include "ashlar/flags.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ashlar_zone {
  ASHLAR_ZONE_NORMAL, /* wherever malloc would take it */
  ASHLAR_ZONE_LOW32,  /* below 4 GiB of address space: 1 GiB at most, less where others are there */
  ASHLAR_ZONE_PINNED, /* locked in memory, within RLIMIT_MEMLOCK; what was freed stays locked */
  /* Huge pages of 2 MiB or 1 GiB that were set apart (vm.nr_hugepages and its like), none but such.
   * Blocks share them, in parts of 4 KiB. What was freed stays the process's until ashlar_reap(),
   * its age or its amount ends it, in whole pages at the zone's upper end. realloc() leaves a block
   * there where it can, else copies it to ordinary memory. The kernel fetches and clears whole
   * pages when the zone grows. What it refuses is not asked for again for a second. */
  ASHLAR_ZONE_HUGETLB_2M,
  ASHLAR_ZONE_HUGETLB_1G
} ashlar_zone;

/* At least `size` bytes, rounded up to 4 KiB and aligned to that, all zero, of the first of `count`
 * zones that has room: from the most to the least preferred. NULL and EINVAL where a zone is not
 * known or count is 0; NULL and ENOMEM where none has room, or the limit of locked memory is
 * reached. Costs system calls where the zone has to grow. */
void* ashlar_pages_alloc(size_t size, const ashlar_zone* zones, size_t count);

/* The node of the CPU that the caller runs on. */
#define ASHLAR_NODE_HERE (-1)

/* The same from the memory of the node that has this number in the kernel; what does not fit there
 * comes from other nodes, the nearest first. In LOW32 and HUGETLB the node is of no account, and
 * where there is one node, its number is 0. A block that realloc() moves stays on its node from
 * 2 MiB on. NULL and EINVAL also where there is no such node. Where the kernel refuses to place
 * memory (mbind), it lies on the node that touches it first. */
void* ashlar_pages_alloc_on(size_t size, const ashlar_zone* zones, size_t count, int node);

/* How many memory nodes the heap tells apart. 1 also where there are more than 32, where the option
 * nodes says so, and where the process was started with a memory policy (numactl). Looks for them
 * if the heap has not, as it does by itself from 16 MiB on: a file of /sys, and two for each
 * node. errno is not changed. */
int ashlar_node_count(void);

/* The number of the node in whose zone a block lies; -1 for memory that is not the heap's. What was
 * given out before the heap looked for nodes counts to the one on which it had grown. Takes no lock
 * and makes no system call. errno is not changed. */
int ashlar_node_of(const void* block);

/* The largest order of a block of pages: 1 GiB. */
#define ASHLAR_PAGES_MOST_ORDER 18

/* Blocks of pages of 4 KiB by order: 2^order of them, at a multiple of their size. NULL and EINVAL
 * where order is above ASHLAR_PAGES_MOST_ORDER; ENOMEM where memory is out, EAGAIN with
 * ASHLAR_NOWAIT, which never gives more than one page. Zero with ASHLAR_ZERO alone. errno is not
 * changed on success. One page costs a few nanoseconds where one is ready; more are cut from free
 * blocks, or cost system calls where the heap has to grow. */
void* ashlar_pages_get(unsigned order, unsigned flags);
/* `size` bytes in whole pages, neither rounded up to a power of two nor aligned beyond 4 KiB; 0
 * counts as 1. NULL, errno and cost as above; ENOMEM also above 512 GiB. */
void* ashlar_pages_get_exact(size_t size, unsigned flags);
/* Gives back what any function of this header gave. NULL does nothing. As free(): errno is not
 * changed. */
void ashlar_pages_free(void* pages);

/* The record of a page: what Linux calls struct page. These three look up records, and errno is not
 * changed; for a block of 32 KiB or less the last takes a lock for a moment. */
typedef struct ashlar_page ashlar_page;
/* The record of the page in which an address lies; NULL where that is not Ashlar's memory. */
ashlar_page* ashlar_page_of(const void* address);
/* The page that a record stands for; NULL for NULL. */
void* ashlar_page_address(const ashlar_page* page);
/* The bytes of the block that begins with this page; 0 where none begins there, or one that shares
 * its pages with others, as malloc's do in a small process. */
size_t ashlar_page_block_size(const ashlar_page* page);

/* A large block whose pages need not lie side by side in physical memory, with room to grow: `size`
 * bytes rounded up to 4 KiB. (Every block of a process is virtually contiguous; where no free run
 * of addresses fits, new ones are taken, and the free memory elsewhere goes back to the system, so
 * scattered free pages serve it.) realloc() lets it grow in place where what follows is free, else
 * moves its pages without copying. As ashlar_pages_get_exact(), with ASHLAR_RESERVE et al. */
void* ashlar_vmalloc(size_t size, unsigned flags);

#ifdef __cplusplus
}
#endif

#endif
