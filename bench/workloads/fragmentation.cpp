// bench/workloads/fragmentation.cpp -- the sizes of objects shift over time, and a few of all stay.
//
// Models
//   A server that runs for long. For a while its requests make objects of one kind, then of
//   another. Each phase fills the same amount of memory with sizes of its own, replaces objects at
//   random and ends; one object in 64 survives and pins what lies around it. The next phase has to
//   live in the holes. Who keeps memory for the size it once had grows with every phase.
//
// Operation
//   One replacement. Building a phase and taking it down count as replacements too.
//
// Arguments
//   "peak"  memory is the peak of the process, against the most that was live
//   "rest"  memory is what is resident when the survivors alone are left, a tenth of the peak, and
//           the program has been almost idle for a twentieth of a second. There is no time: it is
//           that of "peak".
//   "steady" and a number of seconds: phase after phase, for so long. What survived a phase ends
//           when its size comes again. Memory is the mean of what is resident in the middle of each
//           phase, live the mean of what is live then.

#include "workload.h"

namespace {

using workload::Block;
using Blocks = workload::Vector<Block>;

constexpr size_t kPhaseBytes = size_t{24} << 20;
// The smallest size of each phase; the largest is twice that.
constexpr std::array<size_t, 8> kSizes = {48, 640, 96, 2400, 200, 32, 1200, 400};
constexpr size_t kOneIn = 64;
constexpr size_t kQuietSteps = 10;

/// What is resident and what is live, looked at now and then.
struct Means {
  size_t looks = 0, kib = 0, live = 0;
  void look() {
    ++looks;
    kib += workload::resident_kib();
    live += workload::live.now();
  }
};

struct Server {
  workload::Rng rng{1};
  std::array<Blocks, kSizes.size()> survivors;  // Of each phase.
  size_t replacements = 0;
  uint64_t sum = 0;
  Means* means = nullptr;

  void replace(Block& block, size_t smallest) {
    if (block.memory != nullptr) sum += workload::end_block(workload::live, block);
    block = workload::new_block(workload::live, rng.between(smallest, 2 * smallest), rng.next());
    ++replacements;
  }

  void end_survivors(size_t phase) {
    for (const Block& block : survivors[phase]) sum += workload::end_block(workload::live, block);
    survivors[phase].clear();
  }

  void live_through_phase(size_t phase) {
    const size_t smallest = kSizes[phase];
    end_survivors(phase);
    Blocks blocks(kPhaseBytes / (smallest * 3 / 2));
    for (Block& block : blocks) replace(block, smallest);
    for (size_t i = 0; i < blocks.size(); ++i) replace(blocks[rng.below(blocks.size())], smallest);
    if (means != nullptr) means->look();
    for (const Block& block : blocks) {
      if (rng.below(kOneIn) == 0) {
        survivors[phase].push_back(block);
      } else {
        sum += workload::end_block(workload::live, block);
      }
    }
  }

  /// An allocator that gives memory back later, when it is called, gets the time and the calls.
  void be_quiet() {
    for (size_t step = 0; step < kQuietSteps; ++step) {
      workload::nap(5);
      for (size_t smallest : kSizes)
        sum += workload::end_block(workload::new_block(smallest, step));
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const bool wants_rest = argc > 1 && std::strcmp(argv[1], "rest") == 0;
  const bool is_steady = argc > 1 && std::strcmp(argv[1], "steady") == 0;
  const double end =
      workload::wall_ns() + 1e9 * static_cast<double>(workload::argument(argc, argv, 2, 0));
  Server server;
  Means means;
  if (is_steady) server.means = &means;
  const double start = workload::cpu_ns();
  do {
    for (size_t phase = 0; phase < kSizes.size(); ++phase) server.live_through_phase(phase);
  } while (is_steady && workload::wall_ns() < end);
  const double ns = workload::cpu_ns() - start;

  if (is_steady) {
    workload::report_ns(ns / static_cast<double>(server.replacements));
    workload::report_kib(means.kib / means.looks);
    workload::report_live(means.live / means.looks);
  } else if (wants_rest) {
    server.be_quiet();
    workload::report_kib(workload::resident_kib());
    workload::report_live(workload::live.now());
  } else {
    workload::report_ns(ns / static_cast<double>(server.replacements));
    workload::report_live(workload::live.most());
  }
  for (size_t phase = 0; phase < kSizes.size(); ++phase) server.end_survivors(phase);
  // How often the phases came around depends on how fast they were.
  workload::report_answer(is_steady ? 0 : server.sum);
}
