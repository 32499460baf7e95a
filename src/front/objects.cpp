#include "front/objects.h"

#include "cache/registry.h"
#include "front/process.h"
#include "front/size_class.h"
#include "harden/misuse.h"
#include "harden/poison.h"

namespace ashlar::front {

using cache::g_registry;

void* handle_of(const slab::Slab& slab, void* p) {
  const slab::SlabLayout& layout = slab.stock->layout();
  if (layout.lead == 0 || slab.object_around(layout, p) == p) return p;
  void* handle = static_cast<char*>(p) + layout.lead;
  if (layout.has_poison && slab.object_around(layout, handle) == handle)
    harden::poison(p, layout.lead);
  return handle;
}

namespace {

// An object that bears the key is free, or bears it by chance, or since a free was interrupted.
void check_key(uint8_t id, void* handle) {
  cache::ObjectCache& cache = g_registry.at(id);
  const slab::SlabLayout& layout = cache.stock().layout();
  if (g_registry.is_free(id, handle))
    misuse::double_free(static_cast<char*>(handle) - layout.lead, cache.stock().name(),
                        layout.object_size);
  static_cast<cache::FreeObject*>(handle)->key = 0;
}

}  // namespace

size_t object_size(uint8_t id, const void* p) {
  if (id != 0 && id <= kClasses) return kClassSize[id];
  if (id != 0) {
    const slab::SlabLayout& layout = g_registry.at(id).stock().layout();
    return layout.lead != 0 ? layout.lead : layout.object_size;
  }
  if (size_t size = cache::g_remnants.peek_size(p); size != 0) return size;
  GateEntry entry;  // a fork waits for whoever holds the lock, if it knows of it
  return cache::g_remnants.usable_size(p);
}

bool free_to_magazine(void* p) {
  size_t size = cache::g_remnants.peek_size(p);
  return size != 0 && !bears_key(p) && g_registry.at(class_of(size)).try_free(p);
}

void free_remnant(void* p) {
  uint8_t id = class_of(cache::g_remnants.usable_size(p));
  if (bears_key(p)) check_key(id, p);
  g_registry.at(id).free_slow(p);
}

// Its slab may be dissolved at any time, but not one whose objects keep their state.
void free_object(const page::Zone& zone, const page::Frame& frame, void* p) {
  uint8_t id = zone.class_at(p);
  if (id == 0) return free_remnant(p);
  cache::ObjectCache& cache = g_registry.at(id);
  const slab::SlabLayout& layout = cache.stock().layout();
  void* handle = layout.lead == 0 ? p : handle_of(*static_cast<slab::Slab*>(frame.tenant), p);
  slab::SlabStock::Around around = cache.stock().object_around(handle);
  if (!around.is_in_slab) return free_remnant(p);
  const char* found = around.object;
  if (found != handle) misuse::interior_free(p, found == nullptr ? found : found - layout.lead);
  if (bears_key(handle)) check_key(id, handle);
  cache.free_slow(handle);
}

}  // namespace ashlar::front
