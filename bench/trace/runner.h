// bench/trace/runner.h -- makes the operations of a plan, each thread its own.
//
// Idea
//   The main thread leads: at the beginning of an epoch it starts the threads that are to begin,
//   gives each thread its segment, makes its own, and waits for the others. Only the operations
//   themselves are timed, as CPU time of the thread that makes them; a wait for another thread's
//   object is taken off again.
//
//   Every block is written to: its first and last word, and a word in each page. The words are
//   checked when it is freed, and what calloc gives out is checked for zeros.

#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "mapped.h"
#include "plan.h"

namespace trace {

/// Where an object is found. Empty while address is null.
struct Slot {
  std::atomic<char*> address;
  size_t size;
  uint64_t key;
};

struct Effort {
  double ns = 0;
  uint64_t answer = 0;  // The sum of the keys of all objects that came back undamaged.
};

class Runner {
 public:
  /// All memory that the replay itself needs is there, and resident, from here on.
  explicit Runner(const Plan& plan);

  /// Calls after_epoch(epoch) behind each epoch, then frees what is left, and ends all threads.
  template <class AfterEpoch>
  Effort run(AfterEpoch after_epoch) {
    for (const Epoch& epoch : plan_.epochs) {
      run_epoch(epoch);
      after_epoch(epoch);
    }
    return finish();
  }

  /// The same without a stop at any epoch, if there is one thread.
  Effort run_through();

 private:
  struct Worker;

  static void* work(void* worker);
  void run_epoch(const Epoch& epoch);
  void run_segment(const Segment& segment, Effort& effort);
  void start(Worker& worker);
  void end(Worker& worker);
  Effort finish();

  const Plan& plan_;
  Slot* slots_;
  Worker* workers_;
  char* stacks_;
  std::atomic<uint32_t> busy_{0};
};

}  // namespace trace
