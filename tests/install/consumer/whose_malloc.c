/* whose_malloc.c -- a C program that is linked with Ashlar finds malloc replaced. */
#include "whose_malloc.h"

/* Through a variable, or the compiler might leave the pair of malloc and free out. */
static void* volatile block;

int main(void) {
  size_t before = live_bytes();
  block = malloc(3 << 20);
  expect_ours("malloc", before, 3 << 20);
  before = live_bytes();
  block = realloc(block, 9 << 20);
  expect_ours("realloc", before, 6 << 20);
  free(block);
  before = live_bytes();
  block = aligned_alloc(4096, 100000);
  expect_ours("aligned_alloc", before, 100000);
  free(block);
  malloc_stats();
  puts(ashlar_version());
  return 0;
}
