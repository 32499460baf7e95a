// os/rseq_test.cpp -- proves the three sections on real restartable sequences: a stack per CPU
// whose ends are seen without limits, refusals that change nothing, and no object lost or doubled
// in a storm of preemptions and signals. Where a machine has none, it is said so.

#include "os/rseq.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "os/env.h"

namespace {
using namespace ashlar;

using os::CpuArea;
using os::kClosedWord;

constexpr size_t kCache = 5;

struct Object {
  uint64_t link, key;
  std::atomic<uint64_t> owner;
  uint64_t unused;
};

os::RseqMode mode() {
  static os::RseqMode mode = (os::start_env(), os::start_rseq(true));
  return mode;
}

constexpr uint64_t empty_word(unsigned capacity) {
  return 0x8000 - capacity;
}

// Every CPU has an area of the test's own for as long as the test runs.
class RseqTest : public testing::Test {
 protected:
  void SetUp() override {
    if (mode() == os::RseqMode::kNone) GTEST_SKIP() << "not run: no restartable sequences here";
    areas = new CpuArea[os::cpu_bound()];
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu) {
      for (uint64_t& word : areas[cpu].words) word = kClosedWord;
      os::g_fast.areas[cpu] = &areas[cpu];
    }
  }
  void TearDown() override {
    if (areas == nullptr) return;
    close_all();
    delete[] areas;
  }
  void close_all() {
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu)
      os::g_fast.areas[cpu] = const_cast<CpuArea*>(&os::kNullArea);
    EXPECT_TRUE(os::rseq_fence());
  }
  void open(unsigned capacity) {
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu)
      areas[cpu].words[kCache] = empty_word(capacity);
  }
  // One CPU for the whole test; with mm_cid the id then stays, too, but for what the kernel does
  // on its own: such a test is begun anew.
  static void stay_on_one_cpu() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }

  CpuArea* areas = nullptr;
};

TEST_F(RseqTest, TheNullAreaIsEmptyAndFull) {
  close_all();
  Object object{};
  for (size_t cache = 0; cache < base::kMaxCaches; ++cache) {
    EXPECT_EQ(os::rseq_pop(cache), nullptr);
    EXPECT_FALSE(os::rseq_push(cache, &object));
  }
  EXPECT_EQ(object.key, 0u) << "a refused push leaves the object alone";
}

TEST_F(RseqTest, ThisThreadIsRegisteredAndItsIdInBounds) {
  EXPECT_TRUE(os::is_rseq_registered());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_GE(os::rseq_cpu(), 0);
    ASSERT_LT(static_cast<unsigned>(os::rseq_cpu()), os::cpu_bound());
  }
  std::thread([] { EXPECT_TRUE(os::is_rseq_registered()); }).join();
}

TEST_F(RseqTest, AMagazineIsAStackWithTwoEnds) {
  stay_on_one_cpu();
  for (int attempt = 0; attempt < 100; ++attempt) {
    open(10);
    std::vector<Object> objects(11);
    int id = os::rseq_cpu();
    std::string story = os::rseq_pop(kCache) == nullptr ? "" : "an empty one gave an object; ";
    for (int i = 0; i < 10; ++i)
      if (!os::rseq_push(kCache, &objects[i])) story += "push " + std::to_string(i) + " refused; ";
    if (os::rseq_push(kCache, &objects[10])) story += "an eleventh found room; ";
    for (int i = 10; i-- > 0;)
      if (os::rseq_pop(kCache) != &objects[i]) story += "pop " + std::to_string(i) + " another; ";
    if (os::rseq_pop(kCache) != nullptr) story += "an emptied one gave an object; ";
    bool is_word = areas[id].words[kCache] == empty_word(10);
    if (os::rseq_cpu() != id) continue;  // moved in between
    EXPECT_EQ(story, "");
    EXPECT_TRUE(is_word) << "the bias comes back with the last object";
    return;
  }
  GTEST_SKIP() << "not run: the thread's id never stayed";
}

TEST_F(RseqTest, SomeAreTakenAtOnceTopFirstAndNoMoreThanThereAre) {
  stay_on_one_cpu();
  for (int attempt = 0; attempt < 100; ++attempt) {
    open(10);
    std::vector<Object> objects(10);
    int id = os::rseq_cpu();
    void* some[12] = {};
    std::string story = os::rseq_pop_some(kCache, some, 12) == 0 ? "" : "an empty one gave some; ";
    for (Object& object : objects)
      if (!os::rseq_push(kCache, &object)) story += "a push refused; ";
    if (os::rseq_pop_some(kCache, some, 4) != 4) story += "not four; ";
    if (os::rseq_pop_some(kCache, some + 4, 8) != 6) story += "not the rest; ";
    for (int i = 0; i < 10; ++i)
      if (some[i] != &objects[9 - i]) story += "at " + std::to_string(i) + " another; ";
    if (some[10] != nullptr) story += "more than there were; ";
    bool is_word = areas[id].words[kCache] == empty_word(10);
    if (os::rseq_cpu() != id) continue;  // moved in between
    EXPECT_EQ(story, "");
    EXPECT_TRUE(is_word) << "the bias comes back with the last object";
    close_all();
    EXPECT_EQ(os::rseq_pop_some(kCache, some, 12), 0u) << "a closed one gives none";
    return;
  }
  GTEST_SKIP() << "not run: the thread's id never stayed";
}

TEST_F(RseqTest, SomeAreTakenInWhateverOrderTheyLie) {
  stay_on_one_cpu();
  // Forwards, backwards, two and three apart, one way and the other; and back to where it began.
  constexpr int kOrder[] = {0, 1, 2, 3, 19, 18, 17, 4, 6, 8, 10, 7, 16, 13, 15, 14, 12, 9, 11, 5};
  constexpr int kCount = static_cast<int>(std::size(kOrder));
  for (int attempt = 0; attempt < 100; ++attempt) {
    open(kCount);
    std::vector<Object> objects(kCount);
    int id = os::rseq_cpu();
    std::string story;
    for (int i : kOrder)
      if (!os::rseq_push(kCache, &objects[static_cast<size_t>(i)])) story += "a push refused; ";
    void* some[kCount] = {};
    if (os::rseq_pop_some(kCache, some, kCount) != kCount) story += "not all; ";
    for (int i = 0; i < kCount; ++i)
      if (some[i] != &objects[static_cast<size_t>(kOrder[kCount - 1 - i])])
        story += "at " + std::to_string(i) + " another; ";
    bool is_word = areas[id].words[kCache] == empty_word(kCount);
    if (os::rseq_cpu() != id) continue;  // moved in between
    EXPECT_EQ(story, "");
    EXPECT_TRUE(is_word);
    return;
  }
  GTEST_SKIP() << "not run: the thread's id never stayed";
}

TEST_F(RseqTest, APushMarksAndAMarkedObjectIsRefused) {
  open(10);
  Object object{};
  ASSERT_TRUE(os::rseq_push(kCache, &object));
  EXPECT_EQ(object.key, os::free_key());
  EXPECT_FALSE(os::rseq_push(kCache, &object)) << "it may be free already";
  // Any other value is taken.
  object.key = os::free_key() + 1;
  Object* popped = nullptr;
  for (int i = 0; popped == nullptr && i < 1000; ++i)
    popped = static_cast<Object*>(os::rseq_pop(kCache));
  EXPECT_EQ(popped, &object);
  EXPECT_TRUE(os::rseq_push(kCache, &object));
}

TEST_F(RseqTest, AnExchangeNeedsTheAreaAndTheWord) {
  stay_on_one_cpu();
  for (int attempt = 0; attempt < 1000; ++attempt) {
    int id = os::rseq_cpu();
    CpuArea* mine = &areas[id];
    mine->words[kCache] = 11;
    CpuArea other{};
    other.words[kCache] = 11;
    bool wrong_area = os::rseq_exchange(&other, kCache, 11, 22);
    bool wrong_word = os::rseq_exchange(mine, kCache, 12, 22);
    uint64_t between = mine->words[kCache];
    bool right = os::rseq_exchange(mine, kCache, 11, 22);
    if (os::rseq_cpu() != id || !right) continue;
    EXPECT_FALSE(wrong_area);
    EXPECT_FALSE(wrong_word);
    EXPECT_EQ(between, 11u);
    EXPECT_EQ(mine->words[kCache], 22u);
    EXPECT_EQ(other.words[kCache], 11u);
    return;
  }
  FAIL() << "no exchange succeeded in a thousand tries";
}

void on_tick(int) {
  sched_yield();
}

// Threads pop objects, one or some at once, own them for a moment, and push them back, while
// signals and yields abort sections at every instruction. Nobody may find an object owned; in the
// end all are there.
TEST_F(RseqTest, AStormLosesAndDoublesNothing) {
  constexpr int kThreads = 6, kObjects = 64, kRounds = 1500000;
  open(kObjects);
  std::vector<Object> objects(kObjects);
  std::atomic<int> faults{0}, next{0};
  struct sigaction action {};
  action.sa_handler = on_tick;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval often{{0, 200}, {0, 200}};
  setitimer(ITIMER_REAL, &often, nullptr);
  std::vector<std::vector<Object*>> left(kThreads);
  auto give_back = [&](Object* object, int t) {
    if (object->owner.exchange(0) != static_cast<uint64_t>(t) + 1) ++faults;
    // A push that was aborted may have left the mark: it is this thread's own object.
    bool is_pushed = false;
    for (int i = 0; !is_pushed && i < 100000; ++i) {
      object->key = 0;
      is_pushed = os::rseq_push(kCache, object);
    }
    if (!is_pushed) left[t].push_back(object);
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        void* some[5] = {os::rseq_pop(kCache)};
        size_t count = some[0] != nullptr ? 1 : 0;
        if (t % 2 == 1) count += os::rseq_pop_some(kCache, some + count, round % 4 + 1);
        if (count == 0) {
          int fresh = next.fetch_add(1);
          if (fresh >= kObjects) continue;
          some[count++] = &objects[fresh];
        }
        for (size_t i = 0; i < count; ++i) {
          auto* object = static_cast<Object*>(some[i]);
          object->key = 0;
          if (object->owner.exchange(static_cast<uint64_t>(t) + 1) != 0) ++faults;
        }
        if (round % 64 == 0) sched_yield();
        for (size_t i = 0; i < count; ++i) give_back(static_cast<Object*>(some[i]), t);
      }
    });
  for (std::thread& thread : threads) thread.join();
  itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_DFL);
  EXPECT_EQ(faults, 0);

  close_all();
  std::set<uint64_t> found;
  for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu)
    for (uint64_t word = areas[cpu].words[kCache]; word >> 16 != 0;) {
      auto* object = reinterpret_cast<Object*>(word >> 16);
      ASSERT_TRUE(found.insert(word >> 16).second) << "an object is there twice";
      word = object->link - 1;
    }
  for (const auto& list : left)
    for (Object* object : list)
      EXPECT_TRUE(found.insert(reinterpret_cast<uint64_t>(object)).second);
  EXPECT_EQ(found.size(), static_cast<size_t>(std::min(next.load(), kObjects)));
}

// Draining: after the fence nobody changes a word any more, however busy the threads are.
TEST_F(RseqTest, AfterTheFenceNobodyIsInside) {
  open(1000);
  std::atomic<bool> is_over{false};
  std::vector<Object> objects(3);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      Object* mine = &objects[t];
      while (!is_over) {
        mine->key = 0;
        if (!os::rseq_push(kCache, mine)) continue;
        do mine = static_cast<Object*>(os::rseq_pop(kCache));
        while (mine == nullptr && !is_over);
      }
    });
  for (int round = 0; round < 40; ++round) {
    close_all();
    std::vector<uint64_t> before;
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu) before.push_back(areas[cpu].words[kCache]);
    for (int i = 0; i < 3; ++i) sched_yield();
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu)
      ASSERT_EQ(areas[cpu].words[kCache], before[cpu]) << "cpu " << cpu;
    for (unsigned cpu = 0; cpu < os::cpu_bound(); ++cpu) os::g_fast.areas[cpu] = &areas[cpu];
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(RseqStart, RefusesWhereItIsNotAllowed) {
  os::start_env();
  EXPECT_EQ(os::start_rseq(false), os::RseqMode::kNone);
}

}  // namespace
