// fault/exhaustion_test.cpp -- address space or mappings run out, and come back.
//
// A user would notice: a batch job under `ulimit -v` that crashes where malloc should have returned
// NULL; a new_handler that frees a reserve in vain; memory that was freed after the shortage and is
// never given out again; free() that fails because the kernel has no mapping left to split.
//
// Each body runs in a process of its own, started under the limit.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <new>
#include <thread>

#include "../support/child.h"
#include "../support/rng.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kLimit = 256 * kMiB;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const ask_again)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

/// Runs DISABLED_<name> in a fresh process under RLIMIT_AS (0: without).
void run_fresh(const std::string& name, size_t address_space) {
  const test::Ending ending = test::run_disabled("Exhaustion", name, {}, [address_space] {
    const rlimit limit{address_space, address_space};
    if (address_space != 0 && setrlimit(RLIMIT_AS, &limit) != 0) _exit(98);
  });
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << ending.out;
  EXPECT_TRUE(ending.clean()) << name << " " << ending.text();
}

/// Blocks held in a list through themselves: the bookkeeping needs no memory.
struct Link {
  Link* next;
  size_t size;
};

/// Allocates blocks of least..most bytes until refused; least > sizeof(Link). Returns their sum.
size_t fill(Link*& list, size_t least, size_t most, uint64_t seed) {
  test::Rng rng(seed);
  size_t total = 0;
  for (;;) {
    const size_t size = least + rng.below(most - least + 1);
    errno = 0;
    auto* link = static_cast<Link*>(ask(size));
    if (link == nullptr) {
      if (errno != ENOMEM) abort();
      return total;
    }
    *link = {list, size};
    reinterpret_cast<unsigned char*>(link)[size - 1] = 0x5a;
    list = link;
    total += size;
  }
}

void empty(Link*& list) {
  while (list != nullptr) {
    Link* next = list->next;
    const size_t size = list->size;
    if (reinterpret_cast<unsigned char*>(list)[size - 1] != 0x5a) abort();
    errno = 55;
    give_back(list);
    if (errno != 55) abort();
    list = next;
  }
}

void fill_twice(size_t least, size_t most) {
  Link* list = nullptr;
  const size_t first = fill(list, least, most, 1);
  empty(list);  // first: a failed expectation needs memory for its words
  const size_t second = fill(list, least, most, 1);
  empty(list);
  EXPECT_GE(first, kLimit / 2) << "less than half of the limit was usable";
  EXPECT_GE(second, first - first / 20) << "memory was lost in the shortage";
  for (size_t size : {size_t{64}, size_t{5000}, size_t{100000}, 100 * kMiB}) {
    void* block = ask(size);
    EXPECT_NE(block, nullptr) << "after all was freed, " << size << " bytes are refused";
    give_back(block);
  }
}

TEST(Exhaustion, OfSmallBlocks) {
  run_fresh("SmallBlocks", kLimit);
}
TEST(Exhaustion, OfMediumBlocks) {
  run_fresh("MediumBlocks", kLimit);
}
TEST(Exhaustion, OfLargeBlocks) {
  run_fresh("LargeBlocks", kLimit);
}
TEST(Exhaustion, OfHugeBlocks) {
  run_fresh("HugeBlocks", kLimit);
}
TEST(Exhaustion, OfMixedBlocks) {
  run_fresh("MixedBlocks", kLimit);
}
TEST(Exhaustion, OneSizeAfterTheOther) {
  run_fresh("OneSizeAfterTheOther", kLimit);
}
TEST(Exhaustion, InThreads) {
  run_fresh("InThreads", kLimit);
}
TEST(Exhaustion, InAThreadsFirstCall) {
  run_fresh("InAThreadsFirstCall", kLimit);
}
TEST(Exhaustion, OperatorNew) {
  run_fresh("OperatorNew", kLimit);
}
TEST(Exhaustion, ReallocKeepsTheBlock) {
  run_fresh("ReallocKeepsTheBlock", kLimit);
}
TEST(Exhaustion, OfMappings) {
  run_fresh("Mappings", 0);
}

TEST(Exhaustion, DISABLED_SmallBlocks) {
  fill_twice(64, 64);
}
TEST(Exhaustion, DISABLED_MediumBlocks) {
  fill_twice(5000, 5000);
}
TEST(Exhaustion, DISABLED_LargeBlocks) {
  fill_twice(300000, 300000);
}
TEST(Exhaustion, DISABLED_HugeBlocks) {
  fill_twice(5 * kMiB, 5 * kMiB);
}
TEST(Exhaustion, DISABLED_MixedBlocks) {
  fill_twice(17, 200000);
}

TEST(Exhaustion, DISABLED_OneSizeAfterTheOther) {
  // What was all small blocks must become all large ones, and back.
  for (size_t size : {size_t{100}, size_t{20000}, 2 * kMiB, size_t{48}, 40 * kMiB, size_t{3000}}) {
    Link* list = nullptr;
    const size_t got = fill(list, size, size, 2);
    empty(list);  // first: a failed expectation needs memory for its words
    dprintf(1, "%zu MiB in blocks of %zu bytes\n", got / kMiB, size);
    EXPECT_GE(got, kLimit / 3) << "blocks of " << size;
  }
}

TEST(Exhaustion, DISABLED_InThreads) {
  std::atomic<size_t> total{0};
  for (int round = 0; round < 3; ++round) {
    total = 0;
    std::thread threads[3];
    for (std::thread& thread : threads) {
      thread = std::thread([&total] {
        Link* list = nullptr;
        total += fill(list, 17, 60000, 3);
        empty(list);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(total, kLimit / 3);
  }
}

// libc ends a process that cannot note a destructor for a thread: malloc must not ask for one then.
TEST(Exhaustion, DISABLED_InAThreadsFirstCall) {
  std::atomic<int> stage{0}, asked{0}, served{0};
  std::thread threads[8];
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      while (stage < 1) sched_yield();
      give_back(ask(24));
      ++asked;
      while (stage < 2) sched_yield();
      void* block = ask(24);
      served += block != nullptr;
      give_back(block);
    });
  }
  Link* list = nullptr;
  for (size_t most : {60000, 4000, 300, 40}) fill(list, 17, most, 3);
  stage = 1;
  while (asked < 8) sched_yield();
  empty(list);
  stage = 2;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 8) << "memory was there again";
}

void* reserve = nullptr;
int handler_calls = 0;

TEST(Exhaustion, DISABLED_OperatorNew) {
  Link* list = nullptr;
  const auto fill_by_new = [&list] {
    for (size_t total = 0;; total += kMiB) {
      list = new (::operator new(kMiB)) Link{list, kMiB};
      reinterpret_cast<unsigned char*>(list)[kMiB - 1] = 0x5a;
    }
  };
  EXPECT_THROW(fill_by_new(), std::bad_alloc);
  EXPECT_EQ(::operator new(64 * kMiB, std::nothrow), nullptr);
  empty(list);
  reserve = ask(64 * kMiB);
  ASSERT_NE(reserve, nullptr);
  std::set_new_handler([] {
    ++handler_calls;
    give_back(reserve);
    reserve = nullptr;
    if (handler_calls == 2) std::set_new_handler(nullptr);
  });
  EXPECT_THROW(fill_by_new(), std::bad_alloc);
  EXPECT_EQ(handler_calls, 2) << "once to free the reserve, once more to give up";
  empty(list);
}

TEST(Exhaustion, DISABLED_ReallocKeepsTheBlock) {
  for (size_t size : {size_t{100}, size_t{50000}, 3 * kMiB}) {
    auto* kept = static_cast<unsigned char*>(ask(size));
    memset(kept, 0x33, size);
    Link* list = nullptr;
    fill(list, kMiB, kMiB, 4);
    fill(list, 2000, 2000, 4);
    for (size_t wish : {kLimit / 2, kLimit, 100 * kLimit}) {
      errno = 0;
      EXPECT_EQ(ask_again(kept, wish), nullptr) << wish;
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_EQ(std::count(kept, kept + size, 0x33), static_cast<long>(size));
    }
    empty(list);
    give_back(kept);
  }
}

/// Uses up every mapping the kernel allows this process, or says 0.
size_t use_up_mappings(std::vector<std::pair<void*, size_t>>& fillers) {
  size_t most = 65530;
  std::ifstream("/proc/sys/vm/max_map_count") >> most;
  if (most > 300000) return 0;
  const size_t length = (most + 1000) * 2 * 4096;
  auto* base = static_cast<char*>(
      mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (base == MAP_FAILED) return 0;
  fillers.emplace_back(base, length);
  size_t made = 0;
  for (; made < most + 1000; ++made) {
    if (mprotect(base + made * 2 * 4096, 4096, PROT_READ) != 0) break;
  }
  return made;
}

TEST(Exhaustion, DISABLED_Mappings) {
  std::vector<void*> small(20000);
  std::vector<void*> large(300);
  std::vector<void*> huge(20);
  for (void*& block : small) block = ask(700);
  for (void*& block : large) block = memset(ask(300000), 1, 300000);
  for (void*& block : huge) block = memset(ask(5 * kMiB), 1, 5 * kMiB);
  std::vector<std::pair<void*, size_t>> fillers;
  if (use_up_mappings(fillers) == 0) GTEST_SKIP() << "not run: the mappings cannot be used up";
  const auto free_half = [](std::vector<void*>& blocks) {
    for (size_t i = 0; i < blocks.size(); i += 2) {
      errno = 55;
      give_back(blocks[i]);
      blocks[i] = nullptr;
      ASSERT_EQ(errno, 55);
    }
  };
  free_half(huge);
  free_half(large);
  free_half(small);
  int served = 0;
  for (size_t size = 1; size < 3 * kMiB; size = size * 3 / 2 + 1) {
    errno = 0;
    void* block = ask(size);
    if (block == nullptr) {
      ASSERT_EQ(errno, ENOMEM);
      continue;
    }
    memset(block, 2, size);
    block = ask_again(block, size * 2) ?: block;
    give_back(block);
    ++served;
  }
  EXPECT_GE(served, 10) << "freed memory was there, but not given out";
  for (auto* blocks : {&huge, &large, &small}) {
    for (void* block : *blocks) give_back(block);
  }
  for (auto& [base, length] : fillers) munmap(base, length);
  void* block = ask(100 * kMiB);
  ASSERT_NE(block, nullptr) << "the mappings are back, but malloc still refuses";
  memset(block, 1, 100 * kMiB);
  give_back(block);
}

}  // namespace
