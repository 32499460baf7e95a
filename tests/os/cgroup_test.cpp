// os/cgroup_test.cpp -- proves that the container's bound and the pressure on it are read as the
// kernel writes them, in both versions, whatever is missing.

#include "os/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {
using namespace ashlar;

namespace fs = std::filesystem;

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() {
    char name[] = "/tmp/ashlar-cgroup-XXXXXX";
    root = mkdtemp(name);
  }
  ~CgroupTest() override { fs::remove_all(root); }

  void write(const std::string& file, const std::string& content) {
    fs::create_directories(fs::path(root + file).parent_path());
    std::ofstream(root + file) << content;
  }
  bool find() { return group.find(root.c_str()); }

  static constexpr size_t kMiB = size_t{1} << 20;
  std::string root;
  os::Cgroup group;
};

TEST_F(CgroupTest, WithoutFilesNothingIsBounded) {
  EXPECT_FALSE(find());
  EXPECT_EQ(group.bound(), SIZE_MAX);
  EXPECT_EQ(group.pressure(), 0u);
}

TEST_F(CgroupTest, TheLeastOfAllFoldersAndBothBoundsCounts) {
  write("/proc/self/cgroup", "0::/a.slice/b.scope\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), SIZE_MAX) << "no file says anything";
  write("/sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n");
  EXPECT_EQ(group.bound(), SIZE_MAX);
  write("/sys/fs/cgroup/a.slice/b.scope/memory.max", "536870912\n");
  EXPECT_EQ(group.bound(), 512 * kMiB);
  write("/sys/fs/cgroup/a.slice/b.scope/memory.high", "402653184\n");
  EXPECT_EQ(group.bound(), 384 * kMiB);
  write("/sys/fs/cgroup/a.slice/memory.max", "268435456\n");
  EXPECT_EQ(group.bound(), 256 * kMiB);
  write("/sys/fs/cgroup/memory.max", "134217728\n");
  EXPECT_EQ(group.bound(), 128 * kMiB);
}

TEST_F(CgroupTest, AContainerSeesItselfAsTheRoot) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "268435456\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 256 * kMiB);
}

TEST_F(CgroupTest, VersionOneCountsWhereItRulesMemory) {
  write("/proc/self/cgroup",
        "12:cpuset:/docker/1\n5:memory,other:/docker/1\n1:name=systemd:/docker/1\n0::/system\n");
  write("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), SIZE_MAX) << "as much as there is";
  write("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "67108864\n");
  EXPECT_EQ(group.bound(), 64 * kMiB);
}

TEST_F(CgroupTest, VersionOneInAContainerThatSeesOnlyItsOwnPart) {
  write("/proc/self/cgroup", "5:memory:/docker/1\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
}

TEST_F(CgroupTest, VersionTwoBesideVersionOneHasAFolderOfItsOwn) {
  write("/proc/self/cgroup", "1:name=systemd:/a\n0::/a\n");
  write("/sys/fs/cgroup/unified/cgroup.controllers", "memory\n");
  write("/sys/fs/cgroup/unified/a/memory.max", "67108864\n");
  write("/sys/fs/cgroup/unified/memory.max", "268435456\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
  EXPECT_FALSE(group.was_refused());
  // A group may have that name, too.
  write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  write("/sys/fs/cgroup/a/memory.max", "134217728\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 128 * kMiB);
}

// Of the first thread the kernel tells no more once that has ended.
TEST_F(CgroupTest, TheGroupsOfTheThreadThatAsksCount) {
  write("/proc/self/cgroup", "5:memory:/\n");
  write("/proc/thread-self/cgroup", "5:memory:/a\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "67108864\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
  write("/proc/thread-self/cgroup", "");
  ASSERT_TRUE(find()) << "before Linux 3.17";
  EXPECT_EQ(group.bound(), SIZE_MAX);
}

TEST_F(CgroupTest, NoOtherControllerIsTakenForMemory) {
  write("/proc/self/cgroup", "5:memoryless:/x\n6:amemory:/x\n");
  EXPECT_FALSE(find());
}

TEST_F(CgroupTest, NonsenseBoundsNothing) {
  write("/proc/self/cgroup", "0::/a\n");
  ASSERT_TRUE(find());
  for (const char* nonsense : {"", "\n", "x\n", "-5\n", "12 13\n", "99999999999999999999999\n"}) {
    write("/sys/fs/cgroup/a/memory.max", nonsense);
    EXPECT_EQ(group.bound(), SIZE_MAX) << nonsense;
  }
  for (const char* nonsense : {"", "x", "\n\n\n", "0:", "0::", "::", "0:memory"}) {
    write("/proc/self/cgroup", nonsense);
    find();
    EXPECT_EQ(group.bound(), SIZE_MAX) << nonsense;
  }
}

TEST_F(CgroupTest, APathThatIsTooLongIsLeftAlone) {
  write("/proc/self/cgroup", "0::/" + std::string(1500, 'x') + "\n");
  EXPECT_FALSE(find());
  EXPECT_EQ(group.bound(), SIZE_MAX);
}

TEST_F(CgroupTest, PressureIsTheGroupsOrElseTheSystems) {
  write("/proc/self/cgroup", "0::/a\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.pressure(), 0u);
  write("/proc/pressure/memory",
        "some avg10=12.90 avg60=3.00 avg300=1.00 total=1\nfull avg10=1.00\n");
  EXPECT_EQ(group.pressure(), 12u);
  write("/sys/fs/cgroup/a/memory.pressure", "some avg10=3.25 avg60=3.00 avg300=1.00 total=1\n");
  EXPECT_EQ(group.pressure(), 3u);
  write("/sys/fs/cgroup/a/memory.pressure", "full avg10=3.25\n");
  EXPECT_EQ(group.pressure(), 0u);
  write("/sys/fs/cgroup/a/memory.pressure", "some avg10=\n");
  EXPECT_EQ(group.pressure(), 0u);
}

// Whoever knows nothing must not be taken for one who knows that nothing is bounded.
TEST_F(CgroupTest, AFileThatCannotBeOpenedIsNoFileThatIsMissing) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/memory.max", "67108864\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
  EXPECT_FALSE(group.was_refused()) << "what is missing bounds nothing";
  fs::create_directories(root + "/sys/fs/cgroup/a/b");
  fs::create_symlink("memory.max", root + "/sys/fs/cgroup/a/b/memory.max");  // to itself
  EXPECT_EQ(group.bound(), 64 * kMiB);
  EXPECT_TRUE(group.was_refused());
  fs::remove(root + "/sys/fs/cgroup/a/b/memory.max");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
  EXPECT_FALSE(group.was_refused()) << "that was another time";
}

TEST_F(CgroupTest, WhereNoFileIsThereNothingIsKnown) {
  EXPECT_FALSE(find());
  EXPECT_TRUE(group.was_refused()) << "no /proc";
  write("/proc/self/cgroup", "5:memory:/a\n");
  for (const char* file : {"", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (*file != '\0') write(file, "9223372036854771712\n");
    ASSERT_TRUE(find());
    EXPECT_EQ(group.bound(), SIZE_MAX);
    EXPECT_EQ(group.was_refused(), *file == '\0') << "version 1";
  }
  write("/proc/self/cgroup", "0::/a\n");
  for (const char* file : {"", "/sys/fs/cgroup/cgroup.controllers"}) {
    if (*file != '\0') write(file, "");
    ASSERT_TRUE(find());
    EXPECT_EQ(group.bound(), SIZE_MAX);
    EXPECT_EQ(group.was_refused(), *file == '\0') << "version 2, whose root is not bounded";
  }
}

TEST_F(CgroupTest, WithoutDescriptorsNothingIsKnown) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "67108864\n");
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  bool is_found = find();
  bool was_refused = group.was_refused();
  size_t bound = group.bound();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(is_found);
  EXPECT_TRUE(was_refused);
  EXPECT_EQ(bound, SIZE_MAX);
  EXPECT_TRUE(find());
  EXPECT_FALSE(group.was_refused());
  EXPECT_EQ(group.bound(), 64 * kMiB);
}

// The group's name would be another's.
TEST_F(CgroupTest, AListThatIsCutInItsLineIsNotBelieved) {
  std::string lines;
  while (lines.size() < 4000) lines += "7:cpu:/x\n";
  std::string group_line = "5:memory:/docker/1";
  while (lines.size() + group_line.size() < 4095) lines += "7:cpu:/" + std::string(1, '\n');
  write("/proc/self/cgroup", lines + group_line + std::string(200, '2') + "\n");
  write("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "67108864\n");
  find();
  EXPECT_TRUE(group.was_refused());
  EXPECT_EQ(group.bound(), SIZE_MAX);
}

TEST_F(CgroupTest, WhoMovedIsFoundAnew) {
  write("/proc/self/cgroup", "5:memory:/a\n");
  write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "67108864\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 64 * kMiB);
  write("/proc/self/cgroup", "0::/b\n");
  write("/sys/fs/cgroup/b/memory.max", "134217728\n");
  ASSERT_TRUE(find());
  EXPECT_EQ(group.bound(), 128 * kMiB);
}

TEST_F(CgroupTest, TheRealOneIsReadWithoutATrace) {
  errno = 0;
  int before = ::open("/dev/null", O_RDONLY);
  ::close(before);
  errno = 0;
  os::Cgroup real;
  real.find("");
  EXPECT_GT(real.bound(), 0u);
  EXPECT_LE(real.pressure(), 100u);
  EXPECT_EQ(errno, 0);
  int after = ::open("/dev/null", O_RDONLY);
  EXPECT_EQ(after, before) << "a descriptor is left open";
  ::close(after);
}

}  // namespace
