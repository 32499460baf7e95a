/* threads/reaper_last.c -- the main thread ends, another one goes on, and asks for a reaper, before
 * it ends as well. Then the process does.
 *
 * A user would notice: a service whose main() ends in pthread_exit and that never stops, not even
 * for a SIGTERM, since a thread that is not its own is left. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void* outlive(void* unused) {
  usleep(20000);
  for (int round = 0; round < 100; ++round) {
    char* blocks[64];
    for (int i = 0; i < 64; ++i) {
      blocks[i] = malloc(100000);
      if (blocks[i] == NULL) abort();
      memset(blocks[i], 1, 100000);
    }
    for (int i = 0; i < 64; ++i) free(blocks[i]);
  }
  alarm(60); /* what is not the process's end by itself is one by a signal */
  return unused;
}

int main(void) {
  pthread_t thread;
  free(malloc(100));
  if (pthread_create(&thread, NULL, outlive, NULL) != 0) return 1;
  pthread_exit(NULL);
}
