/* misuse/double_free_large.c -- a block above every cached size freed twice. */
#include "say.h"

int main(void) {
  void* block = malloc(200000);
  say(block);
  free(block);
  free(hidden(block));
  return 0;
}
