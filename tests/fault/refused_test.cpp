// fault/refused_test.cpp -- a filter of system calls refuses, for good, what the heap can do
// without.
//
// A user would notice: a program in a sandbox (seccomp) that is ended, hangs, or finds in zeroed
// memory what was there before, since the allocator took madvise's word for granted.
//
// Each body runs in a fresh process whose filter is there before the first malloc.

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "../threads/stamped.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const ask_zeroed)(size_t, size_t) = ::calloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

/// From now on this process and its children get `error` from these system calls.
bool refuse(const std::vector<long>& calls, int error) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog all{static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0;
}

void expect_works_without(const std::vector<long>& calls, int error) {
  const test::Ending ending = test::run_disabled("Refused", "Body", {}, [&] {
    if (!refuse(calls, error)) _exit(test::kNotRun);
  });
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << "not run: no filters of system calls here";
  EXPECT_TRUE(ending.clean()) << strerror(error) << ": " << ending.text();
}

bool is_zero(const unsigned char* at, size_t size) {
  for (size_t i = 0; i < size; ++i)
    if (at[i] != 0) return false;
  return true;
}

// Zeroed memory is zero wherever it was before.
void zeroed_after_use() {
  for (int round = 0; round < 3; ++round)
    for (size_t size : {size_t{50}, size_t{3000}, size_t{70000}, 3 * kMiB, 20 * kMiB}) {
      auto* block = static_cast<unsigned char*>(ask_zeroed(1, size));
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(is_zero(block, size)) << size << " bytes in round " << round;
      memset(block, 0xee, size);
      give_back(block);
    }
}

// Blocks that grow keep what is in them, also where others stand behind them.
void growth() {
  std::vector<void*> others;
  size_t have = 1000;
  auto* block = static_cast<unsigned char*>(resize(nullptr, have));
  for (; have < 40 * kMiB; have = have * 3 / 2) {
    memset(block, static_cast<int>(have % 251), have);
    block = static_cast<unsigned char*>(resize(block, have * 3 / 2));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(block[0], have % 251);
    EXPECT_EQ(block[have - 1], have % 251);
    others.push_back(ask(3 * kMiB / 2));
  }
  give_back(block);
  for (void* other : others) give_back(other);
}

// Bursts of ever other sizes, of 24 MiB each: if nothing goes back, the same memory serves all.
void bursts() {
  const size_t before = test::resident_bytes();
  for (size_t size : {100, 5000, 1200, 40000, 64, 100000, 300, 16000}) {
    std::vector<test::Stamped> blocks;
    for (size_t i = 0; i < 24 * kMiB / size; ++i) blocks.push_back(test::make_stamped(size, i));
    for (const test::Stamped& block : blocks) test::free_stamped(block);
  }
  EXPECT_LE(test::resident_bytes(), before + 96 * kMiB);
}

TEST(Refused, DISABLED_Body) {
  zeroed_after_use();
  growth();
  bursts();
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 3; ++seed)
    threads.emplace_back([seed] { test::churn(seed, 20000, 300, 400000); });
  for (std::thread& thread : threads) thread.join();
  zeroed_after_use();
}

TEST(Refused, Nothing) {
  expect_works_without({}, 0);
}
TEST(Refused, Madvise) {
  for (int error : {EPERM, EINVAL, ENOSYS, EAGAIN}) expect_works_without({SYS_madvise}, error);
}
TEST(Refused, Mremap) {
  for (int error : {EPERM, ENOSYS}) expect_works_without({SYS_mremap}, error);
}
TEST(Refused, Membarrier) {
  for (int error : {EPERM, ENOSYS}) expect_works_without({SYS_membarrier}, error);
}
TEST(Refused, AllThatCanBeDoneWithout) {
  expect_works_without({SYS_madvise, SYS_mremap, SYS_membarrier, SYS_mlock, SYS_sched_getaffinity},
                       ENOSYS);
}

}  // namespace
