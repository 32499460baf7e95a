// bench/workloads/forks.cpp -- a process with a heap forks children that use theirs and end.
//
// Models
//   Servers with a process for each request, snapshots of a database, build tools. A child frees
//   and allocates in the heap that it has inherited, while the parent goes on in its own: each page
//   that either writes to first is copied. An allocator that spreads its notes over many pages, or
//   cleans up much after a fork, shows it here.
//
// Operation
//   One fork, with all that both do until the child has ended. CPU time of both.
//
// Verification
//   A child checks its blocks as every workload does, and tells the result by its exit status. If
//   it was killed by a signal, the parent dies of the same.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "workload.h"

namespace {

using workload::Block;
using Blocks = workload::Vector<Block>;

constexpr size_t kForks = 80;
constexpr size_t kObjects = 20'000;
constexpr size_t kReplacements = 200;              // Of the parent, and of each child.
constexpr size_t kChildBytes = size_t{256} << 10;  // What each child adds.

uint64_t replace_some(workload::Rng& rng, Blocks& heap) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kReplacements; ++i) {
    Block& block = heap[rng.below(heap.size())];
    sum += workload::end_block(workload::live, block);
    block = workload::new_block(workload::live, workload::mixed_size(rng), rng.next());
  }
  return sum;
}

[[noreturn]] void be_child(size_t number, Blocks& heap) {
  workload::Rng rng(number);
  replace_some(rng, heap);
  Blocks own;
  for (const size_t full = workload::live.now() + kChildBytes; workload::live.now() < full;) {
    own.push_back(workload::new_block(workload::live, workload::mixed_size(rng), rng.next()));
  }
  for (const Block& block : own) workload::end_block(workload::live, block);
  std::exit(0);
}

void wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) workload::fail("lost a child");
  if (WIFSIGNALED(status)) std::raise(WTERMSIG(status));
  if (status != 0) workload::end("a child has failed", WEXITSTATUS(status));
}

double children_ns() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const double seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
  return seconds * 1e9 + static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

}  // namespace

int main() {
  workload::Rng rng(1);
  Blocks heap(kObjects);
  for (Block& block : heap)
    block = workload::new_block(workload::live, workload::mixed_size(rng), rng.next());

  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (size_t number = 0; number < kForks; ++number) {
    const pid_t child = fork();
    if (child < 0) workload::fail("cannot fork");
    if (child == 0) be_child(number, heap);
    sum += replace_some(rng, heap);
    wait_for(child);
  }
  const double ns = workload::cpu_ns() - start + children_ns();
  for (const Block& block : heap) sum += workload::end_block(workload::live, block);

  workload::report_ns(ns / kForks);
  workload::report_live(workload::live.most() + kChildBytes);
  workload::report_answer(sum);
}
