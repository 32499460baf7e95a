// threads/exit_paths_test.cpp -- malloc works until the very last instruction of a thread or
// process.
//
// A user would notice: a crash at the end of a program that had already done its work, because a
// destructor allocated after the allocator had tidied itself away.

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "../support/child.h"
#include "stamped.h"

namespace {

pthread_key_t key;
std::atomic<int> destructor_runs{0};

/// Runs again and again: glibc calls destructors up to four times while values are set anew.
void key_destructor(void* value) {
  ++destructor_runs;
  free(value);
  test::churn(9, 300, 30, 40000);
  void* again = malloc(100);
  memset(again, 1, 100);
  pthread_setspecific(key, again);
}

struct AllocatesAtTheEnd {
  std::string text = std::string(500, 'a');
  ~AllocatesAtTheEnd() {
    ++destructor_runs;
    std::string longer = text + text;
    if (longer.size() != 1000) abort();
    test::churn(10, 300, 30, 40000);
  }
};
thread_local AllocatesAtTheEnd last_words;

TEST(ExitPaths, KeyDestructorsAndThreadLocalsMayAllocate) {
  test::Watchdog dog(110, "thread exit");
  ASSERT_EQ(pthread_key_create(&key, key_destructor), 0);
  for (int round = 0; round < 200; ++round) {
    std::thread threads[4];
    for (std::thread& thread : threads) {
      thread = std::thread([] {
        last_words.text[0] = 'a';
        pthread_setspecific(key, malloc(50));
        test::churn(11, 100, 10, 40000);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_GE(destructor_runs, 200 * 4 * 2);
}

TEST(ExitPaths, AThreadWhoseOnlyCallIsInADestructor) {
  for (int round = 0; round < 100; ++round) {
    pthread_t thread{};
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
          static char not_from_malloc;
          pthread_key_t own;
          pthread_key_create(&own, [](void*) { test::churn(12, 50, 5, 5000); });
          pthread_setspecific(own, &not_from_malloc);
          return nullptr;
        },
        nullptr);
    pthread_join(thread, nullptr);
  }
}

TEST(ExitPaths, AtexitHandlersMayAllocate) {
  const test::Ending ending = test::in_child([]() -> int {
    atexit([] {
      test::churn(13, 5000, 100, 100000);
      dprintf(1, "first\n");
    });
    atexit([] {
      test::churn(14, 5000, 100, 100000);
      dprintf(1, "second\n");
      atexit([] { dprintf(1, "nested %d\n", static_cast<int>(std::string(99, 'x').size())); });
    });
    exit(0);
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_EQ(ending.out, "second\nnested 99\nfirst\n");
}

TEST(ExitPaths, ExitWhileOtherThreadsAllocate) {
  for (int round = 0; round < 20; ++round) {
    const test::Ending ending = test::in_child([]() -> int {
      new test::Noise(3);
      atexit([] { test::churn(15, 3000, 100, 100000); });
      usleep(3000);
      exit(7);
    });
    ASSERT_EQ(ending.exit_code, 7) << ending.text();
  }
}

TEST(ExitPaths, TheMainThreadMayLeaveFirst) {
  const test::Ending ending = test::run({BLACKBOX_DIR "/main_leaves_first"});
  EXPECT_EQ(ending.exit_code, 5) << ending.text();
}

}  // namespace
