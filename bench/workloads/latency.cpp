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
//   On x86-64 the time stamp counter, fenced, else clock_gettime. Between two readings with nothing
//   between them there is a median time, and it is subtracted from each call; steps shorter than
//   the clock can tell are zeros. It does not stop when something else takes the CPU: interrupts
//   and other programs are in the tail, under every allocator alike. A program cannot tell them
//   from the allocator's own doing. Compare the tails of an idle machine.

#include <bit>

#include "workload.h"

#ifdef __x86_64__
#include <x86intrin.h>
#endif

namespace {

using workload::Block;

constexpr size_t kSlots = 30'000;  // Half of them are filled.
constexpr size_t kWarmUp = 300'000;
constexpr size_t kSteps = 2'000'000;

uint64_t ticks() {
#ifdef __x86_64__
  _mm_lfence();
  const uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
#else
  return static_cast<uint64_t>(workload::wall_ns());
#endif
}

/// Durations in buckets, 16 for each power of two: bounds are 3 to 6 % apart.
class Histogram {
 public:
  void record(uint64_t duration) {
    const unsigned shift = duration < 16 ? 0 : std::bit_width(duration) - 5;
    Bucket& bucket = buckets_[shift * 16 + (duration >> shift)];
    ++bucket.count;
    bucket.ticks += duration;
  }

  void report(const char* row, double ns_per_tick) const {
    size_t calls = 0;
    for (const Bucket& bucket : buckets_) calls += bucket.count;
    size_t fast = 0, fast_ticks = 0;
    const char* separator = "";
    std::printf("lat.%s=", row);
    for (size_t i = 0; i < buckets_.size(); ++i) {
      const auto [count, sum] = buckets_[i];
      if (count == 0) continue;
      if (fast + count <= calls - calls / 1000) fast += count, fast_ticks += sum;
      std::printf("%s%.2f:%zu", separator, upper_bound(i) * ns_per_tick, count);
      separator = ",";
    }
    std::printf("\n");
    workload::report_ns(row, ns_per_tick * static_cast<double>(fast_ticks) / fast);
  }

 private:
  struct Bucket {
    size_t count = 0;
    size_t ticks = 0;
  };

  static double upper_bound(size_t index) {
    const size_t shift = index < 32 ? 0 : index / 16 - 1;
    return static_cast<double>((index - shift * 16 + 1) << shift);
  }

  std::array<Bucket, 1024> buckets_;
};

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

uint64_t clock_overhead() {
  static std::array<uint64_t, 10'001> durations;
  for (uint64_t& duration : durations) {
    const uint64_t start = ticks();
    duration = ticks() - start;
  }
  std::nth_element(durations.begin(), durations.begin() + durations.size() / 2, durations.end());
  return durations[durations.size() / 2];
}

}  // namespace

int main() {
  static Recorder recorder;
  for (size_t i = 0; i < kWarmUp; ++i) recorder.step();
  recorder.mallocs = recorder.frees = Histogram();
  recorder.overhead = clock_overhead();

  const double start = workload::wall_ns();
  const uint64_t start_ticks = ticks();
  for (size_t i = 0; i < kSteps; ++i) recorder.step();
  const double ns_per_tick =
      (workload::wall_ns() - start) / static_cast<double>(ticks() - start_ticks);
  for (const Block& block : recorder.slots) {
    if (block.memory != nullptr) recorder.sum += workload::end_block(block);
  }

  recorder.mallocs.report("malloc", ns_per_tick);
  recorder.frees.report("free", ns_per_tick);
  workload::report_live(workload::live.most());
  workload::report_answer(recorder.sum);
}
