// bench/workloads/latency.cpp -- how long each single malloc and free takes.
//
// Models
//   Programs that must answer in time: games, audio, trading, databases. Their worst requests are
//   made by the rare calls that refill a cache, walk a list, or ask the kernel, and a mean hides
//   these. Objects of mixed sizes have random lifetimes: each step takes a slot at random, frees
//   what is in it, or fills it if it is empty. The first steps are not recorded.
//
// Operation
//   One call, without touching the block. ns.<row>= is the mean of all but the slowest one of a
//   thousand; the histogram holds them all.
//
// Clock
//   That of histogram.h. It does not stop when something else takes the CPU: interrupts and other
//   programs are in the tail, under every allocator alike. A program cannot tell them from the
//   allocator's own doing. Compare the tails of an idle machine.

#include "histogram.h"

namespace {

using workload::Block;
using workload::Histogram;
using workload::ticks;

constexpr size_t kSlots = 30'000;  // Half of them are filled.
constexpr size_t kWarmUp = 300'000;
constexpr size_t kSteps = 2'000'000;

struct Recorder {
  uint64_t overhead = 0;
  Histogram mallocs, frees;
  workload::Rng rng{1};
  workload::Vector<Block> slots{kSlots};
  uint64_t sum = 0;

  template <class Call>
  void timed(Histogram& histogram, Call call) {
    const uint64_t start = ticks();
    call();
    const uint64_t duration = ticks() - start;
    histogram.record(duration - std::min(duration, overhead));
  }

  void step() {
    Block& block = slots[rng.below(slots.size())];
    if (block.memory != nullptr) {
      sum += workload::checked(block);
      workload::live.remove(block.size);
      timed(frees, [&] { std::free(block.memory); });
      block = {};
    } else {
      block.size = workload::mixed_size(rng);
      workload::live.add(block.size);
      timed(mallocs, [&] { block.memory = std::malloc(block.size); });
      workload::must(block.memory);
      workload::stamp(block, rng.next());
    }
  }
};

}  // namespace

int main() {
  static Recorder recorder;
  for (size_t i = 0; i < kWarmUp; ++i) recorder.step();
  recorder.mallocs = recorder.frees = Histogram();
  recorder.overhead = workload::clock_overhead();

  const workload::TickLength tick;
  for (size_t i = 0; i < kSteps; ++i) recorder.step();
  const double ns_per_tick = tick.ns();
  for (const Block& block : recorder.slots) {
    if (block.memory != nullptr) recorder.sum += workload::end_block(block);
  }

  recorder.mallocs.report("malloc", ns_per_tick);
  recorder.frees.report("free", ns_per_tick);
  workload::report_live(workload::live.most());
  workload::report_answer(recorder.sum);
}
