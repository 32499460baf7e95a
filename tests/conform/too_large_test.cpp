// conform/too_large_test.cpp -- what cannot be given is refused, at once and by the right name.
//
// A user would notice: n * size wraps round, a tiny block comes back, and the program writes
// beyond it; or memalign near SIZE_MAX wraps in the allocator itself (several have done so).

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "family.h"

using namespace family;

namespace {

constexpr size_t kTooLarge[] = {size_t{PTRDIFF_MAX} + 1,
                                size_t{PTRDIFF_MAX} + 4097,
                                SIZE_MAX / 4 * 3,
                                SIZE_MAX - (2 << 20),
                                SIZE_MAX - 70000,
                                SIZE_MAX - 65536,
                                SIZE_MAX - 8192,
                                SIZE_MAX - 4097,
                                SIZE_MAX - 4096,
                                SIZE_MAX - 4095,
                                SIZE_MAX - 100,
                                SIZE_MAX - 64,
                                SIZE_MAX - 32,
                                SIZE_MAX - 17,
                                SIZE_MAX - 16,
                                SIZE_MAX - 15,
                                SIZE_MAX - 8,
                                SIZE_MAX - 7,
                                SIZE_MAX - 1,
                                SIZE_MAX};

// Legal to ask for, but no x86-64 or aarch64 process has so much address space.
constexpr size_t kHopeless[] = {PTRDIFF_MAX,
                                size_t{PTRDIFF_MAX} - 4096,
                                size_t{PTRDIFF_MAX} - 100,
                                PTRDIFF_MAX / 2,
                                size_t{1} << 60,
                                size_t{1} << 57,
                                size_t{1} << 52};

size_t memory_bytes() {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void expect_refused(void* block, const char* what, size_t size) {
  EXPECT_EQ(block, nullptr) << what << "(" << size << ")";
  EXPECT_EQ(errno, ENOMEM) << what << "(" << size << ")";
}

TEST(TooLarge, EveryFunctionRefusesMoreThanPtrdiffMax) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kTooLarge) {
      errno = 0;
      expect_refused(maker.make(size), maker.name, size);
    }
  }
}

// Tables of databases and matrices are this large. Only a few of their pages are touched here.
TEST(TooLarge, WhatTheSystemGrantsIsGiven) {
  for (size_t gib : {6, 17, 20}) {
    size_t size = gib << 30;
    void* granted = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (granted == MAP_FAILED) GTEST_SKIP() << "not run: the system refuses " << gib << " GiB";
    munmap(granted, size);
    char* block = static_cast<char*>(std::malloc(size));
    ASSERT_NE(block, nullptr) << gib << " GiB";
    for (size_t offset = 0; offset < size; offset += size / 16) block[offset] = 'x';
    block[size - 1] = 'x';
    std::free(block);
  }
}

// Where the kernel judges by itself (vm.overcommit_memory 0), it lets no process fork that has a
// counted mapping longer than all memory. Ours merge.
TEST(TooLarge, WhatIsFreedOrNeverTouchedKeepsNoProcessFromForking) {
  const size_t memory = memory_bytes();
  std::vector<void*> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(malloc_(memory / 4 * 3));
  if (blocks.back() == nullptr) {
    for (void* block : blocks) free_(block);
    GTEST_SKIP() << "not run: the system refuses " << memory / 4 * 3 << " bytes three times";
  }
  const auto child = [] { return malloc_(1000) == nullptr ? 1 : 0; };
  if (!test::on_system_malloc()) {
    const test::Ending beside_live = test::in_child(child);
    EXPECT_TRUE(beside_live.clean()) << beside_live.text();
  }
  for (void* block : blocks) free_(block);
  const test::Ending beside_free = test::in_child(child);
  EXPECT_TRUE(beside_free.clean()) << beside_free.text();
}

// Sparse arrays take address space, not memory.
TEST(TooLarge, BlocksThatTakeAllTheirAddressSpaceLeaveRoomForSmallOnes) {
  const test::Ending ending = test::in_child([] {
    for (int i = 0; i < 1000; ++i) {
      if (malloc_(size_t{16} << 30) != nullptr) continue;
      if (i == 0) return test::kNotRun;
      break;
    }
    for (size_t size : {size_t{1} << 20, size_t{100000}, size_t{100}})
      for (int i = 0; i < 1000; ++i)
        if (malloc_(size) == nullptr) return 1;
    return 0;
  });
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << "not run: the system refuses 16 GiB";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// What is longer than all memory is refused at once (there is no swap to hold it, either), as long
// as the kernel judges by itself.
TEST(TooLarge, MoreThanTheSystemHasIsRefused) {
  const size_t size = memory_bytes() * 2 + (size_t{64} << 30);
  void* granted = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (granted != MAP_FAILED) {
    munmap(granted, size);
    GTEST_SKIP() << "not run: the system grants " << size << " bytes";
  }
  for (const Maker& maker : kMakers) {
    errno = 0;
    expect_refused(maker.make(size), maker.name, size);
  }
}

TEST(TooLarge, EveryFunctionRefusesWhatNoAddressSpaceHolds) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kHopeless) {
      errno = 0;
      expect_refused(maker.make(size), maker.name, size);
    }
  }
}

TEST(TooLarge, RefusedAlignmentsNearTheTopGiveEnomem) {
  for (size_t alignment : {size_t{1} << 40, size_t{1} << 46, size_t{1} << 62}) {
    for (size_t size : {SIZE_MAX, SIZE_MAX - alignment, size_t{PTRDIFF_MAX}, SIZE_MAX / 2 + 1}) {
      errno = 0;
      expect_refused(memalign_(alignment, size), "memalign", size);
      errno = 0;
      expect_refused(aligned_alloc_(alignment, size), "aligned_alloc", size);
      errno = 0;
      expect_refused(posix_memalign_or_null(alignment, size), "posix_memalign", size);
    }
  }
}

TEST(TooLarge, PosixMemalignThatFailsLeavesTheResultAlone) {
  void* const mark = &errno;
  void* block = mark;
  EXPECT_EQ(posix_memalign_(&block, 64, SIZE_MAX - 64), ENOMEM);
  EXPECT_EQ(block, mark);
}

TEST(TooLarge, ProductsThatOverflowAreRefused) {
  struct Product {
    size_t count, size;
  };
  const Product products[] = {{SIZE_MAX, 2},
                              {2, SIZE_MAX},
                              {SIZE_MAX, SIZE_MAX},
                              {size_t{1} << 32, size_t{1} << 32},
                              {(size_t{1} << 32) + 1, size_t{1} << 32},
                              {SIZE_MAX / 16 + 1, 16},
                              {16, SIZE_MAX / 16 + 2},
                              {3, SIZE_MAX / 3 + 1},
                              {size_t{1} << 63, 2},
                              {PTRDIFF_MAX, 2},
                              {PTRDIFF_MAX / 16 + 1, 16}};
  void* kept = malloc_(100);
  memset(kept, 0x5c, 100);
  for (const Product& product : products) {
    errno = 0;
    expect_refused(calloc_(product.count, product.size), "calloc of product", product.count);
    errno = 0;
    expect_refused(reallocarray_(nullptr, product.count, product.size), "reallocarray",
                   product.count);
    errno = 0;
    expect_refused(reallocarray_(kept, product.count, product.size), "reallocarray of block",
                   product.count);
    ASSERT_TRUE(all_bytes_are(kept, 0x5c, 100)) << "a refused reallocarray changed the block";
  }
  free_(kept);
}

TEST(TooLarge, ARefusedReallocLeavesTheBlockAsItWas) {
  for (size_t size : {size_t{1}, size_t{64}, size_t{5000}, size_t{100000}, size_t{8} << 20}) {
    void* block = malloc_(size);
    ASSERT_NE(block, nullptr);
    memset(block, 0x3a, size);
    for (size_t wish : {SIZE_MAX, size_t{PTRDIFF_MAX} + 1, size_t{PTRDIFF_MAX}, size_t{1} << 57}) {
      errno = 0;
      expect_refused(realloc_(block, wish), "realloc", wish);
      ASSERT_TRUE(all_bytes_are(block, 0x3a, size)) << "block of " << size;
    }
    free_(block);
  }
}

TEST(TooLarge, AllocationGoesOnAfterRefusals) {
  for (int i = 0; i < 1000; ++i) {
    (void)malloc_(SIZE_MAX - static_cast<size_t>(i));
    void* block = malloc_(static_cast<size_t>(i) * 100);
    ASSERT_NE(block, nullptr);
    free_(block);
  }
}

}  // namespace
