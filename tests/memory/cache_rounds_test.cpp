// memory/cache_rounds_test.cpp -- a program that makes and ends object caches all day does not
// grow.
//
// A user would notice: a server with a cache for each plugin, script or client, whose memory has
// grown by something for each of them in the morning; or which gets no cache any more.
//
// ASHLAR_TEST_CACHES sets the number of caches (4,000 by default).

#include <ashlar/ashlar.h>
#include <ashlar/inspect.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "../support/caches.h"
#include "../support/rng.h"
#include "../support/subject.h"

namespace {

using test::Cache;

size_t cache_count() {
  const char* text = getenv("ASHLAR_TEST_CACHES");
  return text == nullptr ? 4000 : strtoul(text, nullptr, 10);
}

// What the process has taken from the system, once all that is free has gone back.
struct Footprint {
  size_t resident = 0, mappings = 0, metadata = 0;
};

Footprint footprint() {
  ashlar_caches_reap();
  Footprint now;
  std::ifstream file("/proc/self/maps");
  for (std::string line; std::getline(file, line);) ++now.mappings;
  ashlar_stats stats;
  ashlar_get_stats(&stats);
  now.metadata = stats.metadata;
  now.resident = test::resident_bytes();
  return now;
}

int make_big(void* object, void* data) {
  ++static_cast<test::Tally*>(data)->made;
  std::memset(object, 0, 4096);
  return 0;
}

void end_big(void*, void* data) {
  ++static_cast<test::Tally*>(data)->ended;
}

// One of each kind, by turns; sizes differ, so that what is shared comes and goes, too.
Cache cache_of(size_t round, test::Tally& tally) {
  size_t step = round / 8 % 50;
  switch (round % 8) {
    case 0: return test::session_cache(tally);
    case 1: return test::session_cache(tally, ASHLAR_CACHE_KEEP);
    case 2: return test::make_cache("plain", 16 + 40 * step);
    case 3: return test::make_cache("own", 24 + 300 * step, {.flags = ASHLAR_CACHE_NO_MERGE});
    case 4: return test::make_cache("poisoned", 200 + 16 * step, {.flags = ASHLAR_CACHE_POISON});
    case 5: return test::make_cache("counted", 1000 + 16 * step, {.flags = ASHLAR_CACHE_COUNT});
    case 6: return test::make_cache("large", 40000 + 1000 * step);
    default:
      return test::make_cache(
          "large constructed", 40000 + 1000 * step,
          {.align = 64, .construct = make_big, .destruct = end_big, .data = &tally});
  }
}

// Makes a cache, uses it, and ends it.
void make_round(size_t round, test::Rng& rng) {
  test::Tally tally;
  {
    Cache cache = cache_of(round, tally);
    ASSERT_NE(cache, nullptr) << round << " " << errno;
    std::array<void*, 40> objects{};
    size_t count = rng.below(objects.size());
    for (size_t i = 0; i < count; ++i) {
      objects[i] = ashlar_cache_alloc(cache.get(), 0);
      ASSERT_NE(objects[i], nullptr) << round;
      if (round % 8 >= 2) std::memset(objects[i], 1, 16);
      if (rng.below(4) == 0) ashlar_cache_free(cache.get(), std::exchange(objects[i], nullptr));
    }
    for (void* object : objects) ashlar_cache_free(cache.get(), object);
  }
  ASSERT_EQ(tally.made, tally.ended) << round;
}

void make_rounds(size_t first, size_t count) {
  test::Rng rng(first + 1);
  for (size_t round = first; round < first + count; ++round) make_round(round, rng);
}

// Half of them by another thread, at the same time.
void make_all(size_t count) {
  std::thread other(make_rounds, 3, count / 2);
  make_rounds(0, count - count / 2);
  other.join();
}

TEST(CacheRounds, LeaveTheProcessAsItWas) {
  const size_t count = cache_count();
  make_all(2000);  // magazines and most depots have their first places by then
  Footprint before = footprint();
  make_all(count);
  Footprint after = footprint();
  std::printf("%zu caches; resident %zu -> %zu KiB, mappings %zu -> %zu, metadata %zu -> %zu\n",
              count, before.resident / 1024, after.resident / 1024, before.mappings, after.mappings,
              before.metadata, after.metadata);
  // The other depots get theirs now and then; from a million caches on nothing grows at all. A
  // cache line for each would be 256 KiB.
  EXPECT_LE(after.metadata, before.metadata + (size_t{64} << 10));
  EXPECT_LE(after.resident, before.resident + (size_t{1} << 20));
  EXPECT_LE(after.mappings, before.mappings + 8);
  EXPECT_GE(test::take_all_places().size(), test::kLeastPlaces);
  ashlar_audit();
}

}  // namespace
