/* misuse/free_interior_large_16.c -- sixteen bytes into a large block. */
#include "say.h"

int main(void) {
  char* block = malloc(1 << 20);
  say(block + 16);
  say(block);
  free(hidden(block + 16));
  return 0;
}
