/* misuse/double_free_page.c -- a block of a page freed twice. */
#include "say.h"

int main(void) {
  void* block = malloc(4096);
  say(block);
  memset(block, 0xff, 4096);
  free(block);
  free(hidden(block));
  return 0;
}
