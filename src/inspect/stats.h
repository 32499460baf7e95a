// inspect/stats.h -- the heap in numbers, gathered from each floor's own.
//
// Idea
//   The floors keep plain counters where things happen; here they are read downward into one
//   snapshot. What lies in magazines is counted by looking: all CPUs are drained for a moment and
//   each chain is walked. Nothing is counted on the fast path.
#pragma once

#include <algorithm>
#include <cstddef>

#include "cache/object_cache.h"
#include "cache/registry.h"
#include "front/process.h"
#include "page/zone.h"
#include "slob/slob.h"

namespace ashlar::inspect {

/// In bytes, but for the counts.
struct Totals {
  size_t committed = 0, live = 0, cached = 0, ready = 0, dirty = 0, metadata = 0;
  size_t large_blocks = 0, large_bytes = 0;
  size_t slow_allocs = 0, slow_frees = 0, purged = 0;
};

/// One object cache; `ready` counts the objects in its magazines and depot.
struct CacheTotals {
  cache::CacheStats stats;
  size_t ready = 0;
};

struct Snapshot {
  Totals totals;
  slob::SlobStats slob;
  slab::RemnantStats remnants;
  /// Objects in magazines and depots, by their cache's id.
  size_t ready[base::kHasCaches ? base::kMaxCaches : 1] = {};
};

/// A snapshot is little more than a KiB: a thread may have no more than sixteen of stack. All zero
/// before the heap has started. Takes each lock for a short while. Where another thread forks it
/// waits until that is over, but for no more than a tenth of a second: then it counts what lies in
/// magazines as live.
Snapshot take_snapshot();

/// What has become of a cache since a snapshot was taken.
inline CacheTotals totals_of(cache::ObjectCache& cache, const Snapshot& snapshot) {
  front::GateEntry entry;  // a fork waits for whoever holds a lock, if it knows of it
  cache::CacheStats stats = cache.stats();
  // Counted a moment apart, and some may lie in remnants: never let the difference wrap.
  size_t ready = std::min(snapshot.ready[cache.id()], stats.stock.live);
  return {stats, ready};
}

/// Calls visit(const CacheTotals&) for each cache, with no lock held, and outside the gate.
template <class Visit>
void for_each_cache(const Snapshot& snapshot, Visit visit) {
  cache::g_registry.for_each([&](cache::ObjectCache& cache) { visit(totals_of(cache, snapshot)); });
}

Totals totals();

}  // namespace ashlar::inspect
