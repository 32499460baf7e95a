// slab/slab_test.cpp -- proves that one slab gives each object once, in the order of addresses,
// knows its own objects, and finds out what is put back twice.

#include "slab/slab.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

namespace {

using slab::Slab;
using slab::SlabLayout;

// A slab whose objects are never touched: its addresses need no memory.
class SlabTest : public testing::TestWithParam<size_t> {
 protected:
  SlabTest() : layout(slab::layout_for(GetParam(), 16)), bytes(Slab::bytes_for(layout.count) / 8) {
    object->start(layout, first);
    object->audit(layout);
  }
  unsigned take(void** out, unsigned most) {
    unsigned count = object->take(layout, out, most);
    object->audit(layout);
    return count;
  }
  Slab::Put put(void* p) {
    Slab::Put answer = object->put(layout, p);
    object->audit(layout);
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

TEST_P(SlabTest, AuditSeesAWrongCount) {
  void* out;
  take(&out, 1);
  object->free_count = layout.count;
  EXPECT_DEATH(object->audit(layout), "check failed: set == free_count");
}

INSTANTIATE_TEST_SUITE_P(Size, SlabTest,
                         testing::Values(size_t{16}, size_t{48}, size_t{64}, size_t{1040},
                                         size_t{4096}, size_t{32768}),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
