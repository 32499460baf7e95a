// support/zone_ground.h -- a zone over a kernel that a test commands, audited after each step.
#pragma once

#include <gtest/gtest.h>

#include "page/zone.h"
#include "support/fake_vm.h"

namespace test {
using namespace ashlar;

inline constexpr size_t kMiB = size_t{1} << 20;
inline constexpr page::Retention kKeepAll{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
inline constexpr page::Retention kKeepNothing{.percent = 0, .least_bytes = 0, .interval_ms = 1000};

class ZoneGround : public testing::Test {
 protected:
  explicit ZoneGround(size_t capacity = 256 * kMiB) : vm(capacity) {}
  void start(const page::Retention& retention = kKeepAll) {
    ASSERT_TRUE(zone.start(vm.vm(), retention, size_t{1} << 40));
    zone.audit();
  }
  page::Frame* alloc(size_t pages, unsigned align = 0) {
    page::Frame* block =
        zone.alloc(base::Pages(pages), base::Order(align), page::FrameKind::kLarge);
    zone.audit();
    return block;
  }
  void free(page::Frame* block) {
    zone.free_large(*block);
    zone.audit();
  }
  char* bytes(page::Frame* block) { return zone.address_of(*block); }

  FakeVm vm;
  page::Zone zone;
};

}  // namespace test
