/* threads/startup_stampede.c -- 64 threads whose first malloc comes at the same moment.
 *
 * A user would notice: a server that starts all its workers at once and sometimes hangs or crashes
 * in the first second. The runner starts this program many times; each start is a fresh heap. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kThreads = 64, kBlocks = 200 };
static pthread_barrier_t gate;
static int faults;

static void* body(void* argument) {
  const unsigned char mark = (unsigned char)(size_t)argument;
  unsigned char* blocks[kBlocks];
  pthread_barrier_wait(&gate);
  for (size_t i = 0; i < kBlocks; ++i) {
    const size_t size = 1 + i * i % 40000;
    blocks[i] = malloc(size);
    if (blocks[i] == NULL) __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    if (blocks[i] != NULL) memset(blocks[i], mark, size);
  }
  for (size_t i = 0; i < kBlocks; ++i) {
    const size_t size = 1 + i * i % 40000;
    for (size_t k = 0; blocks[i] != NULL && k < size; k += 97) {
      if (blocks[i][k] != mark) __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    }
    free(blocks[i]);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  pthread_barrier_init(&gate, NULL, kThreads);
  for (size_t i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, body, (void*)(i + 1)) != 0) return 2;
  }
  for (size_t i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  if (faults != 0) fprintf(stderr, "%d blocks were refused or changed by others\n", faults);
  return faults != 0;
}
