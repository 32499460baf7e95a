// support/stock_ground.h -- a stock over a kernel that a test commands, audited after each step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "slab/slab_stock.h"
#include "support/fake_vm.h"

namespace test {
using namespace ashlar;

inline constexpr page::Retention kKeepEverything{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};

class StockGround : public testing::Test {
 public:
  explicit StockGround(size_t size = 256, size_t capacity = size_t{256} << 20)
      : vm(capacity), layout(slab::layout_for(size, 16)) {
    EXPECT_TRUE(heap.start(vm.vm(), kKeepEverything));
    stock.start(heap, layout, 7, "test-256");
  }
  std::vector<void*> take(unsigned most) {
    std::vector<void*> out(most);
    out.resize(stock.refill(out.data(), most, stock.yard_here(0)));
    audit();
    return out;
  }
  // Exactly so many, in as many batches as it takes.
  std::vector<void*> take_all(size_t count) {
    std::vector<void*> out;
    while (out.size() < count) {
      std::vector<void*> some = take(static_cast<unsigned>(count - out.size()));
      if (some.empty()) break;
      out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  }
  void put(std::vector<void*> objects) {
    stock.flush(objects.data(), static_cast<unsigned>(objects.size()));
    audit();
  }
  void audit() {
    stock.audit();
    heap.audit();
  }
  size_t frames_live() { return heap.slabs().stats().live; }

  FakeVm vm;
  page::PageHeap heap;
  slab::SlabLayout layout;
  slab::SlabStock stock;
};

// A stock of which few objects of many slabs are live, each full of its own address.
class SparseGround : public StockGround {
 public:
  explicit SparseGround(size_t size = 256) : StockGround(size) {}

  void scatter(size_t slabs, size_t keep_one_in) {
    std::vector<void*> all = take_all(slabs * layout.count), gone;
    for (void* object : all) std::memset(object, 0xdd, layout.object_size);
    for (size_t i = 0; i < all.size(); ++i) (i % keep_one_in == 0 ? live : gone).push_back(all[i]);
    for (void* object : live) fill(object);
    put(gone);
  }
  void fill(void* object) {
    auto* words = static_cast<void**>(object);
    std::fill_n(words, layout.object_size / sizeof(void*), object);
  }
  bool is_filled(void* object) {
    auto* words = static_cast<void**>(object);
    return std::all_of(words, words + layout.object_size / sizeof(void*),
                       [&](void* word) { return word == object; });
  }
  void expect_content() {
    for (void* object : live) ASSERT_TRUE(is_filled(object)) << "a live object lost its content";
  }
  slab::SlabStock::Purged purge_all() {
    slab::SlabStock::Purged sum;
    for (unsigned share = slab::SlabStock::kShares; share-- > 0;) {
      slab::SlabStock::Purged purged = stock.purge(share, SIZE_MAX);
      sum.frames += purged.frames;
      sum.is_refused |= purged.is_refused;
      audit();
    }
    return sum;
  }
  // Frames that an object of `live` overlaps.
  size_t frames_pinned() {
    std::set<uint32_t> frames;
    for (void* object : live)
      for (size_t at = 0; at < layout.object_size; at += 16)
        frames.insert(heap.slabs().number_of(static_cast<char*>(object) + at));
    return frames.size();
  }

  std::vector<void*> live;
};

}  // namespace test
