/* memory/crashing.c -- a small program that ends with a core file, or says how much one would hold.
 *
 * Usage: crashing crash | count
 * It has 8 MiB of blocks in use, and has freed as much again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written mappings without a file, but for those that are marked as not to be dumped: the kernel
 * dumps each whole. In KiB. */
static unsigned long dumped(void) {
  FILE* file = fopen("/proc/self/smaps", "r");
  char line[512];
  unsigned long sum = 0, size = 0, anonymous = 0, value = 0;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "Size: %lu kB", &value) == 1) size = value;
    if (sscanf(line, "Anonymous: %lu kB", &value) == 1) anonymous = value;
    if (strncmp(line, "VmFlags:", 8) != 0) continue;
    if (anonymous != 0 && strstr(line, " dd") == NULL) sum += size;
  }
  if (file != NULL) fclose(file);
  return sum;
}

int main(int count, char** words) {
  enum { kBlocks = 16384 };
  static char* blocks[kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i] = malloc(1000);
    memset(blocks[i], i % 255 + 1, 1000);
  }
  for (int i = 0; i < kBlocks / 2; ++i) free(blocks[i]);
  if (count > 1 && strcmp(words[1], "count") == 0) return printf("%lu\n", dumped()) < 0;
  abort();
}
