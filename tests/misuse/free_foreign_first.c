/* misuse/free_foreign_first.c -- the first call of all is a free of rubbish. */
#include "say.h"

int main(void) {
  void* rubbish = (void*)0x1230;
  say(rubbish);
  free(hidden(rubbish));
  return 0;
}
