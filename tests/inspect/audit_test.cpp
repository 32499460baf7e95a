// inspect/audit_test.cpp -- proves that the whole-heap audit passes a sane heap, before its start
// and while other threads run, and finds what is planted.

#include "inspect/audit.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ashlar/ashlar.h"
#include "front/heap.h"
#include "slab/slab.h"

namespace {
using namespace ashlar;

page::Frame& frame_of(void* p) {
  return front::g_heap.pages().zone_of(p)->frame_of(p);
}

TEST(Audit, PassesAHeapThatHasNotStarted) {
  ashlar_audit();
}

TEST(Audit, PassesAHeapInUse) {
  std::vector<void*> blocks;
  for (size_t size = 1; size < 3000000; size = size * 3 / 2 + 1)
    blocks.push_back(front::alloc(size));
  ashlar_audit();
  for (size_t i = 0; i < blocks.size(); i += 2) front::free(blocks[i]);
  ashlar_audit();
  for (size_t i = 1; i < blocks.size(); i += 2) front::free(blocks[i]);
  ashlar_audit();
  ashlar_reap();
  ashlar_audit();
}

TEST(Audit, PassesWhileOthersRun) {
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (size_t size = 1; !is_over; size = size % 200000 + 77) front::free(front::alloc(size));
    });
  for (int i = 0; i < 100; ++i) ashlar_audit();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(AuditDeath, FindsASlabFrameThatBelongsToNoSlab) {
  EXPECT_DEATH(
      {
        frame_of(front::alloc(40000)).kind = page::FrameKind::kSlab;
        ashlar_audit();
      },
      "check failed: slabs.marked == before.frames");
}

TEST(AuditDeath, FindsAFrameThatClaimsToBeFree) {
  EXPECT_DEATH(
      {
        front::alloc(40000);
        page::Zone& zone = front::g_heap.pages().slabs();
        uint32_t number = 0;
        while (zone.frame_at(number).kind != page::FrameKind::kFree) ++number;
        zone.frame_at(number).order ^= 1;
        ashlar_audit();
      },
      "^ashlar: .*check failed: ");
}

TEST(AuditDeath, FindsASlabThatMiscounts) {
  EXPECT_DEATH(
      {
        void* p = front::alloc(100);
        auto* slab = static_cast<slab::Slab*>(frame_of(p).tenant);
        slab->free_count += 1;
        ashlar_audit();
      },
      "^ashlar: .*check failed: ");
}

TEST(AuditDeath, FindsAClassWhereNoSlabIs) {
  EXPECT_DEATH(
      {
        void* p = front::alloc(40000);
        page::Zone& zone = front::g_heap.pages().slabs();
        zone.cover_classes();
        zone.class_map()[zone.number_of(p)] = 5;
        ashlar_audit();
      },
      "^ashlar: .*check failed: ");
}

}  // namespace
