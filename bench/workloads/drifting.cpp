// bench/workloads/drifting.cpp -- a server whose objects slowly become larger, and smaller again.
//
// Models
//   A server that runs for long under steady load: what is live stays the same, but of which sizes
//   drifts with what the clients ask for, morning to evening. Most objects are around a size that
//   goes from 48 bytes to 768 and back; beside them there are always buffers of half a KiB to 32.
//   One object in a hundred lives ten times as long as the others. Who keeps memory for the size
//   that it once had holds what all sizes took at their time.
//
// Operation
//   One object: made and filled, and another one, any, checked and freed.
//
// Arguments
//   MiB live, objects to make. The sizes come and go twice. Memory is the mean of what is resident
//   at 32 moments of the second time, live the mean of what is live then.

#include "workload.h"

namespace {

using workload::Block;
using Blocks = workload::Vector<Block>;

constexpr std::array<size_t, 9> kCentres = {48, 64, 96, 128, 192, 256, 384, 512, 768};
constexpr size_t kLooks = 32;
constexpr size_t kLongLivedOneIn = 100;

class Server {
 public:
  /// Makes an object at a moment of the drift, from 0 to 1 and back to 0 in `period` steps.
  void make(size_t step, size_t period) {
    const size_t phase = step % period * 2 * (kCentres.size() - 1) / period;
    const size_t up = kCentres.size() - 1;
    const size_t centre = kCentres[phase <= up ? phase : 2 * up - phase];
    const size_t size = size_around(centre);
    const Block block{workload::must(std::malloc(size)), size};
    std::memset(block.memory, 1, size);
    workload::stamp(block, rng_.next());
    workload::live.add(size);
    (rng_.below(kLongLivedOneIn) == 0 ? long_lived_ : others_).push_back(block);
  }

  /// Frees any object; of those that live long one for each eight of them, where they are many.
  void end_any() {
    const bool are_many = long_lived_.size() * 3 > others_.size();
    const bool ends_long_lived = others_.empty() || (are_many && rng_.below(8) == 0);
    Blocks& blocks = ends_long_lived ? long_lived_ : others_;
    std::swap(blocks[rng_.below(blocks.size())], blocks.back());
    sum_ += workload::end_block(workload::live, blocks.back());
    blocks.pop_back();
  }

  bool is_empty() const { return others_.empty() && long_lived_.empty(); }
  uint64_t sum() const { return sum_; }

 private:
  size_t size_around(size_t centre) {
    const size_t percent = rng_.below(100);
    if (percent < 85) return rng_.between(centre / 2, centre * 2);
    if (percent < 98) return rng_.between(512, 8192);
    return rng_.between(8193, 32768);
  }

  workload::Rng rng_{1};
  Blocks others_, long_lived_;
  uint64_t sum_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const size_t most_live = workload::argument(argc, argv, 1, 96) << 20;
  const size_t objects = workload::argument(argc, argv, 2, 4'000'000);
  const size_t period = objects / 2;
  Server server;
  size_t kib = 0, live = 0, looks = 0;

  const double start = workload::cpu_ns();
  for (size_t step = 0; step < objects; ++step) {
    while (workload::live.now() > most_live) server.end_any();
    server.make(step, period);
    if (step < period || step % (period / kLooks) != 0) continue;
    ++looks;
    kib += workload::resident_kib();
    live += workload::live.now();
  }
  const double ns = workload::cpu_ns() - start;
  while (!server.is_empty()) server.end_any();

  workload::report_ns(ns / static_cast<double>(objects));
  workload::report_kib(kib / looks);
  workload::report_live(live / looks);
  workload::report_answer(server.sum());
}
