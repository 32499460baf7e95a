#include "ashlar/ashlar.h"
#include "ashlar/inspect.h"
#include "base/attributes.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/format.h"
#include "inspect/stats.h"

using namespace ashlar;

extern "C" {

ASHLAR_EXPORT const char* ashlar_version() {
  return base::kVersion;
}

ASHLAR_EXPORT int ashlar_reap() {
  return front::reap(front::GateWait::kSecond) ? 1 : 0;
}

ASHLAR_EXPORT void ashlar_get_stats(struct ashlar_stats* stats) {
  inspect::Totals totals = inspect::totals();
  *stats = {.committed = totals.committed,
            .live = totals.live,
            .cached = totals.cached,
            .ready = totals.ready,
            .dirty = totals.dirty,
            .metadata = totals.metadata,
            .large_blocks = totals.large_blocks,
            .large_bytes = totals.large_bytes,
            .slow_allocs = totals.slow_allocs,
            .slow_frees = totals.slow_frees,
            .purged = totals.purged};
}

ASHLAR_EXPORT size_t ashlar_describe(char* buffer, size_t size) {
  base::Text text(buffer, size);
  inspect::describe(text);
  return text.size();
}

}  // extern "C"
