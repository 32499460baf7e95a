/* misuse/double_free_key_overwritten.c -- the freed block was written to, so only the flush can
 * tell. */
#include "say.h"

enum { kBlocks = 50000 };
static void* others[kBlocks];

int main(void) {
  for (int i = 0; i < kBlocks; ++i) others[i] = malloc(64);
  unsigned long* block = malloc(64);
  say(block);
  free(block);
  ((volatile unsigned long*)hidden(block))[1] = 0x1234;
  free(hidden(block));
  for (int i = 0; i < kBlocks; ++i) free(others[i]);
  malloc_trim(0);
  return 0;
}
