/* misuse/free_foreign_noncanonical.c -- an address that no process can have. */
#include "say.h"

int main(void) {
  void* rubbish = (void*)0xdeadbeefdeadbee0;
  free(malloc(1));
  say(rubbish);
  free(hidden(rubbish));
  return 0;
}
