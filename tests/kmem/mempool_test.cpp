// kmem/mempool_test.cpp -- a mempool gives its reserve when its source is dry, and shrinkers are
// asked before memory is.
//
// A user would notice: a request that cannot fail in a kernel, and fails here; elements that are
// lost between pool and source; a cache that is not asked to give back.

#include <ashlar/kmem.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "../support/child.h"

namespace {

/// A source of the program's own that can be told to fail, and counts.
struct Source {
  std::atomic<bool> is_dry{false};
  std::atomic<int> out{0};
  std::atomic<gfp_t> last_gfp{0};

  static void* alloc(gfp_t gfp, void* data) {
    auto* source = static_cast<Source*>(data);
    source->last_gfp = gfp;
    if (source->is_dry) return nullptr;
    ++source->out;
    return kmalloc(64, gfp | __GFP_HIGH);
  }
  static void free(void* element, void* data) {
    --static_cast<Source*>(data)->out;
    kfree(element);
  }
};

TEST(Mempool, TheReserveSurvivesADrySource) {
  Source source;
  mempool_t* pool = mempool_create(4, Source::alloc, Source::free, &source);
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(source.out, 4);
  for (int round = 0; round < 3; ++round) {
    source.is_dry = true;
    void* elements[4];
    for (void*& element : elements) {
      element = mempool_alloc(pool, GFP_ATOMIC);
      ASSERT_NE(element, nullptr);
      memset(element, 1, 64);
    }
    EXPECT_EQ(mempool_alloc(pool, GFP_ATOMIC), nullptr);
    EXPECT_EQ(mempool_alloc(pool, GFP_NOWAIT), nullptr);
    for (void* element : elements) mempool_free(element, pool);
    EXPECT_EQ(source.out, 4);  // back in the reserve, none lost
    source.is_dry = false;
    void* fifth = mempool_alloc(pool, GFP_ATOMIC);
    EXPECT_EQ(source.out, 5);
    mempool_free(fifth, pool);
    EXPECT_EQ(source.out, 4);
  }
  mempool_free(nullptr, pool);
  mempool_destroy(pool);
  EXPECT_EQ(source.out, 0);
  mempool_destroy(nullptr);
}

TEST(Mempool, TheSourceIsToldHowToServe) {
  Source source;
  mempool_t* pool = mempool_create(1, Source::alloc, Source::free, &source);
  void* element = mempool_alloc(pool, GFP_KERNEL);
  EXPECT_TRUE(source.last_gfp & __GFP_NORETRY);  // the reserve is behind it
  mempool_free(element, pool);
  element = mempool_alloc(pool, GFP_NOWAIT);
  EXPECT_FALSE(gfpflags_allow_blocking(source.last_gfp));
  mempool_free(element, pool);
  element = mempool_alloc(pool, GFP_ATOMIC);
  EXPECT_TRUE(source.last_gfp & __GFP_HIGH);
  EXPECT_FALSE(gfpflags_allow_blocking(source.last_gfp));
  mempool_free(element, pool);
  for (gfp_t gfp : {__GFP_NOWARN, GFP_ATOMIC | __GFP_NOMEMALLOC}) {
    mempool_free(mempool_alloc(pool, gfp), pool);
    EXPECT_FALSE(gfpflags_allow_blocking(source.last_gfp));
    EXPECT_FALSE(source.last_gfp & __GFP_HIGH);
  }
  mempool_destroy(pool);
}

TEST(Mempool, WhatWasNotMadeIsNotInitialized) {
  mempool_t pool{};
  EXPECT_FALSE(mempool_initialized(&pool));
  ASSERT_EQ(mempool_init_kmalloc_pool(&pool, 2, 100), 0);
  EXPECT_TRUE(mempool_initialized(&pool));
  mempool_exit(&pool);
  EXPECT_FALSE(mempool_initialized(&pool));
}

TEST(Mempool, WhereElementsLieIsTheSourcesBusiness) {
  mempool_t* pool = mempool_create_kmalloc_pool(2, 100);
  for (gfp_t where : {GFP_DMA, GFP_DMA32}) {
    void* element = mempool_alloc(pool, GFP_KERNEL | where);
    EXPECT_NE(element, nullptr);
    mempool_free(element, pool);
  }
  mempool_destroy(pool);
}

TEST(Mempool, WithAnEmptyReserveTheSourceTriesHarder) {
  Source source;
  mempool_t* pool = mempool_create(1, Source::alloc, Source::free, &source);
  EXPECT_FALSE(source.last_gfp & __GFP_NORETRY);  // to fill it
  source.is_dry = true;
  void* reserve = mempool_alloc(pool, GFP_KERNEL);
  EXPECT_TRUE(source.last_gfp & __GFP_NORETRY);
  std::thread waiter([&] { mempool_free(mempool_alloc(pool, GFP_KERNEL), pool); });
  while (source.last_gfp & __GFP_NORETRY) std::this_thread::yield();
  EXPECT_TRUE(gfpflags_allow_blocking(source.last_gfp));
  mempool_free(reserve, pool);
  waiter.join();
  mempool_destroy(pool);
}

TEST(Mempool, WhoMayWaitGetsWhatIsFreed) {
  const test::Watchdog watchdog(60, "a thread that waits for an element");
  Source source;
  mempool_t* pool = mempool_create(1, Source::alloc, Source::free, &source);
  source.is_dry = true;
  void* held = mempool_alloc(pool, GFP_KERNEL);
  void* got = nullptr;
  std::thread waiter([&] { got = mempool_alloc(pool, GFP_NOIO); });
  usleep(20000);  // mostly it waits by now; if not, it will find the reserve
  mempool_free(held, pool);
  waiter.join();
  EXPECT_EQ(got, held);
  mempool_free(got, pool);
  mempool_destroy(pool);
  EXPECT_EQ(source.out, 0);
}

TEST(Mempool, ResizeFillsOrGivesBackOrChangesNothing) {
  Source source;
  mempool_t pool;
  ASSERT_EQ(mempool_init(&pool, 2, Source::alloc, Source::free, &source), 0);
  EXPECT_EQ(mempool_resize(&pool, 6), 0);
  EXPECT_EQ(source.out, 6);
  EXPECT_EQ(mempool_resize(&pool, 3), 0);
  EXPECT_EQ(source.out, 3);
  source.is_dry = true;
  EXPECT_EQ(mempool_resize(&pool, 5), -ENOMEM);
  EXPECT_EQ(mempool_resize(&pool, -1), -EINVAL);
  std::vector<void*> elements;
  while (void* element = mempool_alloc(&pool, GFP_ATOMIC)) elements.push_back(element);
  EXPECT_EQ(elements.size(), 3u);
  for (void* element : elements) mempool_free(element, &pool);
  mempool_exit(&pool);
  EXPECT_EQ(source.out, 0);
}

TEST(Mempool, APoolThatCannotBeFilledIsNotMade) {
  Source source;
  source.is_dry = true;
  mempool_t pool;
  EXPECT_EQ(mempool_create(3, Source::alloc, Source::free, &source), nullptr);
  EXPECT_EQ(mempool_init(&pool, 3, Source::alloc, Source::free, &source), -ENOMEM);
  EXPECT_EQ(mempool_init(&pool, -3, Source::alloc, Source::free, &source), -EINVAL);
  EXPECT_EQ(source.out, 0);
}

TEST(Mempool, OfACacheOfSizesAndOfPages) {
  kmem_cache* cache = kmem_cache_create("pooled", 80, 0, SLAB_NO_MERGE, nullptr);
  mempool_t* objects = mempool_create_slab_pool(8, cache);
  mempool_t* blocks = mempool_create_kmalloc_pool(8, 1000);
  mempool_t* pages = mempool_create_page_pool(2, 1);
  ASSERT_TRUE(objects != nullptr && blocks != nullptr && pages != nullptr);
  for (gfp_t gfp : {GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT}) {
    void* object = mempool_alloc(objects, gfp);
    void* block = mempool_alloc(blocks, gfp);
    auto* two = static_cast<page*>(mempool_alloc(pages, gfp));
    ASSERT_TRUE(object != nullptr && block != nullptr && two != nullptr);
    memset(object, 1, 80);
    memset(block, 1, 1000);
    EXPECT_EQ(page_size(two), 2 * PAGE_SIZE);
    memset(page_address(two), 1, 2 * PAGE_SIZE);
    mempool_free(object, objects);
    mempool_free(block, blocks);
    mempool_free(two, pages);
  }
  mempool_destroy(objects);
  mempool_destroy(blocks);
  mempool_destroy(pages);
  kmem_cache_destroy(cache);  // tells of objects that were lost
}

// ---- shrinkers

/// Blocks that a program could make again.
struct Hoard {
  static constexpr size_t kSize = 64 << 10;
  std::vector<void*> blocks;
  unsigned long largest_batch = 0;

  static Hoard* of(shrinker* s) { return static_cast<Hoard*>(s->private_data); }
  static unsigned long count(shrinker* s, shrink_control* control) {
    EXPECT_TRUE(gfpflags_allow_blocking(control->gfp_mask));
    return of(s)->blocks.empty() ? SHRINK_EMPTY : of(s)->blocks.size();
  }
  static unsigned long scan(shrinker* s, shrink_control* control) {
    Hoard* hoard = of(s);
    if (hoard->blocks.empty()) return SHRINK_STOP;
    hoard->largest_batch = std::max(hoard->largest_batch, control->nr_to_scan);
    unsigned long freed = 0;
    for (; freed < control->nr_to_scan && !hoard->blocks.empty(); ++freed) {
      kfree(hoard->blocks.back());
      hoard->blocks.pop_back();
    }
    return freed;
  }
};

/// In a heap of 64 MiB of which the hoard has most: 30 MiB more come through if it is asked.
int fill_beside(shrinker* s, Hoard* hoard) {
  s->count_objects = Hoard::count;
  s->scan_objects = Hoard::scan;
  s->batch = 10;
  s->private_data = hoard;
  hoard->blocks.reserve(1000);
  ashlar_set_limits(ASHLAR_UNLIMITED, size_t{64} << 20);
  while (hoard->blocks.size() < 800) hoard->blocks.push_back(kmalloc(Hoard::kSize, GFP_KERNEL));
  std::vector<void*> rest;
  for (int i = 0; i < 30; ++i) rest.push_back(kmalloc(1 << 20, GFP_KERNEL));
  int refused = 0;
  for (void* block : rest) {
    refused += block == nullptr ? 1 : 0;
    kfree(block);
  }
  ashlar_set_limits(ASHLAR_UNLIMITED, ASHLAR_UNLIMITED);
  return refused;
}

TEST(Shrinker, IsAskedBeforeARequestIsRefused) {
  const test::Ending ending = test::in_child([] {
    static shrinker old_form;
    static Hoard hoard;
    if (register_shrinker(&old_form, "hoard:%d", 1) != 0) return 1;
    shrinker stranger{};
    unregister_shrinker(&stranger);  // as on the way out of what has failed: nobody's but its own
    if (fill_beside(&old_form, &hoard) != 0) return 2;
    if (hoard.largest_batch != 10) return 3;
    unregister_shrinker(&old_form);
    unregister_shrinker(&old_form);
    shrinker* new_form = shrinker_alloc(SHRINKER_NUMA_AWARE, "hoard:%d", 2);
    shrinker_register(new_form);
    if (fill_beside(new_form, &hoard) != 0) return 4;
    shrinker_free(new_form);
    shrinker none{};
    return fill_beside(&none, &hoard) != 0 ? 0 : 5;  // nobody is asked any more
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST(Shrinker, ThatWasNeverRegisteredMayGo) {
  shrinker_free(shrinker_alloc(0, "idle"));
  shrinker_free(nullptr);
}

// Of 100 objects it looks at 50 each time, however many it is asked to, and finds none to free.
TEST(Shrinker, SaysItselfHowFarItHasLooked) {
  const test::Ending ending = test::in_child([] {
    static int looks = 0;
    shrinker far_sighted{};
    far_sighted.count_objects = [](shrinker*, shrink_control*) { return 100ul; };
    far_sighted.scan_objects = [](shrinker*, shrink_control* control) {
      ++looks;
      control->nr_scanned = 50;
      return 0ul;
    };
    far_sighted.batch = 1;
    ashlar_kmem_shrink(&far_sighted, 1 << 20);
    return looks == 2 ? 0 : 1;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

}  // namespace
