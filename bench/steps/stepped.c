/* bench/steps/stepped.c -- what steps.cpp steps through: malloc and free between three traps.
 *
 * stepped SIZE: a trap, malloc(SIZE), a trap, free, a trap, and this fifty times, when many blocks
 * have come and gone and the allocator is in the state in which it stays: Ashlar gives a process
 * object caches when it has called malloc 65,536 times in a second, so it calls twice as often.
 */
#include <stdlib.h>

enum { kWarmUp = 16384, kAtOnce = 8, kCounted = 50 };

#define TRAP() __asm__ volatile("int3" ::: "memory")

int main(int argc, char** argv) {
  size_t size = argc > 1 ? strtoull(argv[1], NULL, 10) : 16;
  void* volatile blocks[kAtOnce];
  for (int i = 0; i < kWarmUp; ++i) {
    for (int k = 0; k < kAtOnce; ++k) blocks[k] = malloc(size);
    for (int k = 0; k < kAtOnce; ++k) free(blocks[k]);
  }
  for (int i = 0; i < kCounted; ++i) {
    TRAP();
    void* volatile block = malloc(size);
    TRAP();
    free(block);
    TRAP();
  }
  return 0;
}
