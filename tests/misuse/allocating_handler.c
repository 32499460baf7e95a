/* misuse/allocating_handler.c -- a report of the crash is made by a handler of SIGABRT, which
 * allocates, asks for statistics and gives memory back, while the heap tells of misuse.
 *
 * Which misuse is the first argument: `twice` or `inside`, of a block of as many bytes as the
 * second one says; or `late`, of a block that bears no mark of a free one any more, so that it is
 * seen when all CPUs' magazines are emptied. */
#include <signal.h>

#include "say.h"

enum { kBlocks = 4000 };
static void* others[kBlocks];

static void report(int signal) {
  (void)signal;
  struct mallinfo2 info = mallinfo2();
  for (size_t size = 1; size < 200000; size += size / 4 + 1) {
    char* block = malloc(size);
    if (block == NULL) _exit(3);
    memset(block, 1, size);
    block = realloc(block, 2 * size);
    if (block == NULL) _exit(3);
    free(block);
  }
  malloc_trim(0);
  _exit(info.arena != 0 ? 42 : 4);
}

static void* sleep_on(void* none) {
  pause();
  return none;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  signal(SIGABRT, report);
  pthread_t thread; /* with it, locks are taken in earnest */
  if (pthread_create(&thread, NULL, sleep_on, NULL) != 0) return 2;
  size_t size = (size_t)atoi(argv[2]);
  for (int i = 0; i < kBlocks; ++i) others[i] = malloc(size);
  char* block = others[kBlocks / 2];
  if (argv[1][0] == 'i') {
    free((char*)hidden(block) + 16);
  } else {
    free(block);
    if (argv[1][0] == 'l') ((volatile unsigned long*)hidden(block))[1] = 0x1234;
    free(hidden(block));
  }
  for (int i = 0; i < kBlocks; ++i)
    if (others[i] != block) free(others[i]);
  malloc_trim(0);
  return 0;
}
