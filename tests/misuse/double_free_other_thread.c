/* misuse/double_free_other_thread.c -- one thread frees, then another. */
#include "say.h"

static void* body(void* block) {
  free(block);
  return NULL;
}

int main(void) {
  pthread_t thread;
  void* block = malloc(64);
  say(block);
  pthread_create(&thread, NULL, body, block);
  pthread_join(thread, NULL);
  free(hidden(block));
  return 0;
}
