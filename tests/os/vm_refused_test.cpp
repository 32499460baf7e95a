// os/vm_refused_test.cpp -- proves what a verb does where a filter of system calls, or a kernel of
// other days, refuses what it is made of: what cannot be is asked for once and costs nothing more,
// and what has nothing to do with the question is no answer to it. And that it needs no thread that
// has ended.
//
// Each body runs in a process of its own, whose filters nobody can take away again.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>

#include "os/env.h"
#include "os/vm.h"
#include "support/child.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20, kSize = 64 * kMiB;

uint32_t answer(int error) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
}

/// From now on a system call ends so if its fourth argument, flags as a rule, has one of these
/// bits. The harshest filter counts.
bool filter(long call, uint32_t bits, uint32_t end) {
  constexpr uint32_t kFlags = offsetof(seccomp_data, args) + 3 * sizeof(uint64_t);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlags),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, end),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog all{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0;
}

/// body(place) in a child; what it returns says what is wrong.
void expect_none_wrong(const std::function<int(const os::Place& place)>& body) {
  os::start_env();
  const test::Ending child = test::in_child([&] {
    const os::Place place = os::kVm.reserve(size_t{1} << 30, 4 * kSize);
    return place.base == nullptr ? test::kNotRun : body(place);
  });
  if (child.exit_code == test::kNotRun) GTEST_SKIP() << "not run: no filters, or no memory, here";
  EXPECT_TRUE(child.clean()) << child.text();
}

long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

// Neither end is read or written for it, however little of the source is in memory.
TEST(VmRefused, WhatTheKernelCannotMoveStaysWhereItIs) {
  for (int error : {EINVAL, EPERM, ENOSYS})
    expect_none_wrong([&](const os::Place& place) {
      char* to = place.base + kSize;
      if (!os::kVm.commit(place, place.base, 2 * kSize)) return test::kNotRun;
      os::kVm.advise_huge(place.base, 2 * kSize, false);
      place.base[kSize - 1] = 7;
      if (!filter(SYS_mremap, MREMAP_MAYMOVE, answer(error))) return test::kNotRun;
      const long before = page_faults();
      if (os::kVm.move(place.base, to, kSize) != os::Moved::kNo) return 1;
      if (page_faults() > before + 100) return 2;
      if (place.base[kSize - 1] != 7) return 3;
      std::memset(to, 1, kSize);
      filter(SYS_mremap, MREMAP_MAYMOVE, SECCOMP_RET_KILL_PROCESS);
      if (os::kVm.move(place.base, to, kSize) != os::Moved::kNo) return 4;
      return 0;
    });
}

// The kernel refuses ends that overlap by the same word.
TEST(VmRefused, OneMoveThatCannotBeIsNotTakenForAll) {
  expect_none_wrong([&](const os::Place& place) {
    const size_t page = os::page_size();
    if (!os::kVm.commit(place, place.base, 2 * kSize)) return test::kNotRun;
    std::memset(place.base, 7, 4 * page);
    if (mremap(place.base, page, page, MREMAP_MAYMOVE | 4, nullptr) == MAP_FAILED)
      return test::kNotRun;  // MREMAP_DONTUNMAP
    std::memset(place.base, 7, page);
    if (os::kVm.move(place.base, place.base + page, 2 * page) != os::Moved::kNo) return 1;
    if (os::kVm.move(place.base + 3 * page, place.base + kSize, page) != os::Moved::kYes) return 2;
    return place.base[kSize] == 7 ? 0 : 3;
  });
}

// Shared memory, by which is asked, is refused for other reasons, too.
TEST(VmRefused, MemoryIsPromisedUnlessItIsMemoryThatIsShort) {
  for (int error : {ENFILE, EPERM, EINVAL, ENOMEM, EAGAIN})
    expect_none_wrong([&](const os::Place& place) {
      const bool is_short = error == ENOMEM || error == EAGAIN;
      if (!filter(SYS_mmap, MAP_SHARED, answer(error))) return test::kNotRun;
      return os::kVm.commit(place, place.base, kSize) == is_short ? 1 : 0;
    });
}

// As main has where it calls pthread_exit. Of such a thread the kernel shows no memory.
TEST(VmRefused, ItIsToldWhatIsInMemoryWhenTheFirstThreadHasEnded) {
  if (access("/proc/thread-self/pagemap", R_OK) != 0)
    GTEST_SKIP() << "not run: the kernel does not tell";
  expect_none_wrong([&](const os::Place& place) {
    if (!os::kVm.commit(place, place.base, kMiB)) return test::kNotRun;
    std::memset(place.base, 7, kMiB);
    std::thread([&] {
      for (std::string stat; stat.find(") Z ") == std::string::npos;)
        std::getline(std::ifstream("/proc/self/stat"), stat);
      _exit(os::kVm.resident(place.base, kMiB, os::Owner::kAny) == kMiB ? 0 : 1);
    }).detach();
    syscall(SYS_exit, 0);
    return 2;
  });
}

}  // namespace
