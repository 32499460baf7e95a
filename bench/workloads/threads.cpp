// bench/workloads/threads.cpp -- the same work done by 1 to 64 threads.
//
// Models
//   A program that is given more threads, whether the machine has CPUs for them or not. Each thread
//   has objects of its own, and one in eight goes to its neighbour, who frees it. Perfect scaling
//   halves the time with each doubling up to the number of CPUs, and then keeps it. Locks within
//   the allocator end it sooner, and so does memory that is held for each thread.
//
// Operation
//   One replacement of an object, by the clock; threads are created before it starts. All counts of
//   threads make the same number of replacements together.
//
// Memory
//   What is under way grows where a neighbour gets no CPU, so live= is another in each run, and
//   resident memory with it: look at their ratio.

#include <barrier>
#include <thread>
#include <utility>

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kMostThreads = 64;
constexpr size_t kReplacements = 64 * 24'000;  // Of all threads together.
constexpr size_t kObjects = 500;               // Of each thread.
constexpr size_t kOneIn = 8;

workload::SharedLive account;

/// What one thread gives to the next, who frees it too. They travel in a chain through themselves.
struct Parcel {
  Parcel* next = nullptr;
  size_t count = 0;
  std::array<Block, 32> blocks;
};

class Worker {
 public:
  void build(size_t number) {
    rng_ = workload::Rng(number);
    for (Block& block : objects_) block = new_object();
    parcel_ = new_parcel();
    book();
  }

  void work(size_t replacements, Worker& neighbour) {
    for (size_t i = 0; i < replacements; ++i) {
      Block& block = objects_[rng_.below(objects_.size())];
      if (rng_.below(kOneIn) == 0) {
        parcel_->blocks[parcel_->count++] = block;
        if (parcel_->count == parcel_->blocks.size()) {
          neighbour.post(std::exchange(parcel_, new_parcel()));
          empty_inbox();
        }
      } else {
        end_object(block);
      }
      block = new_object();
    }
  }

  /// Only after all workers have ended their work. Returns the sum of all stamps it has freed.
  uint64_t end() {
    for (const Block& block : objects_) end_object(block);
    post(parcel_);
    empty_inbox();
    return std::exchange(sum_, 0);
  }

 private:
  Block new_object() {
    const Block block = workload::new_block(workload::mixed_size(rng_), rng_.next());
    change_ += static_cast<int64_t>(block.size);
    return block;
  }
  void end_object(const Block& block) {
    change_ -= static_cast<int64_t>(block.size);
    sum_ += workload::end_block(block);
  }
  Parcel* new_parcel() {
    change_ += sizeof(Parcel);
    return new Parcel;
  }
  void book() { account.book(std::exchange(change_, 0)); }

  void post(Parcel* parcel) {
    parcel->next = inbox_.load();
    while (!inbox_.compare_exchange_weak(parcel->next, parcel)) {
    }
  }
  void empty_inbox() {
    for (Parcel* parcel = inbox_.exchange(nullptr); parcel != nullptr;) {
      for (size_t i = 0; i < parcel->count; ++i) end_object(parcel->blocks[i]);
      delete std::exchange(parcel, parcel->next);
      change_ -= sizeof(Parcel);
    }
    book();
  }

  workload::Rng rng_{1};
  std::array<Block, kObjects> objects_;
  Parcel* parcel_ = nullptr;
  int64_t change_ = 0;
  uint64_t sum_ = 0;
  alignas(64) std::atomic<Parcel*> inbox_{nullptr};
};

/// The time of all replacements together; adds the stamps to `sum`. The clock is read by the thread
/// that comes last to where they meet: any other may not get a CPU until the work is done.
double work_ns(size_t count, uint64_t& sum) {
  static std::array<Worker, kMostThreads> workers;
  std::array<double, 2> times{};
  size_t meetings = 0;
  std::barrier together(static_cast<ptrdiff_t>(count),
                        [&]() noexcept { times[meetings++] = workload::wall_ns(); });
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      workers[i].build(i);
      together.arrive_and_wait();
      workers[i].work(kReplacements / count, workers[(i + 1) % count]);
      together.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < count; ++i) sum += workers[i].end();
  return times[1] - times[0];
}

}  // namespace

int main() {
  uint64_t sum = 0;
  for (size_t count = 1; count <= kMostThreads; count *= 2) {
    char row[32];
    std::snprintf(row, sizeof(row), "%zu", count);
    workload::report_ns(row, work_ns(count, sum) / kReplacements);
  }
  workload::report_live(account.most());
  workload::report_answer(sum);
}
