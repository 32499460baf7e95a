// limits/nodes_test.cpp -- on a machine of several memory nodes, which the option nodes imitates,
// each CPU's memory comes from its node, and what others have freed serves that node again.
//
// A user would notice: a server on two sockets whose threads read each other's memory across the
// link, more of it the longer it runs; or whose memory grows as it moves from one socket to the
// other. ASHLAR_CONF is nodes:2, so that CPUs of even numbers are one node and those of odd numbers
// the other. Without one of each nothing can be seen.

#include <ashlar/inspect.h>
#include <ashlar/pages.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "../support/subject.h"
#include "../support/sysfs.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr ashlar_zone kNormal = ASHLAR_ZONE_NORMAL;

// The library's own functions, found where they are: this program is linked against nothing.
template <class Function>
Function find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}
int node_count() {
  return find<int (*)()>("ashlar_node_count")();
}
int node_of(const void* p) {
  return find<int (*)(const void*)>("ashlar_node_of")(p);
}
void* pages_on(int node, size_t size, ashlar_zone zone = kNormal) {
  auto* alloc = find<void* (*)(size_t, const ashlar_zone*, size_t, int)>("ashlar_pages_alloc_on");
  return alloc(size, &zone, 1, node);
}
void audit() {
  find<void (*)()>("ashlar_audit")();
}
std::string description() {
  std::vector<char> text(65536);
  find<size_t (*)(char*, size_t)>("ashlar_describe")(text.data(), text.size());
  return text.data();
}

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

size_t count_of(int node, const std::vector<void*>& blocks) {
  size_t count = 0;
  for (void* block : blocks) count += node_of(block) == node;
  return count;
}

class Nodes : public testing::Test {
 protected:
  void SetUp() override {
    for (int cpu : test::allowed_cpus()) cpus[cpu % 2] = cpu;
    if (cpus[0] < 0 || cpus[1] < 0) GTEST_SKIP() << "no CPU of even number, or none of odd";
    ASSERT_EQ(node_count(), 2);
  }
  // Runs it on a CPU of a node, in a thread of its own.
  template <class Body>
  void on(int node, Body body) {
    std::thread([&] {
      test::OnCpu here(cpus[node]);
      body();
    }).join();
  }
  std::vector<void*> ask_on(int node, size_t count, size_t size) {
    std::vector<void*> blocks(count);
    on(node, [&] {
      for (void*& block : blocks) {
        block = ask(size);
        std::memset(block, 1, size);
      }
    });
    return blocks;
  }
  void free_on(int node, const std::vector<void*>& blocks) {
    on(node, [&] {
      for (void* block : blocks) give_back(block);
    });
  }

  int cpus[2] = {-1, -1};
};

TEST_F(Nodes, BlocksOfAllSizesAreOfTheNodeThatAsks) {
  for (size_t size : {24, 100, 2000, 20000, 100000, 3000000})
    for (int node : {0, 1}) {
      const size_t count = 4 * kMiB / size + 600000 / size + 1;
      std::vector<void*> blocks = ask_on(node, count, size);
      // The first may have been served when the class had no cache, or lie ready on the CPU.
      EXPECT_GE(count_of(node, blocks) * 10, count * 9) << size << " bytes on node " << node;
      free_on(node, blocks);
    }
  audit();
}

TEST_F(Nodes, WhatOneNodeFreesServesTheOtherAgain) {
  constexpr size_t kCount = 100000, kSize = 160;
  free_on(0, ask_on(0, 1000, kSize));
  size_t first_rounds = 0;  // the most that stayed: what is kept goes by age, too
  for (int round = 0; round < 8; ++round) {
    std::vector<void*> blocks = ask_on(0, kCount, kSize);
    EXPECT_GE(count_of(0, blocks), kCount - 2000) << "round " << round;
    free_on(1, blocks);
    if (round < 4) first_rounds = std::max(first_rounds, test::resident_bytes());
  }
  audit();
  EXPECT_LE(test::resident_bytes(), first_rounds + 4 * kMiB) << "memory grows with each round";
  std::vector<void*> other = ask_on(1, kCount, kSize);
  EXPECT_GE(count_of(1, other), kCount - 2000) << "node 1 was served what it had freed";
  free_on(0, other);
}

TEST_F(Nodes, AProcessThatMovesLeavesNothingBehind) {
  const size_t before = test::resident_bytes();
  for (int round = 0; round < 4; ++round)
    for (int node : {0, 1}) free_on(node, ask_on(node, 100000, 160));
  malloc_trim(0);
  EXPECT_LE(test::resident_bytes(), before + 6 * kMiB);
  audit();
}

TEST_F(Nodes, ARequestMayNameItsNode) {
  for (int node : {0, 1})
    for (size_t size : {size_t{1}, size_t{100000}, 5 * kMiB}) {
      auto* p = static_cast<unsigned char*>(pages_on(node, size));
      ASSERT_NE(p, nullptr);
      EXPECT_EQ(node_of(p), node);
      EXPECT_EQ(p[0] + p[size - 1], 0);
      std::memset(p, 7, size);
      p = static_cast<unsigned char*>(resize(p, size + 3 * kMiB));
      EXPECT_EQ(p[size - 1], 7);
      if (size >= 2 * kMiB) {
        EXPECT_EQ(node_of(p), node) << "moved to another node";
      }
      give_back(p);
    }
  on(1, [] {
    void* p = pages_on(ASHLAR_NODE_HERE, 100);
    EXPECT_EQ(node_of(p), 1);
    give_back(p);
  });
  for (ashlar_zone zone : {ASHLAR_ZONE_LOW32, ASHLAR_ZONE_PINNED}) {
    void* p = pages_on(1, 100, zone);
    if (p == nullptr) continue;  // no more memory may be locked here
    EXPECT_EQ(node_of(p), zone == ASHLAR_ZONE_LOW32 ? 0 : 1);
    give_back(p);
  }
  for (int none : {2, -2, 1000}) {
    errno = 0;
    EXPECT_EQ(pages_on(none, 100), nullptr);
    EXPECT_EQ(errno, EINVAL);
  }
  int local = 0;
  EXPECT_EQ(node_of(&local), -1);
}

TEST_F(Nodes, AreDescribed) {
  std::vector<void*> blocks = ask_on(1, 10000, 160);
  const std::string text = description();
  EXPECT_NE(text.find("\nnode 0: in use "), std::string::npos) << text;
  const size_t at = text.find("\nnode 1: in use ");
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_GE(std::stoul(text.substr(at + 16)), 1600000u);
  free_on(1, blocks);
}

// Threads of both nodes free what the other allocates, while children are born and work.
TEST_F(Nodes, ForksAndChurn) {
  test::Watchdog dog(250, "forks on two nodes");
  constexpr size_t kSlots = 2000;
  std::vector<std::atomic<void*>> slots(kSlots);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      test::OnCpu here(cpus[t % 2]);
      test::Rng rng(static_cast<uint64_t>(t) + 1);
      while (!is_over) {
        const size_t size = 1 + rng.below(rng.below(50) == 0 ? 200000 : 700);
        auto* p = static_cast<unsigned char*>(ask(size));
        p[0] = p[size - 1] = 5;
        give_back(slots[rng.below(kSlots)].exchange(p));
      }
    });
  for (int i = 0; i < 15; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (int node : {0, 1}) {
        test::OnCpu here(cpus[node]);
        std::vector<void*> blocks;
        for (size_t k = 0; k < 20000; ++k) {
          blocks.push_back(ask(300));
          std::memset(blocks.back(), 1, 300);
        }
        if (count_of(node, blocks) < 10000) _exit(1);
        for (void* p : blocks) give_back(p);
      }
      malloc_trim(0);
      _exit(0);
    }
    const test::Ending ending = test::wait_for(pid);
    EXPECT_TRUE(ending.clean()) << ending.text();
    audit();
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  for (auto& slot : slots) give_back(slot.load());
  audit();
}

TEST_F(Nodes, AnAddressBetweenTheNodesIsNobodys) {
  const test::Ending ending = test::in_child([&] {
    void* p = ask(100000);
    give_back(static_cast<char*>(p) + (size_t{3} << 30));
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_NE(ending.err.find("which this heap never gave out"), std::string::npos) << ending.text();
}

TEST_F(Nodes, AFullHeapServesWhatIsFreeAnywhere) {
  const test::Ending ending = test::in_child([&] {
    auto* set_limits = find<int (*)(size_t, size_t)>("ashlar_set_limits");
    std::vector<void*> blocks = ask_on(0, 50000, 160);
    std::vector<void*> other;
    other.reserve(40000);
    if (set_limits(SIZE_MAX, 9 * kMiB) != 0) return 2;
    on(1, [&] {
      for (size_t i = 0; i < blocks.size(); i += 2) give_back(blocks[i]);
      for (void* p; other.size() < 40000 && (p = ask(160)) != nullptr;) other.push_back(p);
    });
    if (count_of(0, other) < 15000) return 3;
    return other.size() >= 24000 ? 0 : 4;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// Whoever asked for memory of a node has it there, however long it grows.
TEST_F(Nodes, ABlockThatIsMovedStaysOnItsNode) {
  for (ashlar_zone zone : {kNormal, ASHLAR_ZONE_PINNED})
    for (bool is_filled : {false, true})
      for (size_t size = 2 * kMiB; size <= 32 * kMiB; size *= 2)
        on(0, [&] {
          char* block = static_cast<char*>(pages_on(1, size, zone));
          void* behind = pages_on(1, size, zone);
          if (block == nullptr) return;  // so much may not be locked
          EXPECT_EQ(node_of(block), 1);
          if (is_filled) std::memset(block, 7, size);
          char* moved = static_cast<char*>(resize(block, size + kMiB));
          ASSERT_NE(moved, nullptr);
          EXPECT_EQ(node_of(moved), 1) << size << (zone == kNormal ? "" : " pinned");
          for (size_t at = 0; at < size; at += 4096) ASSERT_EQ(moved[at], is_filled ? 7 : 0) << at;
          give_back(moved);
          give_back(behind);
        });
  audit();
}

}  // namespace
