/* misuse/say.h -- what every misuse program needs: to name its victim before it does wrong.
 *
 * The runner compares the address in the library's message with the one printed here, so a message
 * about the wrong block fails. `hidden` keeps the compiler from seeing that a pointer is freed
 * twice. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline void say(const void* block) {
  dprintf(1, "%p\n", block);
}

static inline void* hidden(void* block) {
  void* volatile copy = block;
  return copy;
}
