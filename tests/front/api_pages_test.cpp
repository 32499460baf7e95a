// front/api_pages_test.cpp -- pages by order and by count, and their records.

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "ashlar/ashlar.h"
#include "ashlar/cache.h"
#include "ashlar/pages.h"
#include "support/rng.h"

namespace {

constexpr size_t kPage = 4096;

TEST(Pages, OfEachOrderStandAtMultiplesOfTheirSize) {
  for (unsigned order = 0; order <= 13; ++order) {
    size_t size = kPage << order;
    auto* pages = static_cast<char*>(ashlar_pages_get(order, ASHLAR_ZERO));
    ASSERT_NE(pages, nullptr) << order;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pages) % size, 0u) << order;
    EXPECT_TRUE(std::all_of(pages, pages + size, [](char byte) { return byte == 0; }));
    std::memset(pages, 1, size);
    ashlar_page* page = ashlar_page_of(pages);
    EXPECT_EQ(ashlar_page_address(page), pages);
    EXPECT_EQ(ashlar_page_block_size(page), size);
    size_t inside = order > 0 ? ashlar_page_block_size(ashlar_page_of(pages + kPage)) : 0;
    EXPECT_EQ(inside, 0u);
    EXPECT_EQ(ashlar_page_address(ashlar_page_of(pages + 100)), pages);
    ashlar_pages_free(pages);
  }
  errno = 0;
  EXPECT_EQ(ashlar_pages_get(19, 0), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Pages, OfAnExactCountTakeNoMore) {
  for (size_t pages : {1u, 3u, 9u, 100u, 1000u}) {
    void* block = ashlar_pages_get_exact(pages * kPage - 5, 0);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % kPage, 0u);
    // A class of malloc's may be a ninth larger.
    EXPECT_GE(ashlar_page_block_size(ashlar_page_of(block)), pages * kPage);
    EXPECT_LE(ashlar_page_block_size(ashlar_page_of(block)), pages * kPage * 10 / 9);
    for (size_t page = 1; page < pages; ++page) {
      ashlar_page* inside = ashlar_page_of(static_cast<char*>(block) + page * kPage);
      ASSERT_EQ(ashlar_page_block_size(inside), 0u) << pages << " " << page;
    }
    std::memset(block, 1, pages * kPage);
    ashlar_pages_free(block);
  }
  EXPECT_EQ(ashlar_pages_get_exact(SIZE_MAX - 100, 0), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(Pages, OfZonesAreThere) {
  void* low = ashlar_pages_get(3, ASHLAR_LOW32);
  if (low == nullptr) GTEST_SKIP() << "no address space below 4 GiB";
  EXPECT_LT(reinterpret_cast<uintptr_t>(low), size_t{1} << 32);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(low) % (kPage << 3), 0u);
  EXPECT_EQ(ashlar_page_block_size(ashlar_page_of(low)), kPage << 3);
  ashlar_pages_free(low);
}

TEST(Pages, OfOthersHaveNoRecord) {
  int local = 0;
  EXPECT_EQ(ashlar_page_of(&local), nullptr);
  EXPECT_EQ(ashlar_page_of(nullptr), nullptr);
  EXPECT_EQ(ashlar_page_address(nullptr), nullptr);
  EXPECT_EQ(ashlar_page_block_size(nullptr), 0u);
}

TEST(Pages, ThatAreManyMayBeResized) {
  auto* block = static_cast<unsigned char*>(ashlar_vmalloc(size_t{3} << 20, ASHLAR_ZERO));
  ASSERT_NE(block, nullptr);
  for (size_t at = 0; at < size_t{3} << 20; at += kPage) block[at] = 9;
  block = static_cast<unsigned char*>(ashlar_krealloc(block, size_t{50} << 20, 0));
  ASSERT_NE(block, nullptr);
  for (size_t at = 0; at < size_t{3} << 20; at += kPage) ASSERT_EQ(block[at], 9);
  ashlar_pages_free(block);
}

TEST(Pages, ComeAndGoInAnyOrder) {
  test::Rng rng(3);
  std::vector<std::pair<unsigned char*, unsigned>> blocks;
  std::vector<void*> odd;  // stand between, of numbers of pages that are no powers of two
  for (unsigned step = 0; step < 5000; ++step) {
    if (odd.size() > 30) {
      std::swap(odd[rng.below(odd.size())], odd.back());
      ashlar_pages_free(odd.back());
      odd.pop_back();
    }
    if (blocks.size() < 100 && rng.below(2) == 0) {
      auto order = static_cast<unsigned>(rng.below(7));
      odd.push_back(ashlar_pages_get_exact((1 + rng.below(40)) * kPage, 0));
      auto* block = static_cast<unsigned char*>(ashlar_pages_get(order, 0));
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % (kPage << order), 0u) << order;
      std::memset(block, static_cast<int>(order), kPage << order);
      blocks.emplace_back(block, order);
    } else if (!blocks.empty()) {
      std::swap(blocks[rng.below(blocks.size())], blocks.back());
      auto [block, order] = blocks.back();
      blocks.pop_back();
      for (size_t at = 0; at < kPage << order; at += 512) ASSERT_EQ(block[at], order);
      ashlar_pages_free(block);
    }
  }
  for (auto [block, order] : blocks) ashlar_pages_free(block);
  for (void* block : odd) ashlar_pages_free(block);
  ashlar_audit();
}

}  // namespace
