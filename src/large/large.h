// large/large.h -- blocks above the largest cached class: exact counts of frames.
//
// Idea
//   A large block is as many frames as its size needs, from the page heap. It grows in place when
//   what follows is free, gives its tail back when it shrinks, and where it must move and is large
//   enough to be worth a mapping, its pages are moved by the kernel (mremap), not copied
//   (page/zone_moved.cpp). So is one that has become a giant among slabs.
//   A block of some MiB that will be written from end to end is advised to be backed by huge pages,
//   and many smaller ones are that share such a page, where those before them were filled. What a
//   block grows by is not, since who doubles an array may never fill its second half.
//   A block of a MiB and more that is asked for zeroed holds no memory until it is written to, but
//   where the one before it in its place was filled: to clear that takes less than to fetch it.
//
// Invariants
//   1. A block's record is its first frame: kLarge, with its count.
//
// Locking
//   None of its own: the page heap's. A block's record belongs to whoever owns the block.
#pragma once

#include <cstddef>

#include "page/page_heap.h"

namespace ashlar::large {

using Block = page::PageHeap::Block;

/// What alloc gives: an address, and whether the bytes there are known to be zero.
struct Memory {
  void* address = nullptr;
  bool is_zero = false;
};

/// How a block is going to be used, as far as can be told.
enum class Fill : uint8_t {
  kWhole,   ///< written from end to end: huge pages pay
  kSparse,  ///< asked for zeroed: often a table that is touched here and there
};

/// At least `size` bytes at a multiple of `align` (a power of two). address is null when memory is
/// out.
Memory alloc(page::PageHeap& heap, size_t size, size_t align, Fill fill);

/// What zone a request names: of which kind, and of which memory node.
struct Place {
  page::Manners::Where where = page::Manners::Where::kAnywhere;
  unsigned node = page::Nodes::kHere;
};

/// The same in a zone that the request names, or of a node next to the one it names.
Memory alloc_in(page::PageHeap& heap, Place place, size_t size, size_t align);

inline void free(page::PageHeap& heap, Block block) {
  heap.free_large(block);
}

/// The bytes that the block's owner may use.
inline size_t usable_size(Block block) {
  return size_t{block.frame->count} << base::kFrameShift;
}

/// Makes a block `size` bytes long, where it stands or elsewhere, and keeps its content. The new
/// address, or null where that cannot be had without copying; then nothing has changed.
void* try_resize(page::PageHeap& heap, Block block, size_t size);

}  // namespace ashlar::large
