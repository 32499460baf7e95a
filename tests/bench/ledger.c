/* tests/bench/ledger.c -- libc's malloc, and at the end of the process a line "peak=" on standard
 * error: the most bytes that were live at once, as libc rounds them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

static atomic_llong now, most;

#define NEXT(name, type) ((type)dlsym(RTLD_NEXT, name))

static void* taken(void* block) {
  const long long live = now += (long long)malloc_usable_size(block);
  long long seen = most;
  while (live > seen && !atomic_compare_exchange_weak(&most, &seen, live)) {
  }
  return block;
}

void* malloc(size_t size) {
  static void* (*next)(size_t);
  if (next == NULL) next = NEXT("malloc", void* (*)(size_t));
  return taken(next(size));
}

void* aligned_alloc(size_t alignment, size_t size) {
  static void* (*next)(size_t, size_t);
  if (next == NULL) next = NEXT("aligned_alloc", void* (*)(size_t, size_t));
  return taken(next(alignment, size));
}

void* calloc(size_t count, size_t size) {
  static void* (*next)(size_t, size_t);
  if (next == NULL) next = NEXT("calloc", void* (*)(size_t, size_t));
  return taken(next(count, size));
}

void* realloc(void* block, size_t size) {
  static void* (*next)(void*, size_t);
  if (next == NULL) next = NEXT("realloc", void* (*)(void*, size_t));
  now -= (long long)malloc_usable_size(block);
  return taken(next(block, size));
}

void free(void* block) {
  static void (*next)(void*);
  if (next == NULL) next = NEXT("free", void (*)(void*));
  now -= (long long)malloc_usable_size(block);
  next(block);
}

__attribute__((destructor)) static void report(void) {
  fprintf(stderr, "peak=%lld\n", most);
}
