// front/pool_test.cpp -- a reserve that holds what it promises, as ashlar/pool.h says.

#include "front/pool.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "ashlar/ashlar.h"
#include "ashlar/limits.h"
#include "support/caches.h"
#include "support/child.h"
#include "support/pools.h"
#include "support/rng.h"

namespace {
using namespace ashlar;

using test::audit;
using test::Pool;
using test::pool_over;
using test::Source;

TEST(Pool, ServesItsReserveWhenTheSourceIsDry) {
  Source source{10};
  {
    Pool pool = pool_over(source, 4);
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(ashlar_pool_ready(pool.get()), 4u);
    std::vector<void*> objects;
    for (void* object; (object = ashlar_pool_alloc(pool.get(), 0, 0)) != nullptr;)
      objects.push_back(object);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_EQ(objects.size(), 10u);
    EXPECT_EQ(ashlar_pool_ready(pool.get()), 0u);
    // What comes back fills the reserve first.
    for (size_t i = 0; i < objects.size(); ++i) {
      ashlar_pool_free(pool.get(), objects[i]);
      EXPECT_EQ(ashlar_pool_ready(pool.get()), std::min<size_t>(i + 1, 4));
    }
    audit(pool);
    EXPECT_EQ(source.left, 6);
  }
  EXPECT_EQ(source.left, 10);
}

TEST(Pool, WithoutAFullReserveThereIsNone) {
  Source source{3};
  errno = 0;
  EXPECT_EQ(pool_over(source, 4), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(source.left, 3);
  EXPECT_EQ(ashlar_pool_create(0, Source::take, Source::put, &source), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ashlar_pool_create(1, nullptr, Source::put, &source), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ashlar_pool_create_cache(1, nullptr), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Pool, NamesNoZone) {
  Pool pool(ashlar_pool_create_size(1, 100));
  for (unsigned flag : {ASHLAR_LOW32, ASHLAR_PINNED}) {
    errno = 0;
    EXPECT_EQ(ashlar_pool_alloc(pool.get(), flag, 0), nullptr);
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST(Pool, IsResizedAsFarAsTheSourceGoes) {
  Source source{100};
  Pool pool = pool_over(source, 3);
  for (size_t least : {50u, 7u, 90u, 1u, 17u}) {
    EXPECT_EQ(ashlar_pool_resize(pool.get(), least), 0);
    EXPECT_EQ(ashlar_pool_ready(pool.get()), least);
    EXPECT_EQ(source.left, 100 - static_cast<long>(least));
    audit(pool);
  }
  EXPECT_EQ(ashlar_pool_resize(pool.get(), 101), -1);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(ashlar_pool_least(pool.get()), 17u);
  EXPECT_EQ(ashlar_pool_ready(pool.get()), 17u);
  EXPECT_EQ(ashlar_pool_resize(pool.get(), 0), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Pool, AWaiterGetsWhatIsFreed) {
  Source source{1};
  Pool pool = pool_over(source, 1);
  void* only = ashlar_pool_alloc(pool.get(), 0, 0);
  ASSERT_NE(only, nullptr);
  errno = 0;
  EXPECT_EQ(ashlar_pool_alloc(pool.get(), 0, 20), nullptr);
  EXPECT_EQ(errno, ETIMEDOUT);
  std::atomic<void*> got{nullptr};
  std::thread waiter([&] { got = ashlar_pool_alloc(pool.get(), 0, ASHLAR_POOL_FOREVER); });
  EXPECT_EQ(got.load(), nullptr);
  ashlar_pool_free(pool.get(), only);
  waiter.join();
  EXPECT_EQ(got.load(), only);
  ashlar_pool_free(pool.get(), got);
}

TEST(Pool, EightThreadsShareASmallReserveAndNobodyStarves) {
  constexpr int kThreads = 8, kRounds = 5000;
  Source source{3};
  Pool pool = pool_over(source, 3);
  std::atomic<int> holders{0};
  std::array<std::atomic<int>, kThreads> served{};
  auto work = [&](size_t me) {
    for (int i = 0; i < kRounds; ++i) {
      int* object = static_cast<int*>(ashlar_pool_alloc(pool.get(), 0, ASHLAR_POOL_FOREVER));
      ASSERT_NE(object, nullptr);
      ASSERT_LE(++holders, 3);
      ASSERT_EQ(*object, 7);
      *object = 8;  // nobody else has it
      *object = 7;
      --holders;
      ashlar_pool_free(pool.get(), object);
      ++served[me];
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  for (auto& count : served) EXPECT_EQ(count, kRounds);
  EXPECT_EQ(ashlar_pool_ready(pool.get()), 3u);
  audit(pool);
}

TEST(Pool, WithinTheReserveNoRequestFailsHoweverManyThreadsAsk) {
  constexpr size_t kThreads = 8;
  Source source{kThreads * 4};
  Pool pool = pool_over(source, kThreads * 4);
  auto work = [&](uint64_t seed) {
    test::Rng rng(seed);
    std::vector<void*> mine;
    for (int i = 0; i < 20000; ++i) {
      if (mine.size() < 4 && rng.below(2) == 0) {
        mine.push_back(ashlar_pool_alloc(pool.get(), i % 2 == 0 ? ASHLAR_NOWAIT : 0, 0));
        ASSERT_NE(mine.back(), nullptr);
      } else if (!mine.empty()) {
        ashlar_pool_free(pool.get(), mine.back());
        mine.pop_back();
      }
    }
    for (void* object : mine) ashlar_pool_free(pool.get(), object);
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i + 1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ashlar_pool_ready(pool.get()), kThreads * 4);
  audit(pool);
}

TEST(Pool, SurvivesTheEndOfAllMemory) {
  pid_t child = fork();  // the limits are the child's
  if (child == 0) {
    test::Cache cache = test::make_cache("messages", 5000, {.flags = ASHLAR_CACHE_NO_MERGE});
    Pool pool(ashlar_pool_create_cache(32, cache.get()));
    ashlar_limits limits;
    ashlar_get_limits(&limits);
    ashlar_set_limits(ASHLAR_UNLIMITED, limits.held + (size_t{1} << 20));
    std::vector<void*> hog(100000, nullptr);
    for (void*& block : hog)
      if ((block = ashlar_kmalloc(4000, ASHLAR_NORETRY)) == nullptr) break;
    size_t served = 0;
    while (ashlar_pool_alloc(pool.get(), ASHLAR_ZERO, 0) != nullptr && served < 10000) ++served;
    _exit(served >= 32 && served < 10000 ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(child).clean());
}

TEST(Pool, OverSizesAndPagesGivesWhatItSays) {
  Pool sizes(ashlar_pool_create_size(5, 3000));
  Pool pages(ashlar_pool_create_pages(3, 2));
  ASSERT_TRUE(sizes != nullptr && pages != nullptr);
  EXPECT_EQ(ashlar_pool_create_pages(3, 19), nullptr);
  for (int round = 0; round < 20; ++round) {
    auto* object = static_cast<unsigned char*>(ashlar_pool_alloc(sizes.get(), ASHLAR_ZERO, 0));
    for (int i = 0; i < 3000; ++i) ASSERT_EQ(object[i], 0);
    std::memset(object, 1, 3000);
    ashlar_pool_free(sizes.get(), object);
    void* block = ashlar_pool_alloc(pages.get(), 0, 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16384, 0u);
    std::memset(block, 1, 16384);
    ashlar_pool_free(pages.get(), block);
  }
}

// A program's own cache: all that a small heap may hold but what a pool has.
struct Hoard {
  static constexpr size_t kSize = size_t{1} << 20;
  std::vector<void*> blocks;
  int calls = 0;

  static size_t shrink(void* data, size_t bytes) {
    Hoard& hoard = *static_cast<Hoard*>(data);
    ++hoard.calls;
    size_t freed = 0;
    for (; freed < bytes && !hoard.blocks.empty(); freed += kSize) {
      ashlar_kfree(hoard.blocks.back());
      hoard.blocks.pop_back();
    }
    return freed;
  }
  void fill() {
    while (void* block = ashlar_kmalloc(kSize, ASHLAR_NORETRY)) blocks.push_back(block);
  }
};

// Runs `body` in a child whose heap may hold 32 MiB.
template <class Body>
void in_small_child(Body body) {
  pid_t child = fork();
  if (child == 0) {
    alarm(30);
    ashlar_set_limits(ASHLAR_UNLIMITED, size_t{32} << 20);
    static Hoard hoard;
    hoard.blocks.reserve(100);
    _exit(body(hoard));
  }
  EXPECT_TRUE(test::wait_for(child).clean());
}

TEST(Pool, WithAnEmptyReserveAllThatCanGivesBack) {
  in_small_child([](Hoard& hoard) {
    ashlar_pool* pool = ashlar_pool_create_size(1, 4 * Hoard::kSize);
    ashlar_shrinker_register(Hoard::shrink, &hoard);
    hoard.fill();
    hoard.calls = 0;
    if (ashlar_pool_alloc(pool, 0, 0) == nullptr || hoard.calls != 0) return 1;  // the reserve
    if (ashlar_pool_alloc(pool, ASHLAR_NORETRY, 0) != nullptr || hoard.calls != 0) return 2;
    if (ashlar_pool_alloc(pool, 0, 0) == nullptr || hoard.calls == 0) return 3;
    hoard.fill();
    if (ashlar_pool_alloc(pool, ASHLAR_NOFAIL, 0) == nullptr) return 4;
    hoard.fill();
    return ashlar_pool_alloc(pool, 0, ASHLAR_POOL_FOREVER) != nullptr ? 0 : 5;
  });
}

TEST(Pool, WhoWaitsHasAllGiveBackAgain) {
  in_small_child([](Hoard& hoard) {
    ashlar_pool* pool = ashlar_pool_create_size(1, 4 * Hoard::kSize);
    hoard.fill();
    ashlar_pool_alloc(pool, 0, 0);
    std::atomic<bool> has{false};
    std::thread waiter([&] { has = ashlar_pool_alloc(pool, ASHLAR_NOFAIL, 0) != nullptr; });
    while (!reinterpret_cast<front::Pool*>(pool)->has_waiters()) std::this_thread::yield();
    ashlar_shrinker_register(Hoard::shrink, &hoard);
    waiter.join();
    return has ? 0 : 1;
  });
}

TEST(Pool, IsFilledByAllThatCanGiveBack) {
  in_small_child([](Hoard& hoard) {
    ashlar_shrinker_register(Hoard::shrink, &hoard);
    hoard.fill();
    ashlar_pool* pool = ashlar_pool_create_size(300, 30000);
    if (pool == nullptr || hoard.calls == 0) return 1;
    hoard.fill();
    return ashlar_pool_resize(pool, 500);
  });
}

TEST(Pool, TheSourceIsToldHowHardToTry) {
  static std::vector<unsigned> told;
  told.clear();
  auto take = [](void*, unsigned flags) -> void* {
    told.push_back(flags);
    static int object;
    return told.size() == 1 ? &object : nullptr;
  };
  Pool pool(ashlar_pool_create(
      1, take, [](void*, void*) {}, nullptr));
  EXPECT_EQ(told, std::vector<unsigned>{0}) << "to fill the reserve";
  ashlar_pool_alloc(pool.get(), ASHLAR_ZERO, 0);
  EXPECT_EQ(ashlar_pool_alloc(pool.get(), ASHLAR_RESERVE, 0), nullptr);
  EXPECT_EQ(ashlar_pool_alloc(pool.get(), ASHLAR_NORETRY, 0), nullptr);
  EXPECT_EQ(ashlar_pool_alloc(pool.get(), ASHLAR_NOWAIT | ASHLAR_NOFAIL, 0), nullptr);
  std::vector<unsigned> want{0,
                             ASHLAR_ZERO | ASHLAR_NORETRY,
                             ASHLAR_RESERVE | ASHLAR_NORETRY,
                             ASHLAR_RESERVE,
                             ASHLAR_NORETRY,
                             ASHLAR_NOWAIT | ASHLAR_NORETRY};
  EXPECT_EQ(told, want);
}

TEST(Pool, WhatIsToBeZeroIsClearedOnce) {
  static std::vector<unsigned> told;
  static uint64_t s_object;
  told.clear();
  auto take = [](void*, unsigned flags) -> void* {
    told.push_back(flags);
    if (told.size() > 2) return nullptr;
    s_object = 7;
    return &s_object;
  };
  front::Pool* pool = front::Pool::create(
      1, {.alloc = take, .free = [](void*, void*) {}, .data = nullptr, .size = sizeof s_object});
  ASSERT_NE(pool, nullptr);
  int error = 0;
  EXPECT_EQ(pool->alloc(ASHLAR_ZERO, 0, error), &s_object);
  EXPECT_EQ(s_object, 7u) << "the source clears what it gives";
  EXPECT_EQ(pool->alloc(ASHLAR_ZERO, 0, error), &s_object);
  EXPECT_EQ(s_object, 0u) << "the pool, what lay in the reserve";
  EXPECT_EQ(pool->alloc(ASHLAR_ZERO, 0, error), nullptr);
  std::vector<unsigned> want{0, ASHLAR_ZERO | ASHLAR_NORETRY, ASHLAR_ZERO | ASHLAR_NORETRY,
                             ASHLAR_ZERO | ASHLAR_NORETRY, 0};
  EXPECT_EQ(told, want);
  pool->destroy();
}

// From here on the process may end, and nothing else.
bool forbid_system_calls() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  sock_fprog program{sizeof rules / sizeof *rules, rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(Pool, WhoMustNotWaitMakesNoSystemCall) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "not run: the sanitizer makes system calls of its own";
#endif
  pid_t child = fork();
  if (child == 0) {
    test::Tally tally;
    test::Cache cache = test::session_cache(tally);
    Pool pool(ashlar_pool_create_cache(64, cache.get()));
    ashlar_cache_free(cache.get(), test::new_session(cache));
    ashlar_kfree(ashlar_kmalloc(100, 0));
    if (!forbid_system_calls()) _exit(test::kNotRun);
    void* objects[64];
    for (int round = 0; round < 100; ++round) {
      for (void*& object : objects) {
        object = ashlar_pool_alloc(pool.get(), ASHLAR_NOWAIT, 0);
        if (object == nullptr) _exit(1);
      }
      for (void* object : objects) ashlar_pool_free(pool.get(), object);
      // These may find nothing; what they must not do is ask the kernel.
      ashlar_cache_alloc(cache.get(), ASHLAR_NOWAIT);
      ashlar_kmalloc(100, ASHLAR_NOWAIT);
      ashlar_kmalloc(1 << 20, ASHLAR_NOWAIT);
    }
    _exit(0);
  }
  test::Ending ending = test::wait_for(child);
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << "not run: no seccomp";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

}  // namespace
