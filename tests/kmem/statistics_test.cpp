// kmem/statistics_test.cpp -- malloc_info tells of the program's own caches, too.
//
// A user would notice: a monitoring page whose XML ends in its middle, once a program has many
// caches of its own.

#include <ashlar/kmem.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

// However many there are, and though each letter of their names needs six.
TEST(Statistics, MallocInfoTellsOfAllCaches) {
  std::vector<kmem_cache*> caches;
  const std::string markup(20, '"');
  for (unsigned i = 0; i < 50; ++i)
    if (kmem_cache* cache = kmem_cache_create((markup + std::to_string(i)).c_str(), 100 + 8 * i, 0,
                                              SLAB_NO_MERGE, nullptr))
      caches.push_back(cache);
  ASSERT_GT(caches.size(), 10u);
  std::vector<void*> objects;
  for (kmem_cache* cache : caches) objects.push_back(kmem_cache_alloc(cache, GFP_KERNEL));
  char* text = nullptr;
  size_t length = 0;
  FILE* stream = open_memstream(&text, &length);
  EXPECT_EQ(malloc_info(0, stream), 0);
  fclose(stream);
  const std::string xml(text, length);
  free(text);
  const std::string end = "</malloc>\n";
  ASSERT_GT(xml.size(), end.size());
  EXPECT_EQ(xml.substr(xml.size() - end.size()), end);
  for (size_t i = 0; i < caches.size(); ++i) {
    EXPECT_NE(xml.find("&quot;" + std::to_string(i) + "\""), std::string::npos) << i;
    kmem_cache_free(caches[i], objects[i]);
    kmem_cache_destroy(caches[i]);
  }
}

}  // namespace
