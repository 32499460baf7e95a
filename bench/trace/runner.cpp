// bench/trace/runner.cpp -- see runner.h.

#include "runner.h"

#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../workloads/workload.h"

namespace trace {

namespace {

constexpr size_t kStackBytes = size_t{128} * 1024;
constexpr size_t kPageBytes = 4096;
constexpr int kYields = 100;  // Before a thread goes to sleep: waking up takes longer.

double thread_ns() {
  return workload::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/// Waits until the word is no longer `old`.
void wait_while(std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kYields; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    sched_yield();
  }
  word.wait(old, std::memory_order_acquire);
}

/// The object's words: `each` gets the address of one and what is to stand there. Those of pages
/// that lie within the first `skipped` bytes are left out.
template <class Each>
void for_words(char* block, size_t size, uint64_t key, size_t skipped, Each each) {
  if (size < sizeof(key)) return;
  each(block, key);
  if (size < 2 * sizeof(key)) return;
  const auto is_within = [](size_t page, size_t bytes) { return page + 16 <= bytes; };
  size_t page = std::max(skipped / kPageBytes, size_t{1}) * kPageBytes;
  if (is_within(page, skipped)) page += kPageBytes;
  for (; is_within(page, size); page += kPageBytes) each(block + page, key + page);
  each(block + size - sizeof(key), ~key);
}

void write_words(char* block, size_t size, uint64_t key, size_t skipped = 0) {
  for_words(block, size, key, skipped,
            [](char* place, uint64_t word) { std::memcpy(place, &word, sizeof(word)); });
}

void check_words(char* block, size_t size, uint64_t key) {
  for_words(block, size, key, 0, [](const char* place, uint64_t word) {
    if (std::memcmp(place, &word, sizeof(word)) != 0) workload::wrong("a block lost its content");
  });
}

void check_zeros(char* block, size_t size) {
  for_words(block, size, 0, 0, [](const char* place, uint64_t) {
    uint64_t found;
    std::memcpy(&found, place, sizeof(found));
    if (found != 0) workload::wrong("calloc gave out a block that is not zeroed");
  });
}

char* allocate(const Op& op) {
  void* block = nullptr;
  switch (static_cast<Kind>(op.kind)) {
    case Kind::kCalloc: block = std::calloc(1, op.size); break;
    // Not aligned_alloc: some refuse a size that is no multiple of the alignment.
    case Kind::kAligned: block = memalign(size_t{1} << op.align_log2, op.size); break;
    default: block = std::malloc(op.size);
  }
  char* bytes = static_cast<char*>(workload::must(block));
  if (static_cast<Kind>(op.kind) == Kind::kCalloc) check_zeros(bytes, op.size);
  return bytes;
}

void fill(Slot& slot, char* block, size_t size, uint64_t key) {
  slot.size = size;
  slot.key = key;
  slot.address.store(block, std::memory_order_release);
}

/// Empties the slot, whose object may be another thread's that has not come so far yet.
char* taken(Slot& slot, Effort& effort) {
  char* block = slot.address.load(std::memory_order_acquire);
  if (block == nullptr) [[unlikely]] {
    const double start = thread_ns();
    while ((block = slot.address.load(std::memory_order_acquire)) == nullptr) sched_yield();
    effort.ns -= thread_ns() - start;
  }
  slot.address.store(nullptr, std::memory_order_relaxed);
  return block;
}

void free_object(Slot& slot, Effort& effort) {
  char* block = taken(slot, effort);
  check_words(block, slot.size, slot.key);
  effort.answer += slot.key;
  std::free(block);
}

void allocate_object(const Op& op, Slot& slot) {
  const size_t size = op.size;
  const uint64_t key = (op.slot + uint64_t{1}) * 0x9E3779B97F4A7C15u + size;
  char* block = allocate(op);
  write_words(block, size, key);
  fill(slot, block, size, key);
}

void reallocate_object(size_t size, Slot& from, Slot& to, Effort& effort) {
  char* block = taken(from, effort);
  check_words(block, std::min(from.size, sizeof(from.key)), from.key);
  block = static_cast<char*>(workload::must(std::realloc(block, size)));
  check_words(block, std::min({from.size, size, sizeof(from.key)}), from.key);
  effort.answer += size;
  write_words(block, size, from.key, from.size);
  fill(to, block, size, from.key);
}

}  // namespace

/// One thread of the replay.
struct alignas(64) Runner::Worker {
  Runner* runner;
  pthread_t thread;
  bool is_there;
  const Segment* segment;  // Null: it is to end.
  std::atomic<uint32_t> turns;
  Effort effort;
};

Runner::Runner(const Plan& plan) : plan_(plan) {
  slots_ = static_cast<Slot*>(map_zeroed((plan.slots + size_t{1}) * sizeof(Slot), MAP_POPULATE));
  workers_ = static_cast<Worker*>(map_zeroed(plan.seats * sizeof(Worker), MAP_POPULATE));
  stacks_ = static_cast<char*>(map_zeroed((plan.seats - 1) * kStackBytes, MAP_POPULATE));
}

void Runner::run_segment(const Segment& segment, Effort& effort) {
  const double start = thread_ns();
  const Op* end = plan_.ops.begin() + segment.last;
  for (const Op* op = plan_.ops.begin() + segment.first; op != end; ++op) {
    switch (static_cast<Kind>(op->kind)) {
      case Kind::kFree: free_object(slots_[op->slot], effort); break;
      case Kind::kRealloc:
        reallocate_object(op->size, slots_[op->slot], slots_[op->to], effort);
        break;
      case Kind::kThreadEnd: break;
      default: allocate_object(*op, slots_[op->slot]);
    }
  }
  effort.ns += thread_ns() - start;
}

void Runner::run_epoch(const Epoch& epoch) {
  const Segment* own = nullptr;
  for (size_t i = epoch.first_segment; i < epoch.last_segment; ++i) {
    const Segment& segment = plan_.segments[i];
    Worker& worker = workers_[segment.seat];
    if (segment.seat == 0) {
      own = &segment;
      continue;
    }
    if (segment.starts_thread) start(worker);
    worker.segment = &segment;
    busy_.fetch_add(1);
    worker.turns.fetch_add(1, std::memory_order_release);
    worker.turns.notify_one();
  }
  if (own != nullptr) run_segment(*own, workers_[0].effort);
  while (const uint32_t busy = busy_.load()) wait_while(busy_, busy);
  for (size_t i = epoch.first_segment; i < epoch.last_segment; ++i) {
    if (plan_.segments[i].ends_thread) end(workers_[plan_.segments[i].seat]);
  }
}

void* Runner::work(void* argument) {
  auto& worker = *static_cast<Worker*>(argument);
  for (uint32_t turn = 0;; ++turn) {
    wait_while(worker.turns, turn);
    if (worker.segment == nullptr) return nullptr;
    worker.runner->run_segment(*worker.segment, worker.effort);
    if (worker.runner->busy_.fetch_sub(1) == 1) worker.runner->busy_.notify_one();
  }
}

void Runner::start(Worker& worker) {
  const auto seat = static_cast<size_t>(&worker - workers_);
  worker.runner = this;
  worker.turns = 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stacks_ + (seat - 1) * kStackBytes, kStackBytes);
  if (pthread_create(&worker.thread, &attributes, work, &worker) != 0) {
    std::fputs("replay: cannot start a thread; see ulimit -u\n", stderr);
    std::exit(2);
  }
  worker.is_there = true;
}

void Runner::end(Worker& worker) {
  worker.segment = nullptr;
  worker.turns.fetch_add(1, std::memory_order_release);
  worker.turns.notify_one();
  pthread_join(worker.thread, nullptr);
  worker.is_there = false;
}

Effort Runner::run_through() {
  for (const Segment& segment : plan_.segments) {
    if (segment.seat != 0) return run([](const Epoch&) {});
  }
  run_segment({0, plan_.ops.size(), 0, false, false}, workers_[0].effort);
  return finish();
}

Effort Runner::finish() {
  Effort total;
  for (uint32_t i = 0; i < plan_.slots; ++i) {
    if (slots_[i].address != nullptr) free_object(slots_[i], total);
  }
  for (uint32_t seat = 0; seat < plan_.seats; ++seat) {
    Worker& worker = workers_[seat];
    if (worker.is_there) end(worker);
    total.ns += worker.effort.ns;
    total.answer += worker.effort.answer;
    worker.effort = {};
  }
  return total;
}

}  // namespace trace
