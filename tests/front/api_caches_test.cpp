// front/api_caches_test.cpp -- what ashlar/cache.h says of misuse, of threads, and of general
// caches.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "ashlar/ashlar.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "support/caches.h"
#include "support/child.h"
#include "support/rng.h"

namespace {
using namespace ashlar;

using test::Cache;
using test::info_of;
using test::make_cache;
using test::new_session;
using test::Session;
using test::session_cache;
using test::Tally;

#define EXPECT_TOLD(statement, line) EXPECT_EXIT(statement, testing::KilledBySignal(SIGABRT), line)

TEST(CacheMisuse, AnEndWithLiveObjects) {
  Tally tally;
  EXPECT_TOLD(
      {
        Cache cache = session_cache(tally);
        new_session(cache);
        new_session(cache);
        cache.reset();
      },
      "ashlar: end of cache \"session\" with 2 live objects\n");
  EXPECT_TOLD(
      {
        Cache cache = make_cache("counted", 64, {.flags = ASHLAR_CACHE_COUNT});
        ashlar_cache_alloc(cache.get(), 0);
        cache.reset();
      },
      "ashlar: end of cache \"counted\" with 1 live object\n");
}

TEST(CacheMisuse, AnObjectOfAnotherCache) {
  Tally tally;
  Cache cache = session_cache(tally);
  Cache other = make_cache("other", sizeof(Session), {.flags = ASHLAR_CACHE_NO_MERGE});
  void* stranger = ashlar_cache_alloc(other.get(), 0);
  EXPECT_TOLD(ashlar_cache_free(cache.get(), stranger),
              "ashlar: free of 0x[0-9a-f]+ to cache \"session\", but it is of cache \"other\"\n");
  int local = 0;
  EXPECT_TOLD(ashlar_cache_free(cache.get(), &local),
              "ashlar: free of 0x[0-9a-f]+ to cache \"session\", which never gave it out\n");
  void* object = new_session(cache);
  EXPECT_TOLD(ashlar_cache_free(other.get(), object),
              "to cache \"other\", but it is of cache \"session\"\n");
  EXPECT_TOLD(
      {
        ashlar_cache_free(cache.get(), static_cast<char*>(object) + 8);
        ashlar_cache_shrink(cache.get());  // at the latest
      },
      "which points into a block that starts at 0x[0-9a-f]+\n");
  ashlar_cache_free(cache.get(), object);
  ashlar_cache_free(other.get(), stranger);
}

TEST(CacheMisuse, TheSameObjectTwice) {
  Tally tally;
  Cache cache = session_cache(tally);
  EXPECT_TOLD(
      {
        Session* session = new_session(cache);
        ashlar_cache_free(cache.get(), session);
        ashlar_cache_free(cache.get(), session);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
  EXPECT_TOLD(
      {
        void* objects[3];
        ashlar_cache_alloc_bulk(cache.get(), 0, 2, objects);
        objects[2] = objects[0];
        ashlar_cache_free_bulk(cache.get(), 3, objects);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
  EXPECT_TOLD(
      {
        void* object = new_session(cache);
        ashlar_cache_free(cache.get(), object);
        ashlar_cache_free_bulk(cache.get(), 1, &object);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
}

TEST(CacheMisuse, AWriteToAFreeObject) {
  Cache cache = make_cache("poisoned", 200, {.flags = ASHLAR_CACHE_POISON});
  EXPECT_TOLD(
      {
        char* object = static_cast<char*>(ashlar_cache_alloc(cache.get(), 0));
        ashlar_cache_free(cache.get(), object);
        object[123] = 1;
        for (int i = 0; i < 1000; ++i) ashlar_cache_alloc(cache.get(), 0);
      },
      "ashlar: free object 0x[0-9a-f]+ of cache \"poisoned\" was written to at byte 123\n");
}

// More threads than CPUs and fewer objects than a magazine holds: they are moved in the middle.
TEST(CacheThreads, ManyAtOnceAreSafeFromThreadsThatComeBetween) {
  Cache cache = make_cache("bulk own", 64, {.flags = ASHLAR_CACHE_NO_MERGE});
  auto work = [&](uint64_t seed) {
    test::Rng rng(seed);
    for (int i = 0; i < 30000; ++i) {
      uint64_t* objects[7];
      size_t count = 1 + rng.below(7);
      ASSERT_EQ(ashlar_cache_alloc_bulk(cache.get(), 0, count, reinterpret_cast<void**>(objects)),
                count);
      for (size_t k = 0; k < count; ++k) objects[k][2] = objects[k][3] = seed << 32 | k;
      for (size_t k = 0; k < count; ++k) {
        ASSERT_EQ(objects[k][2], seed << 32 | k);
        ASSERT_EQ(objects[k][3], seed << 32 | k);
        ashlar_cache_free(cache.get(), objects[k]);
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 12; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(info_of(cache).live, 0u);
  ashlar_audit();
}

TEST(CacheThreads, OneMayEndWhileOthersReapAndFork) {
  std::atomic<bool> is_over{false};
  std::thread reaper([&] {
    while (!is_over) ashlar_caches_reap();
  });
  std::thread forker([&] {
    while (!is_over)
      if (pid_t child = fork(); child == 0)
        _exit(0);
      else
        EXPECT_TRUE(test::wait_for(child).clean());
  });
  for (int i = 0; i < 300; ++i) {
    Tally tally;
    Cache cache = session_cache(tally);
    ASSERT_NE(cache, nullptr);
    // Now and then so many that a fork begins while they are freed: then some wait for its end.
    std::vector<void*> objects(i % 4 == 0 ? 5000 : 50);
    for (void*& object : objects) object = new_session(cache);
    for (void* object : objects) ashlar_cache_free(cache.get(), object);
  }
  is_over = true;
  reaper.join();
  forker.join();
  EXPECT_GE(test::take_all_places().size(), test::kLeastPlaces);
}

// The objects that another thread has in its hands are nobody's there, and no misuse.
TEST(CacheThreads, AForkedChildMayEndOneInWhichAnotherThreadWasConstructing) {
  static std::atomic<bool> s_is_constructing{false}, s_goes_on{false};
  ashlar_constructor* wait = [](void*, void*) {
    s_is_constructing = true;
    while (!s_goes_on) usleep(100);
    return 0;
  };
  Cache cache = make_cache("slow", 1000, {.construct = wait});
  std::thread other([&] { ashlar_cache_free(cache.get(), ashlar_cache_alloc(cache.get(), 0)); });
  while (!s_is_constructing) usleep(100);
  pid_t child = fork();
  if (child == 0) {
    cache.reset();
    _exit(0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  s_goes_on = true;
  other.join();
}

TEST(CacheSharing, IsForObjectsOfOneAlignment) {
  constexpr size_t kSize = 2176;  // of no class of malloc's, and a multiple of 128
  Cache plain = make_cache("plain", kSize), like = make_cache("like", kSize);
  Cache aligned = make_cache("aligned", kSize, {.align = 128});
  EXPECT_EQ(info_of(aligned).stride, kSize);
  std::vector<void*> objects(200);
  for (void*& object : objects) {
    object = ashlar_cache_alloc(aligned.get(), 0);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % 128, 0u);
  }
  EXPECT_EQ(info_of(plain).slabs, 0u);
  ashlar_cache_free_bulk(aligned.get(), objects.size(), objects.data());
  void* object = ashlar_cache_alloc(plain.get(), 0);
  EXPECT_EQ(info_of(plain).slabs, 1u);
  EXPECT_EQ(info_of(like).slabs, 1u) << "these two are one";
  ashlar_cache_free(like.get(), object);
}

TEST(CacheSharing, IsNotWithOneThatIsToBeAlone) {
  Tally tally;
  Cache alone = make_cache("alone", 2240, {.flags = ASHLAR_CACHE_NO_MERGE});
  Cache typed =
      make_cache("typed", 2272,
                 {.construct = test::make_session, .destruct = test::end_session, .data = &tally});
  ASSERT_EQ(info_of(typed).stride, 2288u);
  for (size_t size : {size_t{2240}, size_t{2288}}) {
    Cache shared = make_cache("shared", size);
    void* object = ashlar_cache_alloc(shared.get(), 0);
    EXPECT_EQ(info_of(alone).slabs, 0u);
    EXPECT_EQ(info_of(typed).slabs, 0u);
    ashlar_cache_free(shared.get(), object);
  }
}

TEST(CacheSharing, EndsWithTheLastUser) {
  constexpr size_t kSize = 2208;
  Cache first = make_cache("first", kSize), second = make_cache("second", kSize);
  std::vector<void*> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(ashlar_cache_alloc(second.get(), 0));
  first.reset();
  for (int i = 0; i < 100; ++i) objects.push_back(ashlar_cache_alloc(second.get(), 0));
  EXPECT_GE(info_of(second).held, 200u);
  for (void* object : objects) ashlar_cache_free(second.get(), object);
  ashlar_audit();
}

TEST(CacheThreads, ASharedOneThatOutlivesItsUserIsFoundAgain) {
  std::vector<void*> objects;
  for (int round = 0; round < 200; ++round) {
    Cache cache = make_cache("shared", 2000 + 16 * static_cast<size_t>(round % 100));
    ASSERT_NE(cache, nullptr);
    objects.push_back(ashlar_cache_alloc(cache.get(), 0));
    if (round % 2 == 0) ashlar_kfree(objects.back());
    if (round % 2 == 0) objects.pop_back();
  }
  for (void* object : objects) ashlar_kfree(object);
  ashlar_reap();
  EXPECT_GE(test::take_all_places().size(), test::kLeastPlaces);
}

TEST(CachePlaces, WhoCannotHaveSlabsOfItsOwnIsRefusedOrDoesWithout) {
  std::vector<Cache> caches = test::take_all_places();
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(caches.size(), 54u) << "as the header says";
  errno = 0;
  EXPECT_EQ(make_cache("poisoned", 72, {.flags = ASHLAR_CACHE_POISON}), nullptr);
  EXPECT_EQ(errno, ENOSPC);
  Tally tally;
  EXPECT_EQ(session_cache(tally, ASHLAR_CACHE_NO_MERGE), nullptr);
  Cache plain = make_cache("plain", 1000 + 8);  // shares malloc's where it cannot be alone
  ASSERT_NE(plain, nullptr);
  ashlar_cache_free(plain.get(), ashlar_cache_alloc(plain.get(), 0));
  caches.clear();
  Cache again = session_cache(tally);
  ashlar_cache_free(again.get(), new_session(again));
  EXPECT_GT(info_of(again).slabs, 0u);
}

// More types than there are places for, of objects of any size.
TEST(CachePlaces, ObjectsAreConstructedWithoutAPlaceToo) {
  std::vector<Cache> all = test::take_all_places();
  for (size_t size : {sizeof(Session), size_t{5000}, size_t{20000}, size_t{32700}}) {
    Tally tally;
    Cache cache = make_cache(
        "session", size,
        {.construct = test::make_session, .destruct = test::end_session, .data = &tally});
    ASSERT_NE(cache, nullptr);
    std::vector<Session*> sessions;
    for (int i = 0; i < 2000; ++i) {
      sessions.push_back(new_session(cache));
      ASSERT_EQ(sessions.back()->requests.capacity(), 16u);
    }
    EXPECT_EQ(info_of(cache).live, 2000u);
    EXPECT_EQ(info_of(cache).slabs, 0u);
    EXPECT_GE(info_of(cache).stride, size);
    for (Session* session : sessions) ashlar_cache_free(cache.get(), session);
    EXPECT_EQ(info_of(cache).live, 0u);
    EXPECT_EQ(tally.made - tally.ended, 16u) << "some stay constructed";
    size_t made = tally.made;
    auto* ready = static_cast<Session*>(ashlar_cache_alloc(cache.get(), ASHLAR_NOWAIT));
    ASSERT_NE(ready, nullptr);
    EXPECT_EQ(ready->requests.capacity(), 16u);
    EXPECT_EQ(tally.made, made);
    ashlar_cache_free(cache.get(), ready);
    ashlar_caches_reap();
    EXPECT_EQ(tally.made, tally.ended);
    tally.fails_from = tally.made.load();
    EXPECT_EQ(new_session(cache), nullptr);
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_EQ(info_of(cache).live, 0u);
    cache.reset();
    EXPECT_EQ(tally.made, tally.ended);
  }
  ashlar_audit();
}

TEST(CachePlaces, MisuseIsToldWithoutOneToo) {
  std::vector<Cache> all = test::take_all_places();
  Tally tally;
  Cache cache = session_cache(tally), other = session_cache(tally);
  Session* session = new_session(cache);
  EXPECT_TOLD(cache.reset(), "ashlar: end of cache \"session\" with 1 live object\n");
  int local = 0;
  EXPECT_TOLD(ashlar_cache_free(cache.get(), &local),
              "ashlar: free of 0x[0-9a-f]+ to cache \"session\", which never gave it out\n");
  EXPECT_TOLD(ashlar_cache_free(cache.get(), reinterpret_cast<char*>(session) + 16),
              "ashlar: free of 0x[0-9a-f]+, which points into a block that starts at 0x");
  EXPECT_TOLD(ashlar_cache_free(cache.get(), ashlar_cache_alloc(all[0].get(), 0)),
              "to cache \"session\", but it is of cache \"place\"\n");
  EXPECT_TOLD(
      {
        ashlar_cache_free(cache.get(), session);
        ashlar_cache_free(cache.get(), session);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
  ashlar_cache_free(cache.get(), session);
}

TEST(CachePlaces, WhatNobodyWouldAskForIsNotKept) {
  Tally tally;
  std::vector<Cache> caches;
  for (int i = 0; i < 100; ++i) {
    caches.push_back(make_cache(
        "large", 40000,
        {.construct = test::make_session, .destruct = test::end_session, .data = &tally}));
    ASSERT_NE(caches.back(), nullptr);
    for (int k = 0; k < 3; ++k) ashlar_cache_free(caches.back().get(), new_session(caches.back()));
  }
  EXPECT_GT(tally.made, tally.ended);
  ashlar_caches_reap();
  EXPECT_EQ(tally.made, tally.ended);
  size_t made = tally.made;
  Cache with_slabs = session_cache(tally);  // has its place among those that are asked
  ashlar_cache_free(with_slabs.get(), new_session(with_slabs));
  EXPECT_GT(tally.made, made);
  ashlar_caches_reap();
  EXPECT_EQ(tally.made, tally.ended);
}

TEST(CachePlaces, WhatNobodyEndsGoesBackAsWell) {
  Cache cache = make_cache("large", 40000, {.construct = [](void*, void*) { return 0; }});
  ashlar_cache_free(cache.get(), ashlar_cache_alloc(cache.get(), 0));
  EXPECT_GE(ashlar_caches_reap(), 40000u);
}

TEST(General, AnObjectsSizeIsItsAlignmentWhereThatIsAPowerOfTwoUpToAPage) {
  for (size_t size = 1; size <= size_t{1} << 20; size *= 2) {
    void* object = ashlar_kmalloc(size, ASHLAR_ZERO);
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % std::min(size, size_t{4096}), 0u) << size;
    for (size_t byte = 0; byte < size; byte += 101) ASSERT_EQ(static_cast<char*>(object)[byte], 0);
    EXPECT_GE(ashlar_ksize(object), size);
    EXPECT_EQ(ashlar_kmalloc_size(size), std::max(size, size_t{16}));
    std::memset(object, 0xff, size);
    ashlar_kfree_sized(object, size, 0);
  }
}

TEST(General, AnAlignmentMayBeAskedFor) {
  test::Rng rng(17);
  for (size_t align = 1; align <= size_t{4} << 20; align *= 2)
    for (size_t size : {size_t{1}, size_t{100}, size_t{5000}, size_t{64} << 10, size_t{300'000}}) {
      auto* object = static_cast<char*>(ashlar_kmalloc_aligned(size, align, ASHLAR_ZERO));
      ASSERT_NE(object, nullptr) << size << " " << align;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % align, 0u) << size << " " << align;
      EXPECT_TRUE(std::all_of(object, object + size, [](char byte) { return byte == 0; }));
      std::memset(object, 1, size);
      if (rng.below(2) == 0)
        ashlar_kfree_sized(object, size, align);
      else
        ashlar_kfree(object);
    }
  for (size_t align : {size_t{0}, size_t{24}, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(ashlar_kmalloc_aligned(100, align, 0), nullptr);
    EXPECT_EQ(errno, EINVAL);
  }
  errno = 0;
  EXPECT_EQ(ashlar_kmalloc_aligned(100, size_t{1} << 62, 0), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  ashlar_audit();
}

TEST(General, WhatMovesIsAlignedAsWhatIsNew) {
  for (unsigned flags : {0u, unsigned{ASHLAR_ZERO}})
    for (size_t had : {24, 100, 3000, 40000})
      for (size_t size = 64; size <= size_t{2} << 20; size *= 2) {
        void* before = ashlar_kmalloc(had, flags);
        void* after = ashlar_krealloc(before, size, flags);
        ASSERT_NE(after, nullptr);
        size_t align = std::min(size, size_t{4096});
        EXPECT_TRUE(after == before || reinterpret_cast<uintptr_t>(after) % align == 0)
            << had << " to " << size;
        ashlar_kfree(after);
      }
}

// Whatever the flags, and whether the size is a power of two: what lies ready is taken.
TEST(General, WhatLiesReadyTakesNoSlowPath) {
  ashlar_kfree(ashlar_kmalloc(1, 0));
  if (front::g_heap.options().slob_max != 0 && !front::g_heap.promotion().is_over())
    GTEST_SKIP() << "not run: SLOB serves";
  constexpr uint32_t kRounds = 1000;
  for (size_t size : {64, 4096, 8000, 8192, 16384, 32768})
    for (unsigned flags : {0, 1, 2, 4, 8, 16}) {
      ashlar_kfree(ashlar_kmalloc(size, 0));
      uint32_t before = front::slow_calls(), missed = 0;
      for (uint32_t i = 0; i < kRounds; ++i) {
        void* object = ashlar_kmalloc(size, flags);
        void* other = ashlar_kmalloc_aligned(size, 16, flags);
        missed += (object == nullptr) + (other == nullptr);
        ashlar_kfree(object);
        ashlar_kfree(other);
      }
      // But that another CPU may have nothing.
      EXPECT_LT(front::slow_calls() - before, kRounds / 2) << size << " " << flags;
      EXPECT_LT(missed, kRounds / 2) << size << " " << flags;
    }
}

TEST(General, ALargeBlockGivesBackWhatItLoses) {
  for (unsigned flags : {0u, unsigned{ASHLAR_ZERO}, unsigned{ASHLAR_NORETRY}}) {
    void* block = ashlar_kmalloc(size_t{10} << 20, flags);
    block = ashlar_krealloc(block, size_t{6} << 20, flags);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(ashlar_ksize(block), size_t{6} << 20) << flags;
    ashlar_kfree(block);
  }
}

TEST(General, WhatGrowsIsZeroWhereThatIsAskedFor) {
  auto* bytes = static_cast<unsigned char*>(ashlar_kmalloc(100, ASHLAR_ZERO));
  std::memset(bytes, 1, 100);
  bytes = static_cast<unsigned char*>(ashlar_krealloc(bytes, 100000, ASHLAR_ZERO));
  ASSERT_NE(bytes, nullptr);
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(bytes[i], 1);
  for (size_t i = 112; i < 100000; ++i) ASSERT_EQ(bytes[i], 0);
  EXPECT_EQ(ashlar_krealloc(bytes, 0, 0), nullptr);
  // What is given up and had again where the block stands is new, too.
  bytes = static_cast<unsigned char*>(ashlar_kmalloc(100, ASHLAR_ZERO));
  std::memset(bytes, 1, 100);
  for (size_t size : {60, 100})
    bytes = static_cast<unsigned char*>(ashlar_krealloc(bytes, size, ASHLAR_ZERO));
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(bytes[i], i < 60 ? 1 : 0) << i;
  ashlar_kfree(bytes);
  errno = 0;
  EXPECT_EQ(ashlar_kmalloc_array(SIZE_MAX / 2, 3, 0), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(General, ZonesAreWhereTheyAreSaidToBe) {
  void* low = ashlar_kmalloc(10000, ASHLAR_LOW32);
  if (low == nullptr) GTEST_SKIP() << "no address space below 4 GiB";
  EXPECT_LT(reinterpret_cast<uintptr_t>(low), size_t{1} << 32);
  ashlar_kfree(low);
}

}  // namespace
