// bench/workloads/small_live.c -- a small program that holds so many blocks, and nothing else.
//
// Models
//   A shell, a cron job, a tool: some hundred strings, nodes and buffers, most of them small. While
//   it makes one, it makes another one for the moment. With 0 blocks malloc is never called, and
//   what is left is what having the allocator costs.
//
// Measurement
//   Private_Dirty of the whole process while all blocks are live. The pages that libc, the stack
//   and the dynamic linker need are in it, under every allocator alike.
//
// Arguments
//   blocks

#include "small.h"

#include <inttypes.h>

int main(int argc, char** argv) {
  const long blocks = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
  uint64_t sum = 0;
  Node* chain = NULL;
  for (long i = 0; i < blocks; ++i) {
    Node* passing = new_node(NULL);
    chain = new_node(chain);
    sum += end_node(passing);
  }
  const long kib = private_dirty_kib(getpid());
  sum += end_chain(chain);
  printf("kib=%ld\nanswer=%016" PRIx64 "\n", kib, sum);
  return 0;
}
