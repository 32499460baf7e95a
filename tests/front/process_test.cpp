// front/process_test.cpp -- proves the gate: a fork while others allocate gives a child that can
// allocate and whose heap is sane, the parent goes on, and nobody waits for ever.

#include "front/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "ashlar/limits.h"
#include "ashlar/pool.h"
#include "cache/seat.h"
#include "front/heap.h"
#include "inspect/audit.h"
#include "support/child.h"

namespace {
using namespace ashlar;

// Registered before the heap's own handlers, so that it runs after their prepare handler.
std::atomic<bool> is_held_up{false}, is_closed{false}, is_done{false};
[[maybe_unused]] const int registered = pthread_atfork(
    [] {
      is_closed = true;
      while (is_held_up && !is_done) usleep(100);
    },
    nullptr, nullptr);

void start_once() {
  static bool is_started = (front::start_process(), true);
  (void)is_started;
}

// Exit code of a child that uses the heap in every way, or 3 where it goes wrong.
int use_heap() {
  for (int i = 0; i < 10; ++i) {
    for (size_t size : {1, 64, 5000, 40000, 2000000}) {
      auto* p = static_cast<char*>(front::alloc(size));
      if (p == nullptr) return 3;
      std::memset(p, i, size);
      front::free(p);
    }
  }
  inspect::audit();
  return 0;
}

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    start_once();
    front::free(front::alloc(100));
  }
  ~ProcessTest() override { inspect::audit(); }
};

TEST_F(ProcessTest, TheGateIsOpenAndMayBeEnteredTwice) {
  front::GateEntry outer;
  EXPECT_TRUE(outer.is_open());
  front::GateEntry inner;
  EXPECT_TRUE(inner.is_open());
  EXPECT_TRUE(front::wait_for_gate(false));
}

// Its parent's slabs are shared until it writes to them; so its own small blocks lie together.
TEST_F(ProcessTest, AChildBeginsWithSlobAndIsPromotedAgain) {
  uint64_t slob_max = front::g_heap.options().slob_max;
  if (slob_max == 0 || slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: one kind of tenant serves all small blocks here";
  ASSERT_TRUE(front::g_heap.promote());
  if (front::g_heap.mode() == os::RseqMode::kNone)
    GTEST_SKIP() << "not run: the child inherits its thread's magazines here";
  for (int i = 0; i < 100000; ++i) front::free(front::alloc(100));
  void* of_parent = front::alloc(100);
  ASSERT_NE(os::g_fast_line.cached_end, 0u);
  pid_t child = fork();
  if (child == 0) {
    size_t before = front::g_heap.slob().stats().live_bytes;
    void* own = front::alloc(100);
    bool is_small =
        os::g_fast_line.cached_end == 0 && front::g_heap.slob().stats().live_bytes == before + 112;
    front::free(of_parent);
    for (int i = 0; i < 100000; ++i) front::free(front::alloc(100));
    front::free(own);
    inspect::audit();
    _exit(is_small && os::g_fast_line.cached_end != 0 ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(child, 20).clean());
  EXPECT_NE(os::g_fast_line.cached_end, 0u) << "the parent goes on as before";
  front::free(of_parent);
}

// There are no fork handlers yet: it finds out by itself whose calls those were.
TEST(ProcessWithoutHandlers, AChildIsNotPromotedForWhatItsParentHasAskedFor) {
  ASSERT_TRUE(front::start_heap());
  uint64_t slob_max = front::g_heap.options().slob_max;
  if (slob_max == 0 || slob_max == front::Options::kUnlimited || front::g_heap.is_promoted())
    GTEST_SKIP() << "not run: the parent is not what it is about";
  for (int i = 0; i < 65000; ++i) front::free(front::alloc(100));
  ASSERT_FALSE(front::g_heap.is_promoted());
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 2000; ++i) front::free(front::alloc(100));
    bool was_small = !front::g_heap.is_promoted();
    for (int i = 0; i < 200000; ++i) front::free(front::alloc(100));
    inspect::audit();
    _exit(was_small && front::g_heap.is_promoted() ? 0 : 1);
  }
  EXPECT_TRUE(test::wait_for(child, 20).clean());
}

// Builds with asserts know which sizes a block can have been asked for with. One from beside the
// heap has frames, however small it is. (Of handlers that prepare a fork the first ones come last.)
TEST(ProcessWithoutHandlers, ASizedFreeOfWhatWasAskedForInAForkIsNoMisuse) {
  static std::atomic<bool> s_is_forking{false};
  static std::atomic<void*> s_block{nullptr};
  auto wait_for_block = [] {
    s_is_forking = true;
    while (s_block == nullptr) usleep(100);
  };
  ASSERT_EQ(pthread_atfork(wait_for_block, nullptr, nullptr), 0);
  ASSERT_TRUE(front::start_heap());
  front::start_process();
  std::thread other([] {
    while (!s_is_forking) usleep(100);
    s_block = front::alloc(24);
  });
  pid_t child = fork();
  if (child == 0) _exit(0);
  other.join();
  EXPECT_TRUE(test::wait_for(child).clean());
  EXPECT_EQ(front::usable_size(s_block), base::kFrameSize) << "from beside the heap";
  front::free_sized(s_block, 24);
  inspect::audit();
}

// pthread_create asks for memory: so magazines are ready when its thread begins.
TEST_F(ProcessTest, TheFirstRequestBesideAnotherThreadPromotes) {
  uint64_t slob_max = front::g_heap.options().slob_max;
  if (slob_max == 0 || slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: one kind of tenant serves all small blocks here";
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) usleep(100);
  });
  front::free(front::alloc(300));
  EXPECT_TRUE(front::g_heap.is_promoted());
  is_over = true;
  other.join();
}

TEST_F(ProcessTest, NothingIsServedBesideWhileTheGateIsOpen) {
  EXPECT_EQ(front::alloc_beside(100, 16), nullptr);
}

TEST_F(ProcessTest, AChildOfOneThreadHasTheHeap) {
  void* p = front::alloc(1000);
  std::memset(p, 7, 1000);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 1000; ++i)
      if (static_cast<char*>(p)[i] != 7) _exit(4);
    front::free(p);
    _exit(use_heap());
  }
  EXPECT_TRUE(test::wait_for(child).clean());
  front::free(p);
}

TEST_F(ProcessTest, AChildOfManyThreadsHasASaneHeap) {
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (uint64_t name = 1; name <= 3; ++name)
    threads.emplace_back([&, name] {
      uint64_t seed = name;
      std::vector<void*> held;
      while (!is_over) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        size_t size = (seed >> 40) % 50 == 0 ? 100000 : (seed >> 50) % 3000;
        void* p = front::alloc(size);
        if (size > 0) static_cast<char*>(p)[size - 1] = 1;
        held.push_back(p);
        if (held.size() > 100) {
          for (void* block : held) front::free(block);
          held.clear();
        }
      }
      for (void* block : held) front::free(block);
    });
  test::Ending ending;
  int forks = 0;
  do {
    pid_t child = fork();
    if (child == 0) _exit(use_heap());
    ending = test::wait_for(child, 10);
  } while (ending.clean() && ++forks < 100);
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(ending.clean()) << "the child of fork " << forks << " " << ending.text();
}

// The other thread waits for what we hold, with all CPUs' areas taken from them; in the child there
// is no such thread, and every request would take the slow path.
TEST_F(ProcessTest, AChildIsNotLeftWithADrainOfAnotherThread) {
  if (!front::g_heap.promote() || cache::has_thread_seats())
    GTEST_SKIP() << "not run: there are no areas of CPUs here";
  std::atomic<bool> is_drained{false}, is_over{false};
  std::thread other([&] {
    front::GateEntry entry;
    os::Locked held(cache::seat_lock());
    is_drained = cache::drain_seats();
    while (!is_over) usleep(100);
    cache::restore_seats();
  });
  while (!is_drained) usleep(100);
  pid_t child = 0;
  {
    front::GateEntry entry;  // as in a handler that has interrupted the slow path
    child = fork();
    if (child == 0) _exit(cache::is_drained() ? 1 : 0);
  }
  EXPECT_TRUE(cache::is_drained());  // it is not ours to end
  is_over = true;
  other.join();
  EXPECT_FALSE(cache::is_drained());
  EXPECT_TRUE(test::wait_for(child).clean());
}

TEST_F(ProcessTest, AGrandchildIsNoWorse) {
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) front::free(front::alloc(500));
  });
  bool is_clean = true;
  for (int i = 0; is_clean && i < 20; ++i) {
    pid_t child = fork();
    if (child == 0) {
      int first = use_heap();
      pid_t grandchild = fork();
      if (grandchild == 0) _exit(use_heap());
      _exit(first != 0 ? first : test::wait_for(grandchild, 30).clean() ? 0 : 5);
    }
    is_clean = test::wait_for(child, 30).clean();
  }
  is_over = true;
  other.join();
  EXPECT_TRUE(is_clean);
}

// A fork that waits for a lock of another thread lasts as long as that thread likes.
TEST_F(ProcessTest, AThreadGoesOnForAsLongAsAForkLasts) {
  constexpr int kBlocks = 20000;
  std::atomic<bool> has_begun{false};
  is_closed = false;  // a fork of another test's
  int beside = 0;
  std::vector<void*> places(kBlocks);
  std::thread other([&] {
    has_begun = true;
    while (!is_closed) usleep(100);
    for (void*& p : places) {
      p = front::alloc(100);
      std::memset(p, 1, 100);
      beside += !front::g_heap.pages().slabs().contains(p);
      front::free(p);
    }
    is_done = true;
  });
  while (!has_begun) usleep(100);
  is_held_up = true;  // from now on until is_done
  pid_t child = fork();
  if (child == 0) _exit(use_heap());
  EXPECT_TRUE(test::wait_for(child).clean());
  other.join();
  EXPECT_EQ(beside, kBlocks);
  std::sort(places.begin(), places.end());
  EXPECT_EQ(std::unique(places.begin(), places.end()) - places.begin(), 1)
      << "a block that was freed beside the heap is there for the next";
}

// However long a fork lasts: what must not wait, for that a pool's reserve is closed meanwhile.
TEST_F(ProcessTest, WhoMustNotWaitForAForkDoesNot) {
  test::Watchdog dog(60, "a request that must not wait, beside a fork");
  ashlar_pool* pool = ashlar_pool_create_size(4, 100);
  ASSERT_NE(pool, nullptr);
  std::atomic<bool> has_begun{false};
  is_closed = is_done = false;
  bool is_inside = true;
  void* object = pool;
  int error = 0;
  std::thread other([&] {
    has_begun = true;
    while (!is_closed) usleep(100);
    is_inside = front::inside_gate(front::GateWait::kNot, [] {});
    object = ashlar_pool_alloc(pool, ASHLAR_NOWAIT, 1000);
    error = errno;
    is_done = true;
  });
  while (!has_begun) usleep(100);
  is_held_up = true;
  pid_t child = fork();
  if (child == 0) _exit(use_heap());
  is_held_up = false;
  EXPECT_TRUE(test::wait_for(child).clean());
  other.join();
  EXPECT_FALSE(is_inside);
  EXPECT_EQ(object, nullptr);
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(ashlar_pool_ready(pool), 4u);
  ashlar_pool_destroy(pool);
}

// What other threads get beside the heap counts in its bounds, and in the child no more.
TEST_F(ProcessTest, TheHardLimitHoldsWhileAForkLasts) {
  constexpr size_t kMiB = size_t{1} << 20, kHard = 64 * kMiB;
  std::atomic<bool> has_begun{false};
  is_closed = is_done = false;
  std::vector<void*> blocks(2 * kHard / kMiB);
  size_t count = 0, held_before = 0, held_beside = 0;
  auto& pages = front::g_heap.pages();
  std::thread other([&] {
    has_begun = true;
    while (!is_closed) usleep(100);
    while (count < blocks.size() && (blocks[count] = front::alloc_beside(kMiB, 16)) != nullptr)
      ++count;
    held_beside = pages.budget().held();
    is_done = true;
  });
  while (!has_begun) usleep(100);
  ashlar_set_limits(ASHLAR_UNLIMITED, kHard);
  held_before = pages.budget().held();
  is_held_up = true;
  pid_t child = fork();
  if (child == 0) {
    pages.audit();
    ashlar_limits limits;
    ashlar_get_limits(&limits);
    if (limits.held > held_before * base::kFrameSize + kMiB) _exit(1);
    for (size_t i = 0; i < count; ++i) front::free(blocks[i]);
    void* block = front::alloc(kMiB);
    ashlar_get_limits(&limits);
    _exit(block != nullptr && limits.held < kHard ? use_heap() : 2);
  }
  is_held_up = false;
  EXPECT_TRUE(test::wait_for(child).clean());
  other.join();
  EXPECT_GT(count, 0u);
  EXPECT_GE(held_beside, count * (kMiB / base::kFrameSize));
  EXPECT_LE(held_beside, kHard / base::kFrameSize);
  for (size_t i = 0; i < count; ++i) front::free(blocks[i]);
  pages.audit();
  EXPECT_LT(pages.budget().held(), held_before + kMiB / base::kFrameSize);
  ashlar_set_limits(ASHLAR_UNLIMITED, ASHLAR_UNLIMITED);
}

// What was allocated beside the heap, while a fork held the gate, is freed like any other.
TEST_F(ProcessTest, BlocksFromBesideAreFreedLater) {
  std::atomic<bool> is_over{false};
  std::vector<void*> blocks;
  std::thread other([&] {
    while (!is_over) {
      blocks.push_back(front::alloc(3000));
      std::memset(blocks.back(), 1, 3000);
      if (blocks.size() > 1000) {
        for (void* p : blocks) front::free(p);
        blocks.clear();
      }
    }
  });
  for (int i = 0; i < 50; ++i) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    EXPECT_TRUE(test::wait_for(child).clean());
  }
  is_over = true;
  other.join();
  for (void* p : blocks) front::free(p);
}

}  // namespace
