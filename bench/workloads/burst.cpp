// bench/workloads/burst.cpp -- bursts of work with sleep between them.
//
// Models
//   A server with few clients, a desktop program, a job that runs every minute. A burst builds
//   objects, drops them all, and the program sleeps. What the allocator keeps resident meanwhile is
//   of use to nobody; what it gives back, it must fetch again when the next burst comes.
//
// Operation
//   One object of a burst. CPU time, the sleep included: an allocator that gives memory back in a
//   thread of its own pays for that too.
//
// Measurement
//   kib= is the mean of what is resident at the end of each sleep, live= what the sessions hold
//   then. Sleeps are 50 ms: what is given back after seconds is resident here.

#include "workload.h"

namespace {

using workload::Block;
using Blocks = workload::Vector<Block>;

constexpr size_t kBursts = 10;
constexpr size_t kObjects = 40'000;  // Of each burst; 8 MiB.
constexpr size_t kSessions = 5'000;  // What stays; 1 MiB.
constexpr size_t kReplacements = kSessions / 10;
constexpr long kSleepMilliseconds = 50;

Block new_object(workload::Rng& rng) {
  return workload::new_block(workload::live, workload::mixed_size(rng), rng.next());
}

uint64_t burst(workload::Rng& rng, Blocks& sessions) {
  uint64_t sum = 0;
  Blocks objects(kObjects);
  for (Block& block : objects) block = new_object(rng);
  for (size_t i = 0; i < kReplacements; ++i) {
    Block& block = sessions[rng.below(sessions.size())];
    sum += workload::end_block(workload::live, block);
    block = new_object(rng);
  }
  for (const Block& block : objects) sum += workload::end_block(workload::live, block);
  return sum;
}

}  // namespace

int main() {
  workload::Rng rng(1);
  Blocks sessions(kSessions);
  for (Block& block : sessions) block = new_object(rng);

  double ns = 0;
  size_t kib = 0;
  uint64_t sum = 0;
  for (size_t i = 0; i < kBursts; ++i) {
    const double start = workload::cpu_ns();
    sum += burst(rng, sessions);
    workload::nap(kSleepMilliseconds);
    ns += workload::cpu_ns() - start;
    kib += workload::resident_kib();
  }
  workload::report_ns(ns / (kBursts * (kObjects + kReplacements)));
  workload::report_kib(kib / kBursts);
  workload::report_live(workload::live.now());
  for (const Block& block : sessions) sum += workload::end_block(workload::live, block);
  workload::report_answer(sum);
}
