// front/small_heap_test.cpp -- proves that a heap of its own keeps to its memory, that an exhausted
// one says no and recovers, and that its end returns everything.

#include "front/small_heap.h"

#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "ashlar/heap.h"
#include "base/bits.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "support/child.h"
#include "support/rng.h"
#include "support/subject.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;

// A buffer at an odd address, with a margin on both sides that shows a stray write.
class Buffer {
 public:
  explicit Buffer(size_t size, size_t offset = 0) : size_(size), at_(kMargin + offset) {
    bytes_.assign(size + offset + 2 * kMargin, kMark);
  }
  ~Buffer() {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      bool is_inside = i >= at_ && i < at_ + size_;
      EXPECT_TRUE(is_inside || bytes_[i] == kMark) << "outside the buffer";
    }
  }
  void* data() { return bytes_.data() + at_; }
  bool contains(const void* p, size_t size) const {
    auto* byte = static_cast<const unsigned char*>(p);
    return byte >= bytes_.data() + at_ && byte + size <= bytes_.data() + at_ + size_;
  }

 private:
  static constexpr size_t kMargin = 4096;
  static constexpr unsigned char kMark = 0xa5;
  size_t size_, at_;
  std::vector<unsigned char> bytes_;
};

struct Held {
  unsigned char* at;
  size_t size;
  unsigned char name;
  bool is_whole(size_t first) const {
    for (size_t i = 0; i < first; ++i)
      if (at[i] != name) return false;
    return true;
  }
};

// Allocates, resizes and frees at random; every block keeps its content. Frees all at the end.
void churn(ashlar_heap* heap, const Buffer* buffer, uint64_t seed, size_t most) {
  test::Rng rng(seed);
  std::vector<Held> held;
  for (unsigned step = 0; step < 2500; ++step) {
    size_t pick = held.empty() ? 0 : rng.below(held.size());
    size_t size = rng.size(most) + 1;
    uint64_t act = rng.below(8);
    if (act < 4) {
      void* p = act == 0   ? ashlar_heap_calloc(heap, 1, size)
                : act == 1 ? ashlar_heap_alloc_aligned(heap, size_t{1} << rng.below(14), size)
                           : ashlar_heap_alloc(heap, size);
      if (p == nullptr) continue;
      held.push_back({static_cast<unsigned char*>(p), size, static_cast<unsigned char>(step)});
      for (size_t i = 0; act == 0 && i < size; ++i) ASSERT_EQ(held.back().at[i], 0);
      ASSERT_TRUE(buffer == nullptr || buffer->contains(p, ashlar_heap_usable_size(heap, p)));
      std::memset(p, held.back().name, size);
    } else if (act == 4 && !held.empty()) {
      Held& one = held[pick];
      void* p = ashlar_heap_realloc(heap, one.at, size);
      if (p == nullptr) continue;
      one.at = static_cast<unsigned char*>(p);
      ASSERT_TRUE(one.is_whole(std::min(size, one.size)));
      one.size = size;
      std::memset(p, one.name, size);
    } else if (!held.empty()) {
      ASSERT_TRUE(held[pick].is_whole(held[pick].size));
      ashlar_heap_free(heap, held[pick].at);
      held[pick] = held.back();
      held.pop_back();
    }
    if (step % 64 == 0) reinterpret_cast<front::SmallHeap*>(heap)->audit();
  }
  for (const Held& one : held) {
    ASSERT_TRUE(one.is_whole(one.size));
    ashlar_heap_free(heap, one.at);
  }
}

TEST(SmallHeap, KeepsToItsBufferWhereverThatStands) {
  for (size_t size :
       {size_t{ASHLAR_HEAP_LEAST}, size_t{ASHLAR_HEAP_LEAST} + 1, size_t{100000}, kMiB})
    for (size_t offset : {0u, 1u, 7u, 15u, 16u, 1000u, 4095u}) {
      Buffer buffer(size, offset);
      ashlar_heap* heap = ashlar_heap_create_in(buffer.data(), size);
      ASSERT_NE(heap, nullptr) << size << " at " << offset;
      churn(heap, &buffer, size + offset, size / 4);
      EXPECT_EQ(ashlar_heap_live(heap), 0u);
      ashlar_heap_destroy(heap);
    }
}

TEST(SmallHeap, ATooSmallBufferIsRefused) {
  Buffer buffer(ASHLAR_HEAP_LEAST);
  errno = 0;
  EXPECT_EQ(ashlar_heap_create_in(buffer.data(), ASHLAR_HEAP_LEAST - 1), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ashlar_heap_create_in(nullptr, kMiB), nullptr);
  for (size_t size = 0; size < 8192; size += 61)
    front::SmallHeap::create_in(buffer.data(), size);  // whatever it says: nothing outside
}

TEST(SmallHeap, InABufferItAsksTheKernelForNothing) {
  static char buffer[1 << 20];
  auto body = [] {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    ashlar_heap* heap = ashlar_heap_create_in(buffer, sizeof buffer);
    void* blocks[100];
    for (void*& block : blocks) block = ashlar_heap_alloc(heap, 500);
    blocks[0] = ashlar_heap_realloc(heap, blocks[0], 9000);
    bool is_right = blocks[0] != nullptr;
    for (void* block : blocks) ashlar_heap_free(heap, block);
    ashlar_heap_destroy(heap);
    return static_cast<int>(syscall(SYS_exit, is_right ? 0 : 1));
  };
  EXPECT_TRUE(test::in_child(body).clean());
}

TEST(SmallHeap, AnExhaustedOneSaysNoAndRecovers) {
  Buffer buffer(kMiB);
  ashlar_heap* small = ashlar_heap_create_in(buffer.data(), kMiB);
  ashlar_heap* own = ashlar_heap_create(kMiB);
  for (ashlar_heap* heap : {small, own})
    for (size_t size : {size_t{1}, size_t{100}, size_t{3000}, size_t{5000}, size_t{100000}}) {
      std::vector<void*> blocks;
      errno = 0;
      while (void* p = ashlar_heap_alloc(heap, size)) blocks.push_back(p);
      EXPECT_EQ(errno, ENOMEM);
      size_t rounded = size < 10000 ? base::round_up(size, 16) : base::round_up(size, 4096);
      size_t held = size < 4096 ? rounded : base::round_up(size, 4096);
      EXPECT_GE(blocks.size() * held, kMiB * 2 / 3) << "blocks of " << size;
      EXPECT_LE(blocks.size() * rounded, kMiB) << "more than the limit";
      EXPECT_EQ(ashlar_heap_live(heap), blocks.size() * rounded);
      if (!blocks.empty()) {
        EXPECT_EQ(ashlar_heap_realloc(heap, blocks[0], 2 * kMiB), nullptr);
        EXPECT_EQ(ashlar_heap_usable_size(heap, blocks[0]), rounded);
      }
      for (void* p : blocks) ashlar_heap_free(heap, p);
      size_t count = blocks.size();
      for (size_t i = 0; i < count; ++i)
        ASSERT_NE(blocks[i] = ashlar_heap_alloc(heap, size), nullptr);
      for (void* p : blocks) ashlar_heap_free(heap, p);
    }
  ashlar_heap_destroy(small);
  ashlar_heap_destroy(own);
}

TEST(SmallHeap, OneOfItsOwnGrowsAndShrinks) {
  ashlar_heap* heap = ashlar_heap_create(64 * kMiB);
  ASSERT_NE(heap, nullptr);
  churn(heap, nullptr, 1, 100000);
  EXPECT_EQ(ashlar_heap_live(heap), 0u);
  size_t before = test::resident_bytes();
  std::vector<void*> blocks;
  for (int i = 0; i < 20000; ++i) {
    blocks.push_back(ashlar_heap_alloc(heap, 2000));
    std::memset(blocks.back(), 1, 2000);
  }
  EXPECT_GE(test::resident_bytes(), before + 35 * kMiB);
  for (void* p : blocks) ashlar_heap_free(heap, p);
  EXPECT_LE(test::resident_bytes(), before + 10 * kMiB) << "what came free went back";
  ashlar_heap_destroy(heap);
}

TEST(SmallHeap, ItsEndReturnsEverything) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "not run: the sanitizer's own records of these addresses are never given back";
#endif
  size_t before = 0;
  for (int round = 0; round < 50; ++round) {
    ashlar_heap* heap = ashlar_heap_create(64 * kMiB);
    ASSERT_NE(heap, nullptr) << round;
    for (int i = 0; i < 4000; ++i) std::memset(ashlar_heap_alloc(heap, 1000), 1, 1000);
    std::memset(ashlar_heap_alloc(heap, kMiB), 1, kMiB);
    ashlar_heap_destroy(heap);
    if (round == 0) before = test::resident_bytes();
  }
  EXPECT_LE(test::resident_bytes(), before + 2 * kMiB) << "50 heaps of 5 MiB have ended";
}

TEST(SmallHeap, WhatCanNeverBeGivenIsNull) {
  errno = 0;
  EXPECT_EQ(ashlar_heap_create(0), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ashlar_heap_create(SIZE_MAX), nullptr);
  ashlar_heap* heap = ashlar_heap_create(kMiB);
  for (size_t size : {SIZE_MAX, SIZE_MAX / 2, kMiB + 1}) {
    errno = 0;
    EXPECT_EQ(ashlar_heap_alloc(heap, size), nullptr) << size;
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_EQ(ashlar_heap_calloc(heap, size, 1), nullptr);
  }
  EXPECT_EQ(ashlar_heap_calloc(heap, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(ashlar_heap_alloc_aligned(heap, size_t{1} << 62, 1), nullptr);
  errno = 0;
  EXPECT_EQ(ashlar_heap_alloc_aligned(heap, 24, 1), nullptr);
  EXPECT_EQ(errno, EINVAL);
  ashlar_heap_destroy(heap);
}

TEST(SmallHeap, ZeroAndNullMeanWhatTheyMeanToMalloc) {
  ashlar_heap* heap = ashlar_heap_create(kMiB);
  void* none = ashlar_heap_alloc(heap, 0);
  EXPECT_NE(none, nullptr);
  EXPECT_NE(none, ashlar_heap_alloc(heap, 0));
  void* grown = ashlar_heap_realloc(heap, nullptr, 100);
  EXPECT_GE(ashlar_heap_usable_size(heap, grown), 100u);
  errno = 5;
  EXPECT_EQ(ashlar_heap_realloc(heap, grown, 0), nullptr);
  ashlar_heap_free(heap, nullptr);
  EXPECT_EQ(ashlar_heap_usable_size(heap, nullptr), 0u);
  EXPECT_EQ(errno, 5);
  ashlar_heap_destroy(heap);
  ashlar_heap_destroy(nullptr);
}

TEST(SmallHeap, AlignmentsBeyondTheBuffersOwnAreKept) {
  Buffer buffer(4 * kMiB, 3);
  ashlar_heap* heap = ashlar_heap_create_in(buffer.data(), 4 * kMiB);
  for (size_t align = 1; align <= 65536; align *= 2) {
    void* p = ashlar_heap_alloc_aligned(heap, align, 100);
    EXPECT_TRUE(p != nullptr && base::is_aligned(p, align)) << align;
  }
  ashlar_heap_destroy(heap);
}

// All of the memory can be aligned blocks, and where one has been another fits.
TEST(SmallHeap, WhereAnAlignedBlockWasAnotherFits) {
  for (size_t align : {size_t{8} << 10, size_t{64} << 10, size_t{256} << 10})
    for (size_t begin : {size_t{0}, size_t{4096}, size_t{5003}}) {
      Buffer buffer(4 * kMiB, begin);
      ashlar_heap* heap = ashlar_heap_create_in(buffer.data(), 4 * kMiB);
      std::vector<void*> blocks;
      auto fill = [&] {
        size_t before = blocks.size();
        while (void* p = ashlar_heap_alloc_aligned(heap, align, align)) blocks.push_back(p);
        return blocks.size() - before;
      };
      size_t all = fill(), freed = (all + 1) / 2;
      EXPECT_GE(all * align, 4 * kMiB - 2 * align - 128 * 1024) << align << " from " << begin;
      for (size_t i = 0; i < all; i += 2) ashlar_heap_free(heap, blocks[i]);
      EXPECT_EQ(fill(), freed) << align << " from " << begin;
      for (void* p : blocks) EXPECT_TRUE(base::is_aligned(p, align));
      ashlar_heap_destroy(heap);
    }
}

// The most that a heap which holds nothing serves, to a page.
size_t most_of(ashlar_heap* heap, size_t size) {
  void* whole = nullptr;
  while ((whole = ashlar_heap_alloc(heap, size)) == nullptr) size -= 4096;
  ashlar_heap_free(heap, whole);
  return size;
}

TEST(SmallHeap, AnEmptyOneServesWhatItServedAtFirst) {
  Buffer buffer(100000);
  for (ashlar_heap* heap :
       {ashlar_heap_create_in(buffer.data(), 100000), ashlar_heap_create(100000)}) {
    size_t most = most_of(heap, 100000);
    std::vector<void*> pages;
    while (void* p = ashlar_heap_alloc(heap, 4000)) pages.push_back(p);
    std::swap(pages.back(), pages[pages.size() / 2]);  // a page in the midst comes free last
    for (void* p : pages) ashlar_heap_free(heap, p);
    EXPECT_NE(ashlar_heap_alloc(heap, most), nullptr) << most;
    ashlar_heap_destroy(heap);
  }
}

// Records of pages stand in front of them, a place for each: where one had none it would take a
// frame, for good.
TEST(SmallHeap, EachFrameOfABufferServesSmallBlocksAndComesBack) {
  for (size_t shift = 0; shift < 64; shift += 8)
    for (size_t size = 16384; size < 50000; size += 1000) {
      Buffer buffer(size + shift);
      ashlar_heap* heap = ashlar_heap_create_in(static_cast<char*>(buffer.data()) + shift, size);
      size_t most = most_of(heap, size);
      std::vector<void*> blocks;
      while (void* p = ashlar_heap_alloc(heap, 3000)) blocks.push_back(p);
      EXPECT_GE(blocks.size(), most / 4096) << size << " bytes, " << shift << " further";
      for (void* p : blocks) ashlar_heap_free(heap, p);
      EXPECT_EQ(most_of(heap, size), most) << size << " bytes, " << shift << " further";
      ashlar_heap_destroy(heap);
    }
}

TEST(SmallHeap, TheOnlyBlockOfOneGrowsToAllOfIt) {
  Buffer buffer(kMiB);
  for (ashlar_heap* heap : {ashlar_heap_create_in(buffer.data(), kMiB), ashlar_heap_create(kMiB)}) {
    size_t most = most_of(heap, kMiB);
    void* only = ashlar_heap_alloc(heap, most / 2 + 8192);
    ashlar_heap_free(heap, ashlar_heap_alloc(heap, 16));  // a page of the small ones is kept
    EXPECT_NE(ashlar_heap_realloc(heap, only, most), nullptr) << most;
    ashlar_heap_destroy(heap);
  }
}

// Of 31 pages at the end of a buffer 16 begin at a multiple of 64 KiB. In front of them there are
// more free pieces than are looked at.
TEST(SmallHeap, AnAlignedBlockIsCutFromTheEndOfABuffer) {
  constexpr size_t kAlign = 64 * 1024, kEnd = 31 * 4096;
  std::vector<char> memory(64 * kMiB);
  ashlar_heap* heap = nullptr;
  // The whole of such a buffer, and where that begins.
  auto fits = [&](size_t offset, size_t size) {
    heap = ashlar_heap_create_in(memory.data() + offset, size);
    size_t most = most_of(heap, size);
    auto begin = reinterpret_cast<size_t>(ashlar_heap_alloc(heap, most));
    ashlar_heap_destroy(heap);
    heap = ashlar_heap_create_in(memory.data() + offset, size);
    return most % kMiB == kEnd && (begin + most - kEnd) % kAlign == 4096;
  };
  size_t step = 0;
  while (!fits(step % 16 * 4096, 60 * kMiB + step / 16 * 4096)) {
    ashlar_heap_destroy(heap);
    ASSERT_LT(++step, 16u * 512);
  }
  std::vector<void*> blocks;
  while (void* p = ashlar_heap_alloc(heap, kMiB)) blocks.push_back(p);
  blocks.erase(std::max_element(blocks.begin(), blocks.end()));  // it ends where those begin
  for (size_t i = 0; i < blocks.size(); ++i)
    ASSERT_EQ(ashlar_heap_realloc(heap, blocks[i], kMiB - (size_t{16384} << i % 3)), blocks[i]);
  EXPECT_NE(ashlar_heap_alloc_aligned(heap, kAlign, kAlign), nullptr);
  ashlar_heap_destroy(heap);
}

TEST(SmallHeap, ThreadsShareOne) {
  ashlar_heap* heap = ashlar_heap_create(64 * kMiB);
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    threads.emplace_back([=] { churn(heap, nullptr, seed, 20000); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ashlar_heap_live(heap), 0u);
  ashlar_heap_destroy(heap);
}

size_t held_bytes() {
  return base::Pages(front::g_heap.pages().budget().held()).bytes();
}

// A heap that has asked for the same memory again and again, and so keeps much of what is free.
ashlar_heap* breathing_heap() {
  ashlar_heap* heap = ashlar_heap_create(256 * kMiB);
  std::vector<void*> blocks(12000);
  for (int round = 0; round < 12; ++round) {
    for (void*& block : blocks) std::memset(block = ashlar_heap_alloc(heap, 4000), 1, 4000);
    for (void* block : blocks) ashlar_heap_free(heap, block);
  }
  EXPECT_GE(held_bytes(), 30 * kMiB) << "else nothing is proved";
  return heap;
}

TEST(SmallHeap, WhatOneKeepsGoesBackWhereMemoryIsShort) {
  ashlar_heap* heap = breathing_heap();
  ASSERT_TRUE(front::set_limits({.hard = base::Pages::ceil(64 * kMiB).n}));
  void* block = front::alloc(40 * kMiB);
  EXPECT_NE(block, nullptr);
  front::set_limits({});
  front::free(block);
  ashlar_heap_destroy(heap);
}

TEST(SmallHeap, WhatOneKeepsGoesBackWhenAskedFor) {
  ashlar_heap* heap = breathing_heap();
  EXPECT_TRUE(front::reap());
  EXPECT_LE(held_bytes(), 4 * kMiB);
  ashlar_heap_destroy(heap);
}

// However long nobody calls the heap itself.
// Also where the age has been changed since the heap was made.
TEST(SmallHeap, WhatOneKeepsGoesBackByAge) {
  base::Line<256> faults;
  ASSERT_TRUE(front::configure("decay_ms:3600000", faults));
  ashlar_heap* heap = breathing_heap();
  ASSERT_TRUE(front::configure("decay_ms:200", faults));
  for (int looks = 0; looks < 5000 && held_bytes() > 16 * kMiB; ++looks) {
    front::sleep_a_moment();
    for (int i = 0; i < 256; ++i) front::free(front::alloc(50000));
  }
  EXPECT_LE(held_bytes(), 16 * kMiB);
  ASSERT_TRUE(front::configure("decay_ms:1000", faults));
  ashlar_heap_destroy(heap);
}

// What another thread visits may end, and a child finds the list whole.
TEST(SmallHeap, OnesMayComeAndGoWhileAllGiveBack) {
  test::Watchdog dog(100, "heaps that come and go");
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  auto come_and_go = [](size_t seed) {
    ashlar_heap* heap = ashlar_heap_create(kMiB);
    void* blocks[24];
    for (void*& block : blocks)
      std::memset(block = ashlar_heap_alloc(heap, 4000 * (seed % 9 + 1)), 1, 4000);
    for (void* block : blocks) ashlar_heap_free(heap, block);
    ashlar_heap_destroy(heap);
  };
  for (size_t seed = 0; seed < 2; ++seed)
    threads.emplace_back([&, seed] {
      for (size_t i = seed; !is_over; ++i) come_and_go(i);
    });
  threads.emplace_back([&] {
    while (!is_over) front::reap();
  });
  ashlar_heap* stays = ashlar_heap_create(kMiB);
  for (int i = test::how_often("ASHLAR_TEST_FORKS", 20); i > 0; --i) {
    for (int round = 0; round < 20; ++round) front::reap();
    test::Ending ending = test::in_child([&] {
      come_and_go(5);
      void* block = ashlar_heap_alloc(stays, 100000);
      front::reap();
      ashlar_heap_destroy(stays);
      return block != nullptr ? 0 : 1;
    });
    EXPECT_TRUE(ending.clean()) << ending.text();
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  ashlar_heap_destroy(stays);
  EXPECT_FALSE(front::SmallHeap::is_any());
}

TEST(SmallHeap, InAFullOneABlockMayStillBecomeShorter) {
  for (auto [had, wanted] : {std::pair<size_t, size_t>{20580, 5000}, {5000, 100}, {20580, 100}}) {
    ashlar_heap* heap = ashlar_heap_create(kMiB / 8);
    auto* block = static_cast<unsigned char*>(ashlar_heap_alloc(heap, had));
    ASSERT_NE(block, nullptr);
    std::memset(block, 7, had);
    for (size_t size : {4096, 1000, 100, 16})
      while (ashlar_heap_alloc(heap, size) != nullptr) {
      }
    auto* same = static_cast<unsigned char*>(ashlar_heap_realloc(heap, block, wanted));
    ASSERT_NE(same, nullptr) << had << " -> " << wanted;
    EXPECT_EQ(std::count(same, same + wanted, 7), static_cast<long>(wanted));
    ashlar_heap_destroy(heap);
  }
}

TEST(SmallHeapDeathTest, BlocksOfOthersAndDoubleFreesAreTold) {
  ashlar_heap* heap = ashlar_heap_create(kMiB);
  ashlar_heap* other = ashlar_heap_create(kMiB);
  char* small = static_cast<char*>(ashlar_heap_alloc(heap, 100));
  char* large = static_cast<char*>(ashlar_heap_alloc(heap, 10000));
  EXPECT_DEATH(ashlar_heap_free(other, small),
               "^ashlar: free of 0x[0-9a-f]+, which this heap never gave out\n$");
  EXPECT_DEATH(front::free(small),
               "^ashlar: free of 0x[0-9a-f]+, which this heap never gave out\n$");
  for (char* block : {small, large})
    EXPECT_DEATH(
        {
          ashlar_heap_free(heap, block);
          ashlar_heap_free(heap, block);
        },
        "^ashlar: double free of 0x[0-9a-f]+ \\((small|large) block\\)\n$");
  EXPECT_DEATH(ashlar_heap_free(heap, large + 4096),
               "which points into a block that starts at 0x[0-9a-f]+\n$");
  EXPECT_DEATH(ashlar_heap_free(heap, small + 16),
               "which points into a block that starts at 0x[0-9a-f]+\n$");
  ashlar_heap_destroy(heap);
  ashlar_heap_destroy(other);
}

}  // namespace
