/* misuse/free_foreign_static.c -- an address of the program's data. */
#include "say.h"

static char data[64] __attribute__((aligned(16)));

int main(void) {
  free(malloc(1));
  say(data);
  free(hidden(data));
  return 0;
}
