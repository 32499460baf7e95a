/* ashlar/pool.h -- a reserve of objects, so that some requests do not fail.
 *
 * A pool stands in front of a source: an object cache, pages, functions of the program. While the
 * source gives without an effort, the pool takes from it. Where it does not, the pool has a reserve
 * of `least` objects, filled when it was made; what is freed fills the reserve first. So as many
 * requests as the reserve is large always come through, whatever the rest of the program holds. Who
 * finds the reserve empty has the source do what the flags allow, as all that can give back is
 * asked to; and waits, if it likes, until an object is freed: that goes to whoever has waited
 * longest. (All who wait look now and then whether memory is to be had again.)
 *
 * Threads: every function may be called from every thread; the end of a pool must be its last use.
 * Fork: safe; in the child no one waits. While another thread forks, the reserve is closed: the
 * source serves and takes back, but for 64 objects at most, which go to the reserve when the fork
 * is over. Who gets nothing of the source gets one of these, or waits for that, ten seconds at
 * most: so better not with a lock that an atfork handler takes. Signals: not to be called from a
 * handler.
 *
 * Source: Linux, mm/mempool.c (I. Molnar, 2001).
 */
#ifndef ASHLAR_POOL_H
#define ASHLAR_POOL_H

#include <stddef.h>

#include "ashlar/cache.h"
#include "ashlar/flags.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ashlar_pool ashlar_pool;

/* A source: gives an object or NULL, and takes one back. Called with no lock held; flags are those
 * of the request (0 where the reserve is filled), but never ASHLAR_NOFAIL, for the pool waits
 * itself. ASHLAR_NORETRY comes on top while the reserve has not been asked. */
typedef void* ashlar_pool_alloc_fn(void* data, unsigned flags);
typedef void ashlar_pool_free_fn(void* data, void* object);

/* A pool with a reserve of `least` objects, from 1 to 1,048,576. NULL and EINVAL where least or a
 * function is missing, ENOMEM where the source or memory is out before the reserve is full. Takes
 * 16 bytes for each, and what the source takes. */
ashlar_pool* ashlar_pool_create(size_t least, ashlar_pool_alloc_fn* alloc,
                                ashlar_pool_free_fn* free, void* data);
/* The same over a cache, which must outlive the pool; over general caches' objects of `size` bytes;
 * and over blocks of 2^order pages. EINVAL where cache is NULL or order is above
 * ASHLAR_PAGES_MOST_ORDER (ashlar/pages.h). Objects are aligned as the source aligns them. */
ashlar_pool* ashlar_pool_create_cache(size_t least, ashlar_cache* cache);
ashlar_pool* ashlar_pool_create_size(size_t least, size_t size);
ashlar_pool* ashlar_pool_create_pages(size_t least, unsigned order);

/* Ends a pool and gives the reserve back to the source. Objects that are still in use are the
 * source's from now on; nobody may be waiting. NULL does nothing. errno is not changed but by
 * the source. Costs what the source takes for each object. */
void ashlar_pool_destroy(ashlar_pool* pool);

#define ASHLAR_POOL_FOREVER (-1)

/* An object, of the source or of the reserve. Where neither has one it waits up to `wait_ms`
 * milliseconds for one to be freed, what the source takes meanwhile counted, 0 not at all,
 * ASHLAR_POOL_FOREVER as long as it takes. The source is asked again ten times a second, and all
 * that can give back once in a second. NULL and ENOMEM where it was not to wait, ETIMEDOUT where it
 * has. NULL and EINVAL with ASHLAR_LOW32 or ASHLAR_PINNED: the reserve lies in no such place. With
 * ASHLAR_NOWAIT it takes no system call, waits for no lock, and wait_ms counts as 0: then NULL
 * comes with EAGAIN, also while another thread forks. With ASHLAR_ZERO objects of known size are
 * zero: those of general caches, of pages, and of caches without a constructor. errno is not
 * changed on success. Costs what the source does, which may be all that a request of its own costs
 * where memory is out; from the reserve some atomic steps. */
void* ashlar_pool_alloc(ashlar_pool* pool, unsigned flags, long wait_ms);

/* Takes an object back: to whoever waits longest, else to the reserve if that is not full, else to
 * the source. NULL does nothing. errno is not changed. No system call but where somebody waits, or
 * by the source. */
void ashlar_pool_free(ashlar_pool* pool, void* object);

/* Makes the reserve `least` objects large: fills it, or gives back what is too many. 0, or -1 and
 * EINVAL for a number that is not allowed, ENOMEM where the source or memory is out; then the
 * reserve is as large as it was. Beside a fork of more than ten seconds what is too many stays, and
 * the next ashlar_pool_free() after it gives it back. One thread at a time: others that resize
 * wait, so a shrinker, which this may call, must not resize a pool. */
int ashlar_pool_resize(ashlar_pool* pool, size_t least);

/* Objects in the reserve now, and when it is full. errno is not changed. */
size_t ashlar_pool_ready(ashlar_pool* pool);
size_t ashlar_pool_least(ashlar_pool* pool);

#ifdef __cplusplus
}
#endif

#endif
