/* misuse/realloc_foreign.c -- realloc of an address of the stack. */
#include "say.h"

int main(void) {
  char local[64] __attribute__((aligned(16)));
  free(malloc(1));
  say(local);
  void* grown = realloc(hidden(local), 100);
  return grown != NULL;
}
