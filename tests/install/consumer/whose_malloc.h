/* whose_malloc.h -- ends the program with a message unless a block counts as live in Ashlar. */
#include <ashlar/ashlar.h>
#include <ashlar/inspect.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static size_t live_bytes(void) {
  struct ashlar_stats stats;
  ashlar_get_stats(&stats);
  return stats.live;
}

/* Called with what live_bytes() said before a block of `size` bytes was asked for. */
static void expect_ours(const char* function, size_t before, size_t size) {
  size_t now = live_bytes();
  if (now >= before + size) return;
  fprintf(stderr, "%s of %zu bytes is not Ashlar's: %zu bytes live before, %zu now\n", function,
          size, before, now);
  exit(1);
}
