/* misuse/double_free_large_after_trim.c -- between the two its memory went back to the kernel. */
#include "say.h"

int main(void) {
  void* block = malloc(3000000);
  void* guard = malloc(3000000);
  say(block);
  memset(block, 1, 3000000);
  free(block);
  malloc_trim(0);
  free(hidden(block));
  free(guard);
  return 0;
}
