// front/api_caches_test.cpp -- what ashlar/cache.h says of misuse, and of general caches.

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "support/caches.h"

namespace {

using test::Cache;
using test::make_cache;
using test::new_session;
using test::Session;
using test::session_cache;
using test::Tally;

#define EXPECT_TOLD(statement, line) EXPECT_EXIT(statement, testing::KilledBySignal(SIGABRT), line)

TEST(CacheMisuse, AnEndWithLiveObjects) {
  Tally tally;
  EXPECT_TOLD(
      {
        Cache cache = session_cache(tally);
        new_session(cache);
        new_session(cache);
        cache.reset();
      },
      "ashlar: end of cache \"session\" with 2 live objects\n");
  EXPECT_TOLD(
      {
        Cache cache = make_cache("counted", 64, {.flags = ASHLAR_CACHE_COUNT});
        ashlar_cache_alloc(cache.get(), 0);
        cache.reset();
      },
      "ashlar: end of cache \"counted\" with 1 live object\n");
}

TEST(CacheMisuse, AnObjectOfAnotherCache) {
  Tally tally;
  Cache cache = session_cache(tally);
  Cache other = make_cache("other", sizeof(Session), {.flags = ASHLAR_CACHE_NO_MERGE});
  void* stranger = ashlar_cache_alloc(other.get(), 0);
  EXPECT_TOLD(ashlar_cache_free(cache.get(), stranger),
              "ashlar: free of 0x[0-9a-f]+ to cache \"session\", but it is of cache \"other\"\n");
  int local = 0;
  EXPECT_TOLD(ashlar_cache_free(cache.get(), &local),
              "ashlar: free of 0x[0-9a-f]+ to cache \"session\", which never gave it out\n");
  void* object = new_session(cache);
  EXPECT_TOLD(ashlar_cache_free(other.get(), object),
              "to cache \"other\", but it is of cache \"session\"\n");
  EXPECT_TOLD(
      {
        ashlar_cache_free(cache.get(), static_cast<char*>(object) + 8);
        ashlar_cache_shrink(cache.get());  // at the latest
      },
      "which points into a block that starts at 0x[0-9a-f]+\n");
  ashlar_cache_free(cache.get(), object);
  ashlar_cache_free(other.get(), stranger);
}

TEST(CacheMisuse, TheSameObjectTwice) {
  Tally tally;
  Cache cache = session_cache(tally);
  EXPECT_TOLD(
      {
        Session* session = new_session(cache);
        ashlar_cache_free(cache.get(), session);
        ashlar_cache_free(cache.get(), session);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
  EXPECT_TOLD(
      {
        void* objects[3];
        ashlar_cache_alloc_bulk(cache.get(), 0, 2, objects);
        objects[2] = objects[0];
        ashlar_cache_free_bulk(cache.get(), 3, objects);
      },
      "ashlar: double free of 0x[0-9a-f]+ \\(cache \"session\", [0-9]+ bytes\\)\n");
}

TEST(CacheMisuse, AWriteToAFreeObject) {
  Cache cache = make_cache("poisoned", 200, {.flags = ASHLAR_CACHE_POISON});
  EXPECT_TOLD(
      {
        char* object = static_cast<char*>(ashlar_cache_alloc(cache.get(), 0));
        ashlar_cache_free(cache.get(), object);
        object[123] = 1;
        for (int i = 0; i < 1000; ++i) ashlar_cache_alloc(cache.get(), 0);
      },
      "ashlar: free object 0x[0-9a-f]+ of cache \"poisoned\" was written to at byte 123\n");
}

TEST(General, AnObjectsSizeIsItsAlignmentWhereThatIsAPowerOfTwo) {
  for (size_t size = 1; size <= size_t{1} << 20; size *= 2) {
    void* object = ashlar_kmalloc(size, ASHLAR_ZERO);
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % size, 0u) << size;
    for (size_t byte = 0; byte < size; byte += 101) ASSERT_EQ(static_cast<char*>(object)[byte], 0);
    EXPECT_GE(ashlar_ksize(object), size);
    EXPECT_EQ(ashlar_kmalloc_size(size), std::max(size, size_t{16}));
    std::memset(object, 0xff, size);
    ashlar_kfree_sized(object, size, 0);
  }
}

TEST(General, WhatGrowsIsZeroWhereThatIsAskedFor) {
  auto* bytes = static_cast<unsigned char*>(ashlar_kmalloc(100, ASHLAR_ZERO));
  std::memset(bytes, 1, 100);
  bytes = static_cast<unsigned char*>(ashlar_krealloc(bytes, 100000, ASHLAR_ZERO));
  ASSERT_NE(bytes, nullptr);
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(bytes[i], 1);
  for (size_t i = 112; i < 100000; ++i) ASSERT_EQ(bytes[i], 0);
  EXPECT_EQ(ashlar_krealloc(bytes, 0, 0), nullptr);
  errno = 0;
  EXPECT_EQ(ashlar_kmalloc_array(SIZE_MAX / 2, 3, 0), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(General, ZonesAreWhereTheyAreSaidToBe) {
  void* low = ashlar_kmalloc(10000, ASHLAR_LOW32);
  if (low == nullptr) GTEST_SKIP() << "no address space below 4 GiB";
  EXPECT_LT(reinterpret_cast<uintptr_t>(low), size_t{1} << 32);
  ashlar_kfree(low);
}

}  // namespace
