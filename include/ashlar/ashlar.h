/* ashlar/ashlar.h -- what libashlar adds to the malloc family.
 *
 * The family itself is declared by <stdlib.h>, <malloc.h> and <new>: a program that is linked with
 * -lashlar, or started with LD_PRELOAD=libashlar.so, uses it without any change.
 *
 * Vital statistics
 *   alignment            16 bytes, every block
 *   least block          16 bytes
 *   overhead             none per block; 16 bytes of records and 1 byte of class map per 4 KiB, and
 *                        64 to 192 bytes per slab or, in small processes, 96 per 4 KiB of blocks
 *   largest block        512 GiB
 *   rounding             at most 1/9 above 128 bytes; above 32 KiB to 4 KiB. In small processes to
 *                        16 bytes, and from 4 KiB on mostly to 4 KiB
 *   threads              every function may be called from every thread
 *   fork                 safe in multithreaded programs; the child may allocate
 *   vfork                a child of vfork() in a multithreaded program must not allocate: it shares
 *                        its parent's memory and cannot be told apart
 *   signals              as for any malloc: not to be called from a handler; fork() in a handler
 *                        is safe
 *   system calls         mmap, madvise, mremap, munmap, membarrier, futex, sched_getaffinity,
 *                        sched_yield, getpid, uname (aarch64); from 16 MiB on prctl, openat, read,
 *                        close, get_mempolicy; with much in large blocks, and for calloc in the
 *                        place of a filled block, openat, pread64, close; on several memory nodes
 *                        sysinfo, mbind, getcpu; mlock for pinned pages; get_robust_list for the
 *                        reaper; write and abort on misuse
 */
#ifndef ASHLAR_ASHLAR_H
#define ASHLAR_ASHLAR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is running, e.g. "0.1.0". Never fails; the text is static. */
const char* ashlar_version(void);

/* Returns all memory that can be to the system: empties the magazines of all CPUs and the depots,
 * retires empty slabs, purges all free frames, and gives up address space that is free at the end
 * of the heap (the small library keeps that). What another thread is just returning is waited for.
 * Where another thread's fork lasts longer than a second, nothing is done.
 * Returns 1 if any memory was returned, else 0.
 * Thread-safe; not async-signal-safe. Costs a fence over all CPUs and a system call per free block.
 * errno is not changed. */
int ashlar_reap(void);

/* Checks every record of the heap against every other and aborts with one line on standard error
 * where they disagree. For tests and debugging: takes each lock in turn and holds it while it looks
 * at what the lock guards, so other threads may be running and may have to wait. Not
 * async-signal-safe. errno is not changed. The small library does not have it. */
void ashlar_audit(void);

#ifdef __cplusplus
}
#endif

#endif
