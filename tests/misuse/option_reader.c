/* misuse/option_reader.c -- an ordinary program, run under good and bad options. */
#include "say.h"

int main(void) {
  size_t sum = 0;
  for (size_t i = 1; i < 2000; ++i) {
    char* block = malloc(i * 50);
    memset(block, (int)i, i * 50);
    sum += (unsigned char)block[i];
    free(block);
  }
  printf("%zu\n", sum);
  return 3;
}
