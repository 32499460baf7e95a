/* ashlar/flags.h -- how a request is to be served. For all functions that take `flags`; 0 is what
 * malloc does: what is ready, else more memory, and before it fails, all that can give back is
 * asked to. Other bits than these are refused, by NULL (a count of 0) and EINVAL: a program that
 * needs what a later version gives shall learn that this one does not.
 *
 * Source: the GFP flags of Linux, as far as they mean something to a program.
 */
#ifndef ASHLAR_FLAGS_H
#define ASHLAR_FLAGS_H

enum {
  /* The memory is all zero. Not with objects that have a constructor: there it is ignored. */
  ASHLAR_ZERO = 1,
  /* No system call and no lock that could be waited for: only what lies ready for this CPU. For
   * threads with deadlines, and for what must not block. NULL and EAGAIN where nothing does, which
   * is no sign that memory is out; for requests above 32 KiB or aligned to more than 4 KiB, as
   * blocks of several pages by order are, only what a cache keeps constructed; and, without
   * restartable sequences, never for caches with slabs of their own. Malloc's sizes have nothing
   * ready in a small process that SLOB serves (option slob_max). (A page of the memory may be
   * touched for the first time, which the kernel serves: mlockall() sees to that.) */
  ASHLAR_NOWAIT = 2,
  /* May use what the hard limit holds back (ashlar/limits.h), without a refusal before: for what
   * frees memory once it has some. */
  ASHLAR_RESERVE = 4,
  /* Does not return NULL for want of memory: gives back, asks the shrinkers, waits, and tries
   * again, for ever. Not with ASHLAR_NOWAIT or ASHLAR_NORETRY, which are stronger, nor for more
   * than the hard limit leaves beside its reserve, 512 GiB, or 1 GiB of ASHLAR_LOW32: that could
   * never be had. */
  ASHLAR_NOFAIL = 8,
  /* Fails at once where there is no memory: nothing is given back for it, no shrinker is called.
   */
  ASHLAR_NORETRY = 16,
  /* Memory below 4 GiB of address space; memory that is locked (ashlar/pages.h). For pages and
   * general caches, which refuse both together (EINVAL); pools refuse each, object caches ignore
   * them. */
  ASHLAR_LOW32 = 32,
  ASHLAR_PINNED = 64
};

#endif
