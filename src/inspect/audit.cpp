#include "inspect/audit.h"

#include "cache/registry.h"
#include "front/heap.h"
#include "front/process.h"

namespace inspect {

void audit() {
  if (!front::is_heap_started()) return;
  front::GateEntry entry;
  if (!entry.is_open()) return;
  front::g_heap.pages().audit();
  cache::g_registry.audit();
}

}  // namespace inspect
