// os/vm_test.cpp -- proves each verb's contract against the real kernel: what is committed is zero,
// what is purged is zero again, what is moved keeps its content, what fails changes nothing, and no
// verb touches errno.

#include "os/vm.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "os/env.h"
#include "support/child.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20, kGiB = kMiB << 10;

class VmTest : public testing::Test {
 protected:
  VmTest() {
    os::start_env();
    place = os::kVm.reserve(4 * kGiB, 64 * kMiB);
    errno = 77;
  }
  ~VmTest() override {
    if (place.base != nullptr) os::kVm.release(place);
    EXPECT_EQ(errno, 77) << "a verb has changed errno";
  }
  bool commit(size_t offset, size_t size) {
    return os::kVm.commit(place, place.base + offset, size);
  }
  static bool is_all(const char* at, size_t size, char value) {
    for (size_t i = 0; i < size; ++i)
      if (at[i] != value) return false;
    return true;
  }
  os::Place place;
};

TEST_F(VmTest, APlaceIsLargeAndAligned) {
  ASSERT_NE(place.base, nullptr);
  EXPECT_GE(place.size, 64 * kMiB);
  EXPECT_EQ(reinterpret_cast<size_t>(place.base) % kGiB, 0u);
  for (size_t size : {64 * kMiB, 4 * kGiB}) {  // also behind one that is shorter
    os::Place next = os::kVm.reserve(size, size);
    EXPECT_EQ(reinterpret_cast<size_t>(next.base) % std::min(size, kGiB), 0u);
    os::kVm.release(next);
  }
}

TEST_F(VmTest, TwoPlacesAreApart) {
  os::Place other = os::kVm.reserve(4 * kGiB, 64 * kMiB);
  ASSERT_NE(other.base, nullptr);
  bool meets = other.base < place.base + place.size && place.base < other.base + other.size;
  EXPECT_FALSE(place.is_reserved && meets);
  // A place that only our word holds is met, if ever, when something is committed in it.
  ASSERT_TRUE(commit(0, 4 * kMiB));
  EXPECT_FALSE(meets && os::kVm.commit(other, place.base, kMiB));
  os::kVm.release(other);
}

// Wherever the first place happens to be, these reach the end of the range that places come from.
TEST_F(VmTest, ManyPlacesAreAllApart) {
  constexpr size_t kSize = size_t{2} << 40;
  os::Place places[13];
  for (size_t i = 0; i < std::size(places); ++i) {
    places[i] = os::kVm.reserve(kSize, kSize);
    if (places[i].is_reserved) GTEST_SKIP() << "not run: the place is held by a mapping";
    ASSERT_NE(places[i].base, nullptr) << i;
    for (size_t k = 0; k < i; ++k)
      EXPECT_TRUE(places[i].base >= places[k].base + kSize ||
                  places[k].base >= places[i].base + kSize)
          << "places " << k << " and " << i << " overlap";
  }
}

TEST_F(VmTest, CommittedMemoryIsZeroAndWritable) {
  ASSERT_TRUE(commit(kMiB, 2 * kMiB));
  EXPECT_TRUE(is_all(place.base + kMiB, 2 * kMiB, 0));
  std::memset(place.base + kMiB, 7, 2 * kMiB);
}

TEST_F(VmTest, SomebodyElsesMappingIsNeverOverwritten) {
  if (place.is_reserved) GTEST_SKIP() << "not run: the place is held by a mapping";
  char* other = static_cast<char*>(mmap(place.base + kMiB, kMiB, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  ASSERT_EQ(other, place.base + kMiB);
  std::memset(other, 9, kMiB);
  EXPECT_FALSE(commit(0, 4 * kMiB));
  EXPECT_FALSE(commit(kMiB + 4096, 4096));
  EXPECT_TRUE(is_all(other, kMiB, 9));
  EXPECT_TRUE(commit(0, kMiB)) << "in front of it there is room";
}

TEST_F(VmTest, PurgedMemoryReadsAsZeroAndStaysOurs) {
  ASSERT_TRUE(commit(0, 2 * kMiB));
  std::memset(place.base, 7, 2 * kMiB);
  ASSERT_TRUE(os::kVm.purge(place.base + kMiB, kMiB));
  EXPECT_TRUE(is_all(place.base, kMiB, 7));
  EXPECT_TRUE(is_all(place.base + kMiB, kMiB, 0));
  std::memset(place.base + kMiB, 8, kMiB);
  EXPECT_TRUE(is_all(place.base + kMiB, kMiB, 8));
}

TEST_F(VmTest, PurgedMemoryIsGone) {
  ASSERT_TRUE(commit(0, 4 * kMiB));
  std::memset(place.base, 7, 4 * kMiB);
  ASSERT_TRUE(os::kVm.purge(place.base, 4 * kMiB));
  unsigned char pages[4 * kMiB / 4096];
  ASSERT_EQ(mincore(place.base, 4 * kMiB, pages), 0);
  for (unsigned char page : pages) ASSERT_EQ(page & 1, 0);
}

TEST_F(VmTest, TellsAgainWhenThereAreDescriptorsAgain) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  size_t without = os::kVm.resident(place.base, kMiB, os::Owner::kAny);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(without, 0u);
  if (access("/proc/self/pagemap", R_OK) != 0) {
    errno = 77;
    GTEST_SKIP() << "not run: the kernel does not tell";
  }
  EXPECT_EQ(os::kVm.resident(place.base, kMiB, os::Owner::kAny), kMiB);
}

TEST_F(VmTest, TellsWhatIsInMemory) {
  ASSERT_TRUE(commit(0, 8 * kMiB));
  os::kVm.advise_huge(place.base, 8 * kMiB, false);
  EXPECT_EQ(os::kVm.resident(place.base, 8 * kMiB, os::Owner::kAny), 0u);
  std::memset(place.base + kMiB, 7, kMiB);
  if (access("/proc/self/pagemap", R_OK) != 0) {
    errno = 77;
    GTEST_SKIP() << "not run: the kernel does not tell";
  }
  std::memset(place.base + 7 * kMiB, 7, kMiB / 2);
  EXPECT_EQ(os::kVm.resident(place.base, 8 * kMiB, os::Owner::kAny), kMiB + kMiB / 2);
  EXPECT_EQ(os::kVm.resident(place.base + kMiB / 2, kMiB, os::Owner::kAny), kMiB / 2);
  EXPECT_EQ(os::kVm.resident(place.base + 7 * kMiB, 2 * kMiB, os::Owner::kAny), kMiB / 2)
      << "half is not mapped";
}

TEST_F(VmTest, TellsWhatAChildDoesNotShare) {
  ASSERT_TRUE(commit(0, kMiB));
  os::kVm.advise_huge(place.base, kMiB, false);
  std::memset(place.base, 7, kMiB);
  if (access("/proc/self/pagemap", R_OK) != 0) {
    errno = 77;
    GTEST_SKIP() << "not run: the kernel does not tell";
  }
  EXPECT_EQ(os::kVm.resident(place.base, kMiB, os::Owner::kSelf), kMiB);
  test::Ending child = test::in_child([&] {
    bool is_shared = os::kVm.resident(place.base, kMiB, os::Owner::kAny) == kMiB &&
                     os::kVm.resident(place.base, kMiB, os::Owner::kSelf) == 0;
    std::memset(place.base, 8, kMiB / 2);
    bool is_copied = os::kVm.resident(place.base, kMiB, os::Owner::kSelf) == kMiB / 2;
    return (is_shared ? 0 : 1) + (is_copied ? 0 : 2);
  });
  EXPECT_TRUE(child.clean()) << child.text();
}

TEST_F(VmTest, FetchedMemoryIsThereAndKeepsItsContent) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB / 4);
  os::kVm.fetch(place.base, kMiB / 2);
  unsigned char pages[kMiB / 4096];
  ASSERT_EQ(mincore(place.base, kMiB, pages), 0);
  const size_t count = kMiB / os::page_size();
  const bool can_fetch = madvise(place.base, os::page_size(), 23) == 0;  // MADV_POPULATE_WRITE
  errno = 77;
  for (size_t i = 0; i < count && can_fetch; ++i) ASSERT_EQ(pages[i] & 1, i < count / 2) << i;
  EXPECT_TRUE(is_all(place.base, kMiB / 4, 7));
  EXPECT_TRUE(is_all(place.base + kMiB / 4, kMiB / 4, 0));
  if (!can_fetch) GTEST_SKIP() << "not run: this kernel cannot fetch";
}

TEST_F(VmTest, ManyRangesArePurgedAndNothingBetweenThem) {
  ASSERT_TRUE(commit(0, 8 * kMiB));
  std::memset(place.base, 7, 8 * kMiB);
  for (size_t count : {1, 2, 64}) {
    os::Range ranges[64];
    for (size_t i = 0; i < count; ++i) ranges[i] = {place.base + 2 * i * 65536, 65536};
    EXPECT_EQ(os::kVm.purge_each(ranges, count).ranges, count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_TRUE(is_all(ranges[i].at, 65536, 0));
      EXPECT_TRUE(is_all(ranges[i].at + 65536, 65536, 7));
    }
  }
}

// One page in the midst of the fifth range: all else goes, and it reads as zero.
TEST_F(VmTest, OfManyRangesOnlyWhatIsLockedStaysInMemory) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  const size_t page = os::page_size();
  char* locked = place.base + 4 * size_t{65536} + 5 * page % 65536;
  if (syscall(SYS_mlock, locked, page) != 0) GTEST_SKIP() << "not run: may not lock memory";
  os::Range ranges[8];
  for (size_t i = 0; i < 8; ++i) ranges[i] = {place.base + i * 65536, 65536};
  const os::Purged purged = os::kVm.purge_each(ranges, 8);
  EXPECT_EQ(purged.ranges, 8u);
  EXPECT_EQ(purged.locked, page);
  EXPECT_EQ(os::kVm.resident(place.base, 8 * size_t{65536}, os::Owner::kAny), page);
  EXPECT_TRUE(is_all(place.base, 8 * size_t{65536}, 0));
  EXPECT_TRUE(is_all(place.base + 8 * size_t{65536}, kMiB / 2, 7));
  syscall(SYS_munlock, locked, page);
  EXPECT_EQ(os::kVm.purge_each(ranges, 8).locked, 0u);
}

// One page in each half MiB.
TEST_F(VmTest, ManyLockedPagesKeepNoOthers) {
  constexpr size_t kStep = kMiB / 2, kCount = 128;
  ASSERT_TRUE(commit(0, kCount * kStep));
  os::kVm.advise_huge(place.base, kCount * kStep, false);
  std::memset(place.base, 7, kCount * kStep);
  const size_t page = os::page_size();
  for (size_t i = 0; i < kCount; ++i)
    if (syscall(SYS_mlock, place.base + i * kStep + 65536, page) != 0) {
      errno = 77;
      GTEST_SKIP() << "not run: may not lock memory";
    }
  const os::Range range{place.base, kCount * kStep};
  EXPECT_EQ(os::kVm.purge_each(&range, 1).locked, kCount * page);
  EXPECT_EQ(os::kVm.resident(range.at, range.size, os::Owner::kAny), kCount * page);
  syscall(SYS_munlock, range.at, range.size);
}

TEST_F(VmTest, WhatIsLockedWhenItIsFetchedIsNotFetched) {
  constexpr int kOnFault = 1;  // MLOCK_ONFAULT
  ASSERT_TRUE(commit(0, kMiB));
  os::kVm.advise_huge(place.base, kMiB, false);
  if (syscall(SYS_mlock2, place.base, kMiB, kOnFault) != 0) {
    errno = 77;
    GTEST_SKIP() << "not run: may not lock memory";
  }
  const volatile char* unused = place.base;
  (void)unused[2 * os::page_size()];
  if (os::kVm.resident(place.base, kMiB, os::Owner::kSelf) != 0)
    GTEST_SKIP() << "not run: this kernel fetches memory that is only read";
  place.base[65536] = 7;
  const os::Range range{place.base, kMiB};
  EXPECT_EQ(os::kVm.purge_each(&range, 1).ranges, 1u);
  EXPECT_EQ(place.base[65536], 0);
  EXPECT_EQ(os::kVm.resident(range.at, range.size, os::Owner::kSelf), os::page_size());
  syscall(SYS_munlock, range.at, range.size);
}

TEST_F(VmTest, WhereAllIsLockedAllIsCleared) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  if (syscall(SYS_mlock, place.base, 65536) != 0) GTEST_SKIP() << "not run: may not lock memory";
  const os::Range range{place.base, 65536};
  const os::Purged purged = os::kVm.purge_each(&range, 1);
  EXPECT_EQ(purged.ranges, 1u);
  EXPECT_EQ(purged.locked, 65536u);
  EXPECT_TRUE(is_all(place.base, 65536, 0));
  syscall(SYS_munlock, place.base, 65536);
}

TEST_F(VmTest, PurgingManyRangesEndsWhereThereIsNoMemory) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  const os::Range ranges[] = {{place.base, 65536}, {place.base + kMiB, 65536}, {place.base, kMiB}};
  EXPECT_EQ(os::kVm.purge_each(ranges, 3).ranges, 1u);
  EXPECT_TRUE(is_all(place.base + 65536, kMiB - 65536, 7)) << "what was not counted has changed";
}

TEST_F(VmTest, LockedMemoryIsNotPurged) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  if (syscall(SYS_mlock, place.base, 65536) != 0) {  // sanitizers make libc's do nothing
    errno = 77;
    GTEST_SKIP() << "not run: this user may not lock memory";
  }
  EXPECT_FALSE(os::kVm.purge(place.base, 65536));
  EXPECT_TRUE(is_all(place.base, kMiB, 7)) << "a verb that fails changes nothing";
  syscall(SYS_munlock, place.base, 65536);
}

TEST_F(VmTest, MovedPagesKeepTheirContentAndLeaveZeroBehind) {
  ASSERT_TRUE(commit(0, 8 * kMiB));
  std::memset(place.base, 7, 2 * kMiB);
  std::memset(place.base + 4 * kMiB, 9, 3 * kMiB);
  ASSERT_EQ(os::kVm.move(place.base, place.base + 4 * kMiB, 2 * kMiB), os::Moved::kYes);
  EXPECT_TRUE(is_all(place.base + 4 * kMiB, 2 * kMiB, 7));
  EXPECT_TRUE(is_all(place.base + 6 * kMiB, kMiB, 9));
  EXPECT_TRUE(is_all(place.base, 2 * kMiB, 0));
  std::memset(place.base, 5, 2 * kMiB);  // still ours
}

// How many mappings lie in [from, from + size), whole or in part.
size_t mappings_in(const char* from, size_t size) {
  FILE* maps = fopen("/proc/self/maps", "r");
  size_t count = 0;
  char line[4096];
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long first, end;
    if (sscanf(line, "%lx-%lx", &first, &end) != 2) continue;
    count += first < reinterpret_cast<size_t>(from) + size && end > reinterpret_cast<size_t>(from);
  }
  fclose(maps);
  return count;
}

// Purged, what was moved still is no part of what is around it.
TEST_F(VmTest, WhatIsRenewedIsOneMappingWithWhatIsAroundIt) {
  ASSERT_TRUE(commit(0, 8 * kMiB));
  std::memset(place.base, 7, 8 * kMiB);
  char* to = place.base + 4 * kMiB;
  ASSERT_EQ(os::kVm.move(place.base, to, 2 * kMiB), os::Moved::kYes);
  ASSERT_TRUE(os::kVm.purge(to, 2 * kMiB));
  EXPECT_EQ(mappings_in(place.base, 8 * kMiB), 3u);
  EXPECT_EQ(os::kVm.renew(to, 2 * kMiB), os::Moved::kYes);
  EXPECT_EQ(mappings_in(place.base, 8 * kMiB), 1u);
  EXPECT_TRUE(is_all(to, 2 * kMiB, 0));
  EXPECT_TRUE(is_all(to + 2 * kMiB, 2 * kMiB, 7));
  std::memset(to, 5, 2 * kMiB);  // still ours
}

TEST_F(VmTest, AMoveFromNowhereFails) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  EXPECT_EQ(os::kVm.move(place.base + 8 * kMiB, place.base, kMiB), os::Moved::kNo);
  std::memset(place.base, 8, kMiB);  // still there
}

// Kernels before 6.17 refuse this, after they have unmapped the target.
TEST_F(VmTest, AMoveOfSeveralMappingsIsDoneOrLeavesBothEndsUsable) {
  ASSERT_TRUE(commit(0, 6 * kMiB) && commit(8 * kMiB, 6 * kMiB));
  char* from = place.base;
  char* to = place.base + 8 * kMiB;
  os::kVm.advise_huge(from, 4 * kMiB, true);  // splits the mapping
  std::memset(from, 7, 6 * kMiB);
  os::Moved moved = os::kVm.move(from, to, 6 * kMiB);
  ASSERT_NE(moved, os::Moved::kTargetLost);
  EXPECT_TRUE(is_all(moved == os::Moved::kYes ? to : from, 6 * kMiB, 7));
  std::memset(from, 1, 6 * kMiB);
  std::memset(to, 2, 6 * kMiB);
  EXPECT_TRUE(is_all(from, 6 * kMiB, 1));
}

// Splits pages off one mapping until the process may have no more, and joins some again.
void leave_mappings(size_t left) {
  constexpr size_t kPages = 1 << 18;
  const size_t page = os::page_size();
  char* area = static_cast<char*>(
      mmap(nullptr, kPages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  size_t split = 1;
  while (split < kPages && mprotect(area + split * page, page, PROT_READ) == 0) split += 2;
  for (size_t i = 0; i < left; ++i) mprotect(area + (split -= 2) * page, page, PROT_NONE);
}

// Kernels from 6.17 on move mapping after mapping, and may be out of them half way.
TEST_F(VmTest, AMoveThatIsRefusedHalfWayLosesNothing) {
  constexpr size_t kParts = 20;
  const size_t page = os::page_size(), size = kParts * page;
  unsigned refused = 0;
  for (size_t left = 0; left < 24; ++left) {
    test::Ending child = test::in_child([&] {
      commit(0, size);
      commit(kMiB, 2 * size);
      char* from = place.base;
      char* to = place.base + kMiB + page;
      for (size_t i = 0; i < kParts; i += 2) os::kVm.advise_huge(from + i * page, page, false);
      std::memset(to - page, 9, 2 * size);
      for (size_t i = 1; i < kParts; ++i) std::memset(from + i * page, static_cast<int>(i), page);
      leave_mappings(left);
      os::Moved moved = os::kVm.move(from, to, size);
      for (size_t i = 0; i < kParts; ++i)
        if (!is_all((moved == os::Moved::kYes ? to : from) + i * page, page, static_cast<char>(i)))
          return 1;
      if (!is_all(to - page, page, 9) || !is_all(to + size, page, 9)) return 2;
      std::memset(from, 1, size);
      if (moved != os::Moved::kTargetLost) std::memset(to, 2, size);
      return moved == os::Moved::kYes ? 0 : moved == os::Moved::kNo ? 3 : 4;
    });
    EXPECT_TRUE(child.clean() || child.exit_code == 3) << left << " left: " << child.text();
    refused += !child.clean();
  }
  errno = 77;
  if (refused == 0) GTEST_SKIP() << "not run: this process may have more mappings";
}

// What is locked at the target could not be told from what has come there.
TEST_F(VmTest, NothingIsMovedToWhereMemoryIsLocked) {
  ASSERT_TRUE(commit(0, 2 * kMiB));
  std::memset(place.base, 7, kMiB);
  if (syscall(SYS_mlock, place.base + kMiB, 65536) != 0) {
    errno = 77;
    GTEST_SKIP() << "not run: this user may not lock memory";
  }
  EXPECT_EQ(os::kVm.move(place.base, place.base + kMiB, kMiB), os::Moved::kNo);
  EXPECT_TRUE(is_all(place.base, kMiB, 7));
  syscall(SYS_munlock, place.base + kMiB, 65536);
  EXPECT_EQ(os::kVm.move(place.base, place.base + kMiB, kMiB), os::Moved::kYes);
}

TEST_F(VmTest, AdviceIsHarmless) {
  ASSERT_TRUE(commit(0, 4 * kMiB));
  std::memset(place.base, 7, 4 * kMiB);
  os::kVm.advise_huge(place.base, 4 * kMiB, true);
  os::kVm.advise_huge(place.base, 4 * kMiB, false);
  EXPECT_TRUE(is_all(place.base, 4 * kMiB, 7));
}

TEST_F(VmTest, AHugePageIsBrokenUpWithoutLoss) {
  ASSERT_TRUE(commit(0, 4 * kMiB));
  os::kVm.advise_huge(place.base, 4 * kMiB, true);
  std::memset(place.base, 7, 4 * kMiB);
  os::kVm.break_up(place.base + kMiB);
  os::kVm.break_up(place.base + 8 * kMiB);  // there is nothing
  EXPECT_TRUE(is_all(place.base, 4 * kMiB, 7));
  ASSERT_TRUE(os::kVm.purge(place.base + kMiB, 65536));
  EXPECT_TRUE(is_all(place.base, kMiB, 7));
  EXPECT_TRUE(is_all(place.base + kMiB, 65536, 0));
}

// Where the machine knows no such pages, its files are not there: errno is not the verbs' doing.
size_t free_hugetlb(const char* kib) {
  int error = errno;
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-" + std::string(kib) +
                     "kB/free_hugepages");
  size_t count = 0;
  file >> count;
  errno = error;
  return count;
}

TEST_F(VmTest, PagesThatWereSetApartAreZeroOrRefused) {
  if (place.is_reserved) GTEST_SKIP() << "not run: the place is held by a mapping";
  bool is_there = os::kVm.commit_hugetlb(place, place.base, 2 * kMiB, 21);
  EXPECT_TRUE(is_there || free_hugetlb("2048") == 0);
  if (is_there) {
    EXPECT_TRUE(is_all(place.base, 2 * kMiB, 0));
    std::memset(place.base, 7, 2 * kMiB);
    EXPECT_TRUE(os::kVm.decommit(place, place.base, 2 * kMiB));
  }
  EXPECT_TRUE(commit(0, 2 * kMiB)) << "a refusal has left something behind";
  EXPECT_FALSE(os::kVm.commit_hugetlb(place, place.base, 2 * kMiB, 21)) << "it is in use";
  EXPECT_FALSE(os::kVm.commit_hugetlb(place, place.base + 2 * kMiB + 4096, 2 * kMiB, 21));
  bool is_larger_there = os::kVm.commit_hugetlb(place, place.base + kGiB, kGiB, 30);
  EXPECT_TRUE(is_larger_there || free_hugetlb("1048576") == 0);
}

// Were the mapping gone after a refusal, another thread's could come into its place.
TEST_F(VmTest, PagesThatWereSetApartAreNotLaidOverAReservation) {
  os::Place held = place;
  held.is_reserved = true;
  ASSERT_TRUE(commit(0, 2 * kMiB));
  std::memset(place.base, 7, 2 * kMiB);
  EXPECT_FALSE(os::kVm.commit_hugetlb(held, place.base, 2 * kMiB, 21));
  EXPECT_TRUE(is_all(place.base, 2 * kMiB, 7));
}

TEST_F(VmTest, TheSettingOfHugePagesIsRead) {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string setting;
  std::getline(file, setting);
  EXPECT_EQ(os::kVm.gives_huge_pages(), setting.find("[always]") != std::string::npos) << setting;
}

TEST_F(VmTest, ANameIsShownWhereTheKernelHasSuch) {
  ASSERT_TRUE(commit(0, kMiB));
  std::memset(place.base, 7, kMiB);
  bool is_named = os::kVm.name(place.base, kMiB, "ashlar test");
  EXPECT_TRUE(is_all(place.base, kMiB, 7));
  if (!is_named) GTEST_SKIP() << "not run: the kernel has no names for mappings";
  std::ifstream file("/proc/self/maps");
  std::string maps{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(maps.find("[anon:ashlar test]"), std::string::npos) << maps;
}

TEST_F(VmTest, TheClockRunsForward) {
  uint64_t first = os::kVm.now_ms();
  timespec pause{0, 30000000};
  nanosleep(&pause, nullptr);
  uint64_t second = os::kVm.now_ms();
  EXPECT_GT(second, first);
  EXPECT_LT(second - first, 60000u);
}

TEST_F(VmTest, AddressSpaceThatDoesNotExistIsRefused) {
  os::Place none = os::kVm.reserve(size_t{1} << 60, size_t{1} << 59);
  EXPECT_EQ(none.base, nullptr);
}

}  // namespace
