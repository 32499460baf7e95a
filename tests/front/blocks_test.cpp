// front/blocks_test.cpp -- proves that short blocks which the only thread has dropped serve its
// next requests, that they are nobody's until then, and that they do not keep a busy process in
// SLOB.

#include "front/blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "cache/registry.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/audit.h"

namespace {
using namespace ashlar;

class BlocksTest : public testing::Test {
 protected:
  ~BlocksTest() override { inspect::audit(); }
  void SetUp() override {
    ASSERT_TRUE(front::start_heap());
    if (!front::g_heap.promotion().is_alone())
      GTEST_SKIP() << "not run: SLOB does not serve alone here";
  }
  static size_t live() { return front::g_heap.slob().stats().live_bytes; }
};
using BlocksDeathTest = BlocksTest;

TEST_F(BlocksTest, WhatWasDroppedIsGivenOutAgain) {
  size_t before = live();
  void* block = front::alloc(40);
  EXPECT_EQ(live(), before + 48);
  front::free(block);
  EXPECT_EQ(live(), before) << "it is nobody's";
  EXPECT_EQ(front::alloc(33), block);
  EXPECT_EQ(front::usable_size(block), 48u);
  EXPECT_EQ(live(), before + 48);
  front::free(block);
}

TEST_F(BlocksTest, ZeroedBlocksAreZeroWhateverWasInThem) {
  void* block = front::alloc(100);
  std::memset(block, 0x5a, 100);
  front::free(block);
  auto* zeroed = static_cast<char*>(front::alloc_zeroed(100));
  EXPECT_EQ(zeroed, block);
  EXPECT_EQ(std::count(zeroed, zeroed + 100, 0), 100);
  front::free(zeroed);
}

TEST_F(BlocksTest, WhatIsKeptGoesBackWithTheRest) {
  size_t before = front::g_heap.slob().stats().pages;
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; ++i) blocks.push_back(front::alloc(16 + i % 240));
  for (void* block : blocks) front::free(block);
  EXPECT_TRUE(front::reap());
  EXPECT_LE(front::g_heap.slob().stats().pages, before);
}

// Its frames may be those of pages that hold nothing else.
TEST_F(BlocksTest, WhatIsKeptGivesWayToALargeBlock) {
  front::free(front::alloc(100));
  front::free(front::alloc(4096));
  front::free(front::alloc(32768));
  ASSERT_GT(front::g_heap.kept().count(), 0u) << "buffers of files come and go";
  void* large = front::alloc(1 << 20);
  EXPECT_EQ(front::g_heap.kept().count(), 0u);
  front::free(large);
}

TEST_F(BlocksTest, CallsThatTheySaveCountAllTheSame) {
  if (front::g_heap.options().slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: nothing ends it here";
  for (int i = 0; i < 100000 && !front::g_heap.is_promoted(); ++i) {
    front::free(front::alloc(100));
    front::free(front::alloc(40));
  }
  EXPECT_TRUE(front::g_heap.is_promoted());
  EXPECT_EQ(front::g_heap.kept().count(), 0u) << "nobody would ask for them any more";
}

// An interval may end at any call: then all are dropped, and counted from nought.
TEST_F(BlocksTest, WhoDropsOftenKeepsMore) {
  auto count_kept = [] {
    std::vector<void*> blocks;
    for (size_t size = 16; size <= 512; size += 8) blocks.push_back(front::alloc(size));
    for (void* block : blocks) front::free(block);
    return front::g_heap.kept().count();
  };
  unsigned few = count_kept(), many = 0;
  EXPECT_LE(few, 32u);
  for (int attempt = 0; attempt < 10 && many < 40; ++attempt) {
    front::g_heap.slob().drop_kept();
    for (unsigned i = 0; i < 2 * front::Promotion::kSomeDrops; ++i) front::free(front::alloc(100));
    many = count_kept();
  }
  EXPECT_GE(many, 40u);
}

// By the short way, though no call comes that looks at the clock.
TEST_F(BlocksTest, WhatTheOnlyThreadFreesGoesBackToTheKernel) {
  if (front::g_heap.options().slob_max != front::Options::kUnlimited)
    GTEST_SKIP() << "not run: SLOB does not serve so much alone here";
  constexpr size_t kBlocks = 240;
  std::vector<void*> blocks;
  for (size_t i = 0; i < kBlocks; ++i) blocks.push_back(front::alloc(3900));
  EXPECT_GE(front::g_heap.pages().budget().held(), kBlocks);
  for (void* block : blocks) front::free(block);
  EXPECT_LT(front::g_heap.pages().budget().held(), kBlocks / 2);
}

TEST_F(BlocksTest, WhatTheyHoldEndsThemBeforeTheirNumberDoes) {
  if (front::g_heap.options().slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: nothing ends it here";
  for (size_t sum = 0; sum < (front::g_heap.options().slob_max + 64) * 1024; sum += 1000)
    ASSERT_NE(front::alloc(1000), nullptr);
  EXPECT_TRUE(front::g_heap.promotion().is_over());
}

// So often that a heap of 192 KiB may not be alone, and a smaller one may.
class BlocksOfTwoBounds : public BlocksTest {
 protected:
  static constexpr size_t kLarger = front::Promotion::kSmallSlob;
  static bool is_alone() { return front::g_heap.promotion().is_alone(); }
  void SetUp() override {
    BlocksTest::SetUp();
    if (front::g_heap.options().slob_max == front::Options::kUnlimited)
      GTEST_SKIP() << "not run: nothing ends it here";
    base::Line<256> faults;
    ASSERT_TRUE(front::configure("decay_ms:3600000", faults));
    call(1000);  // the first look at the clock begins an interval, which does not end here
  }
  static void call(unsigned times) {
    for (unsigned i = 0; i < times; ++i) front::free(front::alloc(40));
  }
  static void call_often() { call(front::Promotion::kManyCallsOfLarger + 1000); }
};

TEST_F(BlocksOfTwoBounds, WhatLongBlocksHoldCountsAsWell) {
  call_often();
  std::vector<void*> blocks;
  while (front::g_heap.slob().bytes() <= kLarger) blocks.push_back(front::alloc(5000));
  EXPECT_FALSE(is_alone());
  EXPECT_FALSE(front::g_heap.promotion().is_over()) << "nobody has asked since";
  front::free(blocks.back());
  EXPECT_LE(front::g_heap.slob().bytes(), kLarger);
  EXPECT_TRUE(is_alone());
}

TEST_F(BlocksOfTwoBounds, AHeapThatHasBecomeSmallerMayServeLonger) {
  void* stays = front::alloc(40);  // and its page, which is all that is needed afterwards
  std::vector<void*> blocks;
  while (front::g_heap.slob().bytes() <= kLarger) blocks.push_back(front::alloc(3900));
  for (void* block : blocks) front::free(block);
  ASSERT_LE(front::g_heap.slob().bytes(), kLarger);
  call_often();
  EXPECT_TRUE(is_alone());
  front::free(stays);
}

TEST_F(BlocksOfTwoBounds, WhatIsGivenBackCountsNoMore) {
  call_often();
  std::vector<void*> blocks;
  while (front::g_heap.slob().bytes() <= kLarger - base::kFrameSize)
    blocks.push_back(front::alloc(3900));
  void* last = front::alloc(3900);
  EXPECT_FALSE(is_alone());
  front::free(last);  // its page, the only empty one, stays
  EXPECT_FALSE(is_alone());
  EXPECT_TRUE(front::reap());
  EXPECT_TRUE(is_alone());
}

// A size of which little was live at a time is worth no slab, however much of it came and went.
TEST_F(BlocksTest, WhatIsFreedCountsNoMore) {
  if (front::g_heap.options().slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: nothing ends it here";
  for (int i = 0; i < 200; ++i) front::free(front::alloc(1000));
  for (size_t sum = 0; sum < (front::g_heap.options().slob_max + 64) * 1024; sum += 700)
    ASSERT_NE(front::alloc(700), nullptr);
  ASSERT_TRUE(front::g_heap.promotion().is_over());
  ASSERT_NE(front::alloc(1000), nullptr);
  EXPECT_TRUE(cache::g_registry.at(front::class_of(700)).is_started());
  EXPECT_FALSE(cache::g_registry.at(front::class_of(1000)).is_started());
}

// Of a process that SLOB served alone until it had grown, and of which a part has been freed.
class BlocksOfRoom : public BlocksTest {
 protected:
  static constexpr size_t kSize = 1000;
  void SetUp() override {
    BlocksTest::SetUp();
    if (front::g_heap.options().slob_max == front::Options::kUnlimited)
      GTEST_SKIP() << "not run: nothing ends it here";
    std::vector<void*> blocks;
    while (!is_by_slab(blocks.emplace_back(front::alloc(kSize)))) ASSERT_LT(blocks.size(), 10000u);
    constexpr size_t kInPage = base::kFrameSize / kSize;  // one of which stays
    for (size_t i = 0; i + 1 < blocks.size(); ++i)
      if (i % kInPage != 0) front::free(blocks[i]);
    drain();
    ASSERT_GT(front::g_heap.slob().room(), size_t{128} << 10);
  }
  static bool is_by_slab(const void* block) {
    return front::g_heap.pages().slabs().frame_of(block).kind == page::FrameKind::kSlab;
  }
  static bool is_by_slob(const void* block) {
    return front::g_heap.pages().slabs().frame_of(block).kind == page::FrameKind::kSlob;
  }
  // What the class's slabs have is in use from now on.
  static void drain() {
    cache::ObjectCache& cache = cache::g_registry.at(front::class_of(kSize));
    while (cache.alloc_slow(cache::Source::kHeld) != nullptr) {
    }
  }
};

TEST_F(BlocksOfRoom, ItServesBeforeASlabMore) {
  size_t pages = front::g_heap.slob().stats().pages;
  std::vector<void*> blocks;
  while (is_by_slob(blocks.emplace_back(front::alloc(kSize)))) ASSERT_LT(blocks.size(), 10000u);
  EXPECT_GT(blocks.size(), 50u);
  EXPECT_EQ(front::g_heap.slob().stats().pages, pages);
  for (void* block : blocks) front::free(block);
}

TEST_F(BlocksOfRoom, WhatIsAskedForAllTheTimeGetsASlab) {
  int calls = 0;
  for (bool is_slow = true; is_slow; ++calls) {
    void* block = front::alloc(kSize);
    is_slow = !is_by_slab(block);
    front::free(block);
    ASSERT_LT(calls, 2000);
  }
}

TEST_F(BlocksOfRoom, NotForShortOrAlignedBlocksNorBesideAThread) {
  EXPECT_FALSE(front::has_room(128));
  EXPECT_FALSE(front::has_room(base::kFrameSize));
  EXPECT_TRUE(front::has_room(kSize));
  EXPECT_TRUE(is_by_slab(front::alloc_aligned(kSize, 64)));
  drain();
  std::thread([] { EXPECT_FALSE(front::has_room(kSize)); }).join();
}

TEST_F(BlocksOfRoom, LittleIsLeftAlone) {
  std::vector<void*> blocks;
  while (front::has_room(kSize) && blocks.size() < 10000) blocks.push_back(front::alloc(kSize));
  EXPECT_LE(front::g_heap.slob().room(), size_t{64} << 10);
  EXPECT_GT(front::g_heap.slob().room(), size_t{60} << 10);
  for (void* block : blocks) front::free(block);
}

// The program's own caches are asked from the slow path alone.
TEST_F(BlocksTest, AWishForMemoryIsNotPassedBy) {
  void* block = front::alloc(100);
  front::free(block);
  front::g_heap.set_wish(1 << 20);
  EXPECT_EQ(front::alloc_alone(100), nullptr);
  void* other = front::alloc(100);
  EXPECT_FALSE(front::g_heap.has_wish()) << "it was seen to";
  front::free(other);
}

// A cache of the program's own readies magazines, but does not end what SLOB serves.
TEST_F(BlocksTest, AHeapThatWasPromotedByHandDropsThemWhenItHasOutgrownSlob) {
  if (front::g_heap.options().slob_max == front::Options::kUnlimited)
    GTEST_SKIP() << "not run: nothing ends it here";
  ASSERT_TRUE(front::g_heap.promote());
  for (int i = 0; i < 100000 && !front::g_heap.promotion().is_over(); ++i) {
    front::free(front::alloc(100));
    front::free(front::alloc(40));
  }
  EXPECT_TRUE(front::g_heap.promotion().is_over());
  EXPECT_EQ(front::g_heap.kept().count(), 0u);
}

// Two threads must not be given one block.
TEST_F(BlocksTest, BesideAnotherThreadNothingIsKept) {
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) std::this_thread::yield();
  });
  void* block = front::alloc(200);
  EXPECT_FALSE(front::free_alone(front::g_heap.pages().slabs(), block));
  EXPECT_EQ(front::alloc_alone(200), nullptr);
  front::free(block);
  is_over = true;
  other.join();
}

TEST_F(BlocksDeathTest, ADoubleFreeOfWhatIsKeptIsTold) {
  void* block = front::alloc(40);
  front::free(block);
  EXPECT_DEATH(front::free(block), "^ashlar: double free of 0x[0-9a-f]+ \\(small block\\)\n$");
  EXPECT_DEATH((void)front::usable_size(block), "^ashlar: double free of ");
  void* other = front::alloc(40);
  EXPECT_DEATH(front::free(static_cast<char*>(other) + 16), "^ashlar: free of 0x[0-9a-f]+, which ");
  front::free(other);
}

}  // namespace
