/* misuse/double_free_small.c -- the same small block freed twice in a row. */
#include "say.h"

int main(void) {
  void* block = malloc(64);
  say(block);
  free(block);
  free(hidden(block));
  return 0;
}
