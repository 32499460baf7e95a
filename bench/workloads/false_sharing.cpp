// bench/workloads/false_sharing.cpp -- do two threads get memory from one cache line?
//
// Models
//   Counters and small state, each written by one thread only. If the allocator lays the objects
//   of two threads into one cache line, each write takes the line away from the other CPU.
//   active:  two threads allocate their own objects at the same time.
//   passive: before that, a third thread allocated two adjacent objects and gave one to each, and
//            they free it. An allocator that serves them from there has spread the line for good.
//
// Operation
//   One life of an object: malloc, 200 increments, free.

#include <thread>

#include "workload.h"

namespace {

constexpr size_t kObjectBytes = 16;
constexpr size_t kRounds = 20;
constexpr size_t kLives = 1'000;
constexpr size_t kIncrements = 200;

void live(void* inherited, uint64_t& sum) {
  std::free(inherited);
  uint64_t counted = 0;
  for (size_t life = 0; life < kLives; ++life) {
    void* object = workload::must(std::malloc(kObjectBytes));
    auto* counter = static_cast<volatile uint64_t*>(object);
    *counter = life;
    for (size_t i = 0; i < kIncrements; ++i) *counter = *counter + 1;
    if (*counter != life + kIncrements) workload::wrong("a counter was overwritten");
    counted += *counter;
    std::free(object);
  }
  sum = counted;
}

enum class Sharing { kActive, kPassive };

/// Nanoseconds for one life; adds the counters of both threads to `sum`.
double life_ns(Sharing sharing, uint64_t& sum) {
  const double start = workload::wall_ns();
  for (size_t round = 0; round < kRounds; ++round) {
    void* first = nullptr;
    void* second = nullptr;
    if (sharing == Sharing::kPassive) {
      first = workload::must(std::malloc(kObjectBytes));
      second = workload::must(std::malloc(kObjectBytes));
    }
    alignas(64) uint64_t first_sum = 0;
    alignas(64) uint64_t second_sum = 0;
    std::thread one(live, first, std::ref(first_sum));
    std::thread other(live, second, std::ref(second_sum));
    one.join();
    other.join();
    sum += first_sum + second_sum;
  }
  return (workload::wall_ns() - start) / (kRounds * kLives);
}

}  // namespace

int main() {
  uint64_t sum = 0;
  workload::report_ns("active", life_ns(Sharing::kActive, sum));
  workload::report_ns("passive", life_ns(Sharing::kPassive, sum));
  workload::report_answer(sum);
}
