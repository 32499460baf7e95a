/* misuse/nothing_wrong.c -- no misuse at all: the runner must hear nothing. */
#include "say.h"

int main(void) {
  void* block = malloc(64);
  say(block);
  free(block);
  void* again = malloc(64);
  free(again);
  return 0;
}
