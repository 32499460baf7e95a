// front/upkeep_test.cpp -- proves what is given back when asked for, what bounds refuse, and whom
// they ask first, and when files are opened. Run in all the ways that heap_test.cpp is.

#include "front/upkeep.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "ashlar/heap.h"
#include "cache/registry.h"
#include "front/heap.h"
#include "front/shrinkers.h"
#include "inspect/audit.h"
#include "support/caches.h"
#include "support/child.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kFramesOfMib = 256;

class UpkeepTest : public testing::Test {
 protected:
  ~UpkeepTest() override {
    front::set_limits({});
    inspect::audit();
  }
  static size_t held() { return front::g_heap.pages().budget().held(); }
  static size_t kept() {
    page::PageHeap& pages = front::g_heap.pages();
    return base::Pages(pages.slabs().stats().dirty + pages.giants().stats().dirty).bytes();
  }
};

TEST_F(UpkeepTest, ReapGivesBackWhatIsFreeAndLeavesWhatIsLive) {
  std::vector<void*> live, gone;
  for (int i = 0; i < 20000; ++i) {
    gone.push_back(front::alloc(1000));
    std::memset(gone.back(), 1, 1000);
    if (i % 500 == 0) {
      live.push_back(front::alloc(777));
      std::memset(live.back(), i / 500 % 256, 777);
    }
  }
  for (void* p : gone) front::free(p);
  EXPECT_TRUE(front::reap());
  page::ZoneStats stats = front::g_heap.pages().slabs().stats();
  EXPECT_EQ(stats.dirty, 0u);
  EXPECT_LE(stats.live * 4096, size_t{4} * kMiB) << "20 MB were free";
  for (size_t i = 0; i < live.size(); ++i) {
    const std::vector<unsigned char> expected(777, static_cast<unsigned char>(i));
    EXPECT_EQ(std::memcmp(live[i], expected.data(), 777), 0);
    front::free(live[i]);
  }
}

// The second level of the fast path: blocks freed by a thread that never allocates.
TEST_F(UpkeepTest, WhatTheBoundRefusesIsServedOnceItIsLifted) {
  front::free(front::alloc(100));
  ASSERT_TRUE(front::set_limits({.hard = held() + 64 * kFramesOfMib}));
  std::vector<void*> blocks;
  while (void* block = front::alloc(kMiB)) blocks.push_back(block);
  EXPECT_GE(blocks.size(), 60u);
  EXPECT_LE(blocks.size(), 64u);
  EXPECT_EQ(front::resize(blocks[0], 3 * kMiB), nullptr);
  ASSERT_TRUE(front::set_limits({}));
  blocks.push_back(front::alloc(kMiB));
  EXPECT_NE(blocks.back(), nullptr);
  for (void* block : blocks) front::free(block);
}

TEST_F(UpkeepTest, WhatIsKeptGivesWayBeforeTheBoundRefuses) {
  base::Line<512> faults;
  ASSERT_TRUE(front::configure("retain_percent:1000,retain_kib:1048576", faults));
  std::vector<void*> blocks;
  for (int i = 0; i < 3000; ++i) blocks.push_back(front::alloc(3000));
  for (void* block : blocks) front::free(block);
  EXPECT_GT(held(), 6 * kFramesOfMib) << "else nothing is proved";
  ASSERT_TRUE(front::set_limits({.hard = held() + kFramesOfMib}));
  void* block = front::alloc(5 * kMiB);
  EXPECT_NE(block, nullptr);
  front::free(block);
  ASSERT_TRUE(front::configure("retain_percent:10,retain_kib:256", faults));
}

TEST_F(UpkeepTest, ShrinkersAreAskedWithNoGateAndNoLock) {
  struct Cache {
    std::vector<void*> blocks;
    size_t calls = 0;
  } cache;
  for (int i = 0; i < 8; ++i) cache.blocks.push_back(front::alloc(kMiB));
  auto shrink = [](void* data, size_t) -> size_t {
    Cache& cache = *static_cast<Cache*>(data);
    ++cache.calls;
    EXPECT_EQ(os::this_thread().gate_depth, 0u);
    EXPECT_EQ(os::this_thread().held_ranks, 0u);
    for (void* block : cache.blocks) front::free(block);
    front::free(front::alloc(50));
    cache.blocks.clear();
    return 8 * kMiB;
  };
  unsigned slot = front::g_shrinkers.add(shrink, &cache);
  ASSERT_TRUE(front::set_limits({.hard = held() + 2 * kFramesOfMib}));
  void* block = front::alloc(6 * kMiB);
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(cache.calls, 1u);
  front::g_shrinkers.remove(slot);
  front::free(block);
}

// A shrinker that frees nothing and counts how often it is asked.
unsigned add_counter(size_t& calls) {
  return front::g_shrinkers.add(
      [](void* data, size_t) -> size_t {
        ++*static_cast<size_t*>(data);
        return 0;
      },
      &calls);
}

// Calls by `serve()` that have a shrinker asked, when another thread has found memory short.
size_t calls_above_soft_bound(const std::function<void()>& serve) {
  size_t calls = 0;
  unsigned slot = add_counter(calls);
  front::set_limits({.soft = 1});
  front::g_heap.set_wish(1000);
  serve();
  front::g_heap.take_wish();
  front::set_limits({});
  front::g_shrinkers.remove(slot);
  return calls;
}

TEST_F(UpkeepTest, WhoeverIsServedAboveTheSoftBoundHasShrinkersAsked) {
  test::Cache own = test::make_cache("own", 1024, {.flags = ASHLAR_CACHE_NO_MERGE});
  test::Cache merged = test::make_cache("merged", 1024);
  test::Cache made = test::make_cache("made", 1024, {.construct = [](void*, void*) { return 0; }});
  for (const test::Cache* cache : {&own, &merged, &made}) {
    std::vector<void*> objects(3000);  // not all of them by the fast path
    auto one_by_one = [&] {
      for (void*& object : objects) object = ashlar_cache_alloc(cache->get(), 0);
    };
    auto at_once = [&] {
      ashlar_cache_alloc_bulk(cache->get(), 0, objects.size(), objects.data());
    };
    for (const std::function<void()>& serve : {std::function<void()>(one_by_one), {at_once}}) {
      EXPECT_GT(calls_above_soft_bound(serve), 0u) << info_of(*cache).name;
      ashlar_cache_free_bulk(cache->get(), objects.size(), objects.data());
    }
  }
  ashlar_heap* heap = ashlar_heap_create(8 * kMiB);
  void* block = nullptr;
  EXPECT_GT(calls_above_soft_bound([&] { block = ashlar_heap_alloc(heap, kMiB); }), 0u);
  EXPECT_GT(calls_above_soft_bound([&] { ashlar_heap_realloc(heap, block, 2 * kMiB); }), 0u);
  ashlar_heap_destroy(heap);
  block = front::alloc(kMiB);
  EXPECT_GT(calls_above_soft_bound([&] { block = front::resize(block, kMiB - 5000); }), 0u);
  front::free(block);
}

// Also where the program calls nothing else.
TEST_F(UpkeepTest, WhoeverCallsAHeapOfItsOwnSeesThatMemoryIsShort) {
  base::Line<256> faults;
  ASSERT_TRUE(front::configure("decay_ms:8", faults));
  ashlar_heap* heap = ashlar_heap_create(8 * kMiB);
  ASSERT_NE(ashlar_heap_alloc(heap, kMiB), nullptr);  // it is live above the bound
  size_t calls = calls_above_soft_bound([&] {
    front::g_heap.take_wish();
    for (int looks = 0; looks < 200; ++looks) {
      front::sleep_a_moment();
      for (int i = 0; i < 256; ++i) ashlar_heap_free(heap, ashlar_heap_alloc(heap, 100));
    }
  });
  EXPECT_GT(calls, 0u);
  ASSERT_TRUE(front::configure("decay_ms:1000", faults));
  ashlar_heap_destroy(heap);
}

TEST_F(UpkeepTest, MemoryThatStaysShortIsSeenSoonHoweverLongMemoryIsKept) {
  base::Line<256> faults;
  ASSERT_TRUE(front::configure("decay_ms:3600000", faults));
  void* live = front::alloc(kMiB);
  size_t calls = calls_above_soft_bound([&] {
    for (int wishes = 0, looks = 0; wishes < 3 && looks < 5000; ++looks) {
      front::sleep_a_moment();
      for (int i = 0; i < 256; ++i) {
        front::free(front::alloc_slow(50000));
        if (front::g_heap.has_wish()) ++wishes;
      }
    }
  });
  EXPECT_GT(calls, 2u);
  front::free(live);
  ASSERT_TRUE(front::configure("decay_ms:1000", faults));
}

// What they have freed may make up no whole frames.
TEST_F(UpkeepTest, ShrinkersAreAskedAsLongAsTheyFreeSomething) {
  struct Cache {
    void* block;
    size_t calls = 0, wanted = 0;
  } cache{front::alloc(8 * kMiB)};
  auto shrink = [](void* data, size_t bytes) -> size_t {
    Cache& cache = *static_cast<Cache*>(data);
    cache.wanted += bytes;
    if (++cache.calls == 3) front::free(std::exchange(cache.block, nullptr));
    return bytes;
  };
  unsigned slot = front::g_shrinkers.add(shrink, &cache);
  ASSERT_TRUE(front::set_limits({.hard = held() + 2 * kFramesOfMib}));
  void* block = front::alloc(6 * kMiB);
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(cache.calls, 3u);
  EXPECT_EQ(cache.wanted, (1 + 2 + 4) * 6 * kMiB) << "twice as much each time";
  front::g_shrinkers.remove(slot);
  front::free(block);
  front::free(cache.block);
}

// Calls a shrinker has had when this was asked for in a child that may lock 1 MiB: with `kept`
// bytes locked, and ready to be freed.
size_t calls_for_pinned(size_t size, size_t kept) {
  constexpr large::Place kPlace{page::Manners::Where::kPinned, page::Nodes::kHere};
  test::Ending ending = test::in_child([=] {
    rlimit limit{kMiB, kMiB};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (getuid() == 0 && setuid(65534) != 0)) return 77;
    struct Cache {
      void* block;
      int calls = 0;
    } cache{kept == 0 ? nullptr : front::alloc_zeroed_in(kPlace, kept, true)};
    if (kept > 0 && cache.block == nullptr) return 77;
    front::g_shrinkers.add(
        [](void* data, size_t bytes) -> size_t {
          Cache& cache = *static_cast<Cache*>(data);
          ++cache.calls;
          front::free(std::exchange(cache.block, nullptr));
          return bytes;
        },
        &cache);
    void* block = front::alloc_zeroed_in(kPlace, size, true);
    return (block != nullptr) == (kept > 0) ? std::min(cache.calls, 75) : 76;
  });
  return static_cast<size_t>(ending.exit_code);
}

// The process may lock no more, however much else is free.
TEST_F(UpkeepTest, WhatMayNotBeLockedEmptiesNoCacheOfOtherMemory) {
  std::vector<void*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(front::alloc(kMiB));
  size_t calls = calls_for_pinned(8 * kMiB, 0);
  if (calls == 77) GTEST_SKIP() << "not run: may not lock memory";
  EXPECT_EQ(calls, 0u);
  EXPECT_EQ(calls_for_pinned(kMiB * 5 / 8, kMiB * 5 / 8), 1u) << "what is locked may give way";
  for (void* block : blocks) front::free(block);
}

// A libc function that the slow path calls may allocate: the caller holds locks.
TEST_F(UpkeepTest, FromWithinTheSlowPathNobodyIsAsked) {
  size_t calls = 0;
  unsigned slot = add_counter(calls);
  front::free(front::alloc(100));
  ASSERT_TRUE(front::set_limits({.hard = held() + 2 * kFramesOfMib}));
  std::vector<void*> blocks;
  while (void* block = front::alloc(100000)) blocks.push_back(block);
  calls = 0;
  ++os::this_thread().gate_depth;
  EXPECT_EQ(front::alloc(200000), nullptr);
  EXPECT_EQ(calls, 0u);
  --os::this_thread().gate_depth;
  EXPECT_EQ(front::alloc(200000), nullptr);
  EXPECT_GT(calls, 0u);
  front::g_shrinkers.remove(slot);
  for (void* block : blocks) front::free(block);
}

TEST_F(UpkeepTest, OptionsAreTakenAsAWholeOrNotAtAll) {
  base::Line<512> faults;
  front::free(front::alloc(100));
  EXPECT_FALSE(front::configure("decay_ms:77,retain_kib:x", faults));
  EXPECT_GT(faults.size(), 0u);
  EXPECT_NE(front::g_heap.interval_ms(), 77u);
  base::Line<512> none;
  uint64_t before = front::g_heap.interval_ms();
  EXPECT_TRUE(front::configure("decay_ms:77,limit_kib:1048576", none));
  EXPECT_EQ(front::g_heap.interval_ms(), 77u);
  EXPECT_EQ(front::g_heap.pages().budget().bounds().hard, 1024 * kFramesOfMib);
  base::Line<64> restore;
  restore.add("limit_kib:unlimited,decay_ms:").add_decimal(before);
  EXPECT_TRUE(front::configure(restore.data(), none));
}

// The kernel ends who opens a file.
void forbid_files() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof program[0], program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    _exit(77);
}

std::atomic<bool> is_purging{false};

// Has this thread's next madvise last for ever.
bool hold_madvise() {
  struct sigaction action {};
  action.sa_handler = [](int) {
    for (is_purging = true;;) pause();
  };
  sigaction(SIGSYS, &action, nullptr);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof program[0], program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// It may be returning gigabytes.
TEST_F(UpkeepTest, WhoComesByDoesNotWaitForAnotherThreadsPurge) {
  test::Ending ending = test::in_child(
      [] {
        void* live = front::alloc(kMiB);
        void* block = front::alloc(8 * kMiB);
        std::memset(block, 1, 8 * kMiB);
        front::free(block);
        std::thread other([] {
          if (!hold_madvise()) _exit(77);
          front::g_heap.pages().giants().purge(0);
          front::g_heap.pages().slabs().purge(0);
        });
        other.detach();
        while (!is_purging) sched_yield();
        front::set_limits({.soft = 1});
        while (!front::g_heap.has_wish()) front::reap_by_age();
        return live == nullptr ? 1 : 0;
      },
      10);
  if (ending.exit_code == 77) GTEST_SKIP() << "not run: no seccomp";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST_F(UpkeepTest, NodesAreLookedForOnceTheHeapIsLarge) {
  base::Line<512> faults;
  ASSERT_TRUE(front::configure("container:0", faults));
  auto grow_to = [](size_t bytes) {
    return test::in_child([bytes] {
      forbid_files();
      for (size_t done = 0; done < bytes; done += 2000) std::memset(front::alloc(2000), 1, 2000);
      return 0;
    });
  };
  test::Ending small = grow_to(12 * kMiB);
  if (small.exit_code == 77) GTEST_SKIP() << "not run: no seccomp";
  EXPECT_TRUE(small.clean()) << "a small process opens no file: " << small.text();
  EXPECT_EQ(grow_to(24 * kMiB).signal, SIGSYS) << "they are in files";
  ASSERT_TRUE(front::configure("container:1", faults));
}

TEST_F(UpkeepTest, WhoAsksForNodesHasThemLookedForAtOnce) {
  const os::Topology* nodes = front::nodes();
  EXPECT_EQ(nodes, front::nodes());
  EXPECT_EQ(nodes != nullptr, front::g_heap.pages().nodes().are_several());
  test::Ending ending = test::in_child([] {
    forbid_files();
    front::nodes();
    return 0;
  });
  EXPECT_TRUE(ending.clean() || ending.exit_code == 77) << "once: " << ending.text();
}

TEST_F(UpkeepTest, ALowerShareIsKeptFromNowOn) {
  base::Line<512> faults;
  ASSERT_TRUE(front::configure("retain_percent:0,retain_kib:0", faults));
  std::vector<void*> blocks;
  for (int i = 0; i < 64; ++i) std::memset(blocks.emplace_back(front::alloc(100000)), 1, 100000);
  for (void* block : blocks) front::free(block);
  EXPECT_LE(kept(), 2 * kMiB);
  ASSERT_TRUE(front::configure("retain_percent:10,retain_kib:256", faults));
}

// Objects of one size in magazines and depots.
size_t ready_of(size_t size) {
  size_t counts[base::kMaxCaches] = {};
  cache::g_registry.count_ready(counts);
  return counts[front::class_of(size)];
}

TEST_F(UpkeepTest, IdleSizesGiveBackBeforeTheHeapGrows) {
  const char* conf = getenv("ASHLAR_CONF");
  if (conf != nullptr && std::strstr(conf, "slob_max:unlimited") != nullptr)
    GTEST_SKIP() << "there are no slabs";
  base::Line<256> faults;
  ASSERT_TRUE(front::configure("decay_ms:3600000", faults)) << "no interval ends by time";
  std::vector<void*> objects(300);
  for (int round = 0; round < 300; ++round) {
    for (void*& object : objects) object = front::alloc(1000);
    for (void* object : objects) front::free(object);
  }
  ASSERT_GT(ready_of(1000), 64u) << "or there is nothing to give back";
  std::vector<void*> growth;
  for (size_t held = 0; held < 40 * kMiB; held += 200) growth.push_back(front::alloc(200));
  EXPECT_EQ(ready_of(1000), 0u);
  for (void* object : growth) front::free(object);
  ASSERT_TRUE(front::configure("decay_ms:1000", faults));
}

}  // namespace
