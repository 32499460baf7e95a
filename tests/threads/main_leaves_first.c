/* threads/main_leaves_first.c -- the main thread ends, another goes on allocating and then exits.
 *
 * A user would notice: a daemon whose main() ends in pthread_exit and that crashes afterwards. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char* from_main[1000];

static void* outlive(void* argument) {
  (void)argument;
  usleep(20000);
  for (size_t i = 0; i < 1000; ++i) {
    if (from_main[i][0] != (char)i) exit(6);
    free(from_main[i]);
    free(calloc(1, i * 100));
  }
  exit(5);
}

int main(void) {
  pthread_t thread;
  for (size_t i = 0; i < 1000; ++i) {
    from_main[i] = malloc(i + 1);
    memset(from_main[i], (int)i, i + 1);
  }
  pthread_create(&thread, NULL, outlive, NULL);
  pthread_exit(NULL);
}
