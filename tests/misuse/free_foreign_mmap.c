/* misuse/free_foreign_mmap.c -- an address of a mapping that the program made itself. */
#include "say.h"

int main(void) {
  void* mine = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  free(malloc(1));
  say(mine);
  free(hidden(mine));
  return 0;
}
