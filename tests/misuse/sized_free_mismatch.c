/* misuse/sized_free_mismatch.c -- free_sized with a size of another class (told by debug builds).
 */
#include "say.h"

void free_sized(void* block, size_t size) __attribute__((weak));

int main(void) {
  void* block = malloc(64);
  say(block);
  free_sized(hidden(block), 100);
  return 0;
}
