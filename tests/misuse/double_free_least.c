/* misuse/double_free_least.c -- a block of the smallest size freed twice. */
#include "say.h"

int main(void) {
  void* block = malloc(1);
  say(block);
  free(block);
  free(hidden(block));
  return 0;
}
