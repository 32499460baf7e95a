// bench/workloads/idle_threads.cpp -- many threads that have freed everything and sleep.
//
// Models
//   The thread pool of a server at night. Each thread once used 130 KiB in small blocks; what its
//   caches still hold is memory that nobody uses, once per thread.
//
// Measurement
//   Resident memory of the process, stacks included, while all threads are alive and asleep.
//
// Arguments
//   threads

#include <pthread.h>

#include <atomic>
#include <latch>
#include <new>
#include <semaphore>
#include <utility>
#include <vector>

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kBytesPerThread = size_t{130} * 1024;
constexpr size_t kStackBytes = size_t{64} * 1024;

std::atomic<uint64_t> total{0};
std::counting_semaphore idle{0};
std::latch measured{1};

/// The blocks of a thread are chained through themselves: an array of them would be stack that the
/// measurement then counts.
struct Node {
  Node* next;
  size_t size;
};

Block content_of(Node* node) {
  return {node + 1, node->size - sizeof(Node)};
}

void* work_then_sleep(void* number) {
  workload::Rng rng(reinterpret_cast<uintptr_t>(number));
  Node* chain = nullptr;
  for (size_t bytes = 0; bytes < kBytesPerThread; bytes += chain->size) {
    const size_t size = rng.between(sizeof(Node) + 16, 1024);
    chain = new (workload::must(std::malloc(size))) Node{chain, size};
    workload::stamp(content_of(chain), rng.next());
  }
  uint64_t sum = 0;
  while (chain != nullptr) {
    sum += workload::checked(content_of(chain));
    std::free(std::exchange(chain, chain->next));
  }
  total += sum;
  idle.release();
  measured.wait();
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = workload::argument(argc, argv, 1, 200);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  std::vector<pthread_t> threads(count);
  for (size_t i = 0; i < count; ++i) {
    void* number = reinterpret_cast<void*>(i);
    if (pthread_create(&threads[i], &attributes, work_then_sleep, number) != 0) {
      workload::fail("cannot create all threads");
    }
  }
  for (size_t i = 0; i < count; ++i) idle.acquire();
  workload::nap(50);
  workload::report_kib(workload::resident_kib());
  measured.count_down();
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  workload::report_answer(total);
}
