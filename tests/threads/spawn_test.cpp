// threads/spawn_test.cpp -- vfork, posix_spawn, system and popen while other threads allocate.
//
// A user would notice: a shell-out from a busy server that hangs, or a child of vfork (which
// borrows the parent's memory) that leaves the parent's heap changed.

#include <gtest/gtest.h>
#include <spawn.h>
#include <unistd.h>

#include "../support/child.h"
#include "stamped.h"

extern char** environ;

namespace {

constexpr int kRounds = 150;

TEST(Spawn, Vfork) {
  test::Watchdog dog(110, "vfork");
  test::Noise noise(3);
  for (int i = 0; i < kRounds; ++i) {
    char* const argv[] = {const_cast<char*>("true"), nullptr};
    const pid_t pid = vfork();
    if (pid == 0) {
      execve("/bin/true", argv, environ);
      _exit(127);
    }
    ASSERT_EQ(test::wait_for(pid).exit_code, 0);
  }
}

TEST(Spawn, VforkWhoseChildExitsAtOnce) {
  test::Watchdog dog(110, "vfork and _exit");
  test::Noise noise(3);
  for (int i = 0; i < kRounds; ++i) {
    const pid_t pid = vfork();
    if (pid == 0) _exit(3);
    ASSERT_EQ(test::wait_for(pid).exit_code, 3);
    test::churn(static_cast<uint64_t>(i), 100, 20, 60000);
  }
}

TEST(Spawn, PosixSpawn) {
  test::Watchdog dog(110, "posix_spawn");
  test::Noise noise(3);
  for (int i = 0; i < kRounds; ++i) {
    char* const argv[] = {const_cast<char*>("true"), nullptr};
    pid_t pid = 0;
    ASSERT_EQ(posix_spawnp(&pid, "true", nullptr, nullptr, argv, environ), 0);
    ASSERT_EQ(test::wait_for(pid).exit_code, 0);
  }
}

TEST(Spawn, SystemAndPopen) {
  test::Watchdog dog(110, "system and popen");
  test::Noise noise(3);
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_EQ(system("exit 0"), 0);
    FILE* pipe = popen("echo spoken", "r");
    ASSERT_NE(pipe, nullptr);
    char text[32] = "";
    ASSERT_NE(fgets(text, sizeof text, pipe), nullptr);
    ASSERT_STREQ(text, "spoken\n");
    ASSERT_EQ(pclose(pipe), 0);
  }
}

}  // namespace
