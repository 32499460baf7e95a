// bench/workloads/aftermath.cpp -- what stays resident after a burst, while the program sleeps.
//
// Models
//   A server after its rush hour, an editor that has closed its files, a job that waits for the
//   next one. 512 MiB of mixed small objects are built and dropped, in the order in which they were
//   built. Then the process sleeps for a second and calls nothing: what the allocator did not give
//   back in the calls of free, or from a thread of its own, stays.
//
// Operation
//   One object, built and dropped. CPU time, the sleep included: an allocator that gives memory
//   back in a thread of its own pays for that too.
//
// Arguments
//   every   one object in so many stays, where it is not 0: a session, a table's entry, a log line
//
// Measurement
//   kib= is what is resident at the end of the sleep, live= what the objects that stay hold. The
//   list of the objects is not the allocator's: it is mapped, and unmapped before the sleep.

#include <sys/mman.h>

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kBytes = size_t{512} << 20;
constexpr size_t kMostObjects = kBytes / 16;
constexpr long kSleepMilliseconds = 1000;

/// Room for more blocks than there will be, of which the kernel backs what is used.
class Table {
 public:
  Table() {
    void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) workload::fail("out of memory");
    blocks_ = static_cast<Block*>(memory);
  }
  ~Table() { munmap(blocks_, kSize); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  Block& operator[](size_t i) { return blocks_[i]; }

 private:
  static constexpr size_t kSize = kMostObjects * sizeof(Block);
  Block* blocks_;
};

/// Builds the objects and drops all but those that stay, which go into `survivors`. How many there
/// were.
size_t burst(Table& survivors, size_t every, uint64_t& sum) {
  workload::Rng rng(1);
  Table objects;
  size_t count = 0;
  for (; workload::live.now() < kBytes; ++count)
    objects[count] = workload::new_block(workload::live, workload::mixed_size(rng), rng.next());
  for (size_t i = 0; i < count; ++i) {
    if (every != 0 && i % every == 0)
      survivors[i / every] = objects[i];
    else
      sum += workload::end_block(workload::live, objects[i]);
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t every = workload::argument(argc, argv, 1, 0);
  Table survivors;
  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  const size_t count = burst(survivors, every, sum);
  workload::nap(kSleepMilliseconds);
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / static_cast<double>(count));
  workload::report_kib(workload::resident_kib());
  workload::report_live(workload::live.now());
  for (size_t i = 0; every != 0 && i * every < count; ++i)
    sum += workload::end_block(workload::live, survivors[i]);
  workload::report_answer(sum);
}
