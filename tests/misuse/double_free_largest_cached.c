/* misuse/double_free_largest_cached.c -- a block of 32 KiB, the largest cached size, freed twice.
 */
#include "say.h"

int main(void) {
  void* block = malloc(32768);
  say(block);
  free(block);
  free(hidden(block));
  return 0;
}
