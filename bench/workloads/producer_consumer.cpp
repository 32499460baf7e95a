// bench/workloads/producer_consumer.cpp -- some threads allocate, others free.
//
// Models
//   Pipelines, logging, message passing: no thread ever frees what it allocated itself, so every
//   object takes the way for remote frees. With more producers than consumers it is the
//   many-to-one case of a writer thread that drops what all others made.
//
// Operation
//   One object on its whole way from malloc to free. Objects travel in batches through a bounded
//   queue, so that the lock of the queue is taken once for 250 of them.
//
// Arguments
//   producers, consumers

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kObjects = 1'200'000;
constexpr size_t kBatch = 250;
constexpr size_t kBatches = kObjects / kBatch;

using Batch = std::array<Block, kBatch>;

/// First in, first out, at most 16 batches.
class Queue {
 public:
  void push(const Batch& batch) {
    std::unique_lock held(mutex_);
    has_room_.wait(held, [&] { return pushed_ - popped_ < ring_.size(); });
    ring_[pushed_++ % ring_.size()] = batch;
    has_batch_.notify_one();
  }
  void pop(Batch& batch) {
    std::unique_lock held(mutex_);
    has_batch_.wait(held, [&] { return pushed_ > popped_; });
    batch = ring_[popped_++ % ring_.size()];
    has_room_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_room_, has_batch_;
  std::array<Batch, 16> ring_;
  size_t pushed_ = 0, popped_ = 0;
};

Queue queue;
std::atomic<size_t> produced{0}, consumed{0};
std::atomic<uint64_t> total{0};
workload::SharedLive live;

int64_t bytes_of(const Batch& batch) {
  int64_t bytes = 0;
  for (const Block& block : batch) bytes += static_cast<int64_t>(block.size);
  return bytes;
}

void produce() {
  Batch batch;
  for (size_t number; (number = produced++) < kBatches;) {
    workload::Rng rng(number);
    for (Block& block : batch) block = workload::new_block(workload::mixed_size(rng), rng.next());
    live.book(bytes_of(batch));
    queue.push(batch);
  }
}

void consume() {
  Batch batch;
  uint64_t sum = 0;
  while (consumed++ < kBatches) {
    queue.pop(batch);
    for (const Block& block : batch) sum += workload::end_block(block);
    live.book(-bytes_of(batch));
  }
  total += sum;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t producers = workload::argument(argc, argv, 1, 1);
  const size_t consumers = workload::argument(argc, argv, 2, 1);
  const double start = workload::wall_ns();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < producers; ++i) threads.emplace_back(produce);
  for (size_t i = 0; i < consumers; ++i) threads.emplace_back(consume);
  for (std::thread& thread : threads) thread.join();
  workload::report_ns((workload::wall_ns() - start) / kObjects);
  workload::report_live(live.most());
  workload::report_answer(total);
}
