// conform/alignment_test.cpp -- every address is as even as promised.
//
// A user would notice: a crash in a vectorised loop (movaps), a failed O_DIRECT write, or coreutils
// that ask aligned_alloc for a size that is no multiple and are refused.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "../support/subject.h"
#include "family.h"

using namespace family;

namespace {

constexpr size_t kLeast = 16;  // alignof(max_align_t) on x86-64 and aarch64

TEST(Alignment, EverySizeTo70000IsAlignedTo16) {
  std::vector<void*> held;
  for (size_t size = 0; size <= 70000; ++size) {
    void* block = malloc_(size);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(is_aligned(block, kLeast)) << "malloc(" << size << ") = " << block;
    // Some stay, so that neighbours are given out too and not one block again and again.
    if (size % 7 == 0 && size < 20000) {
      held.push_back(block);
    } else {
      free_(block);
    }
  }
  for (void* block : held) free_(block);
}

TEST(Alignment, ReallocAndCallocAreAlignedTo16) {
  void* block = nullptr;
  for (size_t size = 1; size <= 70000; size += 13) {
    block = realloc_(block, size);
    ASSERT_TRUE(is_aligned(block, kLeast)) << "realloc to " << size;
    void* zeroed = calloc_(1, size);
    ASSERT_TRUE(is_aligned(zeroed, kLeast)) << "calloc of " << size;
    free_(zeroed);
  }
  free_(block);
}

TEST(Alignment, EveryPowerOfTwoTo64MiBHoldsForManySizes) {
  for (size_t alignment = 8; alignment <= size_t{64} << 20; alignment *= 2) {
    std::vector<void*> held;
    for (size_t size : kSizes) {
      if (size > (1 << 20)) break;
      for (void* block : {memalign_(alignment, size), aligned_alloc_(alignment, size),
                          posix_memalign_or_null(alignment, size)}) {
        ASSERT_NE(block, nullptr) << "alignment " << alignment << ", size " << size;
        ASSERT_TRUE(is_aligned(block, alignment)) << block << " for " << alignment << ", " << size;
        ASSERT_GE(usable_(block), size);
        memset(block, 0x11, size < 64 ? size : 64);
        held.push_back(block);
      }
      if (alignment >= (1 << 20)) break;  // address space: one size is enough up there
    }
    for (void* block : held) free_(block);
  }
}

bool may_have(size_t size) {
  void* place = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return place != MAP_FAILED && munmap(place, size) == 0;
}

TEST(Alignment, HoldsUpTo8GiB) {
  for (size_t alignment = size_t{128} << 20; alignment <= size_t{8} << 30; alignment *= 2) {
    for (size_t size : {size_t{1}, size_t{4096}, size_t{1000001}}) {
      void* block = aligned_alloc_(alignment, size);
      if (block == nullptr && errno == ENOMEM && !may_have(4 * alignment))
        GTEST_SKIP() << "not run: address space is limited here";
      ASSERT_NE(block, nullptr) << "of " << size << " at " << alignment;
      ASSERT_TRUE(is_aligned(block, alignment)) << block << " for " << alignment;
      memset(block, 1, size);
      void* second = memalign_(alignment, size);
      ASSERT_NE(second, block);
      ASSERT_TRUE(is_aligned(second, alignment));
      free_(block);
      free_(second);
    }
  }
}

TEST(Alignment, AlignedAllocTakesSizesThatAreNoMultiple) {
  for (size_t alignment : {size_t{32}, size_t{512}, size_t{4096}, size_t{65536}}) {
    for (size_t size : {size_t{1}, alignment - 1, alignment + 1, 3 * alignment + 7}) {
      void* block = aligned_alloc_(alignment, size);
      ASSERT_NE(block, nullptr) << alignment << ", " << size;
      ASSERT_TRUE(is_aligned(block, alignment));
      memset(block, 1, size);
      free_(block);
    }
  }
}

TEST(Alignment, AlignedAllocWithABadAlignmentIsRefused) {
  if (test::on_system_malloc()) GTEST_SKIP() << "not run: glibc 2.36 rounds a bad alignment up";
  for (size_t alignment : {size_t{0}, size_t{3}, size_t{24}, size_t{100}, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(aligned_alloc_(alignment, 100), nullptr) << alignment;
    EXPECT_EQ(errno, EINVAL) << alignment;
  }
}

TEST(Alignment, PosixMemalignWithABadAlignmentGivesEinvalAndLeavesTheResultAlone) {
  for (size_t alignment : {size_t{0}, size_t{1}, size_t{2}, size_t{4}, size_t{3}, size_t{12},
                           size_t{24}, size_t{100}, size_t{4097}, SIZE_MAX, SIZE_MAX - 7}) {
    void* const mark = &errno;
    void* block = mark;
    EXPECT_EQ(posix_memalign_(&block, alignment, 100), EINVAL) << alignment;
    EXPECT_EQ(block, mark) << "the result was changed for alignment " << alignment;
  }
}

TEST(Alignment, MemalignWithABadAlignmentRoundsUpOrRefuses) {
  for (size_t alignment : {size_t{3}, size_t{24}, size_t{100}, size_t{4097}}) {
    errno = 0;
    void* block = memalign_(alignment, 100);
    if (block == nullptr) {
      EXPECT_EQ(errno, EINVAL) << alignment;
      continue;
    }
    size_t rounded = 1;
    while (rounded < alignment) rounded *= 2;
    EXPECT_TRUE(is_aligned(block, rounded)) << alignment;
    free_(block);
  }
}

TEST(Alignment, VallocAndPvallocGiveWholePages) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (size_t size : kSizes) {
    void* block = valloc_(size);
    ASSERT_TRUE(block != nullptr && is_aligned(block, page)) << "valloc(" << size << ")";
    void* rounded = pvalloc_(size);
    ASSERT_TRUE(rounded != nullptr && is_aligned(rounded, page)) << "pvalloc(" << size << ")";
    const size_t promised = (size + page - 1) / page * page;
    ASSERT_GE(usable_(rounded), promised) << "pvalloc(" << size << ") must round up to pages";
    memset(rounded, 0x77, promised);
    free_(block);
    free_(rounded);
  }
}

}  // namespace
