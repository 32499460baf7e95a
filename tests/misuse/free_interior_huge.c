/* misuse/free_interior_huge.c -- somewhere inside a block of 64 MiB. */
#include "say.h"

int main(void) {
  char* block = malloc((size_t)64 << 20);
  say(block + (33 << 20));
  say(block);
  free(hidden(block + (33 << 20)));
  return 0;
}
