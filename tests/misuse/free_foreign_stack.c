/* misuse/free_foreign_stack.c -- an address of the stack. */
#include "say.h"

int main(void) {
  char local[64] __attribute__((aligned(16)));
  free(malloc(1));
  say(local);
  free(hidden(local));
  return 0;
}
