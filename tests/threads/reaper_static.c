/* threads/reaper_static.c -- a program without shared libraries that asks for a reaper.
 *
 * A user would notice: a static program that is ended by a signal, since of the functions of
 * threads only those are in it that it calls itself. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* use(void* unused) {
  for (int round = 0; round < 200; ++round) {
    char* blocks[64];
    for (int i = 0; i < 64; ++i) {
      blocks[i] = malloc(100000);
      if (blocks[i] == NULL) return "out of memory";
      memset(blocks[i], 1, 100000);
    }
    for (int i = 0; i < 64; ++i) free(blocks[i]);
  }
  return unused;
}

int main(void) {
  pthread_t thread;
  void* fault = use(NULL);
  if (fault != NULL || pthread_create(&thread, NULL, use, NULL) != 0) return 1;
  fault = use(NULL);
  if (pthread_join(thread, NULL) != 0 || fault != NULL) return 2;
  fault = use(NULL);
  return fault != NULL || puts("alive") < 0;
}
