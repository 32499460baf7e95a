/* misuse/double_free_by_realloc.c -- realloc(p, 0) frees, then free does. */
#include "say.h"

int main(void) {
  void* block = malloc(64);
  say(block);
  if (realloc(block, 0) != NULL) return 1;
  free(hidden(block));
  return 0;
}
