// slab/remnants_test.cpp -- proves that slabs of which little is in use can be dissolved: what
// lives on stays where it is and as it was, the rest serves other sizes, and all of it comes back;
// and that slabs are left alone where that would not pay, or cannot be.

#include "slab/remnants.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "support/auxv.h"
#include "support/stock_ground.h"

namespace {
using namespace ashlar;

using page::FrameKind;
using slab::Remnants;
using slab::SlabLayout;

constexpr size_t kAll = SIZE_MAX;

class RemnantsTest : public test::SparseGround {
 public:
  explicit RemnantsTest(size_t size = 256) : SparseGround(size) { remnants.start(heap); }
  // Of `slabs` slabs few objects are live. A further one is full, and serves.
  void scatter(size_t slabs, size_t keep_one_in) {
    SparseGround::scatter(slabs, keep_one_in);
    full = take_all(stock.stats().slabs * layout.count - live.size() + 1);
    std::vector<void*> gone(full.begin(), full.end() - 1);
    full.erase(full.begin(), full.end() - 1);
    std::vector<void*> rest = take_all(layout.count - 1u);
    full.insert(full.end(), rest.begin(), rest.end());
    put(gone);
  }
  size_t frames_of_full() const { return full.empty() ? 0 : layout.frames; }
  size_t dissolve(size_t most = kAll) {
    size_t frames = stock.dissolve(remnants, most);
    audit_all();
    return frames;
  }
  std::vector<void*> take_left(const SlabLayout& of, unsigned most) {
    std::vector<void*> out(most);
    out.resize(remnants.take(of, out.data(), most));
    audit_all();
    return out;
  }
  void audit_all() {
    audit();
    remnants.audit();
  }
  // Whether none of these bytes belongs to two objects.
  void expect_apart(const std::vector<void*>& objects, size_t size) {
    std::map<char*, char*> spans;
    for (void* object : live)
      spans[static_cast<char*>(object)] = static_cast<char*>(object) + layout.object_size;
    for (void* object : objects)
      spans[static_cast<char*>(object)] = static_cast<char*>(object) + size;
    ASSERT_EQ(spans.size(), live.size() + objects.size());
    char* end = nullptr;
    for (auto [from, to] : spans) {
      ASSERT_GE(from, end);
      end = to;
    }
  }

  Remnants remnants;
  std::vector<void*> full;
};

TEST_F(RemnantsTest, WhatLivesOnStaysAndTheRestIsFree) {
  scatter(20, 60);
  size_t pinned = frames_pinned(), live_before = frames_live();
  ASSERT_LT(pinned, live_before / 2);
  EXPECT_EQ(dissolve(), 20u * layout.frames);
  expect_content();
  EXPECT_EQ(stock.stats().slabs, 1u);
  EXPECT_EQ(stock.stats().live, full.size());
  EXPECT_EQ(frames_live(), pinned + frames_of_full());
  EXPECT_EQ(remnants.stats().pages, pinned);
  EXPECT_EQ(remnants.stats().live_bytes, live.size() * 256);
  for (void* object : live) {
    EXPECT_EQ(heap.slabs().class_at(object), 0) << "free would take it for an object of a slab";
    EXPECT_EQ(remnants.usable_size(object), 256u);
  }
}

TEST_F(RemnantsTest, OtherSizesUseTheRestAndNoMoreMemory) {
  scatter(20, 60);
  dissolve();
  size_t frames = frames_live();
  constexpr SlabLayout kSmall = slab::layout_for(48, 16);
  std::vector<void*> small = take_left(kSmall, 500);
  ASSERT_EQ(small.size(), 500u);
  EXPECT_EQ(frames_live(), frames);
  expect_apart(small, 48);
  for (void* object : small) std::memset(object, 0x77, 48);
  expect_content();
  for (void* object : small) remnants.put(&object, 1);
  audit_all();
  EXPECT_EQ(remnants.stats().live_bytes, live.size() * 256);
}

TEST_F(RemnantsTest, FramesGoBackWithTheLastObject) {
  scatter(20, 60);
  dissolve();
  for (void* object : live) {
    remnants.put(&object, 1);
    audit_all();
  }
  EXPECT_EQ(remnants.stats().pages, 0u);
  EXPECT_EQ(frames_live(), frames_of_full());
}

TEST_F(RemnantsTest, AStockSaysWhichObjectsAreNotItsOwnAnyMore) {
  scatter(4, 60);
  dissolve();
  std::vector<void*> own = take_all(10);
  std::vector<void*> mixed = {own[0], live[0], own[1], live[1]};
  ASSERT_EQ(stock.flush(mixed.data(), 4), 2u);
  EXPECT_EQ(mixed[0], live[0]);
  EXPECT_EQ(mixed[1], live[1]);
  audit_all();
  EXPECT_EQ(stock.stats().live, full.size() + 8);
  EXPECT_FALSE(stock.object_around(live[0]).is_in_slab);
  EXPECT_EQ(stock.object_around(static_cast<char*>(own[2]) + 5).object, own[2]);
  EXPECT_FALSE(stock.holds(live[0]));
}

TEST_F(RemnantsTest, ObjectsAreAlignedAsTheirSizesAre) {
  scatter(20, 50);
  dissolve();
  for (size_t size : {size_t{32}, size_t{192}, size_t{1024}, size_t{2048}}) {
    size_t align = size & (~size + 1);
    SlabLayout of = slab::layout_for(size, align);
    std::vector<void*> objects = take_left(of, 30);
    ASSERT_GT(objects.size(), 0u) << size;
    for (void* object : objects) EXPECT_TRUE(base::is_aligned(object, align)) << size;
  }
  expect_content();
}

TEST_F(RemnantsTest, ASlabThatServesJustNowStays) {
  std::vector<void*> one = take(1);
  EXPECT_EQ(dissolve(), 0u);
  EXPECT_EQ(stock.stats().slabs, 1u);
}

TEST_F(RemnantsTest, SlabsOfWhichMuchIsInUseStay) {
  scatter(20, 3);
  EXPECT_EQ(heap.vacancy().sparse(), 0u);
  EXPECT_EQ(dissolve(), 0u);
  expect_content();
}

TEST_F(RemnantsTest, NoMoreAreDissolvedThanIsAskedFor) {
  scatter(20, 60);
  EXPECT_EQ(dissolve(1), layout.frames);
  EXPECT_EQ(stock.stats().slabs, 20u);
}

TEST_F(RemnantsTest, PurgedPagesGoBackAsSuch) {
  scatter(20, 60);
  purge_all();
  ASSERT_GT(stock.stats().hollow, 0u);
  dissolve();
  expect_content();
  EXPECT_EQ(stock.stats().hollow, 0u);
  EXPECT_EQ(heap.slabs().stats().hollow, 0u);
  EXPECT_EQ(heap.vacancy().sparse(), 0u);
}

TEST_F(RemnantsTest, FramesThatAreTooFewForASlabServeToo) {
  scatter(20, 60);
  dissolve();
  size_t free = heap.slabs().stats().dirty, room = 0;
  ASSERT_GT(free, 20u);
  constexpr SlabLayout kLarge = slab::layout_for(4096, 4096);  // no remnant has room for it
  while (take_left(kLarge, 1).size() == 1) ++room;
  EXPECT_GT(room, 0u);
  EXPECT_LE(room, free);
  EXPECT_TRUE(remnants.take_wish()) << "there was not enough";
  EXPECT_FALSE(remnants.take_wish());
}

class SlabOfPages : public RemnantsTest {
 public:
  SlabOfPages() : RemnantsTest(4096) {}
};

// No object lies in two frames.
TEST_F(SlabOfPages, IsDissolvedToTheFramesInUse) {
  std::vector<void*> objects = take_all(5u * layout.count), gone;
  // Of each of the first four the first and the last stay, and all of the fifth.
  for (size_t i = 0; i < 4u * layout.count; ++i) {
    bool stays = i % layout.count == 0 || i % layout.count + 1 == layout.count;
    (stays ? live : gone).push_back(objects[i]);
  }
  for (void* object : live) fill(object);
  put(gone);
  EXPECT_EQ(dissolve(), 4u * layout.frames);
  EXPECT_EQ(remnants.stats().pages, live.size());
  EXPECT_EQ(frames_live(), live.size() + layout.frames);
  expect_content();
  remnants.put(live.data(), static_cast<unsigned>(live.size()));
  audit_all();
  EXPECT_EQ(frames_live(), layout.frames);
}

class ShortenedSlab : public RemnantsTest {
 public:
  ShortenedSlab() : RemnantsTest(4608) {}  // eight in nine frames, each in two of them
};

// Where nothing fits a page by itself, the frames at the ends of sparse slabs are of use all the
// same.
TEST_F(ShortenedSlab, LosesTheFramesAtItsEnds) {
  scatter(20, 8);
  for (void* object : full) fill(object);
  size_t live_before = frames_live(), held = stock.stats().held;
  size_t gone = dissolve();
  EXPECT_EQ(gone, 20u * (layout.frames - 2u)) << "an object lies in two frames";
  EXPECT_EQ(frames_live(), live_before - gone);
  EXPECT_EQ(stock.stats().frames, 20u * 2 + frames_of_full());
  EXPECT_EQ(stock.stats().held, held - 20u * 7);
  EXPECT_EQ(heap.slabs().slab_frames().marked, stock.stats().frames);
  EXPECT_EQ(heap.slabs().slab_frames().strays, 0u) << "the class map gives away what is gone";
  EXPECT_EQ(remnants.stats().pages, 0u);
  EXPECT_EQ(heap.vacancy().sparse(), 0u);
  expect_content();
  for (void* object : full) EXPECT_TRUE(is_filled(object));
  EXPECT_EQ(dissolve(), 0u) << "nothing is left to give";
  for (void* object : live) EXPECT_EQ(stock.object_around(object).object, object);
  put(live);
  live.clear();
  put(full);
  stock.reap(true);
  audit_all();
  EXPECT_EQ(frames_live(), 0u) << "and all the rest goes when it comes free";
}

// Where the kernel's pages are larger than frames, what is lost may be parts of them.
class OnLargePages : public testing::TestWithParam<size_t> {};

TEST_P(OnLargePages, AShortenedSlabLosesFramesAllTheSame) {
  struct Ground : ShortenedSlab {
    void TestBody() override {}
  };
  test::PageSize page(GetParam());
  Ground ground;
  ground.scatter(20, 8);
  EXPECT_EQ(ground.dissolve(), 20u * (ground.layout.frames - 2u));
  ground.heap.purge(0);  // pages of which all frames are free, and no other
  ground.audit_all();
  ground.expect_content();
  ground.put(ground.live);
  ground.put(ground.full);
  ground.stock.reap(true);
  ground.heap.purge(0);
  EXPECT_EQ(ground.heap.slabs().stats().dirty + ground.frames_live(), 0u);
}

INSTANTIATE_TEST_SUITE_P(KiB, OnLargePages, testing::Values(size_t{16384}, size_t{65536}),
                         [](const auto& info) { return std::to_string(info.param / 1024); });

TEST_F(ShortenedSlab, WhatIsLeftBetweenServesOn) {
  std::vector<void*> objects = take_all(5u * layout.count), gone;
  // Of each of the first four the third and the fifth stay.
  for (size_t i = 0; i < 4u * layout.count; ++i) {
    bool stays = i % layout.count == 2 || i % layout.count == 4;
    (stays ? live : gone).push_back(objects[i]);
  }
  for (void* object : live) fill(object);
  put(gone);
  EXPECT_GT(dissolve(), 4u * 4);
  std::vector<void*> between = take(4);
  ASSERT_EQ(between.size(), 4u);
  for (void* object : between) {
    fill(object);
    auto* at = static_cast<char*>(object);
    EXPECT_TRUE(std::find(live.begin(), live.end(), at - layout.object_size) != live.end() &&
                std::find(live.begin(), live.end(), at + layout.object_size) != live.end());
  }
  expect_content();
  EXPECT_EQ(stock.stats().frames, 4u * 4 + 9);
  put(between);
  expect_content();
}

TEST_F(ShortenedSlab, KnowsWhatIsHollow) {
  scatter(20, 8);
  ASSERT_GT(purge_all().frames, 0u);
  ASSERT_GT(stock.stats().hollow, 0u);
  dissolve();
  expect_content();
  EXPECT_EQ(stock.stats().hollow, 0u);
  EXPECT_EQ(heap.slabs().stats().hollow, 0u);
  put(live);
}

TEST_F(ShortenedSlab, OneThatServesJustNowStaysWhole) {
  std::vector<void*> one = take(1);
  EXPECT_EQ(dissolve(), 0u);
  EXPECT_EQ(stock.stats().frames, 9u);
  put(one);
}

TEST_F(ShortenedSlab, StrangersAreToldAsBefore) {
  scatter(20, 8);
  dissolve();
  EXPECT_DEATH(put({live[3], live[3]}), "double free");
  EXPECT_DEATH(put({static_cast<char*>(live[3]) + 16}), "which points into a block that starts at");
}

// For them slabs are dissolved all the same: the free frames may be theirs.
TEST_F(RemnantsTest, ObjectsLargerThanAPageWishForMoreToo) {
  constexpr SlabLayout kLarger = slab::layout_for(5120, 1024);
  scatter(20, 60);
  dissolve();
  EXPECT_FALSE(remnants.has_wish());
  EXPECT_TRUE(take_left(kLarger, 1).empty());
  EXPECT_TRUE(remnants.take_wish());
}

TEST_F(RemnantsTest, ItIsWorthItWhereMuchLiesIdle) {
  EXPECT_FALSE(remnants.are_worth_it());
  scatter(200, 60);
  EXPECT_FALSE(remnants.are_worth_it()) << "3 MiB: a small heap has no need";
  scatter(1200, 60);
  EXPECT_TRUE(remnants.are_worth_it());
  dissolve();
  EXPECT_TRUE(remnants.are_worth_it()) << "what is free in remnants is as good";
  std::vector<void*> many(400000);  // not by batches that are audited: that takes a minute
  for (size_t at = 0; at < many.size();) {
    unsigned left = static_cast<unsigned>(many.size() - at);
    unsigned taken = stock.refill(&many[at], left, stock.yard_here(0));
    ASSERT_GT(taken, 0u);
    at += taken;
  }
  audit();
  EXPECT_FALSE(remnants.are_worth_it()) << "they are little of the heap now";
}

TEST_F(RemnantsTest, NothingIsLostWhereThereIsNoMemoryForRecords) {
  scatter(20, 60);
  vm.limit = vm.committed_bytes();
  while (heap.slabs().alloc(base::Pages(1), base::Order(0), FrameKind::kLarge) != nullptr) {
  }
  size_t before = stock.stats().slabs, dissolved = dissolve();
  EXPECT_EQ(stock.stats().slabs + dissolved / layout.frames, before);
  expect_content();
  vm.limit = SIZE_MAX;
  dissolve();
  EXPECT_EQ(stock.stats().slabs, 1u);
  expect_content();
}

TEST_F(RemnantsTest, TellsADoubleFree) {
  scatter(4, 60);
  dissolve();
  std::vector<void*> two = take_left(slab::layout_for(48, 16), 2);
  remnants.put(&two[0], 1);
  EXPECT_DEATH(remnants.put(&two[0], 1), "^ashlar: double free of 0x[0-9a-f]+");
}

TEST_F(RemnantsTest, TellsAnInteriorPointer) {
  scatter(4, 60);
  dissolve();
  void* inside = static_cast<char*>(live[0]) + 32;
  EXPECT_DEATH(remnants.put(&inside, 1),
               "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at "
               "0x[0-9a-f]+\n$");
  EXPECT_EQ(remnants.size_at(live[0]), 256u);
  EXPECT_EQ(remnants.size_at(static_cast<char*>(live[0]) + 32), 0u);
}

// Whoever frees an object meanwhile must not take it for a longer one.
TEST_F(RemnantsTest, APageThatIsJustMadeTellsNoSizes) {
  page::Frame* frame = heap.slabs().alloc(base::Pages(1), base::Order(0), FrameKind::kLarge);
  ASSERT_NE(frame, nullptr);
  char* start = heap.slabs().address_of(*frame);
  {
    Remnants::Adoption adoption(remnants);
    ASSERT_TRUE(adoption.make_room(1));
    slab::Remnant& remnant = adoption.adopt(*frame);
    remnant.place(0, 3);
    EXPECT_EQ(remnants.peek_size(start), 0u);
    remnant.place(3, 3);
    adoption.file(remnant);
  }
  EXPECT_EQ(remnants.peek_size(start), 48u);
  EXPECT_EQ(remnants.peek_size(start + 48), 48u);
  EXPECT_EQ(remnants.peek_size(start + 16), 0u) << "none begins there";
  for (void* object : {start, start + 48}) remnants.put(&object, 1);
  audit_all();
  EXPECT_EQ(remnants.stats().pages, 0u);
}

TEST_F(RemnantsTest, AuditSeesAPageInTheWrongList) {
  scatter(4, 60);
  dissolve();
  static_cast<slab::Remnant*>(heap.slabs().frame_of(live[0]).tenant)->bucket ^= 1;
  EXPECT_DEATH(remnants.audit(), "check failed: ");
}

class StraddledSlabs : public RemnantsTest {
 public:
  StraddledSlabs() : RemnantsTest(48) {}
};

// 48 does not divide a frame: object 85 begins in the first one and ends in the second.
TEST_F(StraddledSlabs, AnObjectInTwoFramesKeepsItsSlab) {
  std::vector<void*> objects = take_all(4 * layout.count), gone;
  for (void* object : objects) {
    size_t from = heap.slabs().number_of(object);
    bool is_in_two = heap.slabs().number_of(static_cast<char*>(object) + 47) != from;
    (is_in_two ? live : gone).push_back(object);
    fill(object);
  }
  ASSERT_GT(live.size(), 4u);
  put(gone);
  EXPECT_EQ(dissolve(), 0u);
  expect_content();
}

TEST_F(StraddledSlabs, OthersAreDissolved) {
  scatter(40, 64);
  EXPECT_GT(dissolve(), 20u * layout.frames);
  expect_content();
  std::vector<void*> other = take_left(slab::layout_for(112, 16), 1000);
  ASSERT_EQ(other.size(), 1000u);
  std::vector<void*> all = other;
  expect_apart(all, 112);
  for (void* object : other) std::memset(object, 0x55, 112);
  expect_content();
}

}  // namespace
