/* tests/bench/liars/crash.c -- libc's malloc, which after many calls writes to address zero. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

enum { kCallsBefore = 100000 }; /* More than a process makes to start and end. */

void* malloc(size_t size) {
  static void* (*next)(size_t);
  static atomic_int calls;
  if (next == NULL) next = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
  if (++calls > kCallsBefore) *(volatile int*)NULL = calls;
  return next(size);
}
