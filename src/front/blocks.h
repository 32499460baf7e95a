// front/blocks.h -- blocks of SLOB: what of each class is live is counted, and the only thread of a
// small process gets and drops them by a shorter way.
//
// Idea
//   What SLOB holds of a class tells whether that is worth a slab (front/promotion.h). Until
//   the process has outgrown SLOB, and while there is one thread, it has no need for the gate, for
//   object caches or for other zones. Many short requests get a block that Slob keeps
//   (slob/kept.h). All are counted like others, and each so many of them takes the slow path, where
//   the clock is looked at.
//
//   What SLOB holds when slabs come dies piece by piece, and its pages stay while slabs grow. So
//   the only thread's larger objects are put into what is left of them before a slab is carved.
//
// Locking
//   SLOB's, inside the gate; alloc_alone() and free_alone() are outside.
#pragma once

#include <cstddef>

#include "large/large.h"
#include "page/zone.h"

namespace ashlar::front {

large::Memory alloc_by_slob(size_t size, size_t align);
/// The same for an object, while there is one thread, where much of what SLOB held when the process
/// was promoted has been freed: what is left of its pages serves before a slab more.
bool has_room(size_t size);
void* alloc_in_room(size_t size);
void free_by_slob(const page::Frame& frame, void* p);
/// Makes a block longer or shorter where it stands; null where that cannot be. `had`: the bytes
/// that its owner could use.
void* resize_by_slob(const page::Frame& frame, void* p, size_t* had, size_t size);

/// Has it told anew whether SLOB may serve alone, where something else may have changed how much
/// that holds.
void note_bytes();

// Not in the small library:

/// Of less than a frame, where there is one thread and SLOB serves alone; null where that is not
/// so, where memory is out, or where it is time for the slow path.
void* alloc_alone(size_t size);
/// The same the other way round. False where nothing has been freed.
bool free_alone(const page::Zone& zone, void* p);

}  // namespace ashlar::front
