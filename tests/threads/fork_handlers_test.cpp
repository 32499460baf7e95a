// threads/fork_handlers_test.cpp -- the program's own fork handlers may allocate.
//
// A user would notice: a program that hangs in fork(), because its pthread_atfork handler calls
// malloc while the allocator's handler already holds the heap. Handlers are registered here at both
// ends: before any constructor ran (so that the prepare handler runs after the allocator's), and
// in main (so that it runs before). Nor may a monitoring thread be told, by mallinfo2, that nothing
// is allocated, since another one forks.
//
// ASHLAR_TEST_FORKS sets the number of forks (400 by default).

#include <gtest/gtest.h>
#include <malloc.h>
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
  }
  free(strdup("a fork handler"));
}

// What the handlers of a fork do beside that, while the heap waits for the fork to be over.
enum class Asked { kNothing, kToTheEnd, kForSeconds, kForAMoment };
std::atomic<Asked> asked{Asked::kNothing};
std::atomic<bool> is_forking{false}, has_answered{false}, was_answered_meanwhile{false};
size_t here = 0, in_child = 0;

size_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void ask_before() {
  if (asked == Asked::kNothing) return;
  here = bytes_in_use();
  if (asked == Asked::kToTheEnd) (void)malloc_trim(0);
  is_forking = true;
  const int waits = asked == Asked::kToTheEnd ? 10000 : asked == Asked::kForSeconds ? 6000 : 50;
  for (int i = 0; i < waits && !has_answered; ++i) usleep(1000);
  was_answered_meanwhile = has_answered.load();
}

void ask_in_child() {
  if (asked != Asked::kNothing) in_child = bytes_in_use();
}

void register_first() {
  pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
  pthread_atfork(ask_before, nullptr, ask_in_child);
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

constexpr size_t kHeld = size_t{5} << 20;

// Forks, and has another thread answer when the fork is under way.
template <class Answer>
void fork_and_ask(Asked what, Answer answer) {
  void* held = malloc(kHeld);
  is_forking = has_answered = false;
  std::thread other([&] {
    while (!is_forking) usleep(100);
    answer();
    has_answered = true;
  });
  asked = what;
  const pid_t pid = fork();
  asked = Asked::kNothing;
  if (pid == 0) _exit(in_child >= kHeld ? 0 : 9);
  EXPECT_TRUE(test::wait_for(pid, 60).clean());
  other.join();
  free(held);
}

// A fork may wait for the thread that asks: for a lock of stdio that it holds. It is answered.
TEST(ForkHandlers, WhatIsAllocatedIsToldToWhomTheForkWaitsFor) {
  test::Watchdog dog(60, "a fork, and a thread that asks for statistics meanwhile");
  size_t there = 0;
  fork_and_ask(Asked::kToTheEnd, [&] { there = bytes_in_use(); });
  EXPECT_TRUE(was_answered_meanwhile);
  EXPECT_GE(there, kHeld);
  EXPECT_GE(here, kHeld) << "in the thread that forks";
}

// Nor does the fork have to wait for long where it waits for a thread that gives memory back.
TEST(ForkHandlers, WhoGivesMemoryBackDoesNotKeepAForkThatWaitsForIt) {
  test::Watchdog dog(60, "a fork that waits for a thread that gives memory back");
  fork_and_ask(Asked::kForSeconds, [&] { malloc_trim(0); });
  EXPECT_TRUE(was_answered_meanwhile);
}

TEST(ForkHandlers, MemoryGoesBackAfterAForkThatWasInTheWay) {
  test::Watchdog dog(60, "a fork, and a thread that gives memory back meanwhile");
  int answer = 0;
  std::vector<void*> blocks(1000);
  for (void*& block : blocks) memset(block = malloc(10000), 1, 10000);
  for (void* block : blocks) free(block);
  fork_and_ask(Asked::kForAMoment, [&] { answer = malloc_trim(0); });
  EXPECT_FALSE(was_answered_meanwhile) << "a fork keeps the heap as it is";
  EXPECT_EQ(answer, 1);
}

}  // namespace
