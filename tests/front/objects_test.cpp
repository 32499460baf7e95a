// front/objects_test.cpp -- proves that objects in what dissolved slabs have left are freed,
// measured and resized as others are, by malloc's names and by caches', and that misuse of them is
// told.

#include "front/objects.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ashlar/cache.h"
#include "ashlar/pages.h"
#include "cache/registry.h"
#include "front/upkeep.h"
#include "inspect/audit.h"
#include "support/caches.h"
#include "support/remnants.h"

namespace {
using namespace ashlar;

using test::Cache;
using test::info_of;
using test::make_cache;

bool has_no_slabs() {
  const char* conf = getenv("ASHLAR_CONF");
  return conf != nullptr && std::strstr(conf, "slob_max:unlimited") != nullptr;
}

// ---------------------------------------------------------------

class RemnantTest : public testing::Test {
 protected:
  ~RemnantTest() override { inspect::audit(); }
  void SetUp() override {
    if (has_no_slabs()) GTEST_SKIP() << "there are no slabs";
  }
};
using RemnantDeathTest = RemnantTest;

TEST_F(RemnantTest, ObjectsAreMeasuredResizedAndFreedAsOthersAre) {
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_first();
  ASSERT_GT(objects.size(), 100u);
  for (void*& object : objects) {
    EXPECT_EQ(front::usable_size(object), 64u);
    std::memset(object, 0x5a, 64);
    EXPECT_EQ(front::resize(object, 40), object);
    object = front::resize(object, 1000);
    auto* bytes = static_cast<const char*>(object);
    ASSERT_EQ(std::count(bytes, bytes + 40, 0x5a), 40);
    EXPECT_GE(front::usable_size(object), 1000u);
  }
  for (void* object : objects) front::free(object);
}

TEST_F(RemnantTest, OneThatIsFreedIsSoonGivenOutAgain) {
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_second();
  ASSERT_GT(objects.size(), 100u);
  front::free(objects[0]);
  bool is_back = false;
  std::vector<void*> more;
  for (int i = 0; i < 300 && !is_back; ++i)
    is_back = more.emplace_back(front::alloc(96)) == objects[0];
  EXPECT_TRUE(is_back);
  for (void* object : more) front::free(object);
  for (size_t i = 1; i < objects.size(); ++i) front::free(objects[i]);
}

TEST_F(RemnantTest, NothingIsLeftWhenAllIsFreed) {
  {
    test::Remnants remnants;
    for (void* object : remnants.take_first()) front::free(object);
    for (void* object : remnants.take_second()) front::free(object);
  }
  front::reap();
  EXPECT_EQ(cache::g_remnants.stats().pages, 0u);
}

TEST_F(RemnantTest, TheMarkInALiveOneIsNoDoubleFree) {
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_first();
  for (void* object : objects) {
    static_cast<cache::FreeObject*>(object)->key = os::free_key();
    front::free(object);
  }
}

TEST_F(RemnantDeathTest, ADoubleFreeIsTold) {
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_first();
  ASSERT_GT(objects.size(), 100u);
  auto twice = [&](bool is_overwritten) {
    front::free(objects[0]);
    if (is_overwritten) front::reap();
    front::free(objects[0]);
  };
  EXPECT_DEATH(twice(false),
               "^ashlar: double free of 0x[0-9a-f]+ \\(cache \"malloc-64\", 64 bytes\\)\n$");
  EXPECT_DEATH(twice(true), "^ashlar: double free of 0x[0-9a-f]+ ");
  for (void* object : objects) front::free(object);
}

TEST_F(RemnantDeathTest, AnInteriorPointerIsTold) {
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_first();
  ASSERT_GT(objects.size(), 100u);
  for (size_t offset : {16, 8})
    EXPECT_DEATH(front::free(static_cast<char*>(objects[0]) + offset),
                 "^ashlar: free of 0x[0-9a-f]+, which points into a block that starts at ");
  for (void* object : objects) front::free(object);
}

using RemnantTypedTest = RemnantTest;
// ------------------------------------------------------

std::vector<void*> objects_of(ashlar_cache* cache, size_t count) {
  std::vector<void*> objects(count);
  for (void*& object : objects) object = ashlar_cache_alloc(cache, 0);
  return objects;
}

TEST_F(RemnantTypedTest, ObjectsOfMallocsClassesMayLieThere) {
  Cache cache = make_cache("t96", 96, {.flags = ASHLAR_CACHE_COUNT});
  test::Remnants remnants;
  std::vector<void*> objects = objects_of(cache.get(), 20000);
  size_t there =
      static_cast<size_t>(std::count_if(objects.begin(), objects.end(), test::is_in_remnant));
  EXPECT_GT(there, 0u);
  for (void* object : objects) {
    EXPECT_LE(ashlar_page_block_size(ashlar_page_of(object)), 96u);
    ashlar_cache_free(cache.get(), object);
  }
  EXPECT_EQ(info_of(cache).live, 0u);
}

TEST_F(RemnantTypedTest, AnotherSizesObjectIsTold) {
  Cache cache = make_cache("t96", 96, {.flags = ASHLAR_CACHE_COUNT});
  test::Remnants remnants;
  std::vector<void*> objects = remnants.take_first();
  ASSERT_FALSE(objects.empty());
  EXPECT_DEATH(ashlar_cache_free(cache.get(), objects[0]),
               "^ashlar: free of 0x[0-9a-f]+ to cache \"t96\", which never gave it out");
  for (void* object : objects) front::free(object);
}

TEST_F(RemnantTypedTest, ADoubleFreeIsTold) {
  Cache cache = make_cache("t96", 96, {.flags = ASHLAR_CACHE_COUNT});
  test::Remnants remnants;
  std::vector<void*> objects = objects_of(cache.get(), 20000);
  auto found = std::find_if(objects.begin(), objects.end(), test::is_in_remnant);
  ASSERT_NE(found, objects.end());
  EXPECT_DEATH(
      {
        ashlar_cache_free(cache.get(), *found);
        ashlar_cache_free(cache.get(), *found);
      },
      "^ashlar: double free of 0x[0-9a-f]+ ");
  for (void* object : objects) ashlar_cache_free(cache.get(), object);
}

// Objects below a line's size share lines with their neighbours: of one CPU, as they come from
// slabs.
TEST_F(RemnantTypedTest, SmallObjectsOfLinesLieInSlabs) {
  Cache cache = make_cache("lines", 32, {.flags = ASHLAR_CACHE_LINES});
  test::Remnants remnants;
  std::vector<void*> objects = objects_of(cache.get(), 20000);
  EXPECT_EQ(std::count_if(objects.begin(), objects.end(), test::is_in_remnant), 0);
  for (void* object : objects) ashlar_cache_free(cache.get(), object);
}

}  // namespace
