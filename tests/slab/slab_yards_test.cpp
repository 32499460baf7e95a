// slab/slab_yards_test.cpp -- proves that objects come from the yard of who asks, go home
// whoever brings them, and that those of two seats share no cache line.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "slab/remnants.h"
#include "slab/slab_stock.h"
#include "support/nodes_ground.h"
#include "support/stock_ground.h"

namespace {
using namespace ashlar;

using slab::SlabStock;

class StockOfNodes : public test::StockGround {
 protected:
  explicit StockOfNodes(size_t size = 256) : StockGround(size, size_t{64} << 30) {}
  void SetUp() override {
    if (!nodes.find()) GTEST_SKIP() << "one CPU";
    ASSERT_TRUE(heap.set_nodes(nodes.topology));
  }
  std::vector<void*> take_on(unsigned node, size_t count) {
    test::OnCpu on(nodes.cpus[node]);
    return take_all(count);
  }
  bool are_of(unsigned node, const std::vector<void*>& objects) {
    return std::all_of(objects.begin(), objects.end(),
                       [&](void* p) { return heap.zone_of(p) == &heap.slabs(node); });
  }

  test::TwoNodes nodes;
};

TEST_F(StockOfNodes, ObjectsAreOfTheNodeThatAsksAndGoHomeWhoeverBringsThem) {
  std::vector<void*> first = take_on(0, 300), second = take_on(1, 300);
  EXPECT_TRUE(are_of(0, first));
  EXPECT_TRUE(are_of(1, second));
  put(first);
  put(second);
  size_t slabs = stock.stats().carved;
  std::vector<void*> again = take_on(0, 100), other = take_on(1, 100);
  EXPECT_TRUE(are_of(0, again)) << "what node 1 has freed is at home again";
  EXPECT_TRUE(are_of(1, other));
  EXPECT_LE(stock.stats().carved, slabs + 2) << "an empty slab of each node was kept";
}

TEST_F(StockOfNodes, WithoutRoomOnItsNodeAnotherServes) {
  std::vector<void*> near = take_on(1, 1), far = take_on(0, 10);
  size_t part = heap.slabs().part_size(), used = heap.slabs(1).window_size();
  vm.occupied.push_back({heap.slabs().window() + part + used, part - used});
  std::vector<void*> objects;
  do {
    objects = take_on(1, layout.count);
  } while (are_of(1, objects));
  EXPECT_TRUE(are_of(0, take_on(1, 10)));
  put(near);
  EXPECT_EQ(take_on(1, 1), near) << "what came free at home goes first";
  put(far);
}

TEST_F(StockOfNodes, EachNodeKeepsOneEmptySlabUntilItIsReaped) {
  put(take_on(0, layout.count));
  put(take_on(1, layout.count));
  EXPECT_EQ(stock.stats().slabs, 2u);
  stock.reap(false);
  EXPECT_EQ(stock.stats().slabs, 2u) << "not idle yet";
  put(take_on(1, 1));
  stock.reap(false);
  EXPECT_EQ(stock.stats().slabs, 1u) << "that of node 1 was used";
  stock.reap(true);
  EXPECT_EQ(stock.stats().slabs, 0u);
}

TEST_F(StockOfNodes, VacantPagesOfAllNodesArePurged) {
  std::vector<void*> live, gone;
  for (unsigned node : {0u, 1u})
    for (void* object : take_on(node, size_t{20} * layout.count)) {
      std::memset(object, 0xdd, layout.object_size);
      ((live.size() + gone.size()) % 100 == 0 ? live : gone).push_back(object);
    }
  for (void* object : live) std::memset(object, 0x77, layout.object_size);
  put(gone);
  size_t vacant = stock.stats().vacant, frames = 0;
  EXPECT_GT(vacant, 50u);
  for (unsigned share = SlabStock::kShares; share-- > 0;) {
    frames += stock.purge(share, SIZE_MAX).frames;
    audit();
  }
  EXPECT_EQ(frames, vacant);
  for (void* object : live) EXPECT_EQ(static_cast<unsigned char*>(object)[255], 0x77);
}

class LargeOfNodes : public StockOfNodes {
 protected:
  LargeOfNodes() : StockOfNodes(4608) { remnants.start(heap); }
  slab::Remnants remnants;
};

TEST_F(LargeOfNodes, SparseSlabsLoseFramesToTheNodeTheyAreOf) {
  constexpr unsigned kSlabs = 5;
  std::vector<void*> objects[] = {take_on(0, kSlabs * size_t{layout.count}),
                                  take_on(1, kSlabs * size_t{layout.count})};
  for (std::vector<void*>& of : objects) put({of.begin() + 1, of.end()});
  size_t live[] = {heap.slabs(0).stats().live, heap.slabs(1).stats().live};
  size_t gone = stock.dissolve(remnants, SIZE_MAX);
  audit();
  EXPECT_GT(gone, 0u);
  for (unsigned node : {0u, 1u}) {
    EXPECT_EQ(heap.slabs(node).stats().live, live[node] - gone / 2);
    EXPECT_TRUE(are_of(node, {objects[node][0]}));
    put({objects[node][0]});
  }
  stock.reap(true);
  EXPECT_EQ(heap.slabs(0).stats().live + heap.slabs(1).stats().live, 0u);
}

// 48-byte objects share cache lines, so each seat is served by a yard of its own.
class StockOfSeats : public test::StockGround {
 protected:
  explicit StockOfSeats(size_t capacity = size_t{256} << 20) : StockGround(48, capacity) {}
  std::vector<void*> take_for(unsigned yard, unsigned count) {
    std::vector<void*> out(count);
    unsigned done = 0;
    while (unsigned got = stock.refill(out.data() + done, count - done, yard)) done += got;
    out.resize(done);
    audit();
    return out;
  }
  const void* slab_of(const void* object) { return heap.slabs().frame_of(object).tenant; }
  static std::set<size_t> lines_of(const std::vector<void*>& objects) {
    std::set<size_t> lines;
    for (const void* object : objects) {
      lines.insert(reinterpret_cast<size_t>(object) / base::kCacheLine);
      lines.insert((reinterpret_cast<size_t>(object) + 47) / base::kCacheLine);
    }
    return lines;
  }
};

TEST_F(StockOfSeats, WhatTwoSeatsTakeSharesNoLine) {
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> held[2];
    for (unsigned batch = 0; batch < 40; ++batch)
      for (unsigned yard : {0u, 1u})
        for (void* object : take_for(yard, 50)) held[yard].push_back(object);
    std::set<size_t> lines = lines_of(held[0]);
    for (size_t line : lines_of(held[1])) EXPECT_EQ(lines.count(line), 0u);
    for (std::vector<void*>& mine : held) put(mine);
  }
}

TEST_F(StockOfSeats, ASlabOfWhichHalfIsFreeServesASeatThatHasNone) {
  std::vector<void*> objects = take_for(0, layout.count), current = take_for(0, 1);
  put({objects.begin(), objects.begin() + layout.count * 2 / 5});
  std::vector<void*> other = take_for(1, layout.count);
  for (void* object : other) {
    EXPECT_NE(slab_of(object), slab_of(objects.back())) << "most of it is somebody's";
    EXPECT_NE(slab_of(object), slab_of(current[0])) << "it is in use";
  }
  put({objects.begin() + layout.count * 2 / 5, objects.begin() + layout.count / 2 + 1});
  std::vector<void*> more = take_for(2, 1);
  EXPECT_EQ(slab_of(more[0]), slab_of(objects.back())) << "half of it was free";
  put(more);
}

TEST_F(StockOfSeats, WhereMemoryIsOutASeatTakesWhatOthersHave) {
  std::vector<void*> objects = take_for(0, layout.count);
  put({objects.begin(), objects.begin() + 5});
  vm.failing_commits = UINT32_MAX;
  while (stock.heap().slabs().alloc(base::Pages(1), base::Order(0), page::FrameKind::kLarge)) {
  }
  EXPECT_EQ(take_for(1, 5).size(), 5u);
}

// A process looks for memory nodes when it is large. By then, slabs serve CPUs.
class SeatsThatBecomeNodes : public StockOfSeats {
 protected:
  SeatsThatBecomeNodes() : StockOfSeats(size_t{64} << 30) {}
  test::TwoNodes nodes;
};

TEST_F(SeatsThatBecomeNodes, WhatServedASeatServesItsNode) {
  if (!nodes.find()) GTEST_SKIP() << "one CPU";
  std::vector<void*> listed = take_for(3, 2 * layout.count), full = take_for(4, 2 * layout.count);
  std::vector<void*> rest;
  for (size_t i = 0; i < listed.size(); ++i) (i % 2 == 0 ? rest : full).push_back(listed[i]);
  put(rest);  // half of two slabs
  ASSERT_TRUE(heap.set_nodes(nodes.topology));
  size_t carved = stock.stats().carved;
  rest = take_for(0, layout.count);
  put(full);  // which empties all but what was taken
  for (size_t more : {0, 1, 2}) {
    std::vector<void*> some = take_for(0, layout.count / 2);
    rest.insert(rest.end(), some.begin(), some.end());
    EXPECT_EQ(stock.stats().carved, carved) << "a new slab, where there was room, " << more;
  }
  put(rest);
}

}  // namespace
