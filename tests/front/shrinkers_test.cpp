// front/shrinkers_test.cpp -- proves that the program's caches are asked in order and no more than
// needed, never from within, and never again once they are gone.

#include "front/shrinkers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/child.h"

namespace {

using front::Shrinkers;

struct Cache {
  size_t bytes = 0;
  unsigned calls = 0;
  size_t wanted = 0;
};
size_t shrink(void* data, size_t bytes) {
  auto& cache = *static_cast<Cache*>(data);
  ++cache.calls;
  cache.wanted = bytes;
  size_t freed = std::min(bytes, cache.bytes);
  cache.bytes -= freed;
  return freed;
}

TEST(Shrinkers, AreAskedInOrderUntilEnoughIsFree) {
  Shrinkers shrinkers;
  Cache first{100}, second{100}, third{100};
  for (Cache* cache : {&first, &second, &third}) shrinkers.add(shrink, cache);
  EXPECT_EQ(shrinkers.ask(150), 150u);
  EXPECT_EQ(first.bytes, 0u);
  EXPECT_EQ(second.wanted, 50u);
  EXPECT_EQ(third.calls, 0u);
  EXPECT_EQ(shrinkers.ask(1000), 150u) << "what there is";
}

TEST(Shrinkers, WithoutAnyNothingIsFreed) {
  Shrinkers shrinkers;
  EXPECT_TRUE(shrinkers.is_empty());
  EXPECT_EQ(shrinkers.ask(100), 0u);
}

TEST(Shrinkers, WhoIsGoneIsNotAsked) {
  Shrinkers shrinkers;
  Cache stays{100}, goes{100};
  unsigned slot = shrinkers.add(shrink, &goes);
  shrinkers.add(shrink, &stays);
  EXPECT_TRUE(shrinkers.remove(slot));
  EXPECT_FALSE(shrinkers.remove(slot)) << "once";
  EXPECT_FALSE(shrinkers.remove(Shrinkers::kMost));
  EXPECT_FALSE(shrinkers.remove(Shrinkers::kNone));
  EXPECT_EQ(shrinkers.ask(100), 100u);
  EXPECT_EQ(goes.calls, 0u);
  EXPECT_EQ(shrinkers.add(shrink, &goes), slot) << "the place is free";
}

TEST(Shrinkers, ThereIsAnEndOfPlaces) {
  Shrinkers shrinkers;
  Cache cache;
  for (unsigned i = 0; i < Shrinkers::kMost; ++i) EXPECT_EQ(shrinkers.add(shrink, &cache), i);
  EXPECT_EQ(shrinkers.add(shrink, &cache), Shrinkers::kNone);
}

struct Nested {
  Shrinkers* shrinkers;
  unsigned slot = 0;
  size_t freed_within = 1;
};

TEST(Shrinkers, AskNobodyFromWithin) {
  Shrinkers shrinkers;
  Nested nested{&shrinkers};
  shrinkers.add(
      [](void* data, size_t) -> size_t {
        auto& nested = *static_cast<Nested*>(data);
        nested.freed_within = nested.shrinkers->ask(1);
        return 1;
      },
      &nested);
  EXPECT_EQ(shrinkers.ask(1), 1u);
  EXPECT_EQ(nested.freed_within, 0u);
  EXPECT_EQ(shrinkers.ask(1), 1u) << "and again afterwards";
}

TEST(Shrinkers, OneMayRemoveItself) {
  Shrinkers shrinkers;
  Nested nested{&shrinkers};
  nested.slot = shrinkers.add(
      [](void* data, size_t) -> size_t {
        auto& nested = *static_cast<Nested*>(data);
        EXPECT_TRUE(nested.shrinkers->remove(nested.slot));
        return 1;
      },
      &nested);
  EXPECT_EQ(shrinkers.ask(2), 1u);
  EXPECT_EQ(shrinkers.ask(2), 0u);
}

// Its place is not another's as long as it runs.
TEST(Shrinkers, OneThatRemovedItselfKeepsItsPlaceUntilItsEnd) {
  Shrinkers shrinkers;
  Nested nested{&shrinkers};
  static unsigned second;
  nested.slot = shrinkers.add(
      [](void* data, size_t) -> size_t {
        auto& nested = *static_cast<Nested*>(data);
        nested.shrinkers->remove(nested.slot);
        second = nested.shrinkers->add(shrink, data);
        return 1;
      },
      &nested);
  shrinkers.ask(1);
  EXPECT_NE(second, nested.slot);
  EXPECT_TRUE(shrinkers.remove(second));
}

// Whoever has removed a shrinker may free what it works on.
TEST(Shrinkers, NoneRunsAfterItsRemoval) {
  test::Watchdog dog(100, "shrinkers that come and go");
  Shrinkers shrinkers;
  std::atomic<bool> is_over{false};
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i)
    askers.emplace_back([&] {
      while (!is_over) shrinkers.ask(SIZE_MAX);
    });
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int> life{1};
    unsigned slot = shrinkers.add(
        [](void* data, size_t) -> size_t {
          EXPECT_EQ(static_cast<std::atomic<int>*>(data)->load(), 1);
          return 1;
        },
        &life);
    ASSERT_NE(slot, Shrinkers::kNone);
    ASSERT_TRUE(shrinkers.remove(slot));
    life = 0;
  }
  is_over = true;
  for (std::thread& asker : askers) asker.join();
}

TEST(Shrinkers, WhoRemovesOneWaitsForItsEnd) {
  test::Watchdog dog(100, "the removal of a shrinker that runs");
  static std::atomic<bool> is_inside{false}, may_leave{false};
  std::atomic<bool> is_removed{false};
  Shrinkers shrinkers;
  unsigned slot = shrinkers.add(
      [](void*, size_t) -> size_t {
        is_inside = true;
        while (!may_leave) std::this_thread::yield();
        return 1;
      },
      nullptr);
  std::thread asker([&] { shrinkers.ask(1); });
  while (!is_inside) std::this_thread::yield();
  std::thread remover([&] {
    shrinkers.remove(slot);
    is_removed = true;
  });
  while (!shrinkers.is_empty()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(is_removed) << "what it works on may be gone, and it runs";
  may_leave = true;
  remover.join();
  EXPECT_TRUE(is_removed);
  asker.join();
}

TEST(Shrinkers, AChildDoesNotWaitForItsParentsThreads) {
  test::Watchdog dog(100, "a child that removes a shrinker");
  static std::atomic<bool> is_inside{false}, may_leave{false};
  Shrinkers shrinkers;
  unsigned slot = shrinkers.add(
      [](void*, size_t) -> size_t {
        is_inside = true;
        while (!may_leave) std::this_thread::yield();
        return 1;
      },
      nullptr);
  std::thread asker([&] { shrinkers.ask(1); });
  while (!is_inside) std::this_thread::yield();
  pid_t pid = fork();
  if (pid == 0) {
    shrinkers.reset_in_child();
    _exit(shrinkers.remove(slot) ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
  may_leave = true;
  asker.join();
}

// A place whose removal was under way in another thread is free in the child.
TEST(Shrinkers, AChildHasAllPlacesBack) {
  test::Watchdog dog(100, "a child of a process that removes a shrinker");
  static std::atomic<bool> is_inside{false}, may_leave{false};
  Shrinkers shrinkers;
  unsigned slot = shrinkers.add(
      [](void*, size_t) -> size_t {
        is_inside = true;
        while (!may_leave) std::this_thread::yield();
        return 1;
      },
      nullptr);
  std::thread asker([&] { shrinkers.ask(1); });
  while (!is_inside) std::this_thread::yield();
  std::thread remover([&] { shrinkers.remove(slot); });
  while (!shrinkers.is_empty()) std::this_thread::yield();
  pid_t pid = fork();
  if (pid == 0) {
    shrinkers.reset_in_child();
    Cache cache;
    unsigned places = 0;
    while (shrinkers.add(shrink, &cache) != Shrinkers::kNone) ++places;
    _exit(places == Shrinkers::kMost ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
  may_leave = true;
  asker.join();
  remover.join();
}

// The call goes on in the child, and its end is counted there, too.
TEST(Shrinkers, OneThatForksMayBeRemovedInTheChild) {
  test::Watchdog dog(100, "a shrinker that forks");
  Shrinkers shrinkers;
  Nested nested{&shrinkers};
  static pid_t pid;
  nested.slot = shrinkers.add(
      [](void* data, size_t) -> size_t {
        pid = fork();
        if (pid == 0) static_cast<Nested*>(data)->shrinkers->reset_in_child();
        return 1;
      },
      &nested);
  EXPECT_EQ(shrinkers.ask(1), 1u);
  if (pid == 0) _exit(shrinkers.remove(nested.slot) && shrinkers.add(shrink, nullptr) == 0 ? 0 : 1);
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
}

}  // namespace
