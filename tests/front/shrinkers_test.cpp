// front/shrinkers_test.cpp -- proves that the program's caches are asked in order and no more than
// needed, never from within, and never again once they are gone.

#include "front/shrinkers.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "support/child.h"

namespace {
using namespace ashlar;

using front::Shrinkers;
using Whose = Shrinkers::Whose;

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

// Registers one after the other. How many there was a place for.
unsigned take_all(Shrinkers& shrinkers, Whose whose) {
  static Cache cache;
  unsigned places = 0;
  while (shrinkers.add(shrink, &cache, whose) != Shrinkers::kNone) ++places;
  return places;
}

// A call that is under way in another thread from the start until leave(); others free nothing.
struct Running {
  explicit Running(Shrinkers& all, Whose whose = Whose::kProgram) : shrinkers(all) {
    slot = shrinkers.add(
        [](void* data, size_t) -> size_t {
          auto& running = *static_cast<Running*>(data);
          if (running.is_inside.exchange(true)) return 0;
          while (!running.may_leave) std::this_thread::yield();
          return 1;
        },
        this, whose);
    asker = std::thread([this] { shrinkers.ask(1); });
    while (!is_inside) std::this_thread::yield();
  }
  ~Running() {
    may_leave = true;
    asker.join();
  }

  Shrinkers& shrinkers;
  std::atomic<bool> is_inside{false}, may_leave{false};
  unsigned slot;
  std::thread asker;
};

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
  EXPECT_EQ(take_all(shrinkers, Whose::kProgram), 64u) << "as the header says";
  EXPECT_GE(take_all(shrinkers, Whose::kCacheOfBlocks), 30u) << "whatever the program takes";
  EXPECT_EQ(take_all(shrinkers, Whose::kCacheOfSlabs), 27u) << "as many as there may be";
  EXPECT_TRUE(shrinkers.remove(Shrinkers::kCaches));
  EXPECT_EQ(shrinkers.add(shrink, &cache, Whose::kCacheOfSlabs), Shrinkers::kNone);
  EXPECT_EQ(shrinkers.add(shrink, &cache), Shrinkers::kCaches);
}

// What is only free goes before what the program would have to compute again.
TEST(Shrinkers, CachesAreAskedFirst) {
  Shrinkers shrinkers;
  Cache program{100}, blocks{100}, slabs{100};
  shrinkers.add(shrink, &program);
  shrinkers.add(shrink, &blocks, Whose::kCacheOfBlocks);
  shrinkers.add(shrink, &slabs, Whose::kCacheOfSlabs);
  EXPECT_EQ(shrinkers.ask(200), 200u);
  EXPECT_EQ(program.calls, 0u);
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
  std::atomic<bool> is_removed{false};
  Shrinkers shrinkers;
  Running running(shrinkers);
  std::thread remover([&] {
    shrinkers.remove(running.slot);
    is_removed = true;
  });
  while (!shrinkers.is_empty()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(is_removed) << "what it works on may be gone, and it runs";
  running.may_leave = true;
  remover.join();
  EXPECT_TRUE(is_removed);
}

// The memory of a cache goes with its end, from wherever that is asked for.
TEST(Shrinkers, ACachesEndIsWaitedForFromWithinAnother) {
  test::Watchdog dog(100, "the removal of a cache that shrinks, by a shrinker");
  struct Remover {
    Shrinkers* shrinkers;
    unsigned slot;
    std::atomic<bool> is_removing{false}, is_removed{false};
  };
  Shrinkers shrinkers;
  Running running(shrinkers, Whose::kCacheOfSlabs);
  Remover remover{&shrinkers, running.slot};
  shrinkers.add(
      [](void* data, size_t) -> size_t {
        auto& own = *static_cast<Remover*>(data);
        own.is_removing = true;
        own.shrinkers->remove(own.slot);
        own.is_removed = true;
        return 1;
      },
      &remover);
  std::thread asker([&] { shrinkers.ask(1); });
  while (!remover.is_removing) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(remover.is_removed);
  running.may_leave = true;
  asker.join();
  EXPECT_TRUE(remover.is_removed);
}

TEST(Shrinkers, WhoAsksKeepsItsErrno) {
  Shrinkers shrinkers;
  shrinkers.add(
      [](void*, size_t) -> size_t {
        errno = ENOMEM;
        return 1;
      },
      nullptr);
  errno = 7;
  EXPECT_EQ(shrinkers.ask(1), 1u);
  EXPECT_EQ(errno, 7);
}

TEST(Shrinkers, AChildDoesNotWaitForItsParentsThreads) {
  test::Watchdog dog(100, "a child that removes a shrinker");
  Shrinkers shrinkers;
  Running running(shrinkers);
  pid_t pid = fork();
  if (pid == 0) {
    shrinkers.reset_in_child();
    _exit(shrinkers.remove(running.slot) ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
}

// A place whose removal was under way in another thread is free in the child.
TEST(Shrinkers, AChildHasAllPlacesBack) {
  test::Watchdog dog(100, "a child of a process that removes a shrinker");
  Shrinkers shrinkers;
  Running running(shrinkers);
  std::thread remover([&] { shrinkers.remove(running.slot); });
  while (!shrinkers.is_empty()) std::this_thread::yield();
  pid_t pid = fork();
  if (pid == 0) {
    shrinkers.reset_in_child();
    _exit(take_all(shrinkers, Whose::kProgram) == 64 ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
  running.may_leave = true;
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
  if (pid == 0)
    _exit(shrinkers.remove(nested.slot) && shrinkers.add(shrink, nullptr) == nested.slot ? 0 : 1);
  EXPECT_TRUE(test::wait_for(pid, 30).clean());
}

// Whoever asks may be interrupted where it looks at a free place.
TEST(Shrinkers, APlaceThatIsLookedAtIsFree) {
  test::Watchdog dog(100, "a shrinker that comes and goes");
  static std::atomic<bool> is_inside, may_leave;
  struct sigaction action {};
  action.sa_handler = [](int) {
    is_inside = true;
    while (!may_leave) std::this_thread::yield();
    is_inside = false;
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  Shrinkers shrinkers;
  auto free_some = [](void*, size_t bytes) { return bytes; };
  while (shrinkers.add(free_some, nullptr) != Shrinkers::kNone) {
  }
  std::atomic<bool> is_over{false};
  std::atomic<unsigned> asks{0};
  std::thread asker([&] {
    for (; !is_over; ++asks) shrinkers.ask(1);
  });
  unsigned refused = 0;
  for (int i = 0; i < 1000; ++i) {
    shrinkers.remove(Shrinkers::kCaches);
    for (unsigned seen = asks; asks - seen < 2;) std::this_thread::yield();
    may_leave = false;
    pthread_kill(asker.native_handle(), SIGUSR1);
    while (!is_inside) std::this_thread::yield();
    bool is_refused = shrinkers.add(free_some, nullptr) == Shrinkers::kNone;
    may_leave = true;
    while (is_inside) std::this_thread::yield();
    if (is_refused) shrinkers.add(free_some, nullptr);
    refused += is_refused;
  }
  is_over = true;
  asker.join();
  EXPECT_EQ(refused, 0u);
}

// Where another thread was about to count it.
TEST(Shrinkers, AChildAsksWhomItFinds) {
  test::Watchdog dog(100, "children of a process whose shrinkers come and go");
  Shrinkers shrinkers;
  Cache cache;
  std::atomic<bool> is_over{false};
  std::thread changer([&] {
    while (!is_over) shrinkers.remove(shrinkers.add(shrink, &cache));
  });
  for (int i = test::how_often("ASHLAR_TEST_FORKS", 200); i > 0; --i) {
    pid_t pid = fork();
    if (pid == 0) {
      shrinkers.reset_in_child();
      bool is_empty = shrinkers.is_empty();
      _exit(shrinkers.remove(Shrinkers::kCaches) == is_empty ? 1 : 0);
    }
    EXPECT_TRUE(test::wait_for(pid, 30).clean());
  }
  is_over = true;
  changer.join();
}

}  // namespace
