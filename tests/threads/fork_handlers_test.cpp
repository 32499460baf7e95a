// threads/fork_handlers_test.cpp -- the program's own fork handlers may allocate.
//
// A user would notice: a program that hangs in fork(), because its pthread_atfork handler calls
// malloc while the allocator's handler already holds the heap. Handlers are registered here at both
// ends: before any constructor ran (so that the prepare handler runs after the allocator's), and
// in main (so that it runs before).
//
// ASHLAR_TEST_FORKS sets the number of forks (400 by default).

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include "../support/child.h"
#include "stamped.h"

namespace {

std::atomic<int> runs{0};
test::Stamped kept[3];

void allocate_in_handler() {
  ++runs;
  for (size_t i = 0; i < 3; ++i) {
    test::free_stamped(kept[i]);
    kept[i] = test::make_stamped(size_t{50} << (i * 5), 77 + i);
    if (kept[i].block == nullptr) abort();
  }
  free(strdup("a fork handler"));
}

void register_first() {
  pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
}
__attribute__((section(".preinit_array"), used)) void (*const first)() = register_first;

int fork_count() {
  return test::how_often("ASHLAR_TEST_FORKS", 400);
}

void fork_some(int count) {
  for (int i = 0; i < count; ++i) {
    const int before = runs;
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      test::churn(static_cast<uint64_t>(i), 300, 30, 60000);
      _exit(runs > before ? 0 : 9);
    }
    const test::Ending ending = test::wait_for(pid, 60);
    ASSERT_TRUE(ending.clean()) << "fork number " << i << " " << ending.text();
  }
}

TEST(ForkHandlers, RegisteredBeforeEverythingElse) {
  test::Watchdog dog(110, "a fork whose early handlers allocate");
  fork_some(fork_count() / 4);
  test::Noise noise(3);
  fork_some(fork_count());
}

TEST(ForkHandlers, RegisteredInMainToo) {
  test::Watchdog dog(110, "a fork whose late handlers allocate");
  pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
  test::Noise noise(3);
  fork_some(fork_count());
}

}  // namespace
