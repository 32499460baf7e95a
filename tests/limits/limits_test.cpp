// limits/limits_test.cpp -- limits that are set late, or small, answer as they do under glibc.
//
// A user would notice: a daemon that sets RLIMIT_AS or calls mlockall() in main() and is suddenly
// refused everything, since the allocator had reserved far more address space than it uses.
//
// Each body runs in a fresh process, under limits that were set before it started or that it sets.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "../support/child.h"
#include "../support/rng.h"

namespace {

constexpr size_t kMiB = size_t{1} << 20;

void* (*volatile const ask)(size_t) = ::malloc;
void (*volatile const give_back)(void*) = ::free;

test::Ending run_fresh(const std::string& name, const std::function<void()>& before) {
  return test::run_disabled("Limits", name, {}, before);
}

void set_limit(int which, size_t bytes) {
  const rlimit limit{bytes, bytes};
  if (setrlimit(static_cast<__rlimit_resource>(which), &limit) != 0) _exit(98);
}

size_t address_space_in_use() {
  FILE* file = fopen("/proc/self/statm", "r");
  size_t pages = 0;
  if (fscanf(file, "%zu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

/// Blocks of `size` until refused, all freed again. Returns how many bytes there were.
size_t bytes_until_refused(size_t size) {
  struct Link {
    Link* next;
  };
  Link* list = nullptr;
  size_t total = 0;
  for (;;) {
    errno = 0;
    auto* link = static_cast<Link*>(ask(size));
    if (link == nullptr) break;
    memset(static_cast<void*>(link), 1, size);
    link->next = list;
    list = link;
    total += size;
    if (total > 2048 * kMiB) break;  // no limit at all
  }
  EXPECT_EQ(errno, ENOMEM);
  while (list != nullptr) {
    Link* next = list->next;
    give_back(list);
    list = next;
  }
  return total;
}

// ---- RLIMIT_AS
// -------------------------------------------------------------------------------------

TEST(Limits, LateAddressSpace) {
  const test::Ending ending = run_fresh("LateAddressSpace", {});
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Limits, DISABLED_LateAddressSpace) {
  give_back(ask(100));
  printf("address space in use before the limit: %zu MiB\n", address_space_in_use() / kMiB);
  set_limit(RLIMIT_AS, 512 * kMiB);
  void* large = ask(100 * kMiB);
  EXPECT_NE(large, nullptr) << "100 of 512 MiB are refused";
  give_back(large);
  void* own = mmap(nullptr, 10 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(own, MAP_FAILED) << "the program's own mmap of 10 MiB is refused";
  if (own != MAP_FAILED) munmap(own, 10 * kMiB);
  pthread_t thread{};
  const int error = pthread_create(
      &thread, nullptr, [](void*) -> void* { return ask(1000); }, nullptr);
  EXPECT_EQ(error, 0) << "no thread can be started: " << strerror(error);
  if (error == 0) pthread_join(thread, nullptr);
  const size_t small = bytes_until_refused(1000);
  EXPECT_GE(small, 200 * kMiB);
  EXPECT_LE(small, 512 * kMiB) << "the limit is not kept";
  EXPECT_NE(ask(1000), nullptr) << "after the shortage";
}

TEST(Limits, AddressSpaceComesBackByTrim) {
  const test::Ending ending = run_fresh("AddressSpaceComesBackByTrim", {});
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Limits, DISABLED_AddressSpaceComesBackByTrim) {
  give_back(ask(100));
  set_limit(RLIMIT_AS, address_space_in_use() + 512 * kMiB);
  for (int round = 0; round < 3; ++round) {
    void* large = ask(400 * kMiB);
    ASSERT_NE(large, nullptr);
    give_back(large);
    malloc_trim(0);
    void* own =
        mmap(nullptr, 400 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(own, MAP_FAILED) << "what malloc no longer uses is refused to the program";
    munmap(own, 400 * kMiB);
  }
}

/// The whole conformance run under a limit is registered in CMake; here is the bare minimum.
TEST(Limits, SmallAddressSpaceFromTheStart) {
  for (size_t limit : {64 * kMiB, 128 * kMiB, 256 * kMiB, 1024 * kMiB, 4096 * kMiB}) {
    const test::Ending ending = test::run({"/bin/sh", "-c", "echo $((6 * 7)) | cat | sort"}, {}, 60,
                                          [limit] { set_limit(RLIMIT_AS, limit); });
    EXPECT_TRUE(ending.clean()) << limit / kMiB << " MiB: " << ending.text();
    EXPECT_EQ(ending.out, "42\n") << limit / kMiB << " MiB";
    EXPECT_EQ(ending.err, "") << limit / kMiB << " MiB";
  }
}

// ---- RLIMIT_DATA
// -----------------------------------------------------------------------------------

TEST(Limits, DataFromTheStart) {
  const test::Ending ending = run_fresh("Data", [] { set_limit(RLIMIT_DATA, 200 * kMiB); });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Limits, DataLate) {
  const test::Ending ending = run_fresh("DataLate", {});
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Limits, DISABLED_DataLate) {
  std::vector<void*> held;
  for (int i = 0; i < 1000; ++i) held.push_back(ask(10000));
  set_limit(RLIMIT_DATA, 200 * kMiB);
  for (void* block : held) give_back(block);
  const size_t small = bytes_until_refused(3000);
  EXPECT_GE(small, 120 * kMiB);
  EXPECT_LE(small, 210 * kMiB) << "the limit is not kept";
}

TEST(Limits, DISABLED_Data) {
  for (size_t size : {size_t{100}, size_t{30000}, size_t{2} << 20}) {
    const size_t got = bytes_until_refused(size);
    EXPECT_GE(got, 120 * kMiB) << "blocks of " << size;
    EXPECT_LE(got, 210 * kMiB) << "blocks of " << size << ": the limit is not kept";
  }
}

// ---- mlockall without privileges
// -------------------------------------------------------------------

TEST(Limits, MlockallOfAnUnprivilegedProcess) {
  const auto lower_limit = [] {
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 64 * kMiB);
    setrlimit(RLIMIT_MEMLOCK, &limit);
  };
  const test::Ending under_glibc =
      test::run({BLACKBOX_DIR "/locked"}, {"LD_PRELOAD"}, 60, lower_limit);
  if (under_glibc.exit_code == test::kNotRun)
    GTEST_SKIP() << "not run: glibc cannot either: " << under_glibc.text();
  ASSERT_TRUE(under_glibc.clean()) << under_glibc.text();
  const test::Ending ending = test::run({BLACKBOX_DIR "/locked"}, {}, 60, lower_limit);
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_EQ(ending.out, "locked\n");
}

TEST(Limits, MlockallOfAPrivilegedProcessLocksWhatIsInUse) {
  const test::Ending ending = run_fresh("MlockallPrivileged", {});
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << ending.out;
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Limits, DISABLED_MlockallPrivileged) {
  give_back(ask(100));
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0 && errno == EPERM) GTEST_SKIP() << "not run: refused";
  std::vector<void*> held;
  for (size_t i = 0; i < 2000; ++i) held.push_back(calloc(1, i * 10));
  for (void* block : held) give_back(block);
  FILE* file = fopen("/proc/self/statm", "r");
  size_t total = 0;
  size_t resident = 0;
  ASSERT_EQ(fscanf(file, "%zu %zu", &total, &resident), 2);
  fclose(file);
  EXPECT_LE(resident * 4096, 200 * kMiB) << "reserved address space was locked into memory";
}

// ---- vm.overcommit_memory = 2
// ----------------------------------------------------------------------

TEST(Limits, StrictOvercommit) {
  FILE* file = fopen("/proc/sys/vm/overcommit_memory", "r");
  int mode = -1;
  if (file == nullptr || fscanf(file, "%d", &mode) != 1) mode = -1;
  if (file != nullptr) fclose(file);
  if (mode != 2) {
    GTEST_SKIP() << "not run: vm.overcommit_memory is " << mode
                 << " here; the tests of RLIMIT_DATA above count the same pages";
  }
  void* block = ask(64 * kMiB);
  ASSERT_NE(block, nullptr);
  memset(block, 1, 64 * kMiB);
  give_back(block);
}

/// What strict overcommit counts is private writable memory. A reservation must not be that.
TEST(Limits, ReservedMemoryIsNotCharged) {
  give_back(ask(100));
  FILE* file = fopen("/proc/self/smaps", "r");
  ASSERT_NE(file, nullptr);
  char line[512];
  size_t writable = 0;
  bool is_writable = false;
  while (fgets(line, sizeof line, file) != nullptr) {
    char permissions[8];
    size_t kib = 0;
    if (sscanf(line, "%*lx-%*lx %7s", permissions) == 1) is_writable = permissions[1] == 'w';
    if (sscanf(line, "Size: %zu kB", &kib) == 1 && is_writable) writable += kib;
  }
  fclose(file);
  EXPECT_LE(writable / 1024, 100u)
      << "MiB of private writable mappings in a process that did nothing";
}

}  // namespace
