// slob/row_test.cpp -- proves that a row finds the first page that may have room, against a plain
// list of pages, wherever pages come, go, and gain or lose room.
#include "slob/row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/grain_map.h"
#include "support/rng.h"

using namespace ashlar;

using slob::Row;

namespace {

// So long rooms are told to the grain, and longer ones in such steps.
constexpr unsigned kToTheGrain = 96, kStep = 6;

struct Page {
  uint32_t number;
  unsigned room;
};

// A row beside what it shall be.
class RowTest : public testing::Test {
 protected:
  ~RowTest() override { check(); }
  void check() const {
    row.audit();
    ASSERT_EQ(row.count(), pages.size());
    for (unsigned place = 0; place < pages.size(); ++place) {
      EXPECT_EQ(row.at(place), pages[place].number);
      EXPECT_TRUE(row.may_have(place, pages[place].room));
    }
  }
  void insert(unsigned place, Page page) {
    row.insert(place, page.number, page.room);
    pages.insert(pages.begin() + place, page);
  }
  void remove(unsigned place) {
    row.remove(place);
    pages.erase(pages.begin() + place);
  }
  // What find() shall tell; of long ones it may tell of an earlier page that has a little less.
  unsigned first_with(unsigned from, unsigned grains) const {
    while (from < pages.size() && pages[from].room < grains) ++from;
    return from < pages.size() ? from : Row::kMost;
  }

  Row row;
  std::vector<Page> pages;
};

TEST_F(RowTest, AnEmptyOneHasNoRoom) {
  for (unsigned grains = 1; grains <= base::kGrains; ++grains)
    EXPECT_GE(row.find(0, grains), row.count());
}

// Pages that were filled with blocks of one length are short of a longer one by a grain: to look at
// each of them would cost a line of cache a page.
TEST_F(RowTest, EveryRoomIsFoundAndOfShortOnesNoneThatIsLess) {
  for (unsigned room = 1; room <= base::kGrains; ++room) {
    insert(0, {room, room});
    for (unsigned grains = 1; grains <= room; ++grains) EXPECT_EQ(row.find(0, grains), 0u);
    unsigned more = room + (room < kToTheGrain ? 1 : kStep);
    EXPECT_EQ(more <= base::kGrains ? row.find(0, more) : Row::kMost, Row::kMost) << room;
    remove(0);
  }
}

TEST_F(RowTest, TheFirstPlaceFromAnyOneOnIsFound) {
  for (unsigned place = 0; place < Row::kMost; ++place)
    insert(place, {place, place % 5 == 3 ? 40u : 8u});
  for (unsigned from = 0; from < Row::kMost; ++from) {
    EXPECT_EQ(row.find(from, 40), first_with(from, 40)) << from;
    EXPECT_EQ(row.find(from, 8), from);
    EXPECT_EQ(row.find(from, 100), Row::kMost);
  }
}

TEST_F(RowTest, APageIsFoundFromWhereverItWas) {
  for (unsigned place = 0; place < 20; ++place) insert(place, {100 + place * 3, 1});
  remove(19);  // what stands behind the last is no page
  for (unsigned near = 0; near < Row::kMost; ++near)
    for (unsigned place = 0; place < 19; ++place)
      EXPECT_EQ(row.find_page(near, 100 + place * 3), place);
}

TEST_F(RowTest, PlacesAreFoundByNumber) {
  for (uint32_t number : {10, 20, 30}) insert(row.count(), {number, 1});
  EXPECT_EQ(row.place_for(5), 0u);
  EXPECT_EQ(row.place_for(11), 1u);
  EXPECT_EQ(row.place_for(99), 3u);
}

TEST_F(RowTest, WhateverComesAndGoesItIsAsAList) {
  test::Rng rng(7);
  for (int step = 0; step < 20000; ++step) {
    unsigned count = row.count();
    unsigned room = 1 + static_cast<unsigned>(rng.below(base::kGrains));
    uint64_t what = rng.below(3);
    if (what == 0 && count < Row::kMost)
      insert(static_cast<unsigned>(rng.below(count + 1)),
             {static_cast<uint32_t>(rng.below(Row::kLast + 1)), room});
    else if (what == 1 && count > 0)
      remove(static_cast<unsigned>(rng.below(count)));
    else if (what == 2 && count > 0) {
      auto place = static_cast<unsigned>(rng.below(count));
      row.set_room(place, room);
      pages[place].room = room;
    }
    check();
    auto from = static_cast<unsigned>(rng.below(Row::kMost));
    auto grains = 1 + static_cast<unsigned>(rng.below(base::kGrains));
    unsigned found = row.find(from, grains);
    EXPECT_LE(found, first_with(from, grains));
    unsigned less = grains <= kToTheGrain ? 0 : std::min(grains - kToTheGrain, kStep - 1);
    EXPECT_GE(found, first_with(from, grains - less));
  }
}

}  // namespace
