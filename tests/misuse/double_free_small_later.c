/* misuse/double_free_small_later.c -- other blocks of its size are freed between the two. */
#include "say.h"

int main(void) {
  void* others[20];
  for (int i = 0; i < 20; ++i) others[i] = malloc(64);
  void* block = malloc(64);
  say(block);
  free(block);
  for (int i = 0; i < 20; ++i) free(others[i]);
  free(hidden(block));
  return 0;
}
