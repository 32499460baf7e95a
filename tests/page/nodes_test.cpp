// page/nodes_test.cpp -- proves that each memory node has zones of its own, that requests go to the
// nearest that has room, and that a heap on one node does none of it.

#include "page/nodes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "page/page_heap.h"
#include "support/fake_vm.h"
#include "support/sysfs.h"

namespace {
using namespace ashlar;

using base::Order;
using base::Pages;
using page::FrameKind;
using page::PageHeap;
using page::Zone;

constexpr page::Retention kKeepAll{
    .percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
constexpr size_t kGiantPages = base::kGiantSize / base::kFrameSize;

// Four nodes, of which this test's CPU is on 0: from there 2 is nearest, then 1, then 3.
class NodesTest : public testing::Test {
 protected:
  explicit NodesTest(size_t capacity = size_t{64} << 30) : vm(capacity) {
    EXPECT_TRUE(heap.start(vm.vm(), kKeepAll, {.name = "test"}));
    sysfs.set_online("0-3");
    sysfs.add_node(0, "0-8191", "10 30 20 40");
    sysfs.add_node(1, "", "30 10 40 20");
    sysfs.add_node(2, "", "20 40 10 30");
    sysfs.add_node(3, "", "40 20 30 10");
    EXPECT_TRUE(topology.find(sysfs.root()));
  }
  void set_nodes() { ASSERT_TRUE(heap.set_nodes(topology)); }
  PageHeap::Block alloc(size_t pages, unsigned node = page::Nodes::kHere) {
    PageHeap::Block block = heap.alloc_large(Pages(pages), Order(0), node);
    heap.audit();
    return block;
  }
  char* address(PageHeap::Block block) { return block.zone->address_of(*block.frame); }
  // From now on a node's zone of slabs and small blocks cannot grow.
  void exhaust(unsigned node) {
    char* first = heap.slabs().window() + heap.slabs().part_size() * node;
    size_t used = heap.slabs_for(node)->window_size();
    vm.occupied.push_back({first + used, heap.slabs().part_size() - used});
  }

  test::FakeVm vm;
  test::Sysfs sysfs;
  os::Topology topology;
  PageHeap heap;
};

TEST_F(NodesTest, WithOneNodeNothingIsAskedOrKept) {
  EXPECT_FALSE(heap.nodes().are_several());
  EXPECT_EQ(heap.nodes().count(), 1u);
  EXPECT_EQ(heap.nodes().here(), 0u);
  EXPECT_EQ(heap.nodes().nearest(page::Nodes::kHere, 0), 0u);
  EXPECT_EQ(heap.slabs_for(0), &heap.slabs());
  unsigned commits = vm.commits, reserves = vm.reserves;
  os::Topology one;
  EXPECT_FALSE(heap.set_nodes(one));
  EXPECT_EQ(vm.commits, commits);
  EXPECT_EQ(alloc(1).zone, &heap.slabs());
  EXPECT_EQ(alloc(kGiantPages).zone, &heap.giants());
  EXPECT_EQ(vm.reserves, reserves + 1);
  EXPECT_TRUE(vm.bound.empty());
}

TEST_F(NodesTest, ANodeHasZonesOnceItAsks) {
  set_nodes();
  EXPECT_EQ(alloc(1).zone, &heap.slabs()) << "we run on node 0";
  EXPECT_EQ(heap.nodes().find(3), nullptr);
  PageHeap::Block small = alloc(10, 3), giant = alloc(kGiantPages, 3);
  ASSERT_NE(heap.nodes().find(3), nullptr);
  EXPECT_EQ(small.zone, &heap.nodes().find(3)->slabs);
  EXPECT_EQ(giant.zone, &heap.nodes().find(3)->giants);
  EXPECT_EQ(small.zone->node(), 3u);
  EXPECT_EQ(heap.nodes().find(2), nullptr);
  for (PageHeap::Block block : {small, giant}) {
    std::memset(address(block), 1, Pages(block.frame->count).bytes());
    EXPECT_EQ(heap.zone_of(address(block)), block.zone);
    heap.free_large(block);
    heap.audit();
  }
  EXPECT_EQ(heap.nodes().find(3)->slabs.stats().live, 0u);
  EXPECT_EQ(heap.zone_of(address(small) + (size_t{1} << 30)), nullptr) << "between two parts";
}

TEST_F(NodesTest, HugePagesOfSlabsEndOnEachNode) {
  vm.gives_huge = true;
  set_nodes();
  for (unsigned node : {0u, 3u}) {
    Zone& zone = *heap.slabs_for(node);
    EXPECT_TRUE(zone.has_slabs());
    page::Frame* slab = zone.alloc(Pages(8192), Order(9), FrameKind::kSlab);
    ASSERT_NE(slab, nullptr);
    vm.broken_up.clear();
    vm.advised.clear();
    os::Range range{zone.address_of(*slab) + 4096, 4096};
    EXPECT_EQ(zone.purge_let(&range, 1), 1u);
    EXPECT_EQ(vm.broken_up.size(), 1u);
    ASSERT_EQ(vm.advised.size(), 1u);
    EXPECT_FALSE(vm.advised[0].second) << "else the kernel fills again what has gone";
    EXPECT_EQ(vm.advised[0].first.at, zone.window());
  }
  EXPECT_FALSE(alloc(kGiantPages, 3).zone->has_slabs());
}

TEST_F(NodesTest, WhichBlocksLieAmongGiantsIsEachNodesOwnMatter) {
  constexpr size_t kApartPages = base::kApartFrom / base::kFrameSize, kFiller = 24;
  set_nodes();
  PageHeap::Block first = alloc(kApartPages, 3);
  EXPECT_EQ(first.zone, &heap.nodes().find(3)->slabs) << "little is live there";
  alloc(kGiantPages, 3);
  page::Zone* giants = &heap.nodes().find(3)->giants;
  EXPECT_EQ(alloc(kApartPages, 3).zone, giants);
  EXPECT_EQ(alloc(kFiller, 3).zone, first.zone) << "few giants are";
  alloc(base::kManyGiants / base::kFrameSize, 3);
  EXPECT_EQ(alloc(kFiller, 3).zone, giants);
  EXPECT_EQ(alloc(kApartPages).zone, &heap.slabs()) << "on node 0 there are none";
}

TEST_F(NodesTest, TheKernelIsToldWhoseMemoryItIs) {
  heap.alloc_large(Pages(10), Order(0));
  EXPECT_TRUE(vm.bound.empty());
  set_nodes();
  ASSERT_EQ(vm.bound.size(), 1u) << "what was there belongs to the node that asked";
  EXPECT_EQ(vm.bound[0].second, 0u);
  EXPECT_EQ(vm.bound[0].first.at, heap.slabs().window());
  PageHeap::Block block = alloc(10, 2);
  ASSERT_EQ(vm.bound.size(), 2u);
  EXPECT_EQ(vm.bound[1].second, 2u);
  EXPECT_TRUE(vm.bound[1].first.contains({address(block), 10 * base::kFrameSize}));
}

TEST_F(NodesTest, OfImitatedNodesTheKernelKnowsNothing) {
  topology.imitate(2);
  set_nodes();
  alloc(10, 0);
  alloc(10, 1);
  EXPECT_TRUE(vm.bound.empty());
}

TEST_F(NodesTest, AnExhaustedNodeIsServedByTheNearestOther) {
  set_nodes();
  while (alloc(512).zone != &heap.slabs()) {
  }
  exhaust(0);
  auto node_now = [&] {
    for (;;) {
      PageHeap::Block block = alloc(200);
      if (block.frame == nullptr) return ~0u;
      if (block.zone->node() != 0) return block.zone->node();
    }
  };
  EXPECT_EQ(node_now(), 2u);
  exhaust(2);
  while (node_now() == 2) {
  }
  EXPECT_EQ(node_now(), 1u);
  PageHeap::Block far = alloc(200, 3);
  EXPECT_EQ(far.zone->node(), 3u) << "who names a node is served there";
  exhaust(1);
  while (node_now() == 1) {
  }
  EXPECT_EQ(node_now(), 3u);
  exhaust(3);
  unsigned node = 3;
  while (node == 3) node = node_now();
  EXPECT_EQ(node, ~0u) << "memory is out";
  heap.free_large(far);
  EXPECT_EQ(alloc(200).zone->node(), 3u) << "what comes free there serves us";
  vm.occupied.clear();
  EXPECT_EQ(alloc(200).zone->node(), 0u) << "and home again";
}

TEST_F(NodesTest, KeptMemoryOfAnotherNodeIsNotTakenInstead) {
  set_nodes();
  PageHeap::Block far = alloc(200, 1);
  std::memset(address(far), 1, Pages(200).bytes());
  heap.free_large(far);
  EXPECT_EQ(alloc(200).zone->node(), 0u);
  EXPECT_EQ(alloc(200, 2).zone->node(), 2u);
  EXPECT_EQ(heap.nodes().find(1)->slabs.stats().dirty, 200u);
  PageHeap::Block again = alloc(200, 1);
  EXPECT_EQ(address(again), address(far));
}

TEST_F(NodesTest, PartsShareTheClassMapAndTheRecords) {
  size_t published = 0;
  ASSERT_TRUE(heap.slabs().cover_classes());
  heap.slabs().publish_size(published);
  EXPECT_EQ(published, heap.slabs().window_size());
  set_nodes();
  EXPECT_EQ(published, 4 * heap.slabs().part_size());
  int slab = 0;
  std::vector<page::Frame*> frames;
  for (unsigned node : {0u, 1u, 3u}) {
    Zone& zone = *heap.slabs_for(node);
    page::Frame* frame = zone.alloc(Pages(5), Order(0), FrameKind::kSlab);
    ASSERT_NE(frame, nullptr);
    zone.mark_slab(*frame, &slab, static_cast<uint8_t>(node + 1));
    char* p = zone.address_of(*frame) + 4 * base::kFrameSize;
    size_t offset = static_cast<size_t>(p - heap.slabs().window());
    EXPECT_LT(offset, published) << "free()'s fast path looks there";
    EXPECT_EQ(heap.slabs().class_map()[offset >> base::kFrameShift], node + 1);
    EXPECT_EQ(heap.slabs().frame_of(p).tenant, &slab);
    EXPECT_TRUE(heap.slabs().spans(p));
    EXPECT_EQ(offset / heap.slabs().part_size(), node);
    EXPECT_EQ(zone.class_at(p), node + 1);
    frames.push_back(frame);
  }
  char* between = heap.slabs().window() + 2 * heap.slabs().part_size();
  EXPECT_EQ(
      heap.slabs()
          .class_map()[static_cast<size_t>(between - heap.slabs().window()) >> base::kFrameShift],
      0)
      << "where nothing is, the map says so";
  size_t marked = 0;
  heap.for_each_slab_zone([&](Zone& zone) { marked += zone.slab_frames().marked; });
  EXPECT_EQ(marked, 15u);
  EXPECT_EQ(heap.live_bytes(), Pages(15).bytes());
}

TEST_F(NodesTest, PurgeTrimAndRetentionReachAllNodes) {
  set_nodes();
  for (unsigned node : {1u, 2u})
    for (size_t pages : {size_t{100}, kGiantPages}) {
      PageHeap::Block block = alloc(pages, node);
      std::memset(address(block), 1, Pages(pages).bytes());
      heap.free_large(block);
    }
  EXPECT_EQ(heap.slab_frames().dirty, 200u);
  EXPECT_EQ(heap.purge(0), 2 * (100 + kGiantPages));
  heap.audit();
  heap.set_retention({.percent = 0, .least_bytes = 0, .interval_ms = 1});
  PageHeap::Block block = alloc(2000, 3);
  std::memset(address(block), 1, Pages(2000).bytes());
  heap.free_large(block);
  EXPECT_TRUE(heap.wants_trim());
  vm.now_ms += 10;
  heap.trim();
  vm.now_ms += 10;
  heap.trim();
  heap.audit();
  EXPECT_EQ(heap.nodes().find(3)->giants.stats().dirty, 0u);
}

TEST_F(NodesTest, AllNodesShareTheBounds) {
  heap.budget().set({.hard = 1000});
  set_nodes();
  EXPECT_NE(alloc(400, 1).frame, nullptr);
  EXPECT_NE(alloc(400, 2).frame, nullptr);
  EXPECT_EQ(alloc(400, 3).frame, nullptr);
  EXPECT_EQ(heap.budget().held(), 800u);
}

TEST_F(NodesTest, PinnedMemoryHasItsNodeAndLowMemoryHasNone) {
  set_nodes();
  using Where = page::Manners::Where;
  PageHeap::Block pinned = heap.alloc_in(Where::kPinned, Pages(3), Order(0), 2);
  PageHeap::Block near = heap.alloc_in(Where::kPinned, Pages(3), Order(0));
  EXPECT_EQ(pinned.zone->node(), 2u);
  EXPECT_EQ(near.zone->node(), 0u);
  EXPECT_TRUE(pinned.zone->is_pinned() && near.zone->is_pinned());
  PageHeap::Block low = heap.alloc_in(Where::kLow, Pages(3), Order(0), 2);
  EXPECT_EQ(low.zone->node(), 0u);
  EXPECT_EQ(heap.zone_of(address(pinned)), pinned.zone);
  vm.most_locked = vm.locked;
  PageHeap::Block other;
  do {
    other = heap.alloc_in(Where::kPinned, Pages(3), Order(0), 2);
  } while (other.frame != nullptr && other.zone->node() == 2);
  EXPECT_TRUE(other.frame == nullptr || other.zone == near.zone) << "at the limit the others serve";
  heap.audit();
}

TEST_F(NodesTest, WithoutMemoryForASetTheOthersServe) {
  set_nodes();
  alloc(1);
  vm.limit = vm.committed_bytes();
  while (heap.meta().alloc(1024, 64) != nullptr) {
  }
  PageHeap::Block block = alloc(1, 3);
  ASSERT_NE(block.frame, nullptr);
  EXPECT_EQ(block.zone->node(), 0u);
}

class SmallWindowTest : public NodesTest {
 protected:
  SmallWindowTest() : NodesTest(size_t{4} << 30) {}
};

TEST_F(SmallWindowTest, AWindowThatIsTooSmallIsNotDivided) {
  unsigned commits = vm.commits;
  EXPECT_FALSE(heap.set_nodes(topology));
  EXPECT_EQ(vm.commits, commits);
  EXPECT_FALSE(heap.nodes().are_several());
  EXPECT_EQ(alloc(100).zone, &heap.slabs());
}

}  // namespace
