// limits/zones_test.cpp -- memory that must stand somewhere stands there, and says so when it
// cannot.
//
// A user would notice: a JIT whose 32-bit pointers do not reach their targets; a device that writes
// into pages which the kernel has moved; a program that is ended, or hangs, at its limit of locked
// memory.

#include <ashlar/pages.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

void* pages(size_t size, std::vector<ashlar_zone> zones) {
  auto* alloc = reinterpret_cast<void* (*)(size_t, const ashlar_zone*, size_t)>(
      dlsym(RTLD_DEFAULT, "ashlar_pages_alloc"));
  return alloc(size, zones.data(), zones.size());
}

bool is_low(const void* p, size_t size) {
  return reinterpret_cast<uintptr_t>(p) + size <= uintptr_t{1} << 32;
}

bool is_all(const void* p, size_t size, unsigned char byte) {
  const auto* bytes = static_cast<const unsigned char*>(p);
  for (size_t i = 0; i < size; ++i)
    if (bytes[i] != byte) return false;
  return true;
}

size_t locked_kib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("VmLck:", 0) == 0) return std::stoul(line.substr(6));
  return 0;
}

TEST(Zones, PagesAreZeroedAlignedAndWhole) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{5000}, 3 * kMiB + 1}) {
    for (int round = 0; round < 3; ++round) {
      void* p = pages(size, {ASHLAR_ZONE_NORMAL});
      ASSERT_NE(p, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 4096, 0u);
      const size_t whole = std::max((size + 4095) / 4096, size_t{1}) * 4096;
      EXPECT_GE(malloc_usable_size(p), whole);
      EXPECT_TRUE(is_all(p, whole, 0)) << size;
      memset(p, 7, whole);
      free(p);
    }
  }
}

TEST(Zones, LowMemoryIsLowHoweverItIsResized) {
  std::vector<void*> blocks;
  for (size_t size : {size_t{1}, size_t{100000}, 5 * kMiB}) {
    void* p = pages(size, {ASHLAR_ZONE_LOW32});
    ASSERT_NE(p, nullptr) << size;
    EXPECT_TRUE(is_low(p, size));
    memset(p, 9, size);
    for (size_t other : {size * 3, size * 40, size}) {
      p = realloc(p, other);
      ASSERT_NE(p, nullptr);
      EXPECT_TRUE(is_low(p, other)) << other;
      EXPECT_TRUE(is_all(p, size, 9));
    }
    p = realloc(p, 24);
    EXPECT_TRUE(is_low(p, 24));
    blocks.push_back(p);
  }
  for (void* p : blocks) free(p);
}

TEST(Zones, LowMemoryEndsWithANull) {
  std::vector<void*> blocks;
  for (;;) {
    errno = 0;
    void* p = pages(64 * kMiB, {ASHLAR_ZONE_LOW32});
    if (p == nullptr) break;
    ASSERT_TRUE(is_low(p, 64 * kMiB));
    blocks.push_back(p);
    ASSERT_LE(blocks.size(), 64u);
  }
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_GE(blocks.size(), 4u);
  void* elsewhere = pages(64 * kMiB, {ASHLAR_ZONE_LOW32, ASHLAR_ZONE_NORMAL});
  EXPECT_NE(elsewhere, nullptr) << "the next zone of the list has room";
  free(elsewhere);
  for (void* p : blocks) free(p);
  void* again = pages(64 * kMiB, {ASHLAR_ZONE_LOW32});
  EXPECT_TRUE(again != nullptr && is_low(again, 64 * kMiB));
  free(again);
}

TEST(Zones, PinnedMemoryIsLockedAndNoMoreThanThat) {
  const test::Ending ending = test::in_child([] {
    const rlimit limit{8 * kMiB, 8 * kMiB};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 2;
    void* p = pages(kMiB, {ASHLAR_ZONE_PINNED});
    if (p == nullptr) return 3;
    if (locked_kib() < 1024 || locked_kib() > 1024 + 64) return 4;
    memset(p, 5, kMiB);
    auto* more = static_cast<char*>(realloc(p, 2 * kMiB));
    if (more == nullptr || !is_all(more, kMiB, 5)) return 5;
    if (locked_kib() < 2048) return 6;
    free(more);
    malloc_trim(0);
    void* again = pages(2 * kMiB, {ASHLAR_ZONE_PINNED});
    return again != nullptr && is_all(again, 2 * kMiB, 0) ? 0 : 7;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// Whoever may do anything (CAP_IPC_LOCK) has no such limit: it is given up in the child.
TEST(Zones, PinnedMemoryEndsAtTheLimitWithANull) {
  const test::Ending ending = test::in_child([] {
    const rlimit limit{2 * kMiB, 2 * kMiB};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 2;
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    size_t blocks = 0;
    errno = 0;
    while (pages(256 * 1024, {ASHLAR_ZONE_PINNED}) != nullptr && blocks < 100) ++blocks;
    if (errno != ENOMEM) return 3;
    if (blocks < 6 || blocks > 8) return 4;
    return pages(256 * 1024, {ASHLAR_ZONE_PINNED, ASHLAR_ZONE_NORMAL}) != nullptr ? 0 : 5;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Zones, PinnedMemoryIsHadAsFarAsTheLimitGoes) {
  for (size_t kib : {4, 40, 1536}) {
    const test::Ending ending = test::in_child([kib] {
      const rlimit limit{kib << 10, kib << 10};
      if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 2;
      if (geteuid() == 0 && setuid(65534) != 0) return 2;
      if (pages(kib << 10, {ASHLAR_ZONE_PINNED}) == nullptr) return 3;
      return locked_kib() == kib && pages(1, {ASHLAR_ZONE_PINNED}) == nullptr ? 0 : 4;
    });
    EXPECT_TRUE(ending.clean()) << kib << " KiB: " << ending.text();
  }
}

TEST(Zones, AChildGetsPinnedMemoryThatIsLocked) {
  const test::Ending ending = test::in_child([] {
    auto* kept = static_cast<char*>(pages(64 * 1024, {ASHLAR_ZONE_PINNED}));
    void* freed = pages(kMiB, {ASHLAR_ZONE_PINNED});
    if (kept == nullptr || freed == nullptr) return 2;
    memset(kept, 3, 64 * 1024);
    free(freed);
    const pid_t child = fork();
    if (child == 0) {
      if (locked_kib() != 0) _exit(3);
      void* p = pages(kMiB, {ASHLAR_ZONE_PINNED});
      if (p == nullptr || locked_kib() < 1024) _exit(4);
      auto* grown = static_cast<char*>(realloc(kept, 128 * 1024));
      if (grown == nullptr || !is_all(grown, 64 * 1024, 3)) _exit(5);
      free(grown);
      free(p);
      const rlimit none{0, 0};
      if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) _exit(6);
      if (geteuid() == 0 && setuid(65534) != 0) _exit(6);
      const pid_t grandchild = fork();
      if (grandchild == 0) _exit(pages(1, {ASHLAR_ZONE_PINNED}) == nullptr ? 0 : 7);
      _exit(test::wait_for(grandchild).clean() ? 0 : 8);
    }
    if (!test::wait_for(child).clean()) return 9;
    return locked_kib() >= 1024 + 64 ? 0 : 10;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Zones, WhatIsNoZoneIsToldSo) {
  errno = 0;
  EXPECT_EQ(pages(1, {}), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(pages(1, {ASHLAR_ZONE_NORMAL, static_cast<ashlar_zone>(77)}), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

// Registered before malloc's handlers, so called behind them: a fork then takes longer than a
// thread waits for it.
std::atomic<bool> g_forks_slowly{false};
[[gnu::constructor]] void register_slow_handler() {
  pthread_atfork([] { usleep(g_forks_slowly ? 4000 : 0); }, nullptr, nullptr);
}

// What other threads get meanwhile stands beside the heap, but not what has to stand somewhere.
TEST(Zones, HoldWhileAnotherThreadForks) {
  test::Watchdog dog(100, "low memory beside forks");
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      while (!is_over) {
        void* p = pages(12000, {ASHLAR_ZONE_LOW32});
        if (p == nullptr || !is_low(p, 12000)) abort();
        free(realloc(p, 40000));
      }
    });
  g_forks_slowly = true;
  for (int i = 0; i < 50; ++i) {
    const pid_t pid = fork();
    if (pid == 0) _exit(is_low(pages(12000, {ASHLAR_ZONE_LOW32}), 12000) ? 0 : 1);
    EXPECT_TRUE(test::wait_for(pid).clean());
  }
  g_forks_slowly = false;
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(Zones, ServeManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (unsigned char t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      std::vector<void*> blocks;
      for (size_t i = 0; i < 200; ++i) {
        void* p = pages(4096 * (i % 7 + 1), {ASHLAR_ZONE_LOW32});
        if (p == nullptr) abort();
        memset(p, t, 4096 * (i % 7 + 1));
        blocks.push_back(p);
      }
      for (size_t i = 0; i < blocks.size(); ++i) {
        EXPECT_TRUE(is_all(blocks[i], 4096 * (i % 7 + 1), t));
        free(blocks[i]);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
