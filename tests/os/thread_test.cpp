// os/thread_test.cpp -- proves that each thread has its own sixteen bytes, that its end is told
// once, and that the bound on CPU numbers holds.

#include "os/thread.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <thread>

namespace {
using namespace ashlar;

TEST(Thread, EachHasZeroedBytesOfItsOwn) {
  os::this_thread().gate_depth = 7;
  os::ThreadState* mine = &os::this_thread();
  std::thread([&] {
    EXPECT_NE(&os::this_thread(), mine);
    EXPECT_EQ(os::this_thread().gate_depth, 0u);
    EXPECT_EQ(os::this_thread().fallback, nullptr);
    os::this_thread().gate_depth = 9;
  }).join();
  EXPECT_EQ(os::this_thread().gate_depth, 7u);
  os::this_thread().gate_depth = 0;
}

TEST(Thread, ItsEndIsToldOnceInItself) {
  struct Told {
    int count = 0;
    std::thread::id where;
  } told;
  ASSERT_TRUE(os::start_thread_exit([](void* object) {
    auto& told = *static_cast<Told*>(object);
    ++told.count;
    told.where = std::this_thread::get_id();
  }));
  std::thread thread([&] {
    EXPECT_TRUE(os::at_thread_exit(&told));
    EXPECT_EQ(told.count, 0);
  });
  std::thread::id id = thread.get_id();
  thread.join();
  EXPECT_EQ(told.count, 1);
  EXPECT_EQ(told.where, id);
}

TEST(Thread, TheBoundIsAboveEveryCpuThatRunsUs) {
  unsigned bound = os::cpu_bound();
  EXPECT_GE(bound, std::thread::hardware_concurrency());
  EXPECT_LE(bound, os::kMaxCpus);
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(static_cast<unsigned>(sched_getcpu()), bound);
    os::yield_cpu();
  }
}

// The answer is about the machine, not about what this process happens to be allowed now.
TEST(Thread, TheBoundDoesNotFollowTheAffinity) {
  unsigned bound = os::cpu_bound();
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(os::cpu_bound(), bound);
  sched_setaffinity(0, sizeof all, &all);
}

// However large the stacks are, and whether pages that guard them lie between.
TEST(Thread, ManyOfThemAreSpreadOverThePlaces) {
  constexpr size_t kPlaces = 8, kThreads = 64;
  for (size_t stack : {size_t{64} << 10, size_t{256} << 10, size_t{1} << 20, size_t{8} << 20})
    for (size_t guard : {0, 4096, 65536}) {
      size_t threads[kPlaces] = {};
      for (size_t i = 0; i < kThreads; ++i)
        ++threads[os::place_of(0x7ffff7000640 - i * (stack + guard), kPlaces)];
      size_t most = *std::max_element(threads, threads + kPlaces);
      EXPECT_LE(most, 2 * kThreads / kPlaces) << stack << " + " << guard;
    }
}

TEST(Thread, OthersAreSeen) {
  std::thread([] { EXPECT_TRUE(os::has_other_threads()); }).join();
}

}  // namespace
