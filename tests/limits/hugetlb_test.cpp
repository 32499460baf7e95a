// limits/hugetlb_test.cpp -- blocks lie in huge pages that an administrator has set apart where
// that was asked for and there are some, and elsewhere without a word where there are none.
//
// A user would notice: a table of gigabytes that is slow to walk though pages were set apart for
// it; a program that ends for want of them; a child of a fork that does.
//
// Few machines have such pages, so a second process plays the kernel that has: it stops the test at
// each mmap that asks for them (seccomp, ptrace), keeps count, and lets ordinary memory be mapped.
// Each body runs in a fresh process.

#include <ashlar/pages.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 2 * kMiB;

void* (*volatile const ask)(size_t) = ::malloc;
void* (*volatile const ask_zeroed)(size_t, size_t) = ::calloc;
void* (*volatile const resize)(void*, size_t) = ::realloc;
void (*volatile const give_back)(void*) = ::free;

void* pages(size_t size, std::vector<ashlar_zone> zones) {
  auto* alloc = reinterpret_cast<void* (*)(size_t, const ashlar_zone*, size_t)>(
      dlsym(RTLD_DEFAULT, "ashlar_pages_alloc"));
  return alloc(size, zones.data(), zones.size());
}

bool is_all(const void* p, size_t size, unsigned char byte) {
  const auto* bytes = static_cast<const unsigned char*>(p);
  for (size_t i = 0; i < size; ++i)
    if (bytes[i] != byte) return false;
  return true;
}

/// What the played kernel has given, in memory that it shares with the test.
struct Given {
  size_t left = 0;  ///< bytes
  size_t calls = 0;
  size_t count = 0;
  struct {
    uintptr_t first, size;
  } ranges[64] = {};

  bool contains(const void* p) const {
    for (size_t i = 0; i < count; ++i)
      if (reinterpret_cast<uintptr_t>(p) - ranges[i].first < ranges[i].size) return true;
    return false;
  }
};

constexpr char kShared[] = "HUGETLB_TEST_FD";

Given& given() {
  static auto* shared = static_cast<Given*>(
      mmap(nullptr, sizeof(Given), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(getenv(kShared)), 0));
  return *shared;
}

#if defined(__x86_64__)

void answer(pid_t child, Given& given) {
  user_regs_struct call;
  ptrace(PTRACE_GETREGS, child, nullptr, &call);
  const uint64_t kind = MAP_HUGETLB | uint64_t{63} << 26;
  const bool is_whole = call.rdi % kPage == 0 && call.rsi % kPage == 0;
  const bool is_2m = (call.r10 >> 26 & 63) == 21;
  ++given.calls;
  if (is_2m && is_whole && call.rsi <= given.left && given.count < std::size(given.ranges)) {
    given.left -= call.rsi;
    given.ranges[given.count++] = {call.rdi, call.rsi};
    call.r10 &= ~kind;
  } else {
    call.orig_rax = ~uint64_t{0};
    call.rax = static_cast<uint64_t>(-ENOMEM);
  }
  ptrace(PTRACE_SETREGS, child, nullptr, &call);
}

/// In a process that is about to become another program: a copy of it does, and this one is the
/// kernel that it has, and ends as it does.
void play_kernel(Given& given) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(test::kNotRun);
    raise(SIGSTOP);
    constexpr uint32_t kFlags = offsetof(seccomp_data, args) + 3 * sizeof(uint64_t);
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlags),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_HUGETLB, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog all{static_cast<unsigned short>(std::size(program)), program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0)
      _exit(test::kNotRun);
    return;
  }
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) _exit(76);
  if (!WIFSTOPPED(status)) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 76);
  ptrace(PTRACE_SETOPTIONS, child, nullptr,
         PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  for (long signal = 0;;) {
    ptrace(PTRACE_CONT, child, nullptr, signal);
    if (waitpid(child, &status, 0) != child) _exit(76);
    if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) _exit(128 + WTERMSIG(status));
    const bool is_event = status >> 16 != 0;
    if (status >> 16 == PTRACE_EVENT_SECCOMP) answer(child, given);
    signal = is_event ? 0 : WSTOPSIG(status);
  }
}

#else
void play_kernel(Given&) {
  _exit(test::kNotRun);
}
#endif

/// Runs the body of this name in a process with so many pages of 2 MiB set apart.
void run_with(size_t count, const char* option, const char* body) {
  const int file = memfd_create("given", 0);
  ASSERT_EQ(ftruncate(file, sizeof(Given)), 0);
  setenv(kShared, std::to_string(file).c_str(), 1);
  auto* shared = static_cast<Given*>(
      mmap(nullptr, sizeof(Given), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  shared->left = count * kPage;
  const char* conf = getenv("ASHLAR_CONF");
  const std::string options = (conf == nullptr ? "" : std::string(conf) + ",") + option;
  const test::Ending ending = test::run_disabled("Hugetlb", body, {"ASHLAR_CONF=" + options},
                                                 [&] { play_kernel(*shared); });
  munmap(shared, sizeof(Given));
  close(file);
  if (ending.exit_code == test::kNotRun)
    GTEST_SKIP() << "not run: no process may play the kernel here";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Hugetlb, DISABLED_Option) {
  void* large = ask(5 * kMiB);
  EXPECT_TRUE(given().contains(large));
  memset(large, 1, 5 * kMiB);
  EXPECT_FALSE(given().contains(ask(kMiB))) << "it would not fill a page";
  void* zeroed = ask_zeroed(1, 4 * kMiB);
  EXPECT_FALSE(given().contains(zeroed)) << "it may never be filled";
  EXPECT_TRUE(is_all(zeroed, 4 * kMiB, 0));
  void* beyond = ask(8 * kMiB);
  ASSERT_NE(beyond, nullptr);
  EXPECT_FALSE(given().contains(beyond)) << "there were three pages left";
  memset(beyond, 2, 8 * kMiB);
  const size_t calls = given().calls;
  const time_t begin = time(nullptr);
  for (int i = 0; i < 100; ++i) give_back(ask(8 * kMiB));
  EXPECT_LE(given().calls, calls + 4 + 4 * static_cast<size_t>(time(nullptr) - begin))
      << "what is not there is asked for again and again";
  void* rest = ask(5 * kMiB);
  EXPECT_TRUE(given().contains(rest));
  // There is no room in front of `rest`: what outgrows its place is ordinary.
  auto* grown = resize(large, 20 * kMiB);
  ASSERT_NE(grown, nullptr);
  EXPECT_FALSE(given().contains(grown));
  EXPECT_TRUE(is_all(grown, 5 * kMiB, 1));
  give_back(grown);
  EXPECT_TRUE(given().contains(ask(5 * kMiB))) << "what has come free serves again";
}
TEST(Hugetlb, LargeBlocksLieInWhatWasSetApart) {
  run_with(6, "hugetlb:2m", "Option");
}

TEST(Hugetlb, DISABLED_None) {
  const time_t begin = time(nullptr);
  for (int i = 0; i < 60; ++i) {
    const size_t size = (2 + static_cast<size_t>(i) % 9) * kMiB;
    void* block = ask(size);
    ASSERT_NE(block, nullptr);
    memset(block, i, size);
    block = resize(block, size * 2);
    EXPECT_TRUE(is_all(block, size, static_cast<unsigned char>(i)));
    give_back(block);
  }
  EXPECT_GE(given().calls, 1u) << "what is to be proved did not happen";
  // Some for each length, and again each second.
  EXPECT_LE(given().calls, 40u + 20 * static_cast<size_t>(time(nullptr) - begin));
}
TEST(Hugetlb, WithoutPagesSetApartEverythingWorks) {
  run_with(0, "hugetlb:2m", "None");
}
TEST(Hugetlb, DISABLED_Larger) {
  void* block = ask(size_t{1} << 30);
  ASSERT_NE(block, nullptr);
  EXPECT_FALSE(given().contains(block));
  give_back(block);
  EXPECT_FALSE(given().contains(ask(4 * kMiB))) << "it would fill no page of 1 GiB";
  EXPECT_GE(given().calls, 1u) << "what is to be proved did not happen";
}
TEST(Hugetlb, NeitherAreThoseOfAGibibyteThere) {
  run_with(8, "hugetlb:1g", "Larger");
}

TEST(Hugetlb, DISABLED_Zones) {
  EXPECT_FALSE(given().contains(ask(4 * kMiB))) << "nobody has asked for it";
  EXPECT_EQ(given().calls, 0u);
  void* small = pages(10000, {ASHLAR_ZONE_HUGETLB_2M});
  EXPECT_TRUE(given().contains(small));
  EXPECT_TRUE(is_all(small, 10000, 0));
  void* large = pages(3 * kMiB, {ASHLAR_ZONE_HUGETLB_1G, ASHLAR_ZONE_HUGETLB_2M});
  EXPECT_TRUE(given().contains(large));
  memset(large, 7, 3 * kMiB);
  errno = 0;
  EXPECT_EQ(pages(8 * kMiB, {ASHLAR_ZONE_HUGETLB_2M}), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  void* elsewhere = pages(8 * kMiB, {ASHLAR_ZONE_HUGETLB_2M, ASHLAR_ZONE_NORMAL});
  ASSERT_NE(elsewhere, nullptr);
  EXPECT_FALSE(given().contains(elsewhere));
  void* tail = resize(large, 100);
  EXPECT_TRUE(given().contains(tail)) << "it stays in its zone";
  EXPECT_TRUE(is_all(tail, 100, 7));
  give_back(small);
  give_back(tail);
  malloc_trim(0);
  EXPECT_EQ(pages(kPage, {ASHLAR_ZONE_HUGETLB_2M}) == nullptr, given().left < kPage)
      << "what went back must be asked for again";
}
TEST(Hugetlb, RequestsNameTheZone) {
  run_with(3, "", "Zones");
}

// A child's first write to a page that it shares takes another one, and may end it.
TEST(Hugetlb, DISABLED_Fork) {
  void* block = ask(8 * kMiB);
  void* free_one = ask(4 * kMiB);
  ASSERT_TRUE(given().contains(block) && given().contains(free_one));
  memset(block, 3, 8 * kMiB);
  give_back(free_one);
  const test::Ending ending = test::in_child([&]() -> int {
    for (int i = 0; i < 8; ++i)
      if (given().contains(ask(4 * kMiB))) return 2;
    if (!is_all(block, 8 * kMiB, 3)) return 3;
    give_back(block);
    return given().contains(ask(8 * kMiB)) ? 4 : 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_TRUE(given().contains(ask(4 * kMiB))) << "the parent goes on as before";
}
TEST(Hugetlb, AChildUsesWhatItInheritedButGetsNoMore) {
  run_with(20, "hugetlb:2m", "Fork");
}

}  // namespace
