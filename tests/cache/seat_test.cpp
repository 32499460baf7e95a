// cache/seat_test.cpp -- proves both ways of having magazines: a seat's words change as asked or
// not at all, a drained CPU has no seat, and a thread's own seat is used again after its end.

#include "cache/seat.h"

#include <gtest/gtest.h>

#include <thread>

#include "os/thread.h"
#include "support/cache_ground.h"

namespace {
using namespace ashlar;

using cache::Area;
using cache::Seat;

// Ids far above those of the other tests: these words are ours alone.
constexpr size_t kId = base::kMaxCaches - 1;

class SeatTest : public testing::Test {
 protected:
  SeatTest() { test::cache_ground(); }
  ~SeatTest() override { set_word(kId, os::kClosedWord); }

  // Until the thread stays on one CPU for as long as it takes.
  template <class Act>
  static bool on_a_seat(Act act) {
    for (int i = 0; i < 100000; ++i) {
      Seat seat = cache::take_seat();
      if (!seat.is_none() && act(seat)) return true;
    }
    return false;
  }
  static void set_word(size_t index, uint64_t word) {
    ASSERT_TRUE(on_a_seat([&](Seat seat) { return seat.exchange(index, seat.load(index), word); }));
  }
};

TEST_F(SeatTest, ANewSeatIsClosed) {
  ASSERT_TRUE(on_a_seat([](Seat seat) {
    EXPECT_EQ(seat.load(kId), os::kClosedWord);
    EXPECT_EQ(seat.load(cache::spare_of(kId)), cache::kNoMagazine);
    EXPECT_EQ(seat.habit(kId).capacity, 0u);
    cache::FreeObject object{};
    EXPECT_EQ(seat.pop(kId), nullptr);
    EXPECT_FALSE(seat.push(kId, &object));
    return true;
  }));
}

TEST_F(SeatTest, PushAndPopAreAStack) {
  cache::FreeObject a{}, b{};
  ASSERT_TRUE(on_a_seat([&](Seat seat) {
    if (!seat.exchange(kId, seat.load(kId), cache::empty_word(2))) return false;
    a.key = b.key = 0;
    if (!seat.push(kId, &a) || !seat.push(kId, &b)) return false;
    if (seat.pop(kId) != &b) return false;
    return seat.pop(kId) == &a && seat.pop(kId) == nullptr;
  }));
}

TEST_F(SeatTest, APushOnAFullMagazineIsRefused) {
  cache::FreeObject a{}, b{};
  ASSERT_TRUE(on_a_seat([&](Seat seat) {
    if (!seat.exchange(kId, seat.load(kId), cache::empty_word(1))) return false;
    a.key = b.key = 0;
    return seat.push(kId, &a) && !seat.push(kId, &b) && b.key == 0;
  }));
}

TEST_F(SeatTest, AnExchangeOfAnotherWordIsRefused) {
  ASSERT_TRUE(on_a_seat([&](Seat seat) {
    uint64_t word = seat.load(kId);
    EXPECT_FALSE(seat.exchange(kId, word ^ 2, cache::empty_word(4)));
    EXPECT_EQ(seat.load(kId), word);
    return true;
  }));
}

TEST_F(SeatTest, HabitsAreKeptPerCache) {
  ASSERT_TRUE(on_a_seat([&](Seat seat) {
    seat.set_habit(kId, {33, true});
    EXPECT_EQ(seat.habit(kId).capacity, 33u);
    EXPECT_TRUE(seat.habit(kId).was_full);
    EXPECT_EQ(seat.habit(kId - 1).capacity, 0u);
    seat.set_habit(kId, {});
    return true;
  }));
}

TEST_F(SeatTest, ADrainedCpuHasNoSeat) {
  if (!test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per thread";
  // Make sure that this CPU has an area.
  ASSERT_TRUE(on_a_seat([](Seat) { return true; }));
  os::Locked held(cache::seat_lock());
  ASSERT_TRUE(cache::drain_seats());
  for (unsigned id = 0; id < os::cpu_bound(); ++id) ASSERT_EQ(os::g_fast.areas[id], &os::kNullArea);
  cache::FreeObject object{};
  EXPECT_EQ(os::rseq_pop(kId), nullptr);
  EXPECT_FALSE(os::rseq_push(kId, &object));
  cache::restore_seats();
  unsigned areas = 0;
  for (unsigned id = 0; id < os::cpu_bound(); ++id) areas += os::g_fast.areas[id] != &os::kNullArea;
  EXPECT_GE(areas, 1u);
}

TEST_F(SeatTest, WhileAForkIsUnderWayADrainDoesNotEnd) {
  if (!test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per thread";
  ASSERT_TRUE(on_a_seat([](Seat) { return true; }));
  os::Locked held(cache::seat_lock());
  ASSERT_TRUE(cache::drain_seats());
  cache::keep_seats_drained(true);
  EXPECT_TRUE(cache::drain_seats());
  cache::restore_seats();
  EXPECT_TRUE(cache::is_drained());
  for (unsigned id = 0; id < os::cpu_bound(); ++id) ASSERT_EQ(os::g_fast.areas[id], &os::kNullArea);
  cache::keep_seats_drained(false);
  cache::restore_seats();
  EXPECT_FALSE(cache::is_drained());
}

TEST_F(SeatTest, ThereIsNothingToDrainWhereThreadsHaveSeats) {
  if (test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per CPU";
  EXPECT_FALSE(cache::drain_seats());
}

TEST_F(SeatTest, AThreadsSeatIsItsOwnAndIsUsedAgain) {
  if (test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per CPU";
  cache::take_seat();
  void* mine = os::this_thread().fallback;
  ASSERT_NE(mine, nullptr);
  void* theirs[2] = {};
  for (void*& area : theirs)
    std::thread([&area] {
      cache::take_seat();
      area = os::this_thread().fallback;
    }).join();
  EXPECT_NE(theirs[0], mine);
  EXPECT_EQ(theirs[0], theirs[1]) << "the area of a thread that has ended";
}

TEST_F(SeatTest, AThreadPastItsEndHasNoSeat) {
  if (test::has_rseq()) GTEST_SKIP() << "not run: this process has magazines per CPU";
  bool had_none = false;
  std::thread([&] {
    cache::take_seat();
    auto* area = static_cast<Area*>(os::this_thread().fallback);
    cache::leave_seat();
    cache::keep_area(*area);
    had_none = cache::take_seat().is_none();
  }).join();
  EXPECT_TRUE(had_none);
}

}  // namespace
