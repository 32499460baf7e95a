// front/small_heap.h -- a heap of its own: SLOB and frames, within a limit, that ends as a whole.
//
// Idea
//   What a process starts with, as an object: a zone, SLOB for the blocks that it serves
//   (slob/slob.h: serves), whole frames for the others. It stands in memory of the caller's, of
//   which it then uses nothing else, or in address space of its own, which gets memory as it grows
//   and gives back what comes free. No block of it is known to malloc, and none of malloc's to it.
//   To end it nothing is looked up: its memory goes as a whole.
//
//   What it has of the system's memory counts in the bounds of the process. Before it refuses for
//   their sake it asks for room as malloc does: its own free memory goes back, then malloc's, then
//   the program's caches are asked.
//
// Invariants (audit())
//   1. Those of the zone and of SLOB.
//
// Locking
//   The zone's and SLOB's. Calls go through the gate, so that a fork finds no heap half changed.
//
// Cost
//   That of slob/slob.h: for some tens of pages tens of nanoseconds, for thousands microseconds.
#pragma once

#include <cstddef>

#include "page/page_heap.h"
#include "slob/slob.h"

namespace front {

class SmallHeap {
 public:
  /// A heap of at most `limit` bytes, its own records not counted; null where memory is out.
  static SmallHeap* create(size_t limit);
  /// A heap within [memory, memory + size), records and all; null where that is too small. It
  /// touches nothing else, and the memory is the caller's again when it ends.
  static SmallHeap* create_in(void* memory, size_t size);
  /// Ends the heap with everything in it.
  void destroy();

  /// At least `size` bytes at a multiple of `align` (a power of two) and of a grain; null where the
  /// heap is exhausted.
  void* alloc(size_t size, size_t align);
  /// As alloc, zeroed.
  void* alloc_zeroed(size_t size);
  void free(void* p);
  /// p and size are not 0. null where there is no room; then the block is as it was.
  void* resize(void* p, size_t size);
  size_t usable_size(const void* p);

  /// Bytes of live blocks, as they were rounded.
  size_t live_bytes();
  void audit();

 private:
  constexpr SmallHeap() = default;
  page::Frame& frame_of(const void* p);
  void* alloc_once(size_t size, size_t align);
  void* try_alloc(size_t size, size_t align);
  bool drop_empty();
  bool make_room(base::Pages pages);
  void* refuse(size_t size);
  void* resize_in_place(void* p, size_t size);

  page::Zone zone_{};
  page::MetaArena meta_{};
  slob::Slob slob_{};
  bool is_in_buffer_ = false;
};

}  // namespace front
