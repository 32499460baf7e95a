// memory/returned_test.cpp -- what was freed goes back to the system, whatever lives on beside it.
//
// A user would notice: the server that holds half a GiB after its rush hour, since one object in
// two hundred is still in use; or, worse, objects that lose their content when the pages around
// them go.
//
// Nothing here waits: memory has to be back when free returns, for a process that sleeps calls
// nothing.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "../threads/stamped.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kFrame = 4096;
// What malloc may keep of this much: magazines, depots, free pages, its own records.
constexpr size_t kMargin = 12 * kMiB;

/// Lists of blocks, which are not malloc's: what it keeps of them is no matter here.
template <class T>
struct Mapped {
  using value_type = T;
  Mapped() = default;
  template <class U>
  Mapped(const Mapped<U>&) {}
  T* allocate(size_t count) {
    void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    return static_cast<T*>(memory);
  }
  void deallocate(T* first, size_t count) { munmap(first, count * sizeof(T)); }
  bool operator==(const Mapped&) const = default;
};
using Blocks = std::vector<test::Stamped, Mapped<test::Stamped>>;

size_t mixed_size(test::Rng& rng) {
  const uint64_t permille = rng.below(1000);
  if (permille < 600) return 16 + rng.below(49);
  if (permille < 880) return 65 + rng.below(192);
  if (permille < 980) return 257 + rng.below(768);
  return 1025 + rng.below(3072);
}

/// Objects of `megabytes` together, of which every `nth` stays.
Blocks scatter(test::Rng& rng, size_t megabytes, size_t nth) {
  Blocks all, stay;
  for (size_t bytes = 0; bytes < megabytes * kMiB; bytes += all.back().size)
    all.push_back(test::make_stamped(mixed_size(rng), rng.next()));
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % nth == 0)
      stay.push_back(all[i]);
    else
      test::free_stamped(all[i]);
  }
  return stay;
}

size_t bytes_pinned(const Blocks& blocks) {
  std::set<uintptr_t> frames;
  for (const test::Stamped& block : blocks)
    for (size_t at = 0; at < block.size; at += 16)
      frames.insert((reinterpret_cast<uintptr_t>(block.block) + at) / kFrame);
  return frames.size() * kFrame;
}

// A server whose requests are now of this kind and now of that: what it holds for one is no reserve
// for the other, however often each comes. In a process of its own: what others held lately may be
// kept.
TEST(Returned, WhatEachSizeHeldDoesNotAddUp) {
  const test::Ending ending = test::run_disabled("Returned", "WhatEachSizeHeldDoesNotAddUp");
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Returned, DISABLED_WhatEachSizeHeldDoesNotAddUp) {
  constexpr size_t kPhase = 16 * kMiB;
  const size_t before = test::resident_bytes();
  size_t most = 0;
  for (int round = 0; round < 4; ++round)
    for (size_t size : {48, 96, 200, 400, 640, 1200, 2400, 4000}) {
      Blocks blocks;
      while (blocks.size() * size < kPhase) blocks.push_back(test::make_stamped(size, size));
      most = std::max(most, test::resident_bytes());
      for (const test::Stamped& block : blocks) test::free_stamped(block);
    }
  EXPECT_LE(most, before + 2 * kPhase + 16 * kMiB) << "the list of blocks is in it";
}

TEST(Returned, AFewObjectsKeepTheirOwnPagesOnly) {
  if (sysconf(_SC_PAGESIZE) != static_cast<long>(kFrame)) GTEST_SKIP() << "not run: larger pages";
  const size_t before = test::resident_bytes();
  test::Rng rng(1);
  Blocks stay = scatter(rng, 128, 200);
  const size_t after = test::resident_bytes();
  const size_t pinned = bytes_pinned(stay);
  EXPECT_LT(pinned, 32 * kMiB);
  EXPECT_LE(after, before + pinned * 3 / 2 + kMargin);
  for (const test::Stamped& block : stay) test::free_stamped(block);
  EXPECT_LE(test::resident_bytes(), before + kMargin);
}

TEST(Returned, WhatWentIsUsedAgain) {
  test::Rng rng(2);
  Blocks stay;
  const size_t before = test::resident_bytes();
  for (int round = 0; round < 10; ++round) {
    Blocks more = scatter(rng, 32, 100);
    stay.insert(stay.end(), more.begin(), more.end());
  }
  const size_t after = test::resident_bytes();
  EXPECT_LE(after, before + bytes_pinned(stay) * 3 / 2 + kMargin);
  for (const test::Stamped& block : stay) test::free_stamped(block);
}

TEST(Returned, ObjectsKeepTheirContentWhileOtherThreadsFree) {
  test::Watchdog dog(100, "4 threads that scatter objects");
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed)
    threads.emplace_back([seed] {
      test::Rng rng(seed);
      Blocks stay;
      for (int round = 0; round < 12; ++round) {
        Blocks more = scatter(rng, 8, 20);
        stay.insert(stay.end(), more.begin(), more.end());
        for (size_t i = stay.size() / 2; i > 0; --i) {
          std::swap(stay[rng.below(stay.size())], stay.back());
          test::free_stamped(stay.back());
          stay.pop_back();
        }
      }
      for (const test::Stamped& block : stay) test::free_stamped(block);
    });
  for (std::thread& thread : threads) thread.join();
}

// In a process of its own: what others held lately may be kept.
TEST(Returned, TrimIsDoneBesideOneOfAnotherThread) {
  if (test::on_system_malloc()) GTEST_SKIP() << "not run: glibc's waits for arenas one by one";
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    test::Rng rng(1);
    while (!is_over) {
      malloc_trim(0);
      for (uint64_t i = 0; i < 100; ++i) test::free_stamped(test::make_stamped(50000, i));
    }
  });
  for (int round = 0; round < 50; ++round) {
    Blocks blocks;
    for (uint64_t i = 0; i < 400; ++i) {
      blocks.push_back(test::make_stamped(50000, i));
      memset(blocks.back().block, 1, blocks.back().size);
    }
    const size_t peak = test::resident_bytes();
    for (const test::Stamped& block : blocks) test::stamped_free(block.block);
    malloc_trim(0);
    EXPECT_LE(test::resident_bytes(), peak - 15 * kMiB) << round;
  }
  is_over = true;
  other.join();
}

// Locked pages cannot be purged.
TEST(Returned, LockedMemoryStaysAndIsWhole) {
  const test::Ending ending = test::in_child([] {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return 77;
    test::Rng rng(3);
    for (int round = 0; round < 3; ++round)
      for (const test::Stamped& block : scatter(rng, 16, 50)) test::free_stamped(block);
    return 0;
  });
  if (ending.exit_code == 77) GTEST_SKIP() << "not run: not allowed to lock memory";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

}  // namespace
