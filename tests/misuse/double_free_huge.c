/* misuse/double_free_huge.c -- a block of 64 MiB freed twice. */
#include "say.h"

int main(void) {
  char* block = malloc((size_t)64 << 20);
  say(block);
  block[0] = 1;
  free(block);
  free(hidden(block));
  return 0;
}
