// conform/content_test.cpp -- what a block holds: zeros from calloc, the old bytes after realloc,
// and nobody else's bytes up to malloc_usable_size.
//
// A user would notice: fields that calloc should have cleared start with old passwords; a vector
// loses its tail when it grows; a program that trusts malloc_usable_size overwrites a neighbour.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "family.h"

using namespace family;

namespace {

/// Fills the heap with bytes that are not zero and gives them back, so that what comes next is
/// recycled memory.
void dirty_the_heap() {
  std::vector<void*> held;
  for (int round = 0; round < 40; ++round) {
    for (size_t size : kSizes) {
      if (size > (4 << 20)) break;
      void* block = malloc_(size);
      ASSERT_NE(block, nullptr);
      memset(block, 0xee, size);
      held.push_back(block);
    }
  }
  for (void* block : held) free_(block);
}

TEST(Content, CallocOfRecycledMemoryIsZero) {
  dirty_the_heap();
  for (size_t size = 1; size <= 70000; size += size < 5000 ? 1 : 17) {
    void* dirty = malloc_(size);
    memset(dirty, 0xee, usable_(dirty));
    free_(dirty);
    void* block = calloc_(1, size);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(all_bytes_are(block, 0, size)) << "calloc(1, " << size << ")";
    memset(block, 0xee, size);
    free_(block);
  }
}

TEST(Content, CallocOfRecycledLargeBlocksIsZero) {
  for (size_t size = 70000; size <= size_t{48} << 20; size = size * 5 / 3) {
    for (int round = 0; round < 3; ++round) {
      void* block = calloc_(size / 8, 8);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(all_bytes_are(block, 0, size / 8 * 8)) << "calloc of " << size;
      memset(block, 0xee, size / 8 * 8);
      free_(block);
    }
  }
}

TEST(Content, CallocOfManyHeldBlocksIsZero) {
  test::Rng rng(11);
  dirty_the_heap();
  std::vector<std::pair<unsigned char*, size_t>> held;
  for (int i = 0; i < 60000; ++i) {
    const size_t size = rng.size(40000) + 1;
    auto* block = static_cast<unsigned char*>(calloc_(1, size));
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(all_bytes_are(block, 0, size)) << "calloc(1, " << size << ")";
    memset(block, 0xee, size);
    held.emplace_back(block, size);
    if (held.size() > 2000) {
      const size_t pick = rng.below(held.size());
      ASSERT_TRUE(all_bytes_are(held[pick].first, 0xee, held[pick].second)) << "overlap";
      free_(held[pick].first);
      held[pick] = held.back();
      held.pop_back();
    }
  }
  for (auto& [block, size] : held) free_(block);
}

TEST(Content, AllUsableBytesMayBeWrittenWithoutHarmToNeighbours) {
  constexpr int kNeighbours = 24;
  unsigned char* blocks[kNeighbours];
  for (size_t size = 0; size <= 70000; size += size < 2000 ? 1 : 37) {
    for (int i = 0; i < kNeighbours; ++i) {
      blocks[i] = static_cast<unsigned char*>(malloc_(size));
      ASSERT_NE(blocks[i], nullptr);
      const size_t usable = usable_(blocks[i]);
      ASSERT_GE(usable, size);
      memset(blocks[i], i + 1, usable);
    }
    for (int i = 0; i < kNeighbours; ++i) {
      ASSERT_TRUE(all_bytes_are(blocks[i], static_cast<unsigned char>(i + 1), usable_(blocks[i])))
          << "a neighbour wrote into a block of " << size << " bytes";
      free_(blocks[i]);
    }
  }
}

TEST(Content, UsableSizeHoldsForEveryMaker) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kSizes) {
      void* first = maker.make(size);
      void* second = maker.make(size);
      ASSERT_TRUE(first != nullptr && second != nullptr) << maker.name << "(" << size << ")";
      memset(first, 0x21, usable_(first));
      memset(second, 0x42, usable_(second));
      ASSERT_TRUE(all_bytes_are(first, 0x21, usable_(first))) << maker.name << "(" << size << ")";
      free_(first);
      ASSERT_TRUE(all_bytes_are(second, 0x42, usable_(second))) << maker.name << "(" << size << ")";
      free_(second);
    }
  }
}

/// A number every 64 KiB, and at both ends: cheap enough for blocks of hundreds of MiB.
void stamp(unsigned char* block, size_t from, size_t to) {
  for (size_t i = from; i + 8 <= to; i = (i / 65536 + 1) * 65536) memcpy(block + i, &i, 8);
}

bool stamps_hold(const unsigned char* block, size_t from, size_t to) {
  for (size_t i = from; i + 8 <= to; i = (i / 65536 + 1) * 65536) {
    size_t found = 0;
    memcpy(&found, block + i, 8);
    if (found != i) return false;
  }
  return true;
}

TEST(Content, ReallocKeepsEveryByteOfSmallBlocks) {
  test::Rng rng(12);
  for (int round = 0; round < 3000; ++round) {
    const size_t from = rng.size(100000) + 1;
    const size_t to = rng.size(100000) + 1;
    auto* block = static_cast<unsigned char*>(malloc_(from));
    for (size_t i = 0; i < from; ++i) block[i] = static_cast<unsigned char>(i * 31 + from);
    void* wall = malloc_(from);  // so that growth in place is not always possible
    block = static_cast<unsigned char*>(realloc_(block, to));
    ASSERT_NE(block, nullptr);
    for (size_t i = 0; i < from && i < to; ++i) {
      ASSERT_EQ(block[i], static_cast<unsigned char>(i * 31 + from)) << from << " to " << to;
    }
    free_(block);
    free_(wall);
  }
}

TEST(Content, ReallocLadderTo256MiBAndDown) {
  constexpr size_t kTop = size_t{256} << 20;
  auto* block = static_cast<unsigned char*>(malloc_(16));
  size_t size = 16;
  stamp(block, 0, size);
  std::vector<void*> walls;
  while (size < kTop) {
    const size_t larger = size * 3 / 2 + 8;
    walls.push_back(malloc_(size > (1 << 20) ? 1 << 20 : size));
    block = static_cast<unsigned char*>(realloc_(block, larger));
    ASSERT_NE(block, nullptr) << larger;
    const size_t checked = size;
    for (size_t i = (checked + 65535) / 65536 * 65536; i + 8 <= larger; i += 65536) {
      memcpy(block + i, &i, 8);
    }
    size = larger;
    ASSERT_TRUE(stamps_hold(block, 0, size)) << "grown to " << size;
  }
  while (size > 64) {
    size = size * 2 / 3;
    block = static_cast<unsigned char*>(realloc_(block, size));
    ASSERT_NE(block, nullptr) << size;
    ASSERT_TRUE(stamps_hold(block, 0, size)) << "shrunk to " << size;
  }
  free_(block);
  for (void* wall : walls) free_(wall);
}

TEST(Content, SeveralVectorsGrownInTurnKeepTheirBytes) {
  constexpr int kVectors = 5;
  unsigned char* vectors[kVectors] = {};
  size_t sizes[kVectors] = {};
  for (size_t size = 1000; size < size_t{32} << 20; size = size * 4 / 3) {
    for (int i = 0; i < kVectors; ++i) {
      vectors[i] = static_cast<unsigned char*>(realloc_(vectors[i], size));
      ASSERT_NE(vectors[i], nullptr);
      ASSERT_TRUE(all_bytes_are(vectors[i], static_cast<unsigned char>(i + 1), sizes[i])) << size;
      memset(vectors[i] + sizes[i], i + 1, size - sizes[i]);
      sizes[i] = size;
    }
  }
  for (unsigned char* vector : vectors) free_(vector);
}

TEST(Content, ReallocOfEveryMakersBlockKeepsItsBytes) {
  for (const Maker& maker : kMakers) {
    for (size_t size : {size_t{24}, size_t{1000}, size_t{40000}, size_t{300000}, size_t{3000000}}) {
      for (size_t wish : {size / 2, size + 1, size * 4}) {
        void* block = maker.make(size);
        memset(block, 0x6b, size);
        block = realloc_(block, wish);
        ASSERT_NE(block, nullptr);
        ASSERT_TRUE(all_bytes_are(block, 0x6b, size < wish ? size : wish))
            << maker.name << " " << size << " to " << wish;
        free_(block);
      }
    }
  }
}

// Splits pages off one mapping until the process may have no more, and joins some again.
void leave_mappings(size_t left) {
  constexpr size_t kPages = 1 << 18;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  char* area = static_cast<char*>(
      mmap(nullptr, kPages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  size_t split = 1;
  while (split < kPages && mprotect(area + split * page, page, PROT_READ) == 0) split += 2;
  for (size_t i = 0; i < left; ++i) mprotect(area + (split -= 2) * page, page, PROT_NONE);
}

// A block that the program has advised is several mappings, which the kernel may move one by one.
TEST(Content, SurvivesReallocWhereMappingsAreShort) {
  constexpr size_t kMiB = size_t{1} << 20, kParts = 80, kBlockers = 20;
  for (size_t left = 1; left < 14; left += 2) {
    const test::Ending child = test::in_child([&] {
      char* room = static_cast<char*>(malloc(2 * kParts * kMiB));
      char* block = static_cast<char*>(malloc(kParts * kMiB));
      for (size_t i = 0; i < kBlockers; ++i)
        if (malloc(2 * kMiB) == nullptr) return 1;
      if (room == nullptr || block == nullptr) return 1;
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      char* start = block + (page - reinterpret_cast<size_t>(block) % page) % page;
      for (size_t i = 0; i + 1 < kParts; ++i) {
        memset(start + i * kMiB, static_cast<int>(i + 1), page);
        if (i % 4 == 0) madvise(start + i * kMiB, page, MADV_DONTFORK);
      }
      free(room);
      leave_mappings(left);
      char* longer = static_cast<char*>(realloc(block, 2 * kParts * kMiB));
      if (longer != nullptr) start += longer - block;
      for (size_t i = 0; i + 1 < kParts; ++i)
        if (start[i * kMiB] != static_cast<char>(i + 1)) return 2;
      return 0;
    });
    EXPECT_TRUE(child.clean()) << left << " left: " << child.text();
  }
}

}  // namespace
