// kmem/kmem_test.cpp -- the kernel's names do what the kernel's do, for caches, general caches,
// pages and requests.
//
// A user would notice: code that was carried over from a kernel and fails, or passes, for another
// reason than there.

#include <ashlar/kmem.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "../support/child.h"

namespace {

bool is_all(const void* p, size_t size, unsigned char byte) {
  const auto* bytes = static_cast<const volatile unsigned char*>(p);
  for (size_t i = 0; i < size; ++i)
    if (bytes[i] != byte) return false;
  return true;
}
bool is_aligned(const void* p, size_t align) {
  return reinterpret_cast<uintptr_t>(p) % align == 0;
}
ashlar_cache_info info_of(kmem_cache* cache) {
  ashlar_cache_info info;
  ashlar_cache_get_info(reinterpret_cast<ashlar_cache*>(cache), &info);
  return info;
}

/// A few hundred objects of a cache, written all over, which go back at the end.
class Objects {
 public:
  Objects(kmem_cache* cache, size_t count, gfp_t gfp = GFP_KERNEL) : cache_(cache) {
    for (size_t i = 0; i < count; ++i) objects_.push_back(kmem_cache_alloc(cache, gfp));
  }
  ~Objects() {
    for (void* object : objects_) kmem_cache_free(cache_, object);
  }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }

 private:
  kmem_cache* cache_;
  std::vector<void*> objects_;
};

// ---- object caches

struct session {
  long id;
  char name[50];
};

TEST(Kmem, ACacheGivesDistinctObjectsOfItsSize) {
  kmem_cache* cache = KMEM_CACHE(session, SLAB_ACCOUNT | SLAB_RECLAIM_ACCOUNT);
  ASSERT_NE(cache, nullptr);
  EXPECT_EQ(kmem_cache_size(cache), sizeof(session));
  EXPECT_STREQ(info_of(cache).name, "session");
  {
    Objects objects(cache, 500);
    std::set<void*> seen;
    for (void* object : objects) {
      ASSERT_NE(object, nullptr);
      memset(object, 7, sizeof(session));
      EXPECT_TRUE(seen.insert(object).second);
    }
  }
  kmem_cache_destroy(cache);
  kmem_cache_destroy(nullptr);
}

TEST(Kmem, ZallocAndGfpZeroClearWhatWasWritten) {
  kmem_cache* cache = kmem_cache_create("zeroed", 200, 0, SLAB_NO_MERGE, nullptr);
  for (int round = 0; round < 2; ++round) {
    for (void* object : Objects(cache, 300)) memset(object, 0xee, 200);
    for (void* object : Objects(cache, 300, GFP_KERNEL | __GFP_ZERO))
      EXPECT_TRUE(is_all(object, 200, 0));
  }
  for (int i = 0; i < 3; ++i) {
    void* one = kmem_cache_zalloc(cache, GFP_KERNEL);
    EXPECT_TRUE(is_all(one, 200, 0));
    memset(one, 0xee, 200);
    kmem_cache_free(cache, one);
  }
  void* near = kmem_cache_alloc_node(cache, GFP_KERNEL, NUMA_NO_NODE);
  EXPECT_NE(near, nullptr);
  kmem_cache_free(cache, near);
  kmem_cache_destroy(cache);
}

TEST(Kmem, AlignmentIsKept) {
  const struct {
    size_t size, align, least;
    slab_flags_t flags;
  } cases[] = {{24, 0, 8, 0},
               {24, 64, 64, 0},
               {100, 256, 256, 0},
               {5000, 4096, 4096, 0},
               {200, 0, 64, SLAB_HWCACHE_ALIGN},
               {20, 0, 32, SLAB_HWCACHE_ALIGN}};
  for (const auto& c : cases) {
    kmem_cache* cache = kmem_cache_create("aligned", c.size, c.align, c.flags, nullptr);
    ASSERT_NE(cache, nullptr) << c.size << " at " << c.align;
    for (void* object : Objects(cache, 100))
      EXPECT_TRUE(is_aligned(object, c.least)) << object << " at " << c.least;
    kmem_cache_destroy(cache);
  }
}

int g_constructed = 0;
void construct(void* object) {
  ++g_constructed;
  memset(object, 0x5a, 96);
}

TEST(Kmem, AnObjectIsConstructedOnceAndStaysSo) {
  kmem_cache_args args{};
  args.align = 32;
  args.ctor = construct;
  kmem_cache* caches[] = {
      kmem_cache_create("five", 96, 32, SLAB_PANIC | SLAB_POISON, construct),
      kmem_cache_create("record", 96, &args, SLAB_PANIC),
      kmem_cache_create_usercopy("copied", 96, 32, SLAB_PANIC, 0, 96, construct)};
  for (kmem_cache* cache : caches) {
    g_constructed = 0;
    for (int round = 0; round < 20; ++round)
      for (void* object : Objects(cache, 50)) EXPECT_TRUE(is_all(object, 96, 0x5a));
    EXPECT_GE(g_constructed, 50);
    EXPECT_LT(g_constructed, 500);  // of 1000 that were given out
    kmem_cache_destroy(cache);
  }
}

TEST(Kmem, NoArgumentsAtAllAreAChoiceAndPoisonForAnySize) {
  kmem_cache* plain = kmem_cache_create("plain", 40, (const kmem_cache_args*)nullptr, 0);
  kmem_cache* large = kmem_cache_create("large", 100000, 8192, SLAB_PANIC | SLAB_POISON, nullptr);
  EXPECT_EQ(kmem_cache_size(plain), 40u);
  for (kmem_cache* cache : {plain, large}) kmem_cache_destroy(cache);
}

TEST(Kmem, BulkGivesAllAndTakesAll) {
  kmem_cache* cache = kmem_cache_create("bulk", 72, 0, SLAB_NO_MERGE, nullptr);
  void* objects[100];
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_ZERO, 100, objects), 100);
    EXPECT_EQ((std::set<void*>(objects, objects + 100).size()), 100u);
    for (void* object : objects) {
      EXPECT_TRUE(is_all(object, 72, 0));
      memset(object, 3, 72);
    }
    EXPECT_EQ(info_of(cache).live, 100u);
    kmem_cache_free_bulk(cache, 100, objects);
    EXPECT_EQ(info_of(cache).live, 0u);
  }
  EXPECT_GT(info_of(cache).slabs, 0u);
  EXPECT_EQ(kmem_cache_shrink(cache), 0);
  EXPECT_EQ(info_of(cache).slabs, 0u);
  kmem_cache_destroy(cache);
}

TEST(Kmem, WhatCannotBeMadeIsNullOrPanics) {
  errno = 0;
  EXPECT_EQ(kmem_cache_create("odd", 64, 24, 0, nullptr), nullptr);
  EXPECT_EQ(errno, EINVAL);
  const test::Ending ending = test::in_child([] {
    kmem_cache_create("odd", 64, 24, SLAB_PANIC, nullptr);
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_EQ(ending.err,
            "ashlar: kmem_cache_create of \"odd\" failed: " + std::string(strerror(EINVAL)) + "\n");
}

TEST(Kmem, AWriteToAFreedObjectOfAPoisonedCacheIsTold) {
  const test::Ending ending = test::in_child([] {
    kmem_cache* cache = kmem_cache_create("poisoned", 128, 0, SLAB_POISON, nullptr);
    auto* object = static_cast<volatile char*>(kmem_cache_alloc(cache, GFP_KERNEL));
    kmem_cache_free(cache, const_cast<char*>(object));
    object[40] = 1;
    for (int i = 0; i < 1000; ++i) kmem_cache_alloc(cache, GFP_KERNEL);
    return 0;
  });
  EXPECT_EQ(ending.signal, SIGABRT) << ending.text();
  EXPECT_NE(ending.err.find("ashlar: "), std::string::npos) << ending.err;
}

TEST(Kmem, KfreeTakesAnObjectOfAnyCache) {
  kmem_cache* caches[] = {kmem_cache_create("merged", 96, 0, 0, nullptr),
                          kmem_cache_create("own", 96, 0, SLAB_NO_MERGE, nullptr),
                          kmem_cache_create("poisoned", 96, 0, SLAB_POISON, nullptr),
                          kmem_cache_create("constructed", 96, 0, 0, construct)};
  for (kmem_cache* cache : caches) {
    for (int i = 0; i < 1000; ++i) {
      void* object = kmem_cache_alloc(cache, GFP_KERNEL);
      ASSERT_NE(object, nullptr);
      EXPECT_TRUE(cache != caches[3] || is_all(object, 96, 0x5a));
      memset(object, 0x5a, 96);
      kfree(object);
    }
    kmem_cache_destroy(cache);  // tells of objects that it takes for live
  }
}

// ---- general caches

TEST(Kmem, PowersOfTwoAreTheirOwnAlignment) {
  for (size_t size = 8; size <= size_t{1} << 20; size *= 2) {
    std::vector<void*> blocks;
    for (int i = 0; i < 10; ++i) {
      blocks.push_back(kmalloc(size, GFP_KERNEL));
      ASSERT_NE(blocks.back(), nullptr);
      EXPECT_TRUE(is_aligned(blocks.back(), size)) << blocks.back() << " of " << size;
      EXPECT_GE(ksize(blocks.back()), size);
      memset(blocks.back(), 1, size);
    }
    for (void* block : blocks) kfree(block);
  }
}

TEST(Kmem, TheZeroingOnesGiveZeros) {
  for (size_t size : {size_t{1}, size_t{100}, size_t{5000}, size_t{200000}}) {
    void* (*const ways[])(size_t) = {[](size_t n) { return kzalloc(n, GFP_KERNEL); },
                                     [](size_t n) { return kcalloc(n, 1, GFP_KERNEL); },
                                     [](size_t n) { return kvzalloc(n, GFP_KERNEL); },
                                     [](size_t n) { return kvcalloc(1, n, GFP_KERNEL); },
                                     [](size_t n) { return kzalloc_node(n, GFP_KERNEL, 0); }};
    for (auto* way : ways) {
      void* dirty = kmalloc_node(size, GFP_KERNEL, 0);
      memset(dirty, 0xee, size);
      kvfree(dirty);
      void* p = way(size);
      ASSERT_NE(p, nullptr);
      EXPECT_TRUE(is_all(p, size, 0));
      memset(p, 0xee, size);
      kfree(p);
    }
  }
}

TEST(Kmem, ArraysThatOverflowAreRefused) {
  const volatile size_t many = SIZE_MAX / 8 + 2;  // times 8 it is 8
  EXPECT_EQ(kmalloc_array(many, 8, GFP_KERNEL), nullptr);
  EXPECT_EQ(kcalloc(many, 8, GFP_KERNEL), nullptr);
  EXPECT_EQ(kvmalloc_array(many, 8, GFP_KERNEL), nullptr);
  void* p = kmalloc_array(10, 10, GFP_KERNEL);
  EXPECT_GE(ksize(p), 100u);
  EXPECT_EQ(krealloc_array(p, many, 8, GFP_KERNEL), nullptr);
  memset(p, 9, 100);  // still there
  p = krealloc_array(p, 100, 10, GFP_KERNEL);
  EXPECT_TRUE(is_all(p, 100, 9));
  kfree(p);
}

TEST(Kmem, NoBytesAreAnAddressThatKfreeTakes) {
  for (void* p : {kmalloc(0, GFP_KERNEL), kcalloc(0, 8, GFP_KERNEL), kcalloc(8, 0, GFP_KERNEL),
                  kvmalloc(0, GFP_KERNEL), krealloc(nullptr, 0, GFP_KERNEL)}) {
    EXPECT_NE(p, nullptr);
    EXPECT_TRUE(ZERO_OR_NULL_PTR(p));
    EXPECT_EQ(ksize(p), 0u);
    kfree(p);
    kfree_sensitive(p);
  }
  void* p = krealloc(ZERO_SIZE_PTR, 100, GFP_KERNEL);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(krealloc(p, 0, GFP_KERNEL), ZERO_SIZE_PTR);
  EXPECT_EQ(ksize(nullptr), 0u);
  EXPECT_EQ(kmalloc_size_roundup(0), 0u);
  kfree(nullptr);
}

TEST(Kmem, KreallocKeepsWhatWasThereAndZeroesWhatIsNew) {
  auto* p = static_cast<char*>(kzalloc(40, GFP_KERNEL));
  for (size_t size : {size_t{100}, size_t{3000}, size_t{100000}, size_t{3} << 20}) {
    const size_t old = ksize(p);
    memset(p, 9, 40);
    p = static_cast<char*>(krealloc(p, size, GFP_KERNEL | __GFP_ZERO));
    ASSERT_NE(p, nullptr);
    EXPECT_TRUE(is_all(p, 40, 9));
    EXPECT_TRUE(size <= old || is_all(p + old, size - old, 0)) << size;
  }
  p = static_cast<char*>(kvrealloc(p, 40, GFP_KERNEL));
  EXPECT_TRUE(is_all(p, 40, 9));
  kfree(p);
}

TEST(Kmem, RoundupTellsWhatKmallocGives) {
  for (size_t size : {size_t{1}, size_t{17}, size_t{1000}, size_t{4097}, size_t{100000}}) {
    void* p = kmalloc(kmalloc_size_roundup(size), GFP_KERNEL);
    EXPECT_GE(kmalloc_size_roundup(size), size);
    EXPECT_GE(ksize(p), kmalloc_size_roundup(size));
    kfree(p);
  }
}

TEST(Kmem, WhatIsSensitiveIsOverwritten) {
  // In a block of some pages, of which the heap keeps nothing in the block itself once it is free.
  auto* secret = static_cast<char*>(kmalloc(16000, GFP_KERNEL));
  auto* next = static_cast<char*>(kmalloc(16000, GFP_KERNEL));
  memset(secret, 's', 16000);
  const volatile auto address = reinterpret_cast<uintptr_t>(secret);
  kfree_sensitive(secret);
  size_t left = 0;
  for (size_t i = 0; i < 16000; ++i)
    left += reinterpret_cast<const volatile char*>(address)[i] == 's' ? 1 : 0;
  EXPECT_LT(left, 17u);  // of a link to another free block
  kfree(next);
}

TEST(Kmem, Copies) {
  const char text[] = "slab\0masonry";
  auto* copy = static_cast<char*>(kmemdup(text, sizeof text, GFP_KERNEL));
  EXPECT_EQ(memcmp(copy, text, sizeof text), 0);
  kfree(copy);
  for (const auto& [made, wanted] : {std::pair{kstrdup("slab", GFP_KERNEL), "slab"},
                                     {kstrdup("", GFP_KERNEL), ""},
                                     {kstrndup("masonry", 4, GFP_KERNEL), "maso"},
                                     {kstrndup("slab", 40, GFP_KERNEL), "slab"},
                                     {kmemdup_nul("masonry", 5, GFP_KERNEL), "mason"}}) {
    EXPECT_STREQ(made, wanted);
    kfree(made);
  }
  char* copied = kstrndup("slab", 5000, GFP_KERNEL);
  EXPECT_LT(ksize(copied), 5000u);  // and nothing behind the text was read
  kfree(copied);
  EXPECT_EQ(kstrdup(nullptr, GFP_KERNEL), nullptr);
  EXPECT_EQ(kstrndup(nullptr, 4, GFP_KERNEL), nullptr);
  EXPECT_EQ(kmemdup("", 0, GFP_KERNEL), ZERO_SIZE_PTR);
}

TEST(Kmem, VmallocGivesWholePages) {
  for (size_t size : {size_t{1}, size_t{5000}, size_t{3} << 20}) {
    void* p = vmalloc(size);
    ASSERT_NE(p, nullptr);
    EXPECT_TRUE(is_aligned(p, PAGE_SIZE));
    memset(p, 0xee, size);
    vfree(p);
    p = vzalloc(size);
    EXPECT_TRUE(is_all(p, size, 0));
    memset(p, 0xee, size);
    kvfree(p);
    p = __vmalloc(size, GFP_KERNEL | __GFP_ZERO);
    EXPECT_TRUE(is_all(p, size, 0));
    vfree(p);
  }
  EXPECT_EQ(vmalloc(0), nullptr);
  vfree(nullptr);
}

// ---- pages

TEST(Kmem, OrdersAreTheLeastThatFit) {
  EXPECT_EQ(PAGE_SIZE, 4096u);
  EXPECT_EQ(~PAGE_MASK, 4095u);
  const struct {
    unsigned long size;
    int order;
  } cases[] = {{1, 0}, {4096, 0}, {4097, 1}, {8192, 1}, {8193, 2}, {1 << 20, 8}, {1ul << 40, 28}};
  for (const auto& c : cases) EXPECT_EQ(get_order(c.size), c.order) << c.size;
}

TEST(Kmem, ABlockOfPagesStandsAtAMultipleOfItsSize) {
  for (unsigned order = 0; order <= 10; ++order) {
    const size_t size = PAGE_SIZE << order;
    page* first = alloc_pages(GFP_KERNEL | __GFP_COMP, order);
    ASSERT_NE(first, nullptr) << order;
    auto* address = static_cast<char*>(page_address(first));
    EXPECT_TRUE(is_aligned(address, size)) << order;
    EXPECT_EQ(page_size(first), size);
    EXPECT_EQ(virt_to_page(address), first);
    EXPECT_EQ(page_address(virt_to_page(address + size - 1)), address + size - PAGE_SIZE);
    memset(address, 0xee, size);
    __free_pages(first, order);
    const unsigned long number = __get_free_pages(GFP_KERNEL | __GFP_ZERO, order);
    EXPECT_EQ(number % size, 0u);
    EXPECT_TRUE(is_all(reinterpret_cast<void*>(number), size, 0)) << order;
    memset(reinterpret_cast<void*>(number), 0xee, size);
    free_pages(number, order);
  }
  EXPECT_EQ(alloc_pages(GFP_KERNEL, 40), nullptr);
  EXPECT_EQ(__get_free_pages(GFP_KERNEL, 40), 0u);
  EXPECT_EQ(page_address(nullptr), nullptr);
  int local = 0;
  EXPECT_EQ(virt_to_page(&local), nullptr);
}

TEST(Kmem, SinglePages) {
  page* one = alloc_page(GFP_KERNEL);
  page* other = alloc_pages_node(0, GFP_KERNEL, 0);
  EXPECT_NE(one, other);
  EXPECT_EQ(page_size(one), PAGE_SIZE);
  memset(page_address(one), 0xee, PAGE_SIZE);
  memset(page_address(other), 0xee, PAGE_SIZE);
  __free_page(one);
  __free_page(other);
  for (int i = 0; i < 3; ++i) {
    const unsigned long zeroed = get_zeroed_page(GFP_KERNEL);
    EXPECT_TRUE(is_all(reinterpret_cast<void*>(zeroed), PAGE_SIZE, 0));
    const unsigned long any = __get_free_page(GFP_KERNEL);
    memset(reinterpret_cast<void*>(zeroed), 0xee, PAGE_SIZE);
    memset(reinterpret_cast<void*>(any), 0xee, PAGE_SIZE);
    free_page(zeroed);
    free_page(any);
  }
  free_page(0);
}

TEST(Kmem, ExactPagesAreNotRoundedToAPowerOfTwo) {
  void* p = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
  EXPECT_TRUE(is_aligned(p, PAGE_SIZE));
  EXPECT_TRUE(is_all(p, 5 * PAGE_SIZE, 0));
  EXPECT_EQ(page_size(virt_to_page(p)), 5 * PAGE_SIZE);
  free_pages_exact(p, 5 * PAGE_SIZE);
}

TEST(Kmem, DmaMemoryIsBelow4GiB) {
  for (gfp_t where : {GFP_DMA, GFP_DMA32}) {
    void* block = kmalloc(10000, GFP_KERNEL | where);
    page* pages = alloc_pages(GFP_KERNEL | where, 2);
    EXPECT_LT(reinterpret_cast<uintptr_t>(block), uintptr_t{1} << 32);
    EXPECT_LT(reinterpret_cast<uintptr_t>(page_address(pages)), uintptr_t{1} << 32);
    kfree(block);
    __free_pages(pages, 2);
  }
}

// ---- requests

/// Whether magazines are per CPU. Where they are not, a cache with slabs of its own has none.
bool has_rseq() {
  const char* tunables = getenv("GLIBC_TUNABLES");
  return tunables == nullptr || std::string(tunables).find("rseq=0") == std::string::npos;
}

TEST(Kmem, NowaitGivesWhatIsReadyAndAtomicMore) {
  kmem_cache* cache = kmem_cache_create("requests", 320, 0, SLAB_NO_MERGE, nullptr);
  errno = 0;
  EXPECT_EQ(kmem_cache_alloc(cache, GFP_NOWAIT), nullptr);
  EXPECT_EQ(errno, EAGAIN);
  void* objects[20];
  EXPECT_EQ(kmem_cache_alloc_bulk(cache, GFP_NOWAIT, 20, objects), 0);
  for (void*& object : objects) {
    object = kmem_cache_alloc(cache, GFP_ATOMIC);
    EXPECT_NE(object, nullptr);
  }
  kmem_cache_free(cache, objects[0]);
  objects[0] = kmem_cache_alloc(cache, GFP_NOWAIT);
  EXPECT_EQ(objects[0] != nullptr, has_rseq());
  kmem_cache_free_bulk(cache, 20, objects);
  kmem_cache_destroy(cache);
  EXPECT_EQ(kmalloc(40000, GFP_NOWAIT), nullptr);
  void* large = kmalloc(40000, GFP_ATOMIC);
  EXPECT_NE(large, nullptr);
  kfree(large);
}

TEST(Kmem, ACacheGoesOnAfterNowaitHasTakenAllThatWasReady) {
  kmem_cache* cache = kmem_cache_create("emptied", 320, 0, SLAB_NO_MERGE, nullptr);
  std::vector<void*> objects;
  for (int round = 0; round < 5; ++round) {
    while (objects.size() < 1000) objects.push_back(kmem_cache_alloc(cache, GFP_KERNEL));
    EXPECT_EQ(info_of(cache).live, 1000u);
    EXPECT_EQ((std::set<void*>(objects.begin(), objects.end()).size()), 1000u);
    for (void* object : objects) kmem_cache_free(cache, object);
    objects.clear();
    while (void* object = kmem_cache_alloc(cache, GFP_NOWAIT)) objects.push_back(object);
    EXPECT_EQ(!objects.empty(), has_rseq());
  }
  for (void* object : objects) kmem_cache_free(cache, object);
  kmem_cache_destroy(cache);
}

TEST(Kmem, RequestsMayBeAskedWhetherTheyBlock) {
  for (gfp_t gfp : {GFP_KERNEL, GFP_NOIO, GFP_NOFS, GFP_USER, GFP_KERNEL_ACCOUNT,
                    GFP_HIGHUSER_MOVABLE, GFP_KERNEL | __GFP_NORETRY}) {
    EXPECT_TRUE(gfpflags_allow_blocking(gfp));
    void* p = kmalloc(100, gfp);
    EXPECT_NE(p, nullptr);
    kfree(p);
  }
  for (gfp_t gfp : {GFP_ATOMIC, GFP_NOWAIT, GFP_KERNEL & ~__GFP_DIRECT_RECLAIM})
    EXPECT_FALSE(gfpflags_allow_blocking(gfp));
}

TEST(Kmem, CachesAreMadeWhenAllPlacesForSlabsAreTakenToo) {
  std::vector<kmem_cache*> caches;
  for (slab_flags_t flags : {SLAB_NO_MERGE, SLAB_POISON})
    for (int i = 0; i < 60; ++i) {
      caches.push_back(kmem_cache_create("many", 72, 0, flags, nullptr));
      ASSERT_NE(caches.back(), nullptr);
      kmem_cache_free(caches.back(), kmem_cache_alloc(caches.back(), GFP_KERNEL));
    }
  for (kmem_cache* cache : caches) kmem_cache_destroy(cache);
}

}  // namespace
