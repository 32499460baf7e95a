// limits/bounds_test.cpp -- a heap that was given bounds keeps to them, asks the program's caches
// before it refuses, and lets a program that was refused say so and go on.
//
// A user would notice: a server that the kernel ends, since its heap did not know its limit; or one
// that can not even write its last log line; or that is refused while its own cache is full of what
// it could compute again.
//
// Each body runs in a child: bounds are for the whole process.

#include <ashlar/heap.h>
#include <ashlar/limits.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "../support/subject.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

// The library's own functions, found where they are: this program is linked against nothing.
template <class Function>
Function find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}
int set_limits(size_t soft, size_t hard) {
  return find<int (*)(size_t, size_t)>("ashlar_set_limits")(soft, hard);
}
ashlar_limits limits() {
  ashlar_limits limits;
  find<void (*)(ashlar_limits*)>("ashlar_get_limits")(&limits);
  return limits;
}
int configure(const char* options) {
  return find<int (*)(const char*)>("ashlar_configure")(options);
}
int add_shrinker(ashlar_shrink* shrink, void* data) {
  return find<int (*)(ashlar_shrink*, void*)>("ashlar_shrinker_register")(shrink, data);
}
int remove_shrinker(int shrinker) {
  return find<int (*)(int)>("ashlar_shrinker_unregister")(shrinker);
}

// What a body found wrong, on standard error.
size_t g_faults = 0;
void expect(bool holds, const char* what, size_t figure = 0) {
  if (holds) return;
  ++g_faults;
  dprintf(2, "not so: %s (%zu)\n", what, figure);
}
#define HOLDS(condition, ...) expect(condition, #condition __VA_OPT__(, ) __VA_ARGS__)

void run(int (*body)()) {
  const test::Ending ending =
      test::in_child([body] { return body() != 0 || g_faults != 0 ? 1 : 0; });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

/// A list of written blocks, in their own memory.
struct Chain {
  struct Link {
    Link* next;
    size_t size;
  };
  Link* first = nullptr;
  size_t bytes = 0;

  bool add(size_t size) {
    auto* link = static_cast<Link*>(ask(size));
    if (link == nullptr) return false;
    memset(static_cast<void*>(link), 7, size);
    link->next = first;
    link->size = size;
    first = link;
    bytes += size;
    return true;
  }
  void drop() {
    Link* link = first;
    first = link->next;
    bytes -= link->size;
    give_back(link);
  }
  void clear() {
    while (first != nullptr) drop();
  }
};

TEST(Bounds, LargeBlocksAreRefusedAboveTheHardLimitAndComeBack) {
  run([] {
    HOLDS(set_limits(ASHLAR_UNLIMITED, 64 * kMiB) == 0);
    Chain chain;
    errno = 0;
    while (chain.bytes < 100 * kMiB && chain.add(kMiB)) {
    }
    HOLDS(errno == ENOMEM);
    HOLDS(chain.bytes >= 60 * kMiB && chain.bytes <= 64 * kMiB, chain.bytes);
    HOLDS(limits().held <= 64 * kMiB, limits().held);
    chain.drop();
    chain.drop();
    HOLDS(chain.add(kMiB));
    chain.clear();
    set_limits(ASHLAR_UNLIMITED, ASHLAR_UNLIMITED);
    HOLDS(chain.add(100 * kMiB));
    return 0;
  });
}

TEST(Bounds, SmallBlocksAreRefusedAboveTheHardLimitAndComeBack) {
  run([] {
    HOLDS(set_limits(ASHLAR_UNLIMITED, 32 * kMiB) == 0);
    for (size_t size : {48, 500, 2000}) {
      Chain chain;
      while (chain.bytes < 64 * kMiB && chain.add(size)) {
      }
      HOLDS(chain.bytes >= 24 * kMiB && chain.bytes <= 32 * kMiB, chain.bytes);
      HOLDS(limits().held <= 32 * kMiB, limits().held);
      chain.clear();
    }
    return 0;
  });
}

TEST(Bounds, WhoWasRefusedCanSaySoAndUnwind) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    for (size_t size : {kMiB, size_t{64}}) {
      Chain chain;
      bool is_caught = false;
      try {
        for (;;) {
          if (chain.bytes > 100 * kMiB) break;
          if (!chain.add(size)) throw std::bad_alloc();
        }
      } catch (const std::bad_alloc& error) {
        is_caught = true;
        std::vector<std::string> log;
        for (int i = 0; i < 1000; ++i)
          log.push_back("out of memory, says " + std::string(error.what()) + std::to_string(i));
        HOLDS(log.back().size() > 20);
      }
      HOLDS(is_caught);
      chain.clear();
    }
    return 0;
  });
}

TEST(Bounds, ARefusedReallocLeavesTheBlock) {
  run([] {
    auto* block = static_cast<char*>(ask(20 * kMiB));
    memset(block, 5, 20 * kMiB);
    set_limits(ASHLAR_UNLIMITED, 32 * kMiB);
    errno = 0;
    HOLDS(resize(block, 40 * kMiB) == nullptr);
    HOLDS(errno == ENOMEM);
    for (size_t i = 0; i < 20 * kMiB; i += 4096) HOLDS(block[i] == 5, i);
    give_back(block);
    return 0;
  });
}

TEST(Bounds, ALimitBelowWhatIsHeldRefusesUntilEnoughIsFreed) {
  run([] {
    Chain chain;
    for (int i = 0; i < 64; ++i) chain.add(kMiB);
    set_limits(ASHLAR_UNLIMITED, 32 * kMiB);
    HOLDS(!chain.add(kMiB));
    while (chain.bytes > 28 * kMiB) chain.drop();
    HOLDS(chain.add(kMiB));
    chain.clear();
    return 0;
  });
}

TEST(Bounds, AboveTheSoftLimitNothingIsKept) {
  run([] {
    configure("retain_percent:1000,retain_kib:1048576");
    set_limits(48 * kMiB, ASHLAR_UNLIMITED);
    for (size_t size : {size_t{100}, size_t{20000}, 2 * kMiB}) {
      Chain chain;
      while (chain.bytes < 96 * kMiB) HOLDS(chain.add(size));
      while (chain.bytes > 40 * kMiB) chain.drop();
      const size_t held = limits().held;
      HOLDS(held <= 50 * kMiB, held + size);
      HOLDS(test::resident_bytes() <= 62 * kMiB, test::resident_bytes());
      chain.clear();
    }
    return 0;
  });
}

TEST(Bounds, FragmentedMemoryServesOtherSizesWithinTheLimit) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    test::Rng rng(7);
    std::vector<Chain> survivors(8);
    for (int burst = 0; burst < 16; ++burst) {
      Chain chain;
      Chain& stays = survivors[burst % 8];
      stays.clear();
      // Each burst has sizes of its own; of 2,000 objects one stays for eight bursts, and keeps the
      // page that it lies in.
      const size_t least = size_t{64} << (burst % 8);
      while (chain.bytes < 40 * kMiB) {
        const size_t size = least + rng.below(least * 3);
        const bool is_given = (rng.below(2000) == 0 ? stays : chain).add(size);
        HOLDS(is_given, chain.bytes);
        if (!is_given) break;
      }
      chain.clear();
    }
    for (Chain& chain : survivors) chain.clear();
    Chain large;
    HOLDS(large.add(50 * kMiB));
    return 0;
  });
}

TEST(Bounds, ManyThreadsKeepToItTogether) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    std::atomic<size_t> most{0}, refused{0};
    std::vector<std::thread> threads;
    for (uint64_t seed = 0; seed < 4; ++seed)
      threads.emplace_back([&most, &refused, seed] {
        test::Rng rng(seed);
        Chain chain;
        for (int i = 0; i < 10000; ++i) {
          const size_t size = rng.below(20) == 0 ? rng.below(kMiB) + 16 : rng.below(2000) + 16;
          if (!chain.add(size)) {
            ++refused;
            while (chain.first != nullptr && chain.bytes > 4 * kMiB) chain.drop();
          }
          const size_t held = limits().held;
          for (size_t seen = most; held > seen && !most.compare_exchange_weak(seen, held);) {
          }
        }
        chain.clear();
      });
    for (std::thread& thread : threads) thread.join();
    HOLDS(refused > 0);
    // Zones that grow at the same moment may pass it by what they ask for.
    HOLDS(most <= 68 * kMiB, most);
    Chain large;
    HOLDS(large.add(50 * kMiB), limits().held);
    return 0;
  });
}

// What one thread has freed is just going back when the other one asks: a refusal would be for
// memory that is in nobody's hands.
TEST(Bounds, WhatAnotherThreadIsReturningRefusesNothing) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 25 * kMiB);
    std::atomic<size_t> live{0}, refused{0};
    auto churn = [&](uint64_t seed) {
      test::Rng rng(seed);
      for (int i = 0; i < 400; ++i) {
        const size_t size = 6 * kMiB + rng.below(6 * kMiB);
        const size_t all = live += size;
        Chain chain;
        if (!chain.add(size) && all <= 18 * kMiB) ++refused;
        chain.clear();
        live -= size;
      }
    };
    std::thread other(churn, 1);
    churn(2);
    other.join();
    HOLDS(refused == 0, refused);
    return 0;
  });
}

size_t drop_some(void* data, size_t bytes) {
  auto& cache = *static_cast<Chain*>(data);
  size_t before = cache.bytes;
  while (cache.first != nullptr && before - cache.bytes < bytes) cache.drop();
  return before - cache.bytes;
}

TEST(Bounds, TheProgramsCachesAreAskedBeforeARequestFails) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    Chain cache, work;
    const int shrinker = add_shrinker(drop_some, &cache);
    HOLDS(shrinker >= 0);
    for (int i = 0; i < 40; ++i) cache.add(kMiB);
    for (int i = 0; i < 50; ++i) HOLDS(work.add(kMiB), work.bytes);
    HOLDS(cache.bytes <= 14 * kMiB, cache.bytes);
    HOLDS(remove_shrinker(shrinker) == 0);
    HOLDS(remove_shrinker(shrinker) == -1 && errno == EINVAL);
    HOLDS(remove_shrinker(-5) == -1);
    while (work.add(kMiB)) {
    }
    HOLDS(cache.bytes > 0, cache.bytes);
    work.clear();
    while (cache.bytes < 40 * kMiB) cache.add(kMiB);
    HOLDS(add_shrinker(drop_some, &cache) >= 0);
    HOLDS(work.add(50 * kMiB), limits().held);  // more than is held, and less than may be
    return 0;
  });
}

TEST(Bounds, TheProgramsCachesAreAskedAboveTheSoftLimit) {
  run([] {
    configure("decay_ms:1");
    set_limits(32 * kMiB, ASHLAR_UNLIMITED);
    Chain cache, work;
    add_shrinker(drop_some, &cache);
    while (cache.bytes < 28 * kMiB) cache.add(1000);
    while (work.bytes < 20 * kMiB) work.add(1000);
    // The heap asks once a millisecond at most, in calls that take the slow path: however fast the
    // machine was until here, more of both follow.
    for (int i = 0; i < 1000 && cache.bytes > 16 * kMiB; ++i) {
      Chain more;
      while (more.bytes < kMiB) more.add(1000);
      usleep(1000);
    }
    HOLDS(cache.bytes <= 16 * kMiB, cache.bytes);
    return 0;
  });
}

TEST(Bounds, OneCallLeavesWhatTheOtherHasSet) {
  run([] {
    set_limits(40 * kMiB, 64 * kMiB);
    HOLDS(configure("decay_ms:100") == 0);
    HOLDS(limits().hard == 64 * kMiB && limits().soft == 40 * kMiB, limits().hard);
    HOLDS(configure("limit_kib:102400") == 0);
    HOLDS(limits().hard == 100 * kMiB && limits().soft == 40 * kMiB, limits().hard);
    return 0;
  });
}

TEST(Bounds, ABlockGrowsInPlaceWhereThatAloneFits) {
  run([] {
    configure("retain_percent:1000,retain_kib:1048576");
    auto* block = static_cast<char*>(ask(40 * kMiB));
    memset(block, 5, 40 * kMiB);
    Chain chain;
    while (chain.bytes < 20 * kMiB) chain.add(100000);
    chain.clear();
    set_limits(64 * kMiB, 64 * kMiB);
    auto* grown = static_cast<char*>(resize(block, 50 * kMiB));
    HOLDS(grown != nullptr, limits().held);
    for (size_t i = 0; grown != nullptr && i < 40 * kMiB; i += 4096) HOLDS(grown[i] == 5, i);
    return 0;
  });
}

// Heaps of their own share the bounds, and are refused no sooner.
struct SmallHeap {
  ashlar_heap* heap = find<ashlar_heap* (*)(size_t)>("ashlar_heap_create")(256 * kMiB);
  void* ask(size_t size) const {
    return find<void* (*)(ashlar_heap*, size_t)>("ashlar_heap_alloc")(heap, size);
  }
  void* resize(void* p, size_t size) const {
    return find<void* (*)(ashlar_heap*, void*, size_t)>("ashlar_heap_realloc")(heap, p, size);
  }
  void give_back(void* p) const {
    find<void (*)(ashlar_heap*, void*)>("ashlar_heap_free")(heap, p);
  }
};

TEST(Bounds, AHeapOfItsOwnGetsWhatMallocKeeps) {
  run([] {
    configure("retain_percent:1000,retain_kib:1048576,decay_ms:3600000");
    Chain chain;
    while (chain.bytes < 40 * kMiB) chain.add(1000);
    chain.clear();
    const size_t kept = limits().held;
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    SmallHeap small;
    void* block = small.ask(50 * kMiB);
    HOLDS(block != nullptr, limits().held);
    HOLDS(kept >= 30 * kMiB, kept);
    small.give_back(block);
    // What it keeps itself, in pieces, is no excuse either.
    void* pieces[50];
    for (void*& piece : pieces) HOLDS((piece = small.ask(kMiB)) != nullptr, limits().held);
    for (void* piece : pieces) small.give_back(piece);
    for (int i = 0; i < 50000; ++i) HOLDS(small.ask(1000) != nullptr, i);
    return 0;
  });
}

TEST(Bounds, AHeapOfItsOwnHasTheProgramsCachesAsked) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 64 * kMiB);
    Chain cache;
    add_shrinker(drop_some, &cache);
    while (cache.bytes < 40 * kMiB) cache.add(100000);
    SmallHeap small;
    void* block = small.ask(20 * kMiB);
    HOLDS(block != nullptr && cache.bytes >= 35 * kMiB, cache.bytes);
    block = small.resize(block, 50 * kMiB);
    HOLDS(block != nullptr && cache.bytes <= 15 * kMiB, cache.bytes);
    HOLDS(small.ask(60 * kMiB) == nullptr);
    HOLDS(limits().held <= 64 * kMiB, limits().held);
    return 0;
  });
}

// Whoever unwinds after the first refusal needs some memory more.
TEST(Bounds, AHeapOfItsOwnLeavesTheReserve) {
  run([] {
    set_limits(ASHLAR_UNLIMITED, 32 * kMiB);
    SmallHeap small;
    void* last = nullptr;
    for (void* p = small.ask(4000); p != nullptr; p = small.ask(4000)) last = p;
    HOLDS(limits().held <= 31 * kMiB, limits().held);
    for (int i = 0; i < 100; ++i) HOLDS(ask(4000) != nullptr, i);
    HOLDS(small.resize(last, 8000) != nullptr, limits().held);
    return 0;
  });
}

TEST(Bounds, WhatNothingCanHelpEmptiesNoCache) {
  run([] {
    Chain cache;
    add_shrinker(drop_some, &cache);
    while (cache.bytes < 8 * kMiB) cache.add(1000);
    HOLDS(ask(size_t{1} << 45) == nullptr);
    HOLDS(cache.bytes >= 8 * kMiB, cache.bytes);
    return 0;
  });
}

TEST(Bounds, OptionsChangeWhileTheProgramRuns) {
  run([] {
    HOLDS(configure("limit_kib:65536,soft_limit_kib:32768") == 0);
    HOLDS(limits().hard == 64 * kMiB && limits().soft == 32 * kMiB);
    HOLDS(limits().reserve == kMiB, limits().reserve);
    errno = 0;
    HOLDS(configure("limit_kib:1,rseq:0") == -1);
    HOLDS(errno == EINVAL);
    HOLDS(configure("nonsense") == -1);
    HOLDS(limits().hard == 64 * kMiB, limits().hard);
    HOLDS(configure("limit_kib:unlimited,soft_limit_kib:unlimited") == 0);
    HOLDS(limits().hard == ASHLAR_UNLIMITED);
    return 0;
  });
}

}  // namespace
