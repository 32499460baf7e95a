/* tests/bench/liars/overlap.c -- blocks are cut from fresh memory, one after the other, and nothing
 * is reused. After some calls each place is given out twice in a row. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { kCallsBefore = 1000 };
static const size_t kRoom = (size_t)1 << 36;

void* malloc(size_t size) {
  static _Atomic(char*) start;
  static atomic_size_t used;
  static atomic_int calls;
  char* none = NULL;
  if (start == NULL) {
    char* room = mmap(NULL, kRoom, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    atomic_compare_exchange_strong(&start, &none, room);
  }
  /* The size stands in front of the block, for realloc. */
  const int number = ++calls;
  const int lies = number > kCallsBefore && number % 2 == 0;
  char* block = start + atomic_fetch_add(&used, lies ? 0 : (size + 31) / 16 * 16) + 16;
  memcpy(block - sizeof(size), &size, sizeof(size));
  return block;
}

void free(void* block) {
  (void)block;
}

void* calloc(size_t count, size_t size) {
  return memset(malloc(count * size), 0, count * size);
}

void* realloc(void* block, size_t size) {
  size_t old = 0;
  if (block != NULL) memcpy(&old, (char*)block - sizeof(old), sizeof(old));
  return memcpy(malloc(size), block, old < size ? old : size);
}
