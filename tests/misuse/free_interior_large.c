/* misuse/free_interior_large.c -- a page inside a large block. */
#include "say.h"

int main(void) {
  char* block = malloc(1 << 20);
  say(block + 8192);
  say(block);
  free(hidden(block + 8192));
  return 0;
}
