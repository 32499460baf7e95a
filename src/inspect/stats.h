// inspect/stats.h -- the heap in numbers, gathered from each floor's own.
//
// Idea
//   The floors keep plain counters where things happen; here they are read downward into one
//   snapshot. What lies in magazines is counted by looking: all CPUs are drained for a moment and
//   each chain is walked. Nothing is counted on the fast path.
#pragma once

#include <cstddef>

#include "cache/object_cache.h"
#include "page/zone.h"
#include "slob/slob.h"

namespace inspect {

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
  /// By id; those without a name do not exist.
  CacheTotals caches[base::kHasCaches ? base::kMaxCaches : 1];
};

/// Fills a snapshot, which is about ten KiB. All zero before the heap has started. Takes each lock
/// for a short while. Where another thread forks it waits until that is over, but for no more than
/// a tenth of a second: then it counts what lies in magazines as live.
void take_snapshot(Snapshot& snapshot);

Totals totals();

}  // namespace inspect
