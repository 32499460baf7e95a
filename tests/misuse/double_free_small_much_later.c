/* misuse/double_free_small_much_later.c -- so many are freed between that the block has left its
 * magazine. */
#include "say.h"

enum { kBlocks = 50000 };
static void* others[kBlocks];

int main(void) {
  void* block = malloc(64);
  for (int i = 0; i < kBlocks; ++i) others[i] = malloc(64);
  say(block);
  free(block);
  for (int i = 0; i < kBlocks; ++i) free(others[i]);
  free(hidden(block));
  return 0;
}
