/* ashlar/limits.h -- what the heap may hold, and what is asked to give back before memory is out.
 *
 * What the heap holds is the memory of live blocks and of free ones that are kept for reuse. A
 * large block counts whole, touched or not; pages of freed small blocks that have gone back to the
 * system do not count.
 *
 * Above the soft limit no free memory is kept, the caches of all CPUs are emptied some times a
 * second, and the program's own caches are asked to give back, until the heap is a sixteenth below.
 * What would lift the heap above the hard limit is refused: NULL and ENOMEM, or std::bad_alloc,
 * after all that could be given back was. A 32nd of the hard limit, at most 1 MiB, is held back;
 * requests up to 32 KiB get it after a refusal, so that the program can say what happened and
 * unwind.
 *
 * In a container, seven eighths of the least that it and the groups above it may have (memory.max
 * and memory.high, or memory.limit_in_bytes) are a soft limit of their own, followed as they
 * change; and where the kernel says that tasks have waited for memory in a tenth of the last ten
 * seconds (PSI), the heap behaves as above its soft limit. Heaps below 16 MiB do not look. The
 * option container:0 does without.
 *
 * Threads: every function may be called from every thread. Fork: the child has its parent's limits
 * and shrinkers. Signals: not to be called from a handler.
 *
 * Source: watermarks and shrinkers of Linux's page allocator.
 */
#ifndef ASHLAR_LIMITS_H
#define ASHLAR_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASHLAR_UNLIMITED SIZE_MAX

/* In bytes. */
struct ashlar_limits {
  size_t soft;
  size_t hard;
  size_t container; /* the soft limit that the container makes, or ASHLAR_UNLIMITED */
  size_t held;      /* what the heap holds now */
  size_t reserve;   /* what is held back below the hard limit; 0 where there is none */
};

/* Sets both limits, in bytes, rounded down to 4 KiB and at least that; ASHLAR_UNLIMITED for none.
 * A soft limit above the hard one becomes seven eighths of it. Limits below what the heap holds are
 * allowed: then no more memory is had until enough has been freed, but what lies ready is still
 * given out. 0, or -1 and ENOMEM where the heap cannot be started. */
int ashlar_set_limits(size_t soft, size_t hard);

/* Tells them: some loads, no lock; before the first request it reads the options. errno is not
 * changed. */
void ashlar_get_limits(struct ashlar_limits* limits);

/* Frees about `bytes` of what `data` stands for, and returns how many it has freed. Called by a
 * thread that is just allocating, with none of the heap's locks held: it may allocate and free. It
 * must not wait for a lock that a thread may hold while it allocates (try it, and return 0 where it
 * is taken), and must not throw. What it allocates itself asks no shrinker again. */
typedef size_t ashlar_shrink(void* data, size_t bytes);

/* Has `shrink(data, ...)` called when memory is short: after object caches that keep objects
 * constructed, which are only free, and in the order of registration (a place that has come free is
 * taken again), until enough has been freed. A number for ashlar_shrinker_unregister(), or -1 and
 * EINVAL where shrink is NULL, ENOMEM where there is no place for one more: there are 64. Takes no
 * memory and no lock. */
int ashlar_shrinker_register(ashlar_shrink* shrink, void* data);

/* Ends that. Waits for calls that are under way in other threads; afterwards there are none, and
 * `data` may go. From within a shrinker it does not wait. 0, or -1 and EINVAL for a number that is
 * none. */
int ashlar_shrinker_unregister(int shrinker);

/* Sets options of ASHLAR_CONF while the program runs, in the same words: "retain_percent:5". 0, or
 * -1 and EINVAL where a key is not known or is fixed when the process starts, or a value is not
 * allowed; then nothing has changed. */
int ashlar_configure(const char* options);

#ifdef __cplusplus
}
#endif

#endif
