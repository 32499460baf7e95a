// support/slob_ground.h -- a Slob over the fake kernel, for tests, audited after each call.
#pragma once

#include <gtest/gtest.h>

#include "page/page_heap.h"
#include "slob/slob.h"
#include "support/fake_vm.h"

namespace test {
using namespace ashlar;

// With and without rows: the process has them, the heaps that a program makes have none.
class SlobGround : public testing::TestWithParam<bool> {
 protected:
  explicit SlobGround(size_t capacity = size_t{256} << 20) : vm(capacity) {
    page::Retention keep_all{.percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
    EXPECT_TRUE(heap.start(vm.vm(), keep_all));
    start(0);
  }
  ~SlobGround() override {
    slob.audit();
    heap.audit();
  }
  void start(unsigned most_ready) {
    slob.start(heap.slabs(), heap.meta(), most_ready, &kept, GetParam() ? rows : nullptr);
  }
  char* alloc(size_t size, size_t align = 1) {
    char* block = static_cast<char*>(slob.alloc(size, align));
    slob.audit();
    return block;
  }
  page::Frame& frame_of(const void* p) { return heap.slabs().frame_of(p); }
  size_t free(void* p) {
    size_t bytes = slob.free(frame_of(p), p);
    slob.audit();
    return bytes;
  }
  size_t free_alone(void* p) { return slob.free_alone(frame_of(p), p, slob::Keep::kMany); }
  bool is_kept_when_freed(void* p) {
    unsigned before = kept.count();
    free_alone(p);
    return kept.count() > before;
  }
  uint32_t page_of(const void* p) { return heap.slabs().number_of(p); }
  size_t usable(const void* p) { return slob.usable_size(frame_of(p), p); }

  test::FakeVm vm;
  page::PageHeap heap;
  slob::Kept kept;
  slob::Row rows[slob::kShelves];
  slob::Slob slob;
};

}  // namespace test
