/* misuse/free_never_given.c -- an address far behind the last block of the heap. */
#include "say.h"

int main(void) {
  char* block = malloc(100);
  char* beyond = (char*)(((size_t)block + ((size_t)24 << 20)) & ~(size_t)4095);
  say(beyond);
  free(hidden(beyond));
  return 0;
}
