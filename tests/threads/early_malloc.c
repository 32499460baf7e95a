/* threads/early_malloc.c -- malloc before any constructor has run.
 *
 * A user would notice: a program that dies before main, since a library's constructor or the
 * program's own .preinit_array allocates before the allocator has been constructed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char* early_library_text;
static char* blocks[64];
static char* text;

static void preinit(void) {
  for (size_t i = 0; i < 64; ++i) {
    blocks[i] = malloc(1000 * i + 1);
    if (blocks[i] != NULL) memset(blocks[i], (int)i, 1000 * i + 1);
  }
  for (size_t i = 0; i < 64; i += 3) {
    free(blocks[i]);
    blocks[i] = NULL;
  }
  free(dlsym(RTLD_DEFAULT, "no_such_name") == NULL ? strdup(dlerror()) : NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const early)(void) = preinit;

static void* in_thread(void* argument) {
  text = strdup(argument);
  free(malloc(123456));
  return NULL;
}

__attribute__((constructor(101))) static void construct(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, "made by a thread before main");
  pthread_join(thread, NULL);
}

int main(void) {
  for (size_t i = 0; i < 64; ++i) {
    for (size_t k = 0; blocks[i] != NULL && k < 1000 * i + 1; ++k) {
      if (blocks[i][k] != (char)i) return puts("an early block was changed"), 1;
    }
    free(blocks[i]);
  }
  if (strcmp(early_library_text, "lib") != 0) return puts("the library's block was changed"), 1;
  if (malloc_usable_size(early_library_text) < 4000) return puts("usable size shrank"), 1;
  if (strcmp(text, "made by a thread before main") != 0) return puts("the thread's was"), 1;
  free(text);
  free(early_library_text);
  puts("early blocks are sound");
  return 0;
}
