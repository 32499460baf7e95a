#include "inspect/audit.h"

#include "ashlar/ashlar.h"
#include "base/attributes.h"
#include "base/check.h"
#include "cache/registry.h"
#include "front/heap.h"
#include "front/process.h"
#include "os/thread.h"

namespace ashlar::inspect {
namespace {

struct SlabCount {
  size_t frames = 0;
  size_t changes = 0;  // slabs carved and retired so far
};

SlabCount count_slabs() {
  SlabCount count;
  cache::g_registry.for_each([&](cache::ObjectCache& cache) {
    slab::StockStats stats = cache.stock().stats();
    count.frames += stats.frames;
    count.changes += stats.carved + stats.retired;
  });
  return count;
}

void audit_slab_frames() {
  constexpr int kLooks = 16;  // busy threads may change something each time
  for (int look = 0; look < kLooks; ++look) {
    SlabCount before = count_slabs();
    page::Zone::SlabFrames slabs;
    front::g_heap.pages().for_each_slab_zone([&](page::Zone& zone) {
      page::Zone::SlabFrames frames = zone.slab_frames();
      slabs.marked += frames.marked;
      slabs.strays += frames.strays;
    });
    if (count_slabs().changes != before.changes) continue;
    if (slabs.marked == before.frames && slabs.strays == 0) return;
    // A cache that just begins or ends has slabs that are not counted. That does not last.
    os::yield_cpu();
    if (look + 1 < kLooks) continue;
    ASHLAR_CHECK(slabs.marked == before.frames);
    ASHLAR_CHECK(slabs.strays == 0);
  }
}

}  // namespace

void audit() {
  if (!front::is_heap_started()) return;
  front::GateEntry entry;
  if (!entry.is_open()) return;
  front::g_heap.pages().audit();
  front::g_heap.slob().audit();
  cache::g_registry.audit();
  audit_slab_frames();
}

}  // namespace ashlar::inspect

extern "C" ASHLAR_EXPORT void ashlar_audit() {
  ashlar::inspect::audit();
}
