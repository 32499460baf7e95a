// bench/workloads/generations.cpp -- short-lived threads inherit the objects of their predecessors.
//
// Models
//   A server with a thread per connection or per task: the session state outlives the thread that
//   allocated it, the next thread frees part of it, allocates, and ends in turn. What a thread's
//   caches hold when it ends must find its way to the others.
//
// Operation
//   One replacement of an object, the creation and end of the threads included.

#include <semaphore>
#include <thread>
#include <utility>

#include "workload.h"

namespace {

using workload::Block;

constexpr size_t kLines = 2;  // Families of threads that run at the same time.
constexpr size_t kGenerations = 50;
constexpr size_t kReplacements = 10'000;  // Of each thread.
constexpr size_t kBooked = 500;           // So many at a time.

workload::SharedLive account;

/// One line of descent: what a thread leaves to its successor.
struct Line {
  workload::Rng rng{1};
  std::array<Block, 1000> objects;
  size_t generation = 0;
  uint64_t sum = 0;
  std::binary_semaphore ended{0};
};

void live(Line& line) {
  int64_t change = 0;
  for (size_t i = 0; i < kReplacements; ++i) {
    Block& block = line.objects[line.rng.below(line.objects.size())];
    if (block.memory != nullptr) line.sum += workload::end_block(block);
    change -= static_cast<int64_t>(block.size);
    block = workload::new_block(workload::mixed_size(line.rng), line.rng.next());
    change += static_cast<int64_t>(block.size);
    if (i % kBooked == 0) account.book(std::exchange(change, 0));
  }
  account.book(change);
  if (++line.generation < kGenerations) {
    std::thread(live, std::ref(line)).detach();
  } else {
    line.ended.release();
  }
}

}  // namespace

int main() {
  static std::array<Line, kLines> lines;
  const double start = workload::wall_ns();
  for (size_t i = 0; i < kLines; ++i) {
    lines[i].rng = workload::Rng(i);
    std::thread(live, std::ref(lines[i])).detach();
  }
  for (Line& line : lines) line.ended.acquire();
  const double ns = workload::wall_ns() - start;

  uint64_t sum = 0;
  for (Line& line : lines) {
    sum += line.sum;
    for (const Block& block : line.objects) {
      if (block.memory != nullptr) sum += workload::end_block(block);
    }
  }
  workload::report_ns(ns / (kLines * kGenerations * kReplacements));
  workload::report_live(account.most());
  workload::report_answer(sum);
}
