// slab/slab_test.cpp -- proves that one slab gives each object once, in the order of addresses,
// knows its own objects and its vacant pages, and finds out what is put back twice.

#include "slab/slab.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "support/auxv.h"
#include "support/rng.h"

namespace {
using namespace ashlar;

using slab::Slab;
using slab::SlabLayout;

// A slab whose objects are never touched: its addresses need no memory.
class SlabTest : public testing::TestWithParam<size_t> {
 protected:
  SlabTest() : layout(slab::layout_for(GetParam(), 16)), bytes(Slab::bytes_for(layout) / 8) {
    object->start(layout, first, layout.frames, 0);
    object->audit(layout);
  }
  unsigned take(void** out, unsigned most) {
    unsigned count = object->take(layout, out, most);
    object->vacant = static_cast<uint8_t>(object->count_vacant(layout));
    object->audit(layout);
    return count;
  }
  Slab::Put put(void* p, const void* next = nullptr) {
    Slab::Put answer = object->put(layout, p, next);
    if (next == nullptr) object->audit(layout);
    return answer;
  }

  SlabLayout layout;
  std::vector<uint64_t> bytes;
  Slab* object = reinterpret_cast<Slab*>(bytes.data());
  char* first = reinterpret_cast<char*>(size_t{1} << 44);
};

TEST_P(SlabTest, GivesEveryObjectOnceInOrder) {
  std::vector<void*> out(layout.count + 5u);
  unsigned count = 0;
  for (unsigned batch = 1; count < layout.count; ++batch) {
    unsigned got = take(out.data() + count, batch);
    ASSERT_EQ(got, std::min<unsigned>(batch, layout.count - count));
    count += got;
  }
  for (unsigned i = 0; i < layout.count; ++i) EXPECT_EQ(out[i], first + i * GetParam());
  EXPECT_EQ(take(out.data(), 5), 0u);
  EXPECT_EQ(object->free_count, 0u);
}

TEST_P(SlabTest, AShorterOneHasFewerObjectsAndAllOfThemWithin) {
  for (unsigned frames = 1; frames < layout.frames; ++frames)
    for (unsigned colours : {0u, 1u, 5u}) {
      object->start(layout, first, frames, colours);
      object->audit(layout);
      unsigned fitting = static_cast<unsigned>(frames * base::kFrameSize / GetParam());
      ASSERT_EQ(object->count, std::min<unsigned>(fitting, layout.count));
      std::vector<void*> out(object->count + 1u);
      ASSERT_EQ(take(out.data(), object->count + 1u), object->count);
      if (object->count == 0) continue;
      EXPECT_GE(out[0], first);
      char* end = static_cast<char*>(out[object->count - 1u]) + GetParam();
      EXPECT_LE(end, first + frames * base::kFrameSize);
      EXPECT_EQ(put(end), Slab::Put::kNoObject) << "what lies behind is somebody else's";
      EXPECT_EQ(put(out[object->count - 1u]), Slab::Put::kDone);
    }
}

TEST_P(SlabTest, WhatCameBackGoesOutAgainLowestFirst) {
  std::vector<void*> out(layout.count);
  take(out.data(), layout.count);
  for (unsigned i = 0; i < layout.count; i += 3) EXPECT_EQ(put(out[i]), Slab::Put::kDone);
  for (unsigned i = 0; i < layout.count; i += 3) {
    void* again = nullptr;
    ASSERT_EQ(take(&again, 1), 1u);
    EXPECT_EQ(again, out[i]);
  }
}

TEST_P(SlabTest, FindsOutADoublePut) {
  std::vector<void*> out(layout.count);
  EXPECT_EQ(put(first), Slab::Put::kWasFree) << "never given out";
  take(out.data(), layout.count);
  EXPECT_EQ(put(out[layout.count / 2]), Slab::Put::kDone);
  EXPECT_EQ(put(out[layout.count / 2]), Slab::Put::kWasFree);
  EXPECT_EQ(object->free_count, 1u) << "a refused put changes nothing";
}

TEST_P(SlabTest, FindsOutWhatIsNoObject) {
  std::vector<void*> out(layout.count);
  take(out.data(), layout.count);
  for (size_t offset : {size_t{1}, size_t{8}, GetParam() - 1, GetParam() + 1})
    EXPECT_EQ(put(first + offset), Slab::Put::kNoObject) << offset;
  EXPECT_EQ(put(first - GetParam()), Slab::Put::kNoObject);
  EXPECT_EQ(put(first + layout.count * GetParam()), Slab::Put::kNoObject);
  EXPECT_EQ(object->free_count, 0u);
}

TEST_P(SlabTest, KnowsWhichObjectAnAddressLiesIn) {
  for (unsigned i = 0; i < layout.count; ++i) {
    char* start = first + i * GetParam();
    EXPECT_EQ(object->object_around(layout, start), start);
    EXPECT_EQ(object->object_around(layout, start + GetParam() - 1), start);
  }
  EXPECT_EQ(object->object_around(layout, first - 1), nullptr);
  EXPECT_EQ(object->object_around(layout, first + layout.count * GetParam()), nullptr);
}

TEST_P(SlabTest, IsEmptyWhenAllAreBack) {
  std::vector<void*> out(layout.count);
  EXPECT_TRUE(object->is_empty());
  take(out.data(), layout.count);
  for (void* p : out) {
    EXPECT_FALSE(object->is_empty());
    put(p);
  }
  EXPECT_TRUE(object->is_empty());
}

// Page by page and object by object.
unsigned vacant_by_hand(const Slab& slab, const SlabLayout& layout, char* block, size_t page_size) {
  unsigned frames = 0;
  char* page = reinterpret_cast<char*>(base::round_up(reinterpret_cast<size_t>(block), page_size));
  const char* end = block + slab.frames * base::kFrameSize;
  for (; page + page_size <= end; page += page_size) {
    unsigned all = 0, free = 0;
    for (unsigned i = 0; i < slab.count; ++i) {
      char* object = slab.objects + i * layout.object_size;
      if (object >= page + page_size || object + layout.object_size <= page) continue;
      ++all;
      free += slab.is_free(i);
    }
    if (all > 0 && free == all) frames += static_cast<unsigned>(page_size / base::kFrameSize);
  }
  return frames;
}

TEST_P(SlabTest, CountsTheVacantPagesAsObjectsComeAndGo) {
  for (size_t page_size : {4096, 16384, 65536}) {
    test::PageSize page(page_size);
    for (auto [frames, colour] : {std::pair{layout.frames + 0u, 0u},
                                  {layout.frames, layout.colours - 1u},
                                  {layout.frames / 2u, 1u}}) {
      char* block = first + 5 * base::kFrameSize;  // at a frame, not at a large page
      object->start(layout, block, frames, colour);
      EXPECT_EQ(object->vacant, vacant_by_hand(*object, layout, block, page_size));
      test::Rng rng(page_size + colour);
      std::vector<void*> held;
      for (int step = 0; step < 400; ++step) {
        // By turns nearly all are taken and nearly all are back.
        if (rng.below(8) < (step / 100 % 2 == 0 ? 5u : 2u)) {
          held.resize(held.size() + layout.count);
          unsigned most = 1 + static_cast<unsigned>(rng.below(layout.count / 4));
          held.resize(held.size() - layout.count +
                      take(held.data() + held.size() - layout.count, most));
        }
        // In a row, of neighbours or of any.
        auto row = held.end() - static_cast<ptrdiff_t>(rng.below(held.size() / 4 + 1));
        if (rng.below(2) == 0) std::sort(held.begin(), held.end());
        for (auto at = row; at != held.end(); ++at)
          if (rng.below(4) == 0) std::swap(*at, held[rng.below(held.size())]);
        for (auto at = row; at != held.end(); ++at) {
          const void* next = at + 1 != held.end() ? at[1] : nullptr;
          ASSERT_EQ(put(*at, next), Slab::Put::kDone);
        }
        held.erase(row, held.end());
        ASSERT_EQ(object->vacant, vacant_by_hand(*object, layout, block, page_size));
      }
    }
  }
}

TEST_P(SlabTest, NamesTheVacantPagesInOrder) {
  std::vector<void*> all(layout.count);
  take(all.data(), layout.count);
  EXPECT_EQ(object->next_vacant(layout, first).frames, 0u);
  for (void* p : all)
    if (p != all[layout.count / 2]) put(p);
  unsigned frames = 0;
  char* live = static_cast<char*>(all[layout.count / 2]);
  for (Slab::Pages run = object->next_vacant(layout, first); run.frames > 0;
       run = object->next_vacant(layout, run.end())) {
    EXPECT_TRUE(run.end() <= live || run.first >= live + GetParam()) << "a page of a live object";
    frames += run.frames;
  }
  EXPECT_EQ(frames, object->vacant);
  Slab::Pages pages = object->pages_of(live, live + GetParam() - 1);
  EXPECT_LE(pages.first, live);
  EXPECT_GE(pages.end(), live + GetParam());
}

TEST_P(SlabTest, AuditSeesAWrongCount) {
  void* out;
  take(&out, 1);
  object->free_count = layout.count;
  EXPECT_DEATH(object->audit(layout), "check failed: set == free_count");
}

TEST_P(SlabTest, AuditSeesAVacantPageThatIsNotCounted) {
  object->vacant -= 1;
  EXPECT_DEATH(object->audit(layout), "check failed: count_vacant");
}

INSTANTIATE_TEST_SUITE_P(Size, SlabTest,
                         testing::Values(size_t{16}, size_t{48}, size_t{64}, size_t{1040},
                                         size_t{4096}, size_t{32768}),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
