/* tests/bench/liars/hang.c -- libc's malloc, which after many calls does not return. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

enum { kCallsBefore = 100000 }; /* More than a process makes to start and end. */

void* malloc(size_t size) {
  static void* (*next)(size_t);
  static atomic_int calls;
  if (next == NULL) next = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
  while (++calls > kCallsBefore) pause();
  return next(size);
}
