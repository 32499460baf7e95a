// include/pool_test.cpp -- a typed pool gives as many objects as its reserve is large, lets those
// who find none wait, and loses nothing where a constructor throws.
//
// A user would notice: a packet dropped while memory was promised; a thread that waits although an
// object is free; a reserve that shrinks with each exception.

#include <gtest/gtest.h>
#include <ashlar/pool.hpp>

#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "counted.h"

namespace {

using namespace std::chrono_literals;
using test::Counted;
using test::Refused;
using Packet = std::array<char, 60000>;

TEST(Pool, MakesAndDestroys) {
  Counted::reset();
  ashlar::pool<Counted> pool(8, "counted");
  EXPECT_EQ(pool.least(), 8u);
  EXPECT_EQ(pool.ready(), 8u);
  Counted* object = pool.make(5u);
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->value, 5u);
  pool.destroy(object);
  pool.destroy(nullptr);
  {
    auto unique = pool.make_unique(6u);
    auto tried = pool.try_make_unique(7u);
    auto patient = pool.try_make_unique_for(1ms, 8u);
    ASSERT_TRUE(unique && tried && patient);
    EXPECT_EQ(patient->value, 8u);
    EXPECT_EQ(Counted::live, 3);
  }
  EXPECT_EQ(Counted::live, 0);
}

TEST(Pool, OverACacheThatOutlivesIt) {
  Counted::reset();
  ashlar::scoped_object_cache<Counted> cache("behind", ASHLAR_CACHE_NO_MERGE);
  Counted* left = nullptr;
  {
    ashlar::pool<Counted> pool(4, cache);
    EXPECT_EQ(cache.info().live, 4u);  // the reserve
    left = pool.make(1u);
  }
  EXPECT_EQ(cache.info().live, 1u);
  cache.destroy(left);
}

TEST(Pool, RefusesAReserveThatIsNotAllowed) {
  EXPECT_THROW(ashlar::pool<Counted>(0), std::bad_alloc);
  ashlar::pool<Counted> none(std::nothrow, 0);
  EXPECT_FALSE(none);
  ashlar::pool<Counted> some(std::nothrow, 1);
  EXPECT_TRUE(some);
}

TEST(Pool, Resizes) {
  ashlar::pool<Counted> pool(4);
  EXPECT_TRUE(pool.resize(20));
  EXPECT_EQ(pool.least(), 20u);
  EXPECT_EQ(pool.ready(), 20u);
  EXPECT_TRUE(pool.resize(2));
  EXPECT_EQ(pool.ready(), 2u);
  EXPECT_FALSE(pool.resize(0));
  EXPECT_EQ(pool.least(), 2u);
}

TEST(Pool, WhatAConstructorThrowsPassesAndTheMemoryIsBack) {
  ashlar::scoped_object_cache<Counted> cache("throwing", ASHLAR_CACHE_NO_MERGE);
  ashlar::pool<Counted> pool(4, cache);
  for (int i = 0; i < 200; ++i) {
    Counted::reset(1);
    EXPECT_THROW((void)pool.make(1u), Refused);
    EXPECT_EQ(Counted::live, 0);
  }
  EXPECT_EQ(pool.ready(), 4u);
  EXPECT_EQ(cache.info().live, 4u);
}

// Takes all memory that the limit leaves, in blocks too small for a packet to come after them.
void exhaust() {
  test::leave_bytes(size_t{2} << 20);
  while (malloc(16384) != nullptr) {
  }
}

TEST(Pool, TheReserveLastsWhereMemoryIsOut) {
  test::Ending ending = test::in_child([]() -> int {
    ashlar::pool<Packet> pool(16, "packet");
    std::vector<Packet*> packets;
    packets.reserve(64);
    exhaust();
    while (packets.size() < 64) {
      Packet* packet = pool.try_make();
      if (packet == nullptr) break;
      packets.push_back(packet);
    }
    if (packets.size() < 16 || packets.size() == 64) return 1;
    if (errno != ENOMEM) return 2;
    if (pool.try_make_for(30ms) != nullptr || errno != ETIMEDOUT) return 3;
    // What is freed comes again, and nothing else does.
    for (int round = 0; round < 100; ++round) {
      pool.destroy(packets.back());
      packets.back() = pool.try_make();
      if (packets.back() == nullptr || pool.try_make() != nullptr) return 4;
    }
    for (Packet* packet : packets) pool.destroy(packet);
    return pool.ready() == 16 ? 0 : 5;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Pool, WhoWaitsGetsWhatIsDestroyed) {
  test::Ending ending = test::in_child([]() -> int {
    ashlar::pool<Packet> pool(1, "waited");
    std::vector<Packet*> packets;
    packets.reserve(64);
    std::atomic<Packet*> got{nullptr};
    std::atomic<bool> is_empty{false};
    std::thread waiter([&] {
      while (!is_empty) std::this_thread::yield();
      got = pool.make();
    });
    exhaust();
    while (Packet* packet = pool.try_make()) packets.push_back(packet);
    is_empty = true;
    std::this_thread::sleep_for(20ms);
    if (got != nullptr) return 1;
    pool.destroy(packets.back());
    waiter.join();
    if (got == nullptr) return 2;
    packets.back() = got;
    for (Packet* packet : packets) pool.destroy(packet);
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Pool, DurationsOfAnyKind) {
  ashlar::pool<Counted> pool(1);
  EXPECT_TRUE(pool.try_make_unique_for(std::chrono::hours::max()));
  EXPECT_TRUE(pool.try_make_unique_for(1us));
  EXPECT_TRUE(pool.try_make_unique_for(-5s));
  EXPECT_TRUE(pool.try_make_unique_for(std::chrono::duration<float>(0.5f)));
}

void churn_with(int count) {
  Counted::reset();
  Counted::strangers = 0;
  ashlar::scoped_object_cache<Counted> cache("threads", ASHLAR_CACHE_NO_MERGE);
  ashlar::pool<Counted> pool(static_cast<size_t>(count), cache);
  std::vector<std::thread> threads;
  std::atomic<int> faults{0};
  for (int id = 0; id < count; ++id) {
    threads.emplace_back([&, id] {
      for (unsigned step = 0; step < 10000; ++step) {
        auto object = pool.try_make_unique(step);
        if (!object || object->value != step) ++faults;
        if (id % 2 == 1) auto another = pool.make_unique(step);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(Counted::strangers, 0);
  EXPECT_EQ(cache.info().live, pool.ready());
  EXPECT_EQ(pool.ready(), pool.least());
}
TEST(Pool, TwoThreads) {
  churn_with(2);
}
TEST(Pool, EightThreads) {
  churn_with(8);
}

}  // namespace
