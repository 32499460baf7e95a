#include "inspect/stats.h"

#include <algorithm>

#include "front/heap.h"
#include "front/process.h"

namespace ashlar::inspect {
namespace {

using base::Pages;

enum class Magazines : uint8_t { kAreCounted, kAreInUse };

void add_zone(Snapshot& snapshot, page::Zone& zone) {
  page::ZoneStats stats = zone.stats();
  Totals& totals = snapshot.totals;
  totals.committed += Pages(stats.committed).bytes();
  totals.dirty += Pages(stats.dirty).bytes();
  totals.purged += Pages(stats.purged).bytes();
  totals.large_blocks += stats.large_blocks;
  totals.large_bytes += Pages(stats.large).bytes();
}

void add_caches(Snapshot& snapshot, Magazines magazines) {
  if (magazines == Magazines::kAreCounted) cache::g_registry.count_ready(snapshot.ready);
  Totals& totals = snapshot.totals;
  snapshot.remnants = cache::g_remnants.stats();
  size_t in_use = snapshot.remnants.live_bytes;  // of the program, or of magazines and depots
  totals.cached += Pages(snapshot.remnants.pages).bytes() - in_use;
  cache::g_registry.for_each([&](cache::ObjectCache& cache) {
    cache::CacheStats stats = cache.stats();
    size_t size = stats.object_size;
    in_use += stats.stock.live * size;
    totals.cached += (stats.stock.held - stats.stock.live) * size;
    totals.ready += snapshot.ready[cache.id()] * size;
    totals.slow_allocs += stats.slow_allocs;
    totals.slow_frees += stats.slow_frees;
  });
  totals.ready = std::min(totals.ready, in_use);
  totals.live += in_use - totals.ready;
  totals.cached += totals.ready;
}

void add_slob(Snapshot& snapshot) {
  snapshot.slob = front::g_heap.slob().stats();
  snapshot.totals.live += snapshot.slob.live_bytes;
  snapshot.totals.cached += Pages(snapshot.slob.pages).bytes() - snapshot.slob.live_bytes;
}

void gather(Snapshot& snapshot, Magazines magazines) {
  page::PageHeap& pages = front::g_heap.pages();
  pages.for_each_zone([&](page::Zone& zone) { add_zone(snapshot, zone); });
  snapshot.totals.live = snapshot.totals.large_bytes;
  add_slob(snapshot);
  if (base::kHasCaches) add_caches(snapshot, magazines);
  snapshot.totals.metadata = pages.meta().used() + pages.table_bytes();
}

}  // namespace

// A fork that takes long may wait for this very thread, which may hold a lock of stdio. What the
// floors' locks guard may be read beside it: the child frees those that nobody has there.
Snapshot take_snapshot() {
  Snapshot snapshot;
  if (!front::is_heap_started()) return snapshot;
  auto count_all = [&] { gather(snapshot, Magazines::kAreCounted); };
  if (base::kHasCaches && front::inside_gate(front::GateWait::kTenthOfASecond, count_all))
    return snapshot;
  front::GateEntry entry;  // a later fork waits until we have looked
  gather(snapshot, Magazines::kAreInUse);
  return snapshot;
}

Totals totals() {
  return take_snapshot().totals;
}

}  // namespace ashlar::inspect
