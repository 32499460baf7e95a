// front/blocks.h -- blocks of SLOB: what of each class is live is counted, and short blocks that
// the only thread has dropped serve its next requests.
//
// Idea
//   What SLOB holds of a class tells whether that is worth a slab (front/promotion.h). Until
//   the process has outgrown SLOB, and while there is one thread, which has no need for the gate,
//   many short requests get a block that Slob keeps (slob/slob.h). They are counted like others,
//   and each so many of them takes the slow path, where the clock is looked at.
//
// Locking
//   SLOB's, inside the gate; alloc_kept() and try_keep() are outside, and have none.
#pragma once

#include <cstddef>

#include "large/large.h"
#include "page/zone.h"

namespace front {

large::Memory alloc_by_slob(size_t size, size_t align);
void free_by_slob(const page::Frame& frame, void* p);
/// Makes a block longer or shorter where it stands; null where that cannot be.
void* resize_by_slob(const page::Frame& frame, void* p, size_t size);

// Not in the small library:

/// A block that is kept; null where there is none for this request.
void* alloc_kept(size_t size);
/// Frees a block by keeping it. False where it must be freed otherwise.
bool try_keep(const page::Zone& zone, void* p);
/// Gives the blocks that are kept back to SLOB.
void drop_kept();

}  // namespace front
