// front/typed_cache_end_test.cpp -- proves that what a fork keeps from ending ends when that is
// over. (What ends otherwise: typed_cache_test.)

#include <gtest/gtest.h>

#include "ashlar/ashlar.h"
#include "support/beside_fork.h"
#include "support/caches.h"

namespace {
using namespace ashlar;

using test::Cache;
using test::info_of;
using test::make_cache;

int nothing() {
  return 0;
}

TEST(TypedCacheEnd, CachesThatEndBesideALongForkLeaveTheirPlaces) {
  std::vector<Cache> caches = test::take_all_places();
  size_t places = caches.size();
  for (Cache& cache : caches) ashlar_cache_free(cache.get(), ashlar_cache_alloc(cache.get(), 0));
  auto end = [&](test::Fork& fork) {
    fork.begin();
    caches.clear();
  };
  EXPECT_TRUE(test::beside_fork(end, nothing).clean());
  EXPECT_EQ(test::take_all_places().size(), places);
}

// The second object cannot be made: one of the first's batch, but where each thread has magazines.
struct Failing {
  test::Fork* fork = nullptr;
  int made = 0;
};

int make(void*, void* data) {
  auto& failing = *static_cast<Failing*>(data);
  if (++failing.made != 2) return 0;
  failing.fork->begin();
  return 1;
}

TEST(TypedCacheEnd, ObjectsThatCannotBeMadeBesideALongForkAreNotLost) {
  Failing failing;
  Cache cache = make_cache("failing", 500, {.construct = make, .data = &failing});
  void* object = nullptr;
  auto fail = [&](test::Fork& fork) {
    failing.fork = &fork;
    object = ashlar_cache_alloc(cache.get(), 0);
    void* more = failing.made == 1 ? ashlar_cache_alloc(cache.get(), 0) : nullptr;
    EXPECT_EQ(more, nullptr);
  };
  EXPECT_TRUE(test::beside_fork(fail, nothing).clean());
  EXPECT_NE(object, nullptr);
  EXPECT_EQ(info_of(cache).live, 1u);
  ashlar_cache_free(cache.get(), object);
  EXPECT_EQ(info_of(cache).live, 0u);
  cache.reset();  // live objects would be misuse
  ashlar_audit();
}

int g_made = 0, g_ended = 0;

TEST(TypedCacheEnd, AChildThatEndsACacheOfItsParentEndsWhatIsFree) {
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) usleep(1000);
  });
  auto make_one = [](void*, void*) { return ++g_made, 0; };
  auto end_one = [](void*, void*) { ++g_ended; };
  Cache cache = make_cache("inherited", 1000, {.construct = make_one, .destruct = end_one});
  std::vector<void*> objects(200);
  for (void*& object : objects) object = ashlar_cache_alloc(cache.get(), 0);
  for (void* object : objects) ashlar_cache_free(cache.get(), object);
  const test::Ending child = test::in_child([&] {
    cache.reset();
    dprintf(1, "%d of %d\n", g_ended, g_made);
    return g_ended == g_made && g_made >= 200 ? 0 : 1;
  });
  is_over = true;
  other.join();
  EXPECT_TRUE(child.clean()) << child.text();
}

}  // namespace
