/* ashlar/inspect.h -- numbers of the running heap.
 *
 * Threads: both functions may be called from every thread. Fork: safe; a child's numbers are those
 * of its own heap. Signals: not to be called from a handler. They drain all CPUs, which costs a
 * fence, and allocate nothing.
 *
 * Source: Linux's /proc/slabinfo and /proc/buddyinfo.
 */
#ifndef ASHLAR_INSPECT_H
#define ASHLAR_INSPECT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All in bytes but the counts. */
struct ashlar_stats {
  size_t committed;    /* address space that is backed when touched */
  size_t live;         /* in the hands of the program, as it was rounded */
  size_t cached;       /* free objects in magazines, depots and slabs */
  size_t ready;        /* of these, the ones in magazines and depots */
  size_t dirty;        /* free frames kept for reuse */
  size_t metadata;     /* Ashlar's own records */
  size_t large_blocks; /* count of blocks of whole pages: above the largest class, and in a small
                          process, or of a rare size, also from 4 KiB on where the last page is not
                          shared */
  size_t large_bytes;
  size_t slow_allocs; /* entries of the slow path so far, cached classes only */
  size_t slow_frees;
  size_t purged; /* bytes returned to the system so far */
};

/* Fills *stats with what is true at about one moment. Thread-safe, not async-signal-safe; takes
 * each lock for a short while and no longer. errno is not changed. */
void ashlar_get_stats(struct ashlar_stats* stats);

/* Writes a table of all caches that are in use, as Linux's /proc/slabinfo, and of free blocks by
 * order, as /proc/buddyinfo, into `buffer` and returns how many bytes it took; cut short where
 * `size` does not hold it, and always ended by a zero byte. size is at least 1. errno is not
 * changed. */
size_t ashlar_describe(char* buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
