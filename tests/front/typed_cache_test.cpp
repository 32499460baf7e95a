// front/typed_cache_test.cpp -- object caches as a program sees them: through ashlar/cache.h.

#include "front/typed_cache.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ashlar/ashlar.h"
#include "ashlar/cache.h"
#include "ashlar/limits.h"
#include "support/caches.h"
#include "support/rng.h"

namespace {
using namespace ashlar;

using test::Args;
using test::Cache;
using test::info_of;
using test::make_cache;
using test::new_session;
using test::Session;
using test::session_cache;
using test::Tally;

TEST(TypedCache, AnObjectIsConstructedOnceAndKeepsItsState) {
  Tally tally;
  {
    Cache cache = session_cache(tally);
    ASSERT_NE(cache, nullptr);
    Session* first = new_session(cache);
    size_t made = tally.made;
    for (int i = 0; i < 100000; ++i) {
      Session* session = new_session(cache);
      ASSERT_NE(session, nullptr);
      ASSERT_EQ(session->requests.capacity(), 16u);
      ASSERT_TRUE(session->lock.try_lock());
      session->lock.unlock();
      ++session->uses;
      ashlar_cache_free(cache.get(), session);
    }
    EXPECT_LT(tally.made - made, 64u);
    EXPECT_EQ(tally.ended, 0u);
    EXPECT_EQ(info_of(cache).made, tally.made);
    ashlar_cache_free(cache.get(), first);
  }
  EXPECT_EQ(tally.ended, tally.made);
}

TEST(TypedCache, NoFreedObjectLosesItsStateToTheListItWaitsIn) {
  Tally tally;
  Cache cache = session_cache(tally);
  test::Rng rng(71);
  std::vector<Session*> sessions(5000, nullptr);
  for (int step = 0; step < 200000; ++step) {
    Session*& session = sessions[rng.below(sessions.size())];
    if (session == nullptr) {
      session = new_session(cache);
      ASSERT_NE(session, nullptr);
      ASSERT_EQ(session->requests.capacity(), 16u) << step;
      ASSERT_TRUE(session->requests.empty());
    } else {
      ashlar_cache_free(cache.get(), session);
      session = nullptr;
    }
  }
  ashlar_audit();
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
  EXPECT_EQ(info_of(cache).live, 0u);
}

TEST(TypedCache, WhatIsFreeIsDestructedWhenItIsShrunk) {
  Tally tally;
  Cache cache = session_cache(tally);
  std::vector<Session*> sessions;
  for (int i = 0; i < 4000; ++i) sessions.push_back(new_session(cache));
  EXPECT_EQ(info_of(cache).live, 4000u);
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
  EXPECT_GT(ashlar_cache_shrink(cache.get()), 0u);
  EXPECT_EQ(tally.ended, tally.made);
  EXPECT_EQ(info_of(cache).slabs, 0u);
  Session* again = new_session(cache);
  EXPECT_EQ(again->requests.capacity(), 16u);
  ashlar_cache_free(cache.get(), again);
}

TEST(TypedCache, MostMemoryOfABurstGoesBackByItself) {
  Tally tally;
  Cache cache = session_cache(tally);
  std::vector<Session*> sessions;
  for (int i = 0; i < 50000; ++i) sessions.push_back(new_session(cache));
  size_t slabs = info_of(cache).slabs;
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
  EXPECT_LT(info_of(cache).slabs, slabs / 4);
  EXPECT_GT(tally.ended, tally.made / 2);
}

TEST(TypedCache, OneThatKeepsEndsNothingBeforeItIsTold) {
  Tally tally;
  Cache cache = session_cache(tally, ASHLAR_CACHE_KEEP);
  std::vector<Session*> sessions;
  for (int i = 0; i < 20000; ++i) sessions.push_back(new_session(cache));
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
  ashlar_reap();
  EXPECT_EQ(tally.ended, 0u);
  EXPECT_GT(ashlar_caches_reap(), 0u);
  EXPECT_EQ(tally.ended, tally.made);
}

// Nobody ends them, but to construct them may have cost much.
TEST(TypedCache, OneThatKeepsNeedsNoDestructorForThat) {
  auto construct = [](void* object, void*) {
    std::memset(object, 1, 1000);
    return 0;
  };
  Cache cache = make_cache("kept", 1000, {.flags = ASHLAR_CACHE_KEEP, .construct = construct});
  std::vector<void*> objects(5000);
  auto use = [&] {
    for (void*& object : objects) object = ashlar_cache_alloc(cache.get(), 0);
    for (void* object : objects) ashlar_cache_free(cache.get(), object);
    return info_of(cache).made;
  };
  size_t made = use();
  ashlar_reap();
  EXPECT_EQ(ashlar_kmalloc(PTRDIFF_MAX, 0), nullptr) << "nothing that goes would help";
  EXPECT_LE(use(), made + 64) << "such as nobody had yet";
  EXPECT_GT(ashlar_cache_shrink(cache.get()), 5000u * 900);
  EXPECT_GE(use(), 2 * made);
}

TEST(TypedCache, ItsEndChangesNoErrno) {
  static unsigned ended;
  Cache cache = make_cache("loud", 100,
                           {.construct = [](void*, void*) { return 0; },
                            .destruct = [](void*, void*) { errno = ENOENT, ++ended; }});
  ashlar_cache_free(cache.get(), ashlar_cache_alloc(cache.get(), 0));
  ended = 0;
  errno = 7;
  ashlar_cache_destroy(cache.release());
  EXPECT_EQ(errno, 7);
  EXPECT_GT(ended, 0u);
}

TEST(TypedCache, AConstructorThatFailsFailsTheRequestAndLeavesNothing) {
  Tally tally;
  Cache cache = session_cache(tally);
  std::vector<Session*> sessions;
  tally.fails_from = 100;
  errno = 0;
  for (Session* session; (session = new_session(cache)) != nullptr;) sessions.push_back(session);
  EXPECT_EQ(errno, ECANCELED);
  EXPECT_EQ(sessions.size(), 100u);
  EXPECT_EQ(tally.made, 100u);
  tally.fails_from = SIZE_MAX;
  sessions.push_back(new_session(cache));
  EXPECT_NE(sessions.back(), nullptr);
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
  ashlar_audit();
}

// A node whose constructor takes another one from the same cache, under a lock, and allocates.
struct Nested {
  ashlar_cache* cache = nullptr;
  int depth = 0;
  std::recursive_mutex lock;
};

int make_node(void* object, void* data) {
  Nested& nested = *static_cast<Nested*>(data);
  std::scoped_lock held(nested.lock);
  *static_cast<std::string**>(object) = new std::string(100, 'n');
  if (nested.depth == 50) return 0;
  ++nested.depth;
  ashlar_cache_free(nested.cache, ashlar_cache_alloc(nested.cache, 0));
  --nested.depth;
  return 0;
}

void end_node(void* object, void*) {
  delete *static_cast<std::string**>(object);
}

TEST(TypedCache, AConstructorMayTakeFromTheSameCache) {
  Nested nested;
  Cache cache =
      make_cache("node", 64, {.construct = make_node, .destruct = end_node, .data = &nested});
  nested.cache = cache.get();
  std::vector<void*> nodes;
  for (int i = 0; i < 500; ++i) {
    nodes.push_back(ashlar_cache_alloc(cache.get(), 0));
    ASSERT_EQ(**static_cast<std::string**>(nodes.back()), std::string(100, 'n'));
  }
  ashlar_audit();
  EXPECT_EQ(std::set<void*>(nodes.begin(), nodes.end()).size(), nodes.size());
  ashlar_cache_free_bulk(cache.get(), nodes.size(), nodes.data());
}

class SizesTest : public testing::TestWithParam<unsigned> {};

TEST_P(SizesTest, OfObjectsAreServedApartAndAligned) {
  unsigned flags = GetParam();
  test::Rng rng(5);
  for (size_t size : {1, 8, 16, 24, 100, 520, 1000, 4000, 4096, 5000, 20000, 32768, 40000, 1 << 20})
    for (size_t align : {size_t{0}, size_t{64}, size_t{4096}, size_t{1} << 16}) {
      Cache cache = make_cache("sizes", size, {.align = align, .flags = flags});
      bool is_large = size > 32736 || align > 4096;
      if ((flags & ASHLAR_CACHE_POISON) != 0 && is_large) {
        EXPECT_EQ(cache, nullptr);
        continue;
      }
      ASSERT_NE(cache, nullptr) << size << " " << align << " " << errno;
      std::vector<unsigned char*> objects;
      for (int i = 0; i < 40; ++i) {
        auto* object = static_cast<unsigned char*>(ashlar_cache_alloc(cache.get(), 0));
        ASSERT_NE(object, nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % std::max(align, size_t{16}), 0u);
        if ((flags & ASHLAR_CACHE_ZERO) != 0) {
          for (size_t byte = 0; byte < size; byte += 7) ASSERT_EQ(object[byte], 0);
        }
        std::memset(object, i, size);
        objects.push_back(object);
        if (rng.below(4) == 0) {
          ashlar_cache_free(cache.get(), objects.back());
          objects.pop_back();
        }
      }
      std::sort(objects.begin(), objects.end());
      for (size_t i = 1; i < objects.size(); ++i) ASSERT_LE(objects[i - 1] + size, objects[i]);
      for (unsigned char* object : objects) {
        ASSERT_EQ(object[0], object[size - 1]);
        ashlar_cache_free(cache.get(), object);
      }
    }
  ashlar_audit();
}

INSTANTIATE_TEST_SUITE_P(TypedCache, SizesTest,
                         testing::Values(0u, unsigned{ASHLAR_CACHE_LINES},
                                         unsigned{ASHLAR_CACHE_NO_MERGE},
                                         unsigned{ASHLAR_CACHE_ZERO}, unsigned{ASHLAR_CACHE_POISON},
                                         unsigned{ASHLAR_CACHE_COUNT}));

TEST(TypedCache, LineAlignedObjectsShareNoLine) {
  Cache cache = make_cache("lines", 40, {.flags = ASHLAR_CACHE_LINES});
  EXPECT_EQ(info_of(cache).stride, 64u);
  Cache small = make_cache("small lines", 20, {.flags = ASHLAR_CACHE_LINES});
  EXPECT_EQ(info_of(small).stride, 32u);
}

// Nor with malloc's blocks, where SLOB serves both.
TEST(TypedCache, LineAlignedObjectsShareNoLineWithOtherBlocks) {
  auto line_of = [](const char* p) { return reinterpret_cast<uintptr_t>(p) / base::kCacheLine; };
  for (size_t size = 40; size < 2000; size += 24) {
    Cache cache = make_cache("lines", size, {.flags = ASHLAR_CACHE_LINES});
    auto* object = static_cast<char*>(ashlar_cache_alloc(cache.get(), 0));
    std::vector<char*> others(100);
    for (char*& other : others) {
      other = static_cast<char*>(ashlar_kmalloc(16, 0));
      ASSERT_TRUE(line_of(other) < line_of(object) || line_of(other) > line_of(object + size - 1))
          << size;
    }
    for (char* other : others) ashlar_kfree(other);
    ashlar_cache_free(cache.get(), object);
  }
}

TEST(TypedCache, LargeObjectsAreConstructedOnceToo) {
  Tally tally;
  struct Big {
    Session session;
    char rest[100000];
  };
  Cache cache = make_cache(
      "big", sizeof(Big),
      {.flags = 0, .construct = test::make_session, .destruct = test::end_session, .data = &tally});
  for (int i = 0; i < 100; ++i) {
    Session* session = new_session(cache);
    ASSERT_EQ(session->requests.capacity(), 16u);
    ashlar_cache_free(cache.get(), session);
  }
  EXPECT_EQ(tally.made, 1u);
  std::vector<Session*> many;
  for (int i = 0; i < 20; ++i) many.push_back(new_session(cache));
  EXPECT_EQ(info_of(cache).live, 20u);
  for (Session* session : many) ashlar_cache_free(cache.get(), session);
  cache.reset();
  EXPECT_EQ(tally.ended, tally.made);
}

TEST(TypedCache, WhatCannotBeIsRefused) {
  auto refused = [](size_t size, Args args) {
    errno = 0;
    Cache cache = make_cache("no", size, args);
    return cache == nullptr ? errno : 0;
  };
  EXPECT_EQ(refused(0, {}), EINVAL);
  EXPECT_EQ(refused((size_t{64} << 20) + 1, {}), EINVAL);
  EXPECT_EQ(refused(16, {.align = 24}), EINVAL);
  EXPECT_EQ(refused(16, {.align = size_t{4} << 20}), EINVAL);
  EXPECT_EQ(refused(16, {.flags = 64}), EINVAL);
  Args both{.flags = ASHLAR_CACHE_ZERO, .construct = test::make_session};
  EXPECT_EQ(refused(sizeof(Session), both), EINVAL);
  EXPECT_EQ(refused(16, {.destruct = test::end_session}), EINVAL);
  errno = 0;
  EXPECT_EQ(ashlar_cache_create(nullptr, 16, nullptr), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST(TypedCache, NamesAreKeptAndCutShort) {
  Cache cache = make_cache("a name that is longer than what is kept of it", 72,
                           {.flags = ASHLAR_CACHE_NO_MERGE});
  EXPECT_STREQ(info_of(cache).name, "a name that is longer than what");
}

TEST(TypedCache, OneWithSlabsOfItsOwnKnowsWhatIsLive) {
  Cache cache = make_cache("own", 72, {.flags = ASHLAR_CACHE_NO_MERGE});
  Cache counted = make_cache("counted", 64, {.flags = ASHLAR_CACHE_COUNT});
  Cache merged = make_cache("merged", 64);
  std::vector<void*> own, others;
  for (int i = 0; i < 1000; ++i) own.push_back(ashlar_cache_alloc(cache.get(), 0));
  for (int i = 0; i < 70; ++i) others.push_back(ashlar_cache_alloc(counted.get(), 0));
  EXPECT_EQ(info_of(cache).live, 1000u);
  EXPECT_EQ(info_of(counted).live, 70u);
  EXPECT_EQ(info_of(merged).live, SIZE_MAX);
  for (int i = 0; i < 400; ++i, own.pop_back()) ashlar_cache_free(cache.get(), own.back());
  EXPECT_EQ(info_of(cache).live, 600u);
  ashlar_cache_free_bulk(cache.get(), own.size(), own.data());
  ashlar_cache_free_bulk(counted.get(), others.size(), others.data());
  EXPECT_EQ(info_of(cache).live, 0u);
  EXPECT_EQ(info_of(counted).live, 0u);
}

TEST(TypedCache, FreeTakesItsObjectsToo) {
  Tally tally;
  Cache typed = session_cache(tally);
  Cache plain = make_cache("plain", 72, {.flags = ASHLAR_CACHE_NO_MERGE});
  Cache poisoned = make_cache("poisoned", 72, {.flags = ASHLAR_CACHE_POISON});
  for (int i = 0; i < 3000; ++i) {
    Session* session = new_session(typed);
    ASSERT_EQ(session->requests.capacity(), 16u);
    EXPECT_GE(ashlar_ksize(session), sizeof(Session));
    ashlar_kfree(session);
    ashlar_kfree(ashlar_cache_alloc(plain.get(), 0));
    void* object = ashlar_cache_alloc(poisoned.get(), 0);
    std::memset(object, i, 72);
    ashlar_kfree(object);
  }
  EXPECT_EQ(info_of(typed).live, 0u);
  EXPECT_EQ(info_of(plain).live, 0u);
}

TEST(TypedCache, WithoutWaitingOnlyWhatIsReadyIsGiven) {
  Tally tally;
  Cache cache = session_cache(tally);
  errno = 0;
  EXPECT_EQ(ashlar_cache_alloc(cache.get(), ASHLAR_NOWAIT), nullptr);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(tally.made, 0u);
  if (front::g_heap.mode() == os::RseqMode::kNone) GTEST_SKIP() << "no magazines for own caches";
  Session* session = new_session(cache);
  ashlar_cache_free(cache.get(), session);
  void* ready = ashlar_cache_alloc(cache.get(), ASHLAR_NOWAIT);
  for (int i = 0; ready == nullptr && i < 1000; ++i) {  // we may have been moved to another CPU
    ashlar_cache_free(cache.get(), new_session(cache));
    ready = ashlar_cache_alloc(cache.get(), ASHLAR_NOWAIT);
  }
  EXPECT_NE(ready, nullptr);
  ashlar_cache_free(cache.get(), ready);
}

TEST(TypedCache, ThreadsThatFreeWhatOthersTookLoseNoStateAndNoObject) {
  Tally tally;
  {
    Cache cache = session_cache(tally);
    constexpr int kThreads = 4;
    std::array<std::atomic<Session*>, 256> places{};
    auto work = [&](uint64_t seed) {
      test::Rng rng(seed);
      for (int i = 0; i < 100000; ++i) {
        Session* mine = nullptr;
        if (rng.below(2) == 0) {
          mine = new_session(cache);
          ASSERT_NE(mine, nullptr);
          ASSERT_EQ(mine->requests.capacity(), 16u);
          ASSERT_TRUE(mine->lock.try_lock());  // nobody else has it
          mine->lock.unlock();
        }
        mine = places[rng.below(places.size())].exchange(mine);
        ashlar_cache_free(cache.get(), mine);
      }
    };
    std::vector<std::thread> threads;
    for (uint64_t seed = 0; seed < kThreads; ++seed) threads.emplace_back(work, seed + 1);
    for (std::thread& thread : threads) thread.join();
    for (auto& place : places) ashlar_cache_free(cache.get(), place.exchange(nullptr));
    EXPECT_EQ(info_of(cache).live, 0u);
    ashlar_audit();
  }
  EXPECT_EQ(tally.ended, tally.made);
}

TEST(TypedCache, CachesThatComeAndGoLeaveNothing) {
  auto round = [](int i) {
    Tally tally;
    Cache typed = session_cache(tally);
    Cache plain = make_cache("plain", 72, {.flags = ASHLAR_CACHE_NO_MERGE});
    Cache shared = make_cache("shared", 1000 + 16 * static_cast<size_t>(i % 5));
    Cache big = make_cache("big", 100000);
    ASSERT_TRUE(typed != nullptr && plain != nullptr && shared != nullptr && big != nullptr) << i;
    void* objects[200];
    for (ashlar_cache* cache : {typed.get(), plain.get(), shared.get()}) {
      ASSERT_EQ(ashlar_cache_alloc_bulk(cache, 0, 200, objects), 200u);
      ashlar_cache_free_bulk(cache, 200, objects);
    }
  };
  for (int i = 0; i < 300; ++i) round(i);
  size_t meta = front::g_heap.pages().meta().used();
  for (int i = 0; i < 1000; ++i) round(i);
  // Depots may grow by their first slots still; a record for each round would be half a MiB.
  EXPECT_LT(front::g_heap.pages().meta().used() - meta, size_t{16} << 10);
  ashlar_audit();
}

// Sessions are made while another thread forks, too, and so is what their vectors hold.
TEST(TypedCache, AForkedChildGoesOnWithThem) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "not run: a child may find a lock of the sanitizer's own malloc taken";
#endif
  Tally tally;
  Cache cache = session_cache(tally);
  std::vector<Session*> sessions;
  for (int i = 0; i < 500; ++i) sessions.push_back(new_session(cache));
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) ashlar_cache_free(cache.get(), new_session(cache));
  });
  for (int i = 0; i < 20; ++i) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
      for (int k = 0; k < 1000; ++k)
        if (new_session(cache)->requests.capacity() != 16) _exit(1);
      ashlar_audit();
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  is_over = true;
  other.join();
  for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
}

TEST(TypedCache, WhatOneHoldsFreeIsGivenBeforeARequestFails) {
  Tally tally;
  Cache cache = session_cache(tally);
  pid_t child = fork();  // the limits are the child's
  if (child == 0) {
    std::vector<Session*> sessions;
    for (int i = 0; i < 40000; ++i) sessions.push_back(new_session(cache));
    Session* last = sessions.back();
    sessions.pop_back();
    for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
    ashlar_limits limits;
    ashlar_get_limits(&limits);
    ashlar_set_limits(ASHLAR_UNLIMITED, limits.held);
    void* refused = ashlar_kmalloc(limits.held / 2, ASHLAR_NORETRY);
    // Slabs that are kept empty, up to an eighth, and magazines are all there is.
    void* given = ashlar_kmalloc(100000, 0);
    _exit(refused == nullptr && given != nullptr && last != nullptr ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
