/* fault/hungry.c -- allocates in many sizes, expects every answer, trusts none.
 *
 * usage: hungry threads [persistent]
 *
 * Run by sweep.py while system calls fail. Every NULL must come with ENOMEM, every block must hold
 * what was written into it, and once the fault is over the same request must succeed. Prints
 * "refused N" and ends with 0; any other code names what went wrong (see `enum`). With `persistent`
 * the fault stays, so requests may be refused for ever. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kWrongErrno = 20, kNotRecovered, kChanged, kNotZero, kMisaligned, kErrnoTouched };
enum { kSlots = 120, kRounds = 4 };

static int persistent;
static int refused;

static void stop(int code, const char* what, size_t size) {
  dprintf(2, "hungry: %s, size %zu\n", what, size);
  _exit(code);
}

struct slot {
  unsigned char* block;
  size_t size;
  unsigned char mark;
};

/* One request in one of six ways; `turn` chooses. */
static void* ask(struct slot* slot, size_t size, unsigned turn) {
  void* block = NULL;
  switch (turn % 6) {
    case 0: return malloc(size);
    case 1: return calloc(1, size);
    case 2: return realloc(slot->block, size);
    case 3: return memalign(4096, size);
    case 4: {
      const int error = posix_memalign(&block, 128, size);
      if (error != 0) errno = error;
      return error == 0 ? block : NULL;
    }
    default: return aligned_alloc(64, size);
  }
}

static void verify(const struct slot* slot) {
  for (size_t i = 0; slot->block != NULL && i < slot->size; i += 509) {
    if (slot->block[i] != slot->mark) stop(kChanged, "a block was changed", slot->size);
  }
}

static void release(struct slot* slot) {
  verify(slot);
  errno = 77;
  free(slot->block);
  if (errno != 77) stop(kErrnoTouched, "free touched errno", slot->size);
  slot->block = NULL;
}

static void fill(struct slot* slot, size_t size, unsigned turn) {
  const int is_realloc = turn % 6 == 2;
  if (!is_realloc) release(slot);
  void* block = NULL;
  for (int attempt = 0; block == NULL && attempt < 8; ++attempt) {
    errno = 0;
    block = ask(slot, size, turn);
    if (block != NULL) break;
    __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
    if (errno != ENOMEM) stop(kWrongErrno, "NULL without ENOMEM", size);
    if (is_realloc) verify(slot);
  }
  if (block == NULL) {
    if (!persistent) stop(kNotRecovered, "still refused after the fault", size);
    return;
  }
  const size_t kept = is_realloc && slot->block != NULL && slot->size < size ? slot->size : size;
  if (is_realloc && slot->block != NULL) {
    slot->block = block;
    slot->size = kept;
    verify(slot);
  }
  for (size_t i = 0; turn % 6 == 1 && i < size; i += 511) {
    if (((unsigned char*)block)[i] != 0) stop(kNotZero, "calloc gave old bytes", size);
  }
  if ((size_t)block % 16 != 0) stop(kMisaligned, "misaligned", size);
  *slot = (struct slot){block, size, (unsigned char)(turn * 7 + 1)};
  memset(block, slot->mark, size);
}

static void* work(void* argument) {
  static const size_t largest[kRounds] = {2000, 40000, 1500000, 12000000};
  struct slot slots[kSlots] = {{NULL, 0, 0}};
  unsigned random = 12345 + (unsigned)(size_t)argument;
  for (int round = 0; round < kRounds; ++round) {
    for (unsigned turn = 0; turn < (round == 3 ? 24 : 400); ++turn) {
      random = random * 1103515245 + 12345;
      fill(&slots[random / 65536 % kSlots], (random / 256) % largest[round] + 1, turn);
    }
    for (int i = round % 2; i < kSlots; i += 2) release(&slots[i]);
    if (round >= 2) malloc_trim(0);
  }
  for (int i = 0; i < kSlots; ++i) release(&slots[i]);
  return NULL;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  persistent = argc > 2;
  pthread_t other;
  const int started = threads > 1 && pthread_create(&other, NULL, work, (void*)999) == 0;
  work(NULL);
  if (started) pthread_join(other, NULL);
  dprintf(1, "refused %d\n", refused);
  return 0;
}
