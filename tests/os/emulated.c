/* os/emulated.c -- a program linked with libashlar.a for a machine that may only be emulated: every
 * way of allocating, from several threads, with its contents checked. Prints one line. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int faults;

static int is_all(const unsigned char* p, size_t size, int value) {
  for (size_t i = 0; i < size; ++i)
    if (p[i] != value) return 0;
  return 1;
}

static void* work(void* name) {
  int value = (int)(size_t)name;
  unsigned char* held[64] = {0};
  size_t size[64] = {0};
  for (unsigned i = 0; i < 20000; ++i) {
    unsigned at = i * 7 % 64;
    if (held[at] != NULL && !is_all(held[at], size[at], value)) __sync_fetch_and_add(&faults, 1);
    if (i % 5 == 0 && held[at] != NULL) {
      size_t grown = size[at] * 2 % 100000 + 1;
      unsigned char* p = realloc(held[at], grown);
      if (!is_all(p, grown < size[at] ? grown : size[at], value)) __sync_fetch_and_add(&faults, 1);
      held[at] = p;
      size[at] = grown;
    } else {
      free(held[at]);
      size[at] = (size_t)i * 131 % (i % 97 == 0 ? 3000000 : 5000) + 1;
      held[at] = i % 3 == 0 ? calloc(1, size[at]) : malloc(size[at]);
      if (i % 3 == 0 && !is_all(held[at], size[at], 0)) __sync_fetch_and_add(&faults, 1);
    }
    memset(held[at], value, size[at]);
  }
  for (unsigned at = 0; at < 64; ++at) free(held[at]);
  return NULL;
}

int main(void) {
  pthread_t threads[4];
  for (size_t t = 0; t < 4; ++t) pthread_create(&threads[t], NULL, work, (void*)(t + 1));
  for (size_t t = 0; t < 4; ++t) pthread_join(threads[t], NULL);
  void* aligned = NULL;
  if (posix_memalign(&aligned, 65536, 100) != 0 || (size_t)aligned % 65536 != 0) ++faults;
  free(aligned);
  malloc_trim(0);
  printf("%d faults, %zu bytes live\n", faults, mallinfo2().uordblks);
  return faults != 0;
}
