// include/memory_resource_test.cpp -- memory resources give blocks that stand apart, count what
// they hold, and give it back.
//
// A user would notice: containers of std::pmr that hold what was not put in; a resource that says
// it holds nothing and does not return its memory; a request's arena that grows from request to
// request.

#include <gtest/gtest.h>
#include <ashlar/memory_resource.hpp>

#include <list>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "counted.h"

namespace {

struct Block {
  unsigned char* bytes;
  size_t size;
  size_t align;
  unsigned char stamp;
};

bool is_intact(const Block& block) {
  for (size_t i = 0; i < block.size; ++i) {
    if (block.bytes[i] != block.stamp) return false;
  }
  return reinterpret_cast<uintptr_t>(block.bytes) % block.align == 0;
}

// Random sizes and alignments, some freed, all stamped: what overlaps or moves is seen.
void stamp_and_check(std::pmr::memory_resource& memory, uint64_t seed, int steps) {
  test::Rng rng(seed);
  std::vector<Block> blocks;
  for (int step = 0; step < steps; ++step) {
    if (blocks.size() > rng.below(200)) {
      std::swap(blocks[rng.below(blocks.size())], blocks.back());
      ASSERT_TRUE(is_intact(blocks.back()));
      memory.deallocate(blocks.back().bytes, blocks.back().size, blocks.back().align);
      blocks.pop_back();
      continue;
    }
    Block block;
    block.size = rng.size(rng.below(20) == 0 ? 100000 : 2000);
    block.align = rng.below(10) == 0 ? size_t{1} << rng.below(13) : 8;
    block.stamp = static_cast<unsigned char>(rng.next());
    block.bytes = static_cast<unsigned char*>(memory.allocate(block.size, block.align));
    memset(block.bytes, block.stamp, block.size);
    blocks.push_back(block);
  }
  for (const Block& block : blocks) {
    ASSERT_TRUE(is_intact(block));
    memory.deallocate(block.bytes, block.size, block.align);
  }
}

void containers(std::pmr::memory_resource& memory, uint64_t seed) {
  test::Rng rng(seed);
  std::pmr::unordered_map<int, std::pmr::string> words(&memory);
  std::unordered_map<int, std::string> expected;
  std::pmr::list<int> order(&memory);
  for (int step = 0; step < 5000; ++step) {
    auto key = static_cast<int>(rng.below(700));
    if (rng.below(3) != 0) {
      std::string text(rng.size(300), 'a');
      words[key] = text;
      expected[key] = text;
      order.push_back(key);
    } else {
      EXPECT_EQ(words.erase(key), expected.erase(key));
      order.remove_if([&](int each) { return each == key && rng.below(2) == 0; });
    }
  }
  EXPECT_EQ(words.size(), expected.size());
  for (const auto& [key, text] : expected) EXPECT_EQ(std::string_view(words.at(key)), text);
}

TEST(MemoryResource, SharedBlocksStandApartAndAligned) {
  stamp_and_check(*ashlar::shared_resource(), 1, 5000);
  EXPECT_EQ(ashlar::shared_resource(), ashlar::shared_resource());
  EXPECT_TRUE(ashlar::shared_resource()->is_equal(*ashlar::shared_resource()));
  EXPECT_FALSE(ashlar::shared_resource()->is_equal(*std::pmr::new_delete_resource()));
  void* nothing = ashlar::shared_resource()->allocate(0);
  EXPECT_NE(nothing, nullptr);
  ashlar::shared_resource()->deallocate(nothing, 0);
}

TEST(MemoryResource, ContainersOverEachHoldWhatTheyWereGiven) {
  containers(*ashlar::shared_resource(), 2);
  ashlar::cache_resource caches("containers");
  containers(caches, 3);
  EXPECT_EQ(caches.info().live_bytes, 0u);
  ashlar::monotonic_resource pages;
  containers(pages, 4);
}

TEST(MemoryResource, CachesCountWhatLives) {
  ashlar::cache_resource memory("counting");
  EXPECT_EQ(memory.info().caches, 0u);
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(memory.allocate(40));
  ashlar::resource_info info = memory.info();
  EXPECT_EQ(info.live_blocks, 100u);
  EXPECT_EQ(info.live_bytes, 4800u);
  EXPECT_GE(info.held_bytes, info.live_bytes);
  EXPECT_EQ(info.caches, 1u);
  void* large = memory.allocate(5000);
  void* aligned = memory.allocate(100, 64);
  EXPECT_EQ(memory.info().live_bytes, 4800u + 5000 + 100);
  EXPECT_EQ(memory.info().live_blocks, 100u);
  memory.deallocate(large, 5000);
  memory.deallocate(aligned, 100, 64);
  for (void* block : blocks) memory.deallocate(block, 40);
  EXPECT_EQ(memory.info().live_bytes, 0u);
  memory.shrink();
  EXPECT_EQ(memory.info().held_bytes, 0u);
}

TEST(MemoryResource, CachesGiveBlocksThatStandApart) {
  ashlar::cache_resource memory("stamped");
  stamp_and_check(memory, 5, 20000);
  EXPECT_EQ(memory.info().live_bytes, 0u);
}

TEST(MemoryResource, CachesThatFindNoPlaceCountAllTheSame) {
  test::Ending ending = test::in_child([]() -> int {
    std::list<ashlar::cache_resource> resources;
    for (int i = 0; i < 5; ++i) {
      ashlar::cache_resource& memory = resources.emplace_back("many");
      std::vector<void*> blocks;
      for (size_t size = 16; size <= 1024; size += 16) {
        blocks.push_back(memory.allocate(size));
        memset(blocks.back(), 1, size);
      }
      if (memory.info().caches != 20 || memory.info().live_blocks != 64) return 1;
      for (size_t k = 0; k < blocks.size(); ++k) memory.deallocate(blocks[k], 16 * (k + 1));
      if (memory.info().live_bytes != 0) return 2;
    }
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(MemoryResource, TheEndOfACacheResourceTellsOfLiveBlocks) {
  test::Ending ending = test::in_child([]() -> int {
    ashlar::cache_resource memory("forgetful");
    (void)memory.allocate(100);
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_NE(ending.err.find("forgetful"), std::string::npos) << ending.text();
}

TEST(MemoryResource, ResourcesComeAndGo) {
  for (int i = 0; i < 200; ++i) {
    ashlar::cache_resource memory("short");
    std::pmr::map<int, int> map(&memory);
    for (int k = 0; k < 50; ++k) map[k] = k;
    EXPECT_EQ(memory.info().live_blocks, 50u);
  }
}

TEST(MemoryResource, MonotonicBlocksStandApartAndAligned) {
  ashlar::monotonic_resource memory;
  stamp_and_check(memory, 6, 5000);
  ashlar::monotonic_resource small(1);
  stamp_and_check(small, 7, 5000);
}

TEST(MemoryResource, MonotonicGrowsGeometricallyAndEndsAsAWhole) {
  ashlar::monotonic_resource memory(4096);
  EXPECT_EQ(memory.held_bytes(), 0u);
  size_t asked = 0;
  size_t steps = 0;
  size_t held = 0;
  for (; asked < (size_t{3} << 20); asked += 48) {
    memset(memory.allocate(48), 1, 48);
    steps += memory.held_bytes() != held;
    held = memory.held_bytes();
  }
  EXPECT_LE(steps, 12u);
  EXPECT_LE(held, 3 * asked);
  memory.release();
  EXPECT_EQ(memory.held_bytes(), 0u);
  (void)memory.allocate(48);
  EXPECT_EQ(memory.held_bytes(), 4096u);
}

TEST(MemoryResource, MonotonicBlocksAreAsLargeAsTheFirst) {
  constexpr size_t kFirst = size_t{8} << 20;
  ashlar::monotonic_resource memory(kFirst);
  (void)memory.allocate(48);
  EXPECT_EQ(memory.held_bytes(), kFirst);
  for (int i = 0; i < 4; ++i) (void)memory.allocate(kFirst / 4);
  EXPECT_EQ(memory.held_bytes(), 2 * kFirst);
}

TEST(MemoryResource, ALargeRequestDoesNotWasteWhatIsLeft) {
  ashlar::monotonic_resource memory(65536);
  auto* before = static_cast<char*>(memory.allocate(16));
  (void)memory.allocate(1000000);
  auto* after = static_cast<char*>(memory.allocate(16));
  EXPECT_EQ(after, before + 16);
}

TEST(MemoryResource, MonotonicReturnsItsPages) {
  ashlar_limits before;
  ashlar_get_limits(&before);
  for (int i = 0; i < 200; ++i) {
    ashlar::monotonic_resource memory;
    for (int k = 0; k < 100; ++k) memset(memory.allocate(10000), k, 10000);
  }
  ashlar_limits after;
  ashlar_get_limits(&after);
  // 200 MB have passed through it.
  EXPECT_LT(after.held, before.held + (size_t{20} << 20));
}

TEST(MemoryResource, MonotonicBlocksAreNoSmallerForBeingMediumSized) {
  ashlar::monotonic_resource memory(4096);
  size_t steps = 0;
  size_t held = 0;
  for (int i = 0; i < 1000; ++i) {
    (void)memory.allocate(3000);
    steps += memory.held_bytes() != held;
    held = memory.held_bytes();
  }
  EXPECT_LE(steps, 12u);
}

TEST(MemoryResource, WhereMemoryIsOutTheyThrow) {
  test::Ending ending = test::in_child([]() -> int {
    std::vector<void*> blocks;
    blocks.reserve(100000);
    std::pmr::memory_resource* all[] = {ashlar::shared_resource(),
                                        new ashlar::cache_resource("out"),
                                        new ashlar::monotonic_resource};
    test::leave_bytes(size_t{8} << 20);
    for (std::pmr::memory_resource* memory : all) {
      blocks.clear();
      try {
        while (blocks.size() < 100000) blocks.push_back(memory->allocate(1000));
        return 1;
      } catch (const std::bad_alloc&) {
        if (blocks.size() < 1000) return 2;
      }
      for (void* block : blocks) memory->deallocate(block, 1000);
      if (memory == all[1]) static_cast<ashlar::cache_resource*>(memory)->shrink();
    }
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_THROW((void)ashlar::monotonic_resource().allocate(SIZE_MAX - 100), std::bad_alloc);
  EXPECT_THROW((void)ashlar::shared_resource()->allocate(SIZE_MAX / 2), std::bad_alloc);
}

void share_with(int count) {
  ashlar::cache_resource memory("threads");
  std::vector<std::thread> threads;
  for (int id = 0; id < count; ++id) {
    threads.emplace_back([&, id] {
      stamp_and_check(memory, static_cast<uint64_t>(id) + 20, 5000);
      stamp_and_check(*ashlar::shared_resource(), static_cast<uint64_t>(id) + 40, 5000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory.info().live_bytes, 0u);
}
TEST(MemoryResource, TwoThreads) {
  share_with(2);
}
TEST(MemoryResource, EightThreads) {
  share_with(8);
}

}  // namespace
