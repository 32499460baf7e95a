// memory/start_pages.c -- what of the library is in memory in a small process, itself included.
//
// A user would notice: every shell and every cron job with 100 KiB more. The kernel maps file pages
// around each that is touched, and preload/start.ld keeps together what such a process touches.
//
//   start_pages LIBRARY
//     Exit status 1, with one line, where too much of it is resident.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Headers and what runs at the start are 48 KiB, its data two pages.
enum { kMostKib = 56, kBlocks = 200 };

static void live_a_little(void) {
  char* blocks[kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i] = malloc((size_t)(16 + i * 7 % 480));
    if (blocks[i] == NULL) exit(2);
    memset(blocks[i], i, 16);
  }
  for (int i = 0; i < kBlocks; i += 2) free(blocks[i]);
  for (int i = 1; i < kBlocks; i += 2) blocks[i] = realloc(blocks[i], 600);
  free(calloc(1, 6000));
  char* large = realloc(malloc(50000), 100000);
  free(realloc(large, 40000));
}

int main(int argc, char** argv) {
  static char text[1 << 17];
  if (argc != 2) return 2;
  live_a_little();
  int file = open("/proc/self/smaps", O_RDONLY);
  size_t size = 0;
  for (ssize_t got; (got = read(file, text + size, sizeof text - 1 - size)) > 0;)
    size += (size_t)got;
  long kib = 0;
  int mappings = 0;
  const char* name = strrchr(argv[1], '/');
  for (char* at = text; (at = strstr(at, name)) != NULL; ++at) {
    kib += strtol(strstr(at, "\nRss:") + 5, NULL, 10);
    ++mappings;
  }
  if (mappings > 0 && kib > 0 && kib <= kMostKib) return 0;
  printf("%ld KiB of the library resident, in %d mappings; at most %d\n", kib, mappings, kMostKib);
  return 1;
}
