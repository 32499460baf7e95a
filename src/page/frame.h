// page/frame.h -- the record of one frame.
//
// Idea
//   Every 4 KiB frame of a zone has a record, apart from the frame itself, so that purging a frame
//   loses nothing and a stray write into it damages nothing. The record says what the frame is for.
//   Sixteen bytes, 0.4 % of the memory they describe: only what every tenant needs. A slab's bitmap
//   is the slab's own and lies in the metadata arena.
//
//   Only the first frame of a block speaks for it, and of a free one the last says how long it is;
//   the others are kInside, which is also what fresh zeroed memory says. A slab marks all its
//   frames, since free() arrives at any of them.
//
// Invariants
//   1. A frame that is neither the first of a block nor a slab's is kInside.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::page {

enum class FrameKind : uint8_t {
  kInside = 0,  ///< not the first of its block, or address space that was never used
  kFree,        ///< first of a free block, in the buddy's list of its order
  kWaiting,     ///< first of a large block that came free and waits for one of the same size
  kIsolated,    ///< first of a free block that is just being purged, in no list
  kSlab,        ///< belongs to the slab that `tenant` points to
  kSlob,        ///< a page of small blocks, which `tenant` describes
  kRemnant,     ///< one of a slab that was dissolved, which `tenant` describes
  kMeta,        ///< first of a block that was donated to the metadata arena
  kLarge,       ///< first of a block that a caller holds
};

struct Frame {
  FrameKind kind;
  uint8_t order;   ///< kFree: the block has 2^order frames; its last record says so, too
  uint8_t is_new;  ///< of a block: whether it was zero when it was given out
  union {
    uint8_t yard;   ///< kSlab: whom the slab serves, as a hint for who has no lock
    uint8_t moved;  ///< kLarge: of how many mappings the kernel has moved here it consists
  };
  uint32_t count;  ///< kFree: frames of the block that may hold memory; else those of the block
  union {
    struct {
      uint32_t next, prev;  ///< kFree: neighbours in the list, by frame number
    } link;
    void* tenant;  ///< kSlab: the slab's descriptor; kSlob, kRemnant: the page's
  };

  /// For who has a block of it and no lock: its slab may just be dissolved. If the class map has
  /// told that the slab is none any more, this does, too. And for who looks at its neighbours.
  FrameKind kind_now() const {
    FrameKind now;
    __atomic_load(&kind, &now, __ATOMIC_ACQUIRE);
    return now;
  }
  /// For who has the block and not the zone's lock: what comes free beside it is looked at whether
  /// it may be joined.
  void become(FrameKind now) { __atomic_store(&kind, &now, __ATOMIC_RELEASE); }
};
static_assert(sizeof(Frame) == 16, "0.4 % of a frame; a larger record needs a reason");

}  // namespace ashlar::page
