// front/typed_cache_bulk_test.cpp -- many objects of a cache at once: all of them, or none.

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <set>
#include <vector>

#include "ashlar/ashlar.h"
#include "ashlar/cache.h"
#include "support/caches.h"
#include "support/rng.h"

namespace {

using test::Cache;
using test::info_of;
using test::make_cache;
using test::session_cache;
using test::Tally;

TEST(TypedCache, ManyAtOnceAreAllOrNone) {
  Tally tally;
  for (Cache& cache :
       std::array<Cache, 3>{session_cache(tally), make_cache("bulk", 64),
                            make_cache("bulk own", 200, {.flags = ASHLAR_CACHE_NO_MERGE})}) {
    test::Rng rng(9);
    std::vector<void*> held;
    for (int round = 0; round < 3000; ++round) {
      void* objects[300];
      size_t count = rng.below(round % 7 == 0 ? 300 : 40);
      ASSERT_EQ(ashlar_cache_alloc_bulk(cache.get(), 0, count, objects), count);
      held.insert(held.end(), objects, objects + count);
      if (held.size() < 1000) continue;
      std::set<void*> distinct(held.begin(), held.end());
      ASSERT_EQ(distinct.size(), held.size());
      ashlar_cache_free_bulk(cache.get(), held.size(), held.data());
      held.clear();
    }
    ashlar_cache_free_bulk(cache.get(), held.size(), held.data());
    ashlar_audit();
  }
  Cache cache = session_cache(tally);
  tally.fails_from = tally.made + 50;
  void* objects[100];
  EXPECT_EQ(ashlar_cache_alloc_bulk(cache.get(), 0, 100, objects), 0u);
  EXPECT_EQ(errno, ECANCELED);
  EXPECT_EQ(info_of(cache).live, 0u);
}

}  // namespace
