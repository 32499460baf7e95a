// front/pressure_test.cpp -- proves when memory counts as short: above the soft bound, the
// container's, and where the kernel says that tasks wait; that small heaps open no file, and that
// what was read once is forgotten when it counts no more.

#include "front/pressure.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>

#include "support/child.h"

namespace {
using namespace ashlar;

namespace fs = std::filesystem;
using page::Budget;

constexpr size_t kFramesOfMib = 256;
constexpr size_t kPlace = size_t{64} << 10;
static_assert(sizeof(front::Pressure) <= kPlace);

class PressureTest : public testing::Test {
 protected:
  PressureTest() {
    char name[] = "/tmp/ashlar-pressure-XXXXXX";
    root = mkdtemp(name);
    rules = {.follows = true, .interval_ms = 1000, .root = root.c_str()};
    write("/proc/self/cgroup", "0::/\n");
    write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
    budget.change(100 * kFramesOfMib);
  }
  ~PressureTest() override { fs::remove_all(root); }

  void write(const std::string& file, const std::string& content) {
    fs::create_directories(fs::path(root + file).parent_path());
    std::ofstream(root + file) << content;
  }
  void set_container(size_t mib) {
    write("/sys/fs/cgroup/memory.max", std::to_string(mib << 20) + "\n");
  }
  void set_waiting(unsigned percent) {
    write("/proc/pressure/memory", "some avg10=" + std::to_string(percent) + ".00 avg60=0.00\n");
  }
  bool look() { return pressure.look(budget, rules, now_ms); }
  bool look_later(uint64_t ms) {
    now_ms += ms;
    return look();
  }

  std::string root;
  front::Pressure::Rules rules;
  Budget budget;
  front::Pressure pressure;
  uint64_t now_ms = 5000;
};

TEST_F(PressureTest, WithoutBoundsMemoryIsNotShort) {
  EXPECT_FALSE(look());
  EXPECT_EQ(pressure.wish(budget), 0u);
}

// The page that it lies in would be one more in every small process.
TEST_F(PressureTest, ASmallHeapLeavesNoTrace) {
  budget.change(size_t{0} - 100 * kFramesOfMib);
  char* page = static_cast<char*>(
      mmap(nullptr, kPlace, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* readable = new (page) front::Pressure;
  ASSERT_EQ(mprotect(page, kPlace, PROT_READ), 0);
  EXPECT_FALSE(readable->look(budget, rules, now_ms));
  munmap(page, kPlace);
}

TEST_F(PressureTest, AboveTheSoftBoundItIsShortSomeTimesAnInterval) {
  budget.set({.soft = 64 * kFramesOfMib});
  EXPECT_TRUE(look());
  EXPECT_FALSE(look_later(100)) << "it was relieved just now";
  EXPECT_TRUE(look_later(50));
  EXPECT_EQ(pressure.wish(budget), size_t{40} << 20) << "a sixteenth below";
  budget.change(size_t{0} - 50 * kFramesOfMib);
  EXPECT_FALSE(look_later(1000));
  EXPECT_EQ(pressure.wish(budget), 0u);
}

TEST_F(PressureTest, TheContainerMakesASoftBound) {
  set_container(104);
  EXPECT_TRUE(look()) << "seven eighths are 91 MiB";
  EXPECT_EQ(budget.outer(), 91 * kFramesOfMib);
}

TEST_F(PressureTest, TheContainersBoundIsFollowed) {
  set_container(1000);
  EXPECT_FALSE(look());
  set_container(104);
  EXPECT_FALSE(look_later(1)) << "files are not read that often";
  bool is_short = false;
  for (int interval = 0; interval < 8; ++interval) is_short |= look_later(1001);
  EXPECT_TRUE(is_short);
  fs::remove(root + "/sys/fs/cgroup/memory.max");
  for (int interval = 0; interval < 8; ++interval) is_short = look_later(1001);
  EXPECT_FALSE(is_short);
  EXPECT_EQ(budget.outer(), Budget::kUnlimited);
}

// As a daemon that shuts itself into a part of the file system (chroot).
TEST_F(PressureTest, TheContainersBoundStaysWhereItIsNotToBeSeen) {
  set_container(104);
  EXPECT_TRUE(look());
  for (const char* gone : {"/sys", "/proc"}) {
    fs::remove_all(root + gone);
    for (int interval = 0; interval < 9; ++interval) look_later(1001);
    EXPECT_EQ(budget.outer(), 91 * kFramesOfMib) << gone;
  }
}

TEST_F(PressureTest, WhereTasksWaitMemoryIsShort) {
  set_waiting(9);
  EXPECT_FALSE(look());
  set_waiting(10);
  EXPECT_TRUE(look_later(1001));
  EXPECT_TRUE(pressure.is_system_short());
  EXPECT_GT(pressure.wish(budget), 0u);
  set_waiting(0);
  EXPECT_FALSE(look_later(1001));
}

TEST_F(PressureTest, AClockThatJumpsBackStopsNothing) {
  now_ms = 100'000'000;
  budget.set({.soft = 64 * kFramesOfMib});
  EXPECT_TRUE(look());
  now_ms = 5000;
  set_waiting(50);
  EXPECT_TRUE(look()) << "the heap is above its bound and waits for a time that is hours away";
  EXPECT_TRUE(pressure.is_system_short()) << "nor is the kernel asked";
}

TEST_F(PressureTest, ASmallHeapAsksNobody) {
  set_container(1);
  set_waiting(100);
  budget.change(size_t{0} - 90 * kFramesOfMib);
  EXPECT_FALSE(look());
  EXPECT_EQ(budget.outer(), Budget::kUnlimited);
  budget.change(6 * kFramesOfMib);
  EXPECT_TRUE(look_later(1));
}

// It may grow again within the interval.
TEST_F(PressureTest, AHeapThatBecameSmallKeepsTheBoundThatItKnows) {
  set_container(104);
  set_waiting(50);
  EXPECT_TRUE(look());
  budget.change(size_t{0} - 95 * kFramesOfMib);
  EXPECT_FALSE(look_later(200)) << "nor does it count that tasks waited";
  budget.change(95 * kFramesOfMib);
  EXPECT_TRUE(look_later(1));
  EXPECT_EQ(budget.outer(), 91 * kFramesOfMib);
}

TEST_F(PressureTest, WhatWasReadIsForgottenWhereItCountsNoMore) {
  set_container(50);
  set_waiting(100);
  EXPECT_TRUE(look());
  rules.follows = false;
  EXPECT_FALSE(look_later(1001));
  EXPECT_EQ(budget.outer(), Budget::kUnlimited);
  rules.follows = true;
  EXPECT_TRUE(look_later(1001));
}

// The thread that reads it is overtaken: the file gives its number late.
TEST_F(PressureTest, WhatIsJustReadIsForgottenToo) {
  test::Watchdog dog(100, "a container's bound that is read from a pipe");
  fs::create_directories(root + "/sys/fs/cgroup");
  const std::string file = root + "/sys/fs/cgroup/memory.max";
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  std::thread reader([this] { pressure.look(budget, rules, now_ms); });
  int pipe = -1;
  while ((pipe = open(file.c_str(), O_WRONLY | O_NONBLOCK)) < 0) std::this_thread::yield();
  front::Pressure::Rules none = rules;
  none.follows = false;
  pressure.look(budget, none, now_ms);
  EXPECT_EQ(::write(pipe, "52428800\n", 9), 9);
  close(pipe);
  reader.join();
  pressure.look(budget, none, now_ms + 1);
  EXPECT_EQ(budget.outer(), Budget::kUnlimited);
}

}  // namespace
