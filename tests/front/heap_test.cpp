// front/heap_test.cpp -- proves malloc's behaviour below its names: content, alignment, growth and
// shrinking, the borders between the ways of serving, and misuse told in its exact words. Run
// with magazines per CPU and, with ASHLAR_CONF=rseq:0, per thread; with object caches from the
// start (slob_max:0), with none ever (slob_max:unlimited), and with none at first.

#include "front/heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "cache/registry.h"
#include "front/upkeep.h"
#include "inspect/audit.h"
#include "support/rng.h"

namespace {
using namespace ashlar;

constexpr size_t kMiB = size_t{1} << 20;

class HeapTest : public testing::Test {
 protected:
  ~HeapTest() override { inspect::audit(); }

  // A pattern that tells a block's first and last bytes, its size and what stands between.
  static void fill(void* p, size_t size) {
    auto* bytes = static_cast<unsigned char*>(p);
    for (size_t i = 0; i < size; i += i < 256 ? 1 : 251)
      bytes[i] = static_cast<unsigned char>(i * 31 + size);
    if (size > 0) bytes[size - 1] = static_cast<unsigned char>(size);
  }
  static bool is_filled(const void* p, size_t size, size_t upto) {
    auto* bytes = static_cast<const unsigned char*>(p);
    for (size_t i = 0; i < upto && i + 1 < size; i += i < 256 ? 1 : 251)
      if (bytes[i] != static_cast<unsigned char>(i * 31 + size)) return false;
    return upto < size || size == 0 || bytes[size - 1] == static_cast<unsigned char>(size);
  }
};

// Whether ASHLAR_CONF says so.
bool is_set(const char* option) {
  const char* conf = getenv("ASHLAR_CONF");
  return conf != nullptr && std::strstr(conf, option) != nullptr;
}

// How a double free of a block of up to 64 bytes is told.
std::string double_free_of_64() {
  std::string of_cache = "\\(cache \"malloc-64\", 64 bytes\\)", of_slob = "\\(small block\\)";
  std::string what = is_set("slob_max:0")           ? of_cache
                     : is_set("slob_max:unlimited") ? of_slob
                                                    : "(" + of_cache + "|" + of_slob + ")";
  return "^ashlar: double free of 0x[0-9a-f]+ " + what + "\n$";
}

std::vector<size_t> border_sizes() {
  std::vector<size_t> sizes;
  for (unsigned id = 1; id <= front::kClasses; ++id)
    for (size_t size :
         {front::kClassSize[id] - 1u, front::kClassSize[id] + 0u, front::kClassSize[id] + 1u})
      sizes.push_back(size);
  for (size_t frames : {8, 9, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1100})
    for (size_t size : {frames * 4096 - 1, frames * 4096, frames * 4096 + 1}) sizes.push_back(size);
  sizes.push_back(0);
  return sizes;
}

TEST_F(HeapTest, EverySizeIsAlignedWritableAndApart) {
  std::vector<size_t> sizes = border_sizes();
  std::vector<void*> blocks;
  for (size_t size : sizes) {
    void* p = front::alloc(size);
    ASSERT_NE(p, nullptr) << size;
    EXPECT_TRUE(base::is_aligned(p, 16)) << size;
    EXPECT_GE(front::usable_size(p), size);
    fill(p, front::usable_size(p));
    blocks.push_back(p);
  }
  for (void* p : blocks) {
    size_t usable = front::usable_size(p);
    EXPECT_TRUE(is_filled(p, usable, usable)) << usable;
    front::free(p);
  }
}

TEST_F(HeapTest, UsableSizeIsWholeGrainsOrTheClassOrWholeFrames) {
  for (size_t size : border_sizes()) {
    void* p = front::alloc(size);
    bool has_class = size <= base::kMaxCached;
    size_t of_class = has_class ? front::kClassSize[front::class_of(size)] : 0;
    size_t of_slob = slob::serves(size) ? front::whole_grains(size) : base::round_up(size, 4096);
    size_t usable = front::usable_size(p);
    if (is_set("slob_max:0") && has_class)
      EXPECT_EQ(usable, of_class) << size;
    else if (is_set("slob_max:unlimited") || !has_class)
      EXPECT_EQ(usable, of_slob) << size;
    else
      EXPECT_TRUE(usable == of_class || usable == of_slob) << size << " " << usable;
    front::free(p);
  }
  EXPECT_EQ(front::usable_size(nullptr), 0u);
}

TEST_F(HeapTest, EveryAlignmentIsKept) {
  for (size_t align = 1; align <= 16 * kMiB; align *= 2)
    for (size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{5000}, size_t{40000}, 2 * kMiB}) {
      void* p = front::alloc_aligned(size, align);
      ASSERT_NE(p, nullptr) << size << " at " << align;
      EXPECT_TRUE(base::is_aligned(p, std::max<size_t>(align, 16))) << size << " at " << align;
      fill(p, size);
      front::free(p);
    }
}

TEST_F(HeapTest, ZeroedMemoryIsZeroAfterWhateverWasThere) {
  for (int round = 0; round < 3; ++round)
    for (size_t size : border_sizes()) {
      auto* p = static_cast<unsigned char*>(front::alloc_zeroed(size));
      ASSERT_NE(p, nullptr);
      for (size_t i = 0; i < size; ++i) ASSERT_EQ(p[i], 0) << size << " at " << i;
      std::memset(p, 0xff, front::usable_size(p));
      front::free(p);
      if (round == 1) front::reap();
    }
}

TEST_F(HeapTest, ResizeKeepsTheContentFromEverySizeToEverySize) {
  std::vector<size_t> sizes = {1,     15,       16,   17,       500,      512,
                               513,   4096,     8000, 32767,    32768,    32769,
                               65536, kMiB - 1, kMiB, kMiB + 1, 3 * kMiB, 5 * kMiB};
  for (size_t from : sizes)
    for (size_t to : sizes) {
      void* p = front::alloc(from);
      fill(p, from);
      void* resized = front::resize(p, to);
      ASSERT_NE(resized, nullptr) << from << " to " << to;
      EXPECT_GE(front::usable_size(resized), to);
      EXPECT_TRUE(is_filled(resized, from, std::min(from, to))) << from << " to " << to;
      front::free(resized);
    }
}

TEST_F(HeapTest, WhatCanNeverBeGivenIsNull) {
  for (size_t size : {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2, size_t{1} << 50}) {
    EXPECT_EQ(front::alloc(size), nullptr) << size;
    EXPECT_EQ(front::alloc_zeroed(size), nullptr) << size;
    EXPECT_EQ(front::alloc_aligned(size, 4096), nullptr) << size;
  }
  EXPECT_EQ(front::alloc_aligned(1, size_t{1} << 62), nullptr);
  void* p = front::alloc(100);
  fill(p, 100);
  EXPECT_EQ(front::resize(p, SIZE_MAX), nullptr);
  EXPECT_EQ(front::resize(p, size_t{1} << 50), nullptr);
  EXPECT_TRUE(is_filled(p, 100, 100)) << "a resize that failed has touched the block";
  front::free(p);
}

TEST_F(HeapTest, FreeOfNullDoesNothing) {
  front::free(nullptr);
  front::free_sized(nullptr, 0);
  front::free_aligned_sized(nullptr, 64, 10);
}

TEST_F(HeapTest, SizedFreesAcceptEverySizeThatTheBlockMayHaveBeenAskedWith) {
  for (size_t size : border_sizes()) front::free_sized(front::alloc(size), size);
  for (size_t align = 16; align <= 65536; align *= 2)
    for (size_t size : {1, 100, 3000, 40000})
      front::free_aligned_sized(front::alloc_aligned(size, align), align, size);
}

TEST_F(HeapTest, FreedMemoryIsUsedAgain) {
  for (size_t size : {size_t{64}, size_t{4096}, size_t{50000}, 3 * kMiB}) {
    std::set<void*> seen;
    for (int i = 0; i < 1000; ++i) {
      void* p = front::alloc(size);
      seen.insert(p);
      front::free(p);
    }
    EXPECT_LE(seen.size(), 300u) << size;
  }
}

TEST_F(HeapTest, OtherThreadsMayFree) {
  for (int round = 0; round < 20; ++round) {
    std::vector<void*> blocks;
    for (size_t size : border_sizes()) {
      blocks.push_back(front::alloc(size));
      fill(blocks.back(), size);
    }
    std::thread([&] {
      for (void* p : blocks) front::free(p);
    }).join();
  }
  front::reap();
  size_t live = front::g_heap.pages().slabs().stats().live * 4096;
  EXPECT_LE(live, size_t{8} * kMiB) << "what other threads freed has stayed";
}

TEST_F(HeapTest, ManyThreadsAtOnceKeepTheirContents) {
  std::vector<std::thread> threads;
  std::atomic<int> faults{0};
  for (uint64_t name = 1; name <= 4; ++name)
    threads.emplace_back([&, name] {
      test::Rng rng(name);
      std::vector<std::pair<void*, size_t>> held;
      for (int step = 0; step < 8000; ++step) {
        uint64_t choice = rng.below(10);
        if (choice < 5 && held.size() < 200) {
          size_t size = rng.size(100000);
          void* p = front::alloc(size);
          fill(p, size);
          held.push_back({p, size});
        } else if (!held.empty()) {
          size_t at = rng.below(held.size());
          auto [p, size] = held[at];
          if (!is_filled(p, size, size)) ++faults;
          held[at] = held.back();
          held.pop_back();
          if (choice < 9 || size == 0) {
            front::free(p);
          } else {
            size_t other = rng.size(100000) + 1;
            void* resized = front::resize(p, other);
            if (!is_filled(resized, size, std::min(size, other))) ++faults;
            front::free(resized);
          }
        }
        if (step % 2000 == 0) front::reap();
      }
      for (auto [p, size] : held) front::free(p);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults, 0);
}

TEST_F(HeapTest, ModeIsWhatWasAskedFor) {
  for (int i = 0; i < 100000; ++i) front::free(front::alloc(1));
  if (is_set("slob_max:unlimited")) {
    EXPECT_FALSE(front::g_heap.is_promoted());
    EXPECT_EQ(os::g_fast_line.cached_end, 0u) << "the fast path may not run";
  } else if (is_set("rseq:0")) {
    EXPECT_EQ(front::g_heap.mode(), os::RseqMode::kNone);
    EXPECT_EQ(os::g_fast_line.cached_end, 0u) << "the fast path may not run";
  } else if (front::g_heap.mode() == os::RseqMode::kNone) {
    GTEST_SKIP() << "not run: no restartable sequences here";
  } else {
    EXPECT_EQ(os::g_fast_line.cached_end, base::kMaxCached + 1);
  }
}

// ---- misuse -------------------------------------------------------------------------------------

using HeapDeathTest = HeapTest;

TEST_F(HeapDeathTest, DoubleFreeOfASmallBlock) {
  EXPECT_DEATH(
      {
        void* p = front::alloc(60);
        front::free(p);
        front::free(p);
      },
      double_free_of_64());
}

TEST_F(HeapDeathTest, DoubleFreeBehindOthers) {
  EXPECT_DEATH(
      {
        std::vector<void*> blocks;
        for (int i = 0; i < 1000; ++i) blocks.push_back(front::alloc(60));
        for (void* p : blocks) front::free(p);
        front::free(blocks[3]);
      },
      double_free_of_64());
}

TEST_F(HeapDeathTest, DoubleFreeOfALargeBlock) {
  for (size_t size : {size_t{50000}, 3 * kMiB})
    EXPECT_DEATH(
        {
          void* p = front::alloc(size);
          front::free(p);
          front::free(p);
        },
        "^ashlar: double free of 0x[0-9a-f]+ \\(large block\\)\n$");
}

TEST_F(HeapDeathTest, FreeOfWhatWasNeverGivenOut) {
  EXPECT_DEATH(
      {
        int local = 0;
        front::free(&local);
      },
      "^ashlar: free of 0x[0-9a-f]+, which this heap never gave out\n$");
  EXPECT_DEATH(front::free(reinterpret_cast<void*>(16)),
               "^ashlar: free of 0x10, which this heap never gave out\n$");
}

TEST_F(HeapDeathTest, FreeInsideALargeBlock) {
  EXPECT_DEATH(
      {
        char* p = static_cast<char*>(front::alloc(100000));
        front::free(p + 4096);
      },
      "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at 0x[0-9a-f]+\n$");
  EXPECT_DEATH(
      {
        char* p = static_cast<char*>(front::alloc(100000));
        front::free(p + 8);
      },
      "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at 0x[0-9a-f]+\n$");
}

TEST_F(HeapDeathTest, ResizeOfWhatWasFreed) {
  EXPECT_DEATH(
      {
        void* p = front::alloc(100000);
        front::free(p);
        front::resize(p, 200000);
      },
      "^ashlar: double free of 0x[0-9a-f]+ \\(large block\\)\n$");
}

TEST_F(HeapDeathTest, ASizedFreeOfAnotherClass) {
  if (!base::kAsserts) GTEST_SKIP() << "not run: told in builds with asserts only";
  EXPECT_DEATH(front::free_sized(front::alloc(64), 1000),
               "^ashlar: sized free of 0x[0-9a-f]+ with 1000 bytes, but the block was asked for "
               "with a size of another class \\(64 bytes\\)\n$");
}

// A program may store anything in a live block, also what looks like the mark of a free one.
TEST_F(HeapTest, TheMarkInALiveBlockIsNoDoubleFree) {
  for (int i = 0; i < 100; ++i) {
    auto* p = static_cast<cache::FreeObject*>(front::alloc(64));
    p->key = os::free_key();
    front::free(p);
  }
}

}  // namespace
