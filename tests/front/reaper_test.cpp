// front/reaper_test.cpp -- proves that a thread of ours gives memory back while the program sleeps,
// where that was asked for and the program has threads, and that there is none in any other case.
// Run without options and with ASHLAR_CONF=reaper:auto,decay_ms:20.

#include "front/reaper.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "front/heap.h"
#include "support/child.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;

bool is_asked_for() {
  const char* conf = getenv("ASHLAR_CONF");
  return conf != nullptr && std::strstr(conf, "reaper:auto") != nullptr;
}

size_t threads() {
  size_t count = 0;
  for ([[maybe_unused]] auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ++count;
  return count;
}

// Free memory that is kept for reuse: within its bounds, so that only age can say that it goes.
size_t kept() {
  page::PageHeap& pages = front::g_heap.pages();
  return base::Pages(pages.slabs().stats().dirty + pages.giants().stats().dirty).bytes();
}

void use_and_free() {
  std::vector<void*> blocks;
  for (int i = 0; i < 20; ++i) {
    blocks.push_back(front::alloc(kMiB));
    std::memset(blocks.back(), 1, kMiB);
  }
  for (void* block : blocks) front::free(block);
}

// The process counts as threaded from its first thread on, for good.
class ReaperTest : public testing::Test {
 protected:
  ReaperTest() {
    std::thread([] {}).join();
  }
};

TEST_F(ReaperTest, GivesBackWhileTheProgramSleeps) {
  test::Watchdog dog(100, "memory that goes back while a program sleeps");
  use_and_free();
  if (!is_asked_for()) {
    EXPECT_EQ(threads(), 2u) << "the test's own two";
    EXPECT_GT(kept(), 10 * kMiB) << "what there is to do is not there";
    return;
  }
  while (kept() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(threads(), 3u);
}

TEST_F(ReaperTest, WakesForEachBurst) {
  if (!is_asked_for()) GTEST_SKIP() << "not run: no reaper was asked for";
  test::Watchdog dog(100, "several bursts");
  for (int burst = 0; burst < 3; ++burst) {
    use_and_free();
    while (kept() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // it may park, or not yet
  }
  EXPECT_EQ(threads(), 3u) << "there is one";
}

TEST(Reaper, AProcessOfOneThreadStaysOne) {
  use_and_free();
  EXPECT_EQ(threads(), 1u);
}

// libc has every thread answer when the process gives up privileges.
TEST_F(ReaperTest, AnswersWhenTheProcessChangesItsUser) {
  if (!is_asked_for()) GTEST_SKIP() << "not run: no reaper was asked for";
  test::Watchdog dog(100, "setuid() beside a reaper");
  use_and_free();
  while (threads() != 3) use_and_free();
  EXPECT_EQ(setuid(getuid()), 0);
}

TEST_F(ReaperTest, TheChildOfAForkHasItsOwn) {
  if (!is_asked_for()) GTEST_SKIP() << "not run: no reaper was asked for";
  use_and_free();
  const pid_t pid = fork();
  if (pid == 0) {
    use_and_free();
    if (threads() != 1) _exit(2);  // unshare() would refuse it
    std::thread([] { use_and_free(); }).join();
    use_and_free();
    while (kept() > 0) usleep(5000);
    _exit(threads() == 2 ? 0 : 3);
  }
  EXPECT_EQ(test::wait_for(pid, 60).exit_code, 0);
}

}  // namespace
