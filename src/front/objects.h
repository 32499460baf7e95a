// front/objects.h -- objects that come back by the slow path: whose they are, and whether they are
// free already.
//
// Idea
//   The class map, or what a dissolved slab has left, tells the cache that an object belongs to;
//   that takes it back (cache/object_cache.h). Before it does so, an address that is no object's
//   start is told, and an object that bears the key of a free one is searched for.
//
//   A slab may be dissolved at any time (slab/remnants.h), and its descriptor is gone then. So
//   nothing here reads one without its stock's lock, but for slabs whose objects keep their state:
//   those stay.
//
// Locking
//   The stock's lock or the remnants', inside the gate. free_to_magazine() and object_size() come
//   from outside.
#pragma once

#include "cache/magazine.h"
#include "page/zone.h"
#include "slab/slab.h"

namespace ashlar::front {

/// Whether an object, or its handle, bears the key of a free one.
inline bool bears_key(const void* handle) {
  return static_cast<const cache::FreeObject*>(handle)->key == os::free_key();
}

/// The handle of an object that has come to free(), or that its own cache has made a handle
/// already.
void* handle_of(const slab::Slab& slab, void* p);

/// The bytes that the owner of an object of the cache `id` may use. The id 0 means one in what a
/// dissolved slab has left.
size_t object_size(uint8_t id, const void* p);

/// Frees an object of a slab. What is none, or free already, is misuse.
void free_object(const page::Zone& zone, const page::Frame& frame, void* p);

/// The same for one in what a dissolved slab has left: it goes where others of its size go.
void free_remnant(void* p);

/// The same by this CPU's magazine alone, as the fast path does. False where that does not succeed.
bool free_to_magazine(void* p);

}  // namespace ashlar::front
