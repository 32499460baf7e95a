// memory/manners_test.cpp -- what the heap's mappings are to the rest of the system: to a core
// dump, to a fork, to huge pages.
//
// A user would notice: core files of gigabytes, or such as lack the heap; a child of a fork whose
// heap reads as zero; a process without huge pages that has some, or the other way round.

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "../threads/stamped.h"

namespace {

namespace fs = std::filesystem;
constexpr size_t kMiB = size_t{1} << 20;

/// A mapping as /proc/self/smaps shows it.
struct Mapping {
  uintptr_t first = 0, end = 0;
  bool is_shared = false, is_anonymous = false;
  std::string text, flags;
  bool has(const char* flag) const { return flags.find(std::string(" ") + flag) != flags.npos; }
};

std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream file("/proc/self/smaps");
  for (std::string line; std::getline(file, line);) {
    uintptr_t first = 0, end = 0;
    size_t inode = 1;
    char rights[8] = {}, name[256] = {};
    if (sscanf(line.c_str(), "%lx-%lx %7s %*x %*s %zu %255s", &first, &end, rights, &inode, name) >=
        4) {
      bool is_anonymous = inode == 0 && (name[0] == '\0' || strncmp(name, "[anon:", 6) == 0);
      all.push_back({first, end, rights[1] == 'w' && rights[3] == 's', is_anonymous, line, ""});
    } else if (line.rfind("VmFlags:", 0) == 0 && !all.empty()) {
      all.back().flags = line.substr(8);
    }
  }
  return all;
}

Mapping mapping_of(const void* p) {
  const auto at = reinterpret_cast<uintptr_t>(p);
  for (const Mapping& mapping : mappings())
    if (mapping.first <= at && at < mapping.end) return mapping;
  return {};
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// ---- core dumps ---------------------------------------------------------------------------------

/// Runs the small program that crashes; `malloc_of` is "LD_PRELOAD" for the system's.
test::Ending crash(const std::string& what, const std::string& folder, bool on_glibc) {
  return test::run({BLACKBOX_DIR "/crashing", what},
                   on_glibc ? std::vector<std::string>{"LD_PRELOAD"} : std::vector<std::string>{},
                   60, [&] {
                     rlimit all{RLIM_INFINITY, RLIM_INFINITY};
                     getrlimit(RLIMIT_CORE, &all);
                     all.rlim_cur = all.rlim_max;
                     setrlimit(RLIMIT_CORE, &all);
                     if (chdir(folder.c_str()) != 0) _exit(98);
                   });
}

struct Core {
  size_t size = 0, on_disk = 0;
};

Core core_of(const std::string& folder, bool on_glibc) {
  const test::Ending ending = crash("crash", folder, on_glibc);
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  Core core;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    struct stat status {};
    if (stat(entry.path().c_str(), &status) != 0) continue;
    core = {static_cast<size_t>(status.st_size), static_cast<size_t>(status.st_blocks) * 512};
    fs::remove(entry.path());
  }
  return core;
}

// What a core would hold, by the kernel's rules, wherever the system sends it.
TEST(Manners, WhatACoreWouldHoldIsAboutWhatIsInUse) {
  const test::Ending theirs = crash("count", "/tmp", true), ours = crash("count", "/tmp", false);
  ASSERT_TRUE(theirs.clean() && ours.clean()) << ours.text();
  EXPECT_GT(std::stoul(theirs.out), 0u) << "else nothing is proved";
  EXPECT_LE(std::stoul(ours.out), std::stoul(theirs.out) + 4096) << "KiB";
}

TEST(Manners, ACoreIsAsLargeAsWhatIsInUseAndHoldsTheHeap) {
  const std::string pattern = first_line("/proc/sys/kernel/core_pattern");
  if (pattern.empty() || pattern[0] == '|' || pattern.find('/') != pattern.npos)
    GTEST_SKIP() << "not run: core files go elsewhere: " << pattern;
  char folder[] = "/tmp/ashlar-core-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const Core theirs = core_of(folder, true), ours = core_of(folder, false);
  fs::remove_all(folder);
  if (theirs.size == 0) GTEST_SKIP() << "not run: no core is written";
  EXPECT_GE(ours.on_disk, 8 * kMiB) << "the program's 8 MiB are not in it";
  EXPECT_LE(ours.size, theirs.size + 4 * kMiB);
  EXPECT_LE(ours.on_disk, theirs.on_disk + kMiB);
}

// ---- forks, and other processes -----------------------------------------------------------------

// Blocks of all kinds, some of them free again.
std::vector<test::Stamped> use_much() {
  std::vector<test::Stamped> blocks;
  for (size_t size : {size_t{20}, size_t{500}, size_t{5000}, size_t{50000}, 3 * kMiB, 9 * kMiB})
    for (size_t i = 0; i < 4 * kMiB / size + 4; ++i) blocks.push_back(test::make_stamped(size, i));
  for (size_t i = 0; i < blocks.size(); i += 3) {
    test::free_stamped(blocks[i]);
    blocks[i] = {};
  }
  return blocks;
}

TEST(Manners, MappingsAreTheChildsToo) {
  const std::vector<test::Stamped> blocks = use_much();
  for (const Mapping& mapping : mappings()) {
    if (!mapping.is_anonymous) continue;
    EXPECT_FALSE(mapping.has("dc")) << "not copied by fork: " << mapping.text;
    EXPECT_FALSE(mapping.has("wf")) << "wiped by fork: " << mapping.text;
    EXPECT_FALSE(mapping.has("dd")) << "not in a core: " << mapping.text;
  }
  const test::Ending ending = test::in_child([&] {
    for (const test::Stamped& block : blocks)
      if (block.block != nullptr && !test::is_intact(block)) return 1;
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << "the child has not what the parent had: " << ending.text();
  for (const test::Stamped& block : blocks) test::free_stamped(block);
}

TEST(Manners, NoMemoryIsSharedWithOthers) {
  const std::vector<test::Stamped> blocks = use_much();
  for (const Mapping& mapping : mappings()) EXPECT_FALSE(mapping.is_shared) << mapping.text;
  size_t last = 0;
  for (const test::Stamped& block : blocks) {
    if (block.block == nullptr || block.size == last) continue;
    last = block.size;  // one of each kind
    EXPECT_TRUE(mapping_of(block.block).is_anonymous) << mapping_of(block.block).text;
  }
  for (const test::Stamped& block : blocks) test::free_stamped(block);
}

// ---- huge pages ---------------------------------------------------------------------------------

bool has_huge_pages() {
  return access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
}

/// The flags of mappings: of small and giant blocks, and of a heap of its own.
struct Flags {
  std::string small, giant, own;
};
/// Those of a process with these options.
Flags flags_with(const char* thp) {
  const std::string subject = test::subject().find("slabs") == 0 ? ",slob_max:0" : "";
  const test::Ending ending = test::run_disabled("Manners", "PrintFlags",
                                                 {"ASHLAR_CONF=thp:" + std::string(thp) + subject});
  EXPECT_TRUE(ending.clean()) << ending.text();
  std::istringstream lines(ending.out);
  Flags flags;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("small ", 0) == 0) flags.small = line + " ";
    if (line.rfind("giant ", 0) == 0) flags.giant = line + " ";
    if (line.rfind("own ", 0) == 0) flags.own = line + " ";
  }
  EXPECT_NE(flags.own, "") << ending.text();
  return flags;
}

TEST(Manners, DISABLED_PrintFlags) {
  std::vector<test::Stamped> blocks;
  for (uint64_t i = 0; i < 4000; ++i) blocks.push_back(test::make_stamped(1000, i));
  const test::Stamped giant = test::make_stamped(16 * kMiB, 1);
  printf("small %s\n", mapping_of(blocks[2000].block).flags.c_str());
  printf("giant %s\n", mapping_of(giant.block + 8 * kMiB).flags.c_str());
  // The library's own functions, found where they are: this program is linked against nothing.
  auto* create = reinterpret_cast<void* (*)(size_t)>(dlsym(RTLD_DEFAULT, "ashlar_heap_create"));
  auto* ask = reinterpret_cast<char* (*)(void*, size_t)>(dlsym(RTLD_DEFAULT, "ashlar_heap_alloc"));
  char* block = ask(create(64 * kMiB), 32 * kMiB);
  memset(block, 1, 32 * kMiB);
  printf("own %s\n", mapping_of(block + 16 * kMiB).flags.c_str());
}

bool has(const std::string& flags, const char* flag) {
  return flags.find(std::string(" ") + flag + " ") != flags.npos;
}

TEST(Manners, HugePagesAreAskedForAsTheOptionSays) {
  if (!has_huge_pages()) GTEST_SKIP() << "not run: the kernel has no huge pages";
  const auto [auto_small, auto_giant, auto_own] = flags_with("auto");
  EXPECT_FALSE(has(auto_small, "hg")) << auto_small;
  EXPECT_TRUE(has(auto_giant, "hg")) << auto_giant;
  EXPECT_FALSE(has(auto_own, "nh")) << auto_own;
  const auto [always_small, always_giant, always_own] = flags_with("always");
  EXPECT_TRUE(has(always_small, "hg")) << always_small;
  EXPECT_TRUE(has(always_giant, "hg")) << always_giant;
  EXPECT_TRUE(has(always_own, "hg")) << always_own;
  const auto [never_small, never_giant, never_own] = flags_with("never");
  EXPECT_TRUE(has(never_small, "nh")) << never_small;
  EXPECT_TRUE(has(never_giant, "nh")) << never_giant;
  EXPECT_TRUE(has(never_own, "nh")) << never_own;
}

TEST(Manners, WithoutHugePagesEverythingWorks) {
  const test::Ending ending = test::in_child([] {
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) return test::kNotRun;
    for (const test::Stamped& block : use_much()) test::free_stamped(block);
    test::churn(1, 2000, 100, 8 * kMiB);
    return 0;
  });
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << "not run: huge pages cannot be disabled";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

}  // namespace
