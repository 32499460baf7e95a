// bench/workloads/working_set.cpp -- many live objects of mixed sizes with random lifetimes.
//
// Models
//   A cache, an index, a document in memory: the program holds n objects and keeps replacing
//   arbitrary ones. Free space is scattered, neighbours in memory have nothing to do with each
//   other, and with a million objects every step misses the caches of the CPU.
//
// Operation
//   One replacement: check and free an object, allocate and stamp another. Building the set and
//   taking it down count as replacements too.
//
// Arguments
//   objects, replacements

#include <vector>

#include "workload.h"

using workload::Block;

int main(int argc, char** argv) {
  const size_t objects = workload::argument(argc, argv, 1, 10'000);
  const size_t replacements = workload::argument(argc, argv, 2, 1'000'000);
  workload::Rng rng(1);
  std::vector<Block> set(objects);
  workload::Live live;
  live.add(objects * sizeof(Block));

  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (Block& block : set) block = workload::new_block(live, workload::mixed_size(rng), rng.next());
  for (size_t i = 0; i < replacements; ++i) {
    Block& block = set[rng.below(objects)];
    sum += workload::end_block(live, block);
    block = workload::new_block(live, workload::mixed_size(rng), rng.next());
  }
  for (const Block& block : set) sum += workload::end_block(live, block);
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(objects + replacements));
  workload::report_live(live.most());
  workload::report_answer(sum);
}
