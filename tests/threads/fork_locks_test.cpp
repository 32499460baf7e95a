// threads/fork_locks_test.cpp -- a fork ends that waits for a lock under which another thread uses
// pools, heaps of their own, and object caches.
//
// A user would notice: a program that hangs in fork(), because a library's pthread_atfork handler
// takes the library's mutex, and the thread that holds it waits for the fork to be over. The
// handlers are registered before anything of Ashlar's is used, so that the one that takes the lock
// runs when Ashlar has prepared for the fork.

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "ashlar/cache.h"
#include "ashlar/heap.h"
#include "ashlar/pool.h"

namespace {

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
std::atomic<bool> is_forking{false};
void (*in_child)() = nullptr;

void before() {
  is_forking = true;
  pthread_mutex_lock(&lock);
}
void after() {
  pthread_mutex_unlock(&lock);
}
void after_in_child() {
  pthread_mutex_unlock(&lock);
  if (in_child != nullptr) in_child();
}
[[maybe_unused]] const int registered = pthread_atfork(before, after, after_in_child);

// Forks while another thread calls work() under the lock that the fork waits for.
template <class Work>
void fork_beside(Work work, int (*child)() = nullptr) {
  is_forking = false;
  std::atomic<bool> has_lock{false};
  std::thread other([&] {
    pthread_mutex_lock(&lock);
    has_lock = true;
    while (!is_forking) usleep(100);
    work();
    pthread_mutex_unlock(&lock);
  });
  while (!has_lock) usleep(100);
  const pid_t pid = fork();
  if (pid == 0) _exit(child == nullptr ? 0 : child());
  EXPECT_TRUE(test::wait_for(pid, 60).clean());
  other.join();
}

TEST(ForkLocks, APoolIsUsed) {
  test::Watchdog dog(60, "a fork that waits for who uses a pool");
  constexpr size_t kLeast = 40;
  static ashlar_pool* s_pool;
  s_pool = ashlar_pool_create_size(kLeast, 100);
  ASSERT_NE(s_pool, nullptr);
  int refused = 0;
  fork_beside(
      [&] {
        for (int round = 0; round < 50; ++round) {
          void* objects[2 * kLeast];
          for (void*& object : objects) refused += !(object = ashlar_pool_alloc(s_pool, 0, 0));
          for (void* object : objects) ashlar_pool_free(s_pool, object);
        }
      },
      [] {
        void* object = ashlar_pool_alloc(s_pool, 0, 0);
        ashlar_pool_free(s_pool, object);
        return object != nullptr && ashlar_pool_ready(s_pool) == kLeast ? 0 : 1;
      });
  EXPECT_EQ(refused, 0);
  ashlar_pool_destroy(s_pool);
}

// A source of its own, which has no more than what the pool was made with.
struct Source {
  void* objects[8] = {&objects[0], &objects[1], &objects[2], &objects[3],
                      &objects[4], &objects[5], &objects[6], &objects[7]};
  size_t count = 8;
  int freed = 0;
};
void* source_alloc(void* data, unsigned) {
  auto* source = static_cast<Source*>(data);
  return source->count == 0 ? nullptr : source->objects[--source->count];
}
void source_free(void* data, void* object) {
  auto* source = static_cast<Source*>(data);
  source->objects[source->count++] = object;
  ++source->freed;
}

TEST(ForkLocks, WhatIsFreedToAPoolIsInItsReserveAfterwards) {
  test::Watchdog dog(60, "a fork that waits for who frees to a pool");
  Source source;
  ashlar_pool* pool = ashlar_pool_create(8, source_alloc, source_free, &source);
  ASSERT_NE(pool, nullptr);
  void* objects[8];
  for (void*& object : objects) ASSERT_NE(object = ashlar_pool_alloc(pool, 0, 0), nullptr);
  fork_beside([&] {
    for (int i = 1; i < 8; ++i) ashlar_pool_free(pool, objects[i]);
  });
  ashlar_pool_free(pool, objects[0]);
  EXPECT_EQ(ashlar_pool_ready(pool), 8u);
  EXPECT_EQ(source.freed, 0);
  ashlar_pool_destroy(pool);
}

TEST(ForkLocks, AWaitForAnObjectEnds) {
  test::Watchdog dog(60, "a fork that waits for who waits for an object");
  Source source;
  ashlar_pool* pool = ashlar_pool_create(8, source_alloc, source_free, &source);
  ASSERT_NE(pool, nullptr);
  void* objects[8];
  for (void*& object : objects) ASSERT_NE(object = ashlar_pool_alloc(pool, 0, 0), nullptr);
  int error = 0;
  fork_beside([&] {
    errno = 0;
    EXPECT_EQ(ashlar_pool_alloc(pool, 0, 20), nullptr);
    error = errno;
  });
  EXPECT_EQ(error, ETIMEDOUT);
  for (void* object : objects) ashlar_pool_free(pool, object);
  EXPECT_EQ(ashlar_pool_ready(pool), 8u);
  ashlar_pool_destroy(pool);
}

// The program's handlers may run before Ashlar's, also in the child: nobody waits there either.
TEST(ForkLocks, InAHandlerOfTheChildNobodyWaitsForAnObject) {
  test::Watchdog dog(60, "a child whose handler frees to a pool");
  static Source s_source;
  static ashlar_pool* s_pool;
  static void* s_object;
  s_pool = ashlar_pool_create(1, source_alloc, source_free, &s_source);
  ASSERT_NE(s_pool, nullptr);
  s_source.count = 0;
  s_object = ashlar_pool_alloc(s_pool, 0, 0);
  std::thread waiter(
      [&] { ashlar_pool_free(s_pool, ashlar_pool_alloc(s_pool, 0, ASHLAR_POOL_FOREVER)); });
  usleep(300'000);
  in_child = [] { ashlar_pool_free(s_pool, s_object); };
  const pid_t pid = fork();
  in_child = nullptr;
  if (pid == 0) _exit(ashlar_pool_alloc(s_pool, 0, 0) == s_object ? 0 : 1);
  EXPECT_TRUE(test::wait_for(pid, 60).clean());
  ashlar_pool_free(s_pool, s_object);
  waiter.join();
  ashlar_pool_destroy(s_pool);
}

// For as long as a fork may reasonably take, ten seconds, requests wait; then they are refused.
void use_heap(ashlar_heap* heap) {
  ASSERT_NE(heap, nullptr);
  std::vector<void*> blocks(100);
  size_t size = 50;
  for (void*& block : blocks) ASSERT_NE(block = ashlar_heap_alloc(heap, size += 60), nullptr);
  ashlar_heap* ended = ashlar_heap_create(1 << 20);
  void* last = ashlar_heap_alloc(heap, 5000);
  std::memset(last, 7, 5000);
  fork_beside([&] {
    for (void* block : blocks) ashlar_heap_free(heap, block);
    for (int i = 0; i < 100; ++i) {
      errno = 0;
      EXPECT_EQ(ashlar_heap_alloc(heap, 100), nullptr);
      EXPECT_EQ(errno, ENOMEM);
    }
    EXPECT_EQ(ashlar_heap_realloc(heap, last, 20000), nullptr);
    EXPECT_EQ(ashlar_heap_realloc(heap, last, 100), last);
    EXPECT_GE(ashlar_heap_usable_size(heap, last), 5000u);
    ashlar_heap_destroy(ended);
  });
  EXPECT_EQ(static_cast<char*>(last)[4999], 7);
  ashlar_heap_free(heap, last);
  EXPECT_EQ(ashlar_heap_live(heap), 0u);
  ashlar_heap_destroy(heap);
}

TEST(ForkLocks, AHeapOfItsOwnIsUsed) {
  test::Watchdog dog(60, "a fork that waits for who uses a heap");
  use_heap(ashlar_heap_create(1 << 24));
}

TEST(ForkLocks, AHeapInABufferIsUsed) {
  test::Watchdog dog(60, "a fork that waits for who uses a heap");
  std::vector<char> buffer(1 << 20);
  use_heap(ashlar_heap_create_in(buffer.data(), buffer.size()));
}

int mark(void* object, void*) {
  *static_cast<int*>(object) = 77;
  return 0;
}

void use_cache(const ashlar_cache_args& args) {
  static ashlar_cache* s_cache;
  s_cache = ashlar_cache_create("used in a fork", 1000, &args);
  ASSERT_NE(s_cache, nullptr);
  std::vector<void*> objects(1000);
  int refused = 0, bare = 0;
  fork_beside(
      [&] {
        for (void*& object : objects) {
          object = ashlar_cache_alloc(s_cache, 0);
          refused += object == nullptr;
          bare +=
              object != nullptr && args.construct != nullptr && *static_cast<int*>(object) != 77;
        }
        for (size_t i = 0; i < objects.size() / 2; ++i) ashlar_cache_free(s_cache, objects[i]);
        ashlar_cache_shrink(s_cache);
      },
      [] { return ashlar_cache_alloc(s_cache, 0) != nullptr ? 0 : 1; });
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(bare, 0);
  for (size_t i = objects.size() / 2; i < objects.size(); ++i)
    ashlar_cache_free(s_cache, objects[i]);
  ashlar_cache_destroy(s_cache);
}

TEST(ForkLocks, ACacheIsUsed) {
  test::Watchdog dog(60, "a fork that waits for who uses a cache");
  use_cache({});
  use_cache({.align = 0, .flags = 0, .construct = mark, .destruct = nullptr, .data = nullptr});
  use_cache({.align = 0,
             .flags = ASHLAR_CACHE_POISON,
             .construct = nullptr,
             .destruct = nullptr,
             .data = nullptr});
}

}  // namespace
