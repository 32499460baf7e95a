// threads/cross_thread_free_test.cpp -- what one thread allocates, another frees.
//
// A user would notice: a pipeline of threads that loses or mixes messages, or whose memory grows
// for ever because what the consumer frees never finds its way back to the producer.

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "../support/child.h"
#include "../support/subject.h"
#include "stamped.h"

namespace {

/// A bounded queue of stamped blocks between one producer and one consumer.
class Channel {
 public:
  void put(const test::Stamped& block) {
    const size_t at = head_.load(std::memory_order_relaxed);
    while (at - tail_.load(std::memory_order_acquire) == kSlots) sched_yield();
    slots_[at % kSlots] = block;
    head_.store(at + 1, std::memory_order_release);
  }
  test::Stamped take() {
    const size_t at = tail_.load(std::memory_order_relaxed);
    while (head_.load(std::memory_order_acquire) == at) sched_yield();
    const test::Stamped block = slots_[at % kSlots];
    tail_.store(at + 1, std::memory_order_release);
    return block;
  }

 private:
  static constexpr size_t kSlots = 1024;
  test::Stamped slots_[kSlots];
  std::atomic<size_t> head_{0};
  std::atomic<size_t> tail_{0};
};

TEST(CrossThreadFree, RingOfThreadsPassesBlocksOn) {
  test::Watchdog dog(110, "the ring of threads");
  constexpr int kThreads = 4;
  constexpr size_t kBlocks = 300000;
  auto channels = std::make_unique<Channel[]>(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      test::Rng rng(static_cast<uint64_t>(t) + 100);
      for (size_t i = 0; i < kBlocks; ++i) {
        const test::Stamped made = test::make_stamped(rng.size(40000), rng.next());
        channels[t].put(made);
        // A thread frees only what its neighbour made.
        if (i >= 500) free_stamped(channels[(t + kThreads - 1) % kThreads].take());
      }
      for (size_t i = 0; i < 500; ++i) {
        free_stamped(channels[(t + kThreads - 1) % kThreads].take());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(CrossThreadFree, AProducerWhoseBlocksOthersFreeDoesNotGrow) {
  test::Watchdog dog(110, "producer and consumer");
  constexpr size_t kRounds = 400000;
  auto channel = std::make_unique<Channel>();
  std::thread consumer([&] {
    for (size_t i = 0; i < kRounds; ++i) free_stamped(channel->take());
  });
  const size_t before = test::resident_bytes();
  test::Rng rng(7);
  for (size_t i = 0; i < kRounds; ++i) {
    channel->put(test::make_stamped(rng.below(2000), rng.next()));
  }
  consumer.join();
  // 400 MiB went through; at most about 2 MiB were alive at once.
  EXPECT_LE(test::resident_bytes(), before + (size_t{32} << 20));
}

TEST(CrossThreadFree, AThreadThatNeverAllocatedFreesEverything) {
  test::Watchdog dog(110, "frees from threads that never allocated");
  const size_t before = test::resident_bytes();
  for (uint64_t round = 0; round < 30; ++round) {
    std::vector<test::Stamped> blocks(40000);
    test::Rng rng(round);
    for (test::Stamped& block : blocks) block = test::make_stamped(rng.below(1000), rng.next());
    std::thread([&] {
      for (const test::Stamped& block : blocks) free_stamped(block);
    }).join();
  }
  EXPECT_LE(test::resident_bytes(), before + (size_t{64} << 20)) << "30 rounds of 20 MiB";
}

TEST(CrossThreadFree, BlocksOutliveTheThreadThatMadeThem) {
  test::Watchdog dog(110, "blocks of threads that ended");
  std::vector<test::Stamped> all;
  for (uint64_t t = 0; t < 200; ++t) {
    std::thread([&all, t] {
      test::Rng rng(t);
      for (int i = 0; i < 300; ++i) all.push_back(test::make_stamped(rng.size(9000), rng.next()));
    }).join();
  }
  for (const test::Stamped& block : all) free_stamped(block);
}

}  // namespace
