#include "large/large.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"

namespace ashlar::large {

using base::Order;
using base::Pages;
using page::PageHeap;

namespace {

// From here on pages are moved, not copied: 512 at a time. That takes less time for smaller blocks,
// too, but what is moved is a mapping of its own, whose memory goes with it when the block is
// freed: filled blocks of 2 to 30 MiB whose sizes change at random took three times as long when
// they were moved from 2 MiB on, and arrays that grow no less (bench/README.md: Moved or copied,
// weighed). In the small library such mappings stay.
constexpr size_t kMoveFrom = (base::kHasCaches ? size_t{16} : size_t{64}) << 20;
// A copy of what is hardly filled would be. And what leaves the slabs' zone does so once.
constexpr size_t kMoveSparseFrom = size_t{2} << 20;

// Up to this size a block is asked about whether it is in memory. Others, like the system's own
// allocator, fetch such blocks anew each time.
constexpr size_t kMostAsked = size_t{32} << 20;

void* address_of(Block block) {
  return block.zone->address_of(*block.frame);
}

Order order_of(size_t align) {
  return align <= base::kFrameSize ? Order(0) : Order::ceil(Pages::ceil(align));
}

Pages pages_of(size_t size) {
  return std::max(Pages::ceil(size), Pages(1));
}

// Blocks that will be filled get huge pages; of one that has grown from `had` pages on, nobody
// knows whether the rest will be.
void advise(Block block, Fill fill, Pages had = Pages(0)) {
  bool is_filled = fill == Fill::kWhole;
  if (is_filled && usable_size(block) >= base::kAdviseFrom) block.zone->advise_huge(*block.frame);
  if (block.zone->has_shared_ends()) block.zone->advise_ends(*block.frame, is_filled, had);
}

bool may_be_huge(Block block) {
  bool is_giant = usable_size(block) >= base::kAdviseFrom;
  return base::kHasCaches && (is_giant || !block.zone->has_slabs());
}

// The kernel works on whole pages: where those are larger than frames, a neighbour's may be
// touched.
bool is_in_whole_pages(Block block) {
  return base::is_aligned(address_of(block), os::page_size()) &&
         usable_size(block) % os::page_size() == 0;
}

// Whether nearly all of it is in memory, so that who had it before has filled it. What the child of
// a fork shares with its parent is not: to clear it would copy it. Who has huge pages forbidden has
// no file opened.
bool was_filled(Block block) {
  size_t size = usable_size(block);
  if (!base::kHasCaches || size > kMostAsked || !block.zone->may_advise()) return false;
  // To ask the kernel takes microseconds, and most tables are sparse. The frame in their midst
  // tells.
  char* start = block.zone->address_of(*block.frame);
  const char* frame = start + base::round_down(size / 2, base::kFrameSize);
  uint64_t bits = 0;
  for (size_t at = 0; at < base::kFrameSize; at += base::kCacheLine) {
    uint64_t words[base::kCacheLine / sizeof(uint64_t)];
    std::memcpy(words, frame + at, sizeof words);
    for (uint64_t word : words) bits |= word;
  }
  return bits != 0 && block.zone->vm().resident(start, size, os::Owner::kSelf) >= size / 8 * 7;
}

// What is moved holds memory in one place only, so the bounds count it in one. Had they no room for
// it twice, a block longer than half of what may be held could not grow.
void* move(PageHeap& heap, Block block, Pages pages) {
  if (!is_in_whole_pages(block) || block.zone->is_rigid()) return nullptr;
  Pages had = Pages(block.frame->count);
  // The pages stay on their node.
  Block target = heap.alloc_in(block.zone->where(), pages, Order(0), block.zone->node(), had);
  if (target.frame == nullptr) return nullptr;
  char* from = block.zone->address_of(*block.frame);
  char* to = target.zone->address_of(*target.frame);
  // What it has grown by where it stands is another one.
  size_t mappings = size_t{block.frame->moved} + 1;
  bool may_be = base::is_aligned(to, os::page_size()) &&
                (!base::kHasCaches || target.zone->may_take_moved(pages, mappings));
  os::Moved moved = may_be ? block.zone->vm().move(from, to, usable_size(block)) : os::Moved::kNo;
  if (moved != os::Moved::kYes) {
    // A target that is lost stays let, without memory: its address space is somebody else's by now,
    // or nobody's.
    if (moved == os::Moved::kTargetLost) {
      if (base::kHasCaches) target.zone->hollow_out(target.zone->number_of(*target.frame), pages);
      return nullptr;
    }
    if (base::kHasCaches && may_be) target.zone->note_not_moved(*target.frame);
    if (base::kHasCaches) target.zone->touch(target.zone->number_of(*target.frame), had);
    free(heap, target);
    return nullptr;
  }
  if (!base::kHasCaches) {
    free(heap, block);
    return to;
  }
  target.zone->note_moved(*target.frame, mappings);
  block.zone->free_emptied(*block.frame);
  target.zone->touch(target.zone->number_of(*target.frame), had);
  advise(target, Fill::kSparse, had);
  return to;
}

}  // namespace

Memory alloc(PageHeap& heap, size_t size, size_t align, Fill fill) {
  Block block;
  bool is_sparse = fill == Fill::kSparse && size >= base::kApartFrom;
  if (base::kHasCaches && is_sparse && align <= base::kFrameSize)
    block = heap.alloc_clean(pages_of(size));
  if (block.frame == nullptr) block = heap.alloc_large(pages_of(size), order_of(align));
  if (block.frame == nullptr) return {};
  void* address = address_of(block);
  if (may_be_huge(block)) advise(block, fill);
  bool is_zero = block.frame->is_new != 0;
  // Clearing it would make all of it resident, and purging holds nothing. But where all of it is,
  // it will be filled again, as a rule, and to clear it takes a small part of the time of fetching.
  if (is_sparse && !is_zero && is_in_whole_pages(block) && !was_filled(block))
    is_zero = heap.slabs().vm().purge(static_cast<char*>(address), usable_size(block));
  return {address, is_zero};
}

Memory alloc_in(PageHeap& heap, Place place, size_t size, size_t align) {
  Block block = heap.alloc_in(place.where, pages_of(size), order_of(align), place.node);
  if (block.frame == nullptr) return {};
  if (may_be_huge(block)) advise(block, Fill::kSparse);
  return {address_of(block), block.frame->is_new != 0};
}

void* try_resize(PageHeap& heap, Block block, size_t size) {
  if (block.zone->is_abandoned()) return nullptr;
  Pages pages = Pages::ceil(size);
  Pages have = Pages(block.frame->count);
  if (pages < have) block.zone->shrink(*block.frame, pages);
  if (pages <= have) return address_of(block);
  bool may_move = base::kHasCaches && have.bytes() >= kMoveSparseFrom;
  if (may_move && size >= base::kGiantSize && block.zone->has_slabs())
    if (void* p = move(heap, block, pages)) return p;
  if (block.zone->try_grow(*block.frame, pages)) {
    if (may_be_huge(block)) advise(block, Fill::kSparse, have);
    return address_of(block);
  }
  if (have.bytes() < kMoveFrom && (!may_move || was_filled(block))) return nullptr;
  return move(heap, block, pages);
}

}  // namespace ashlar::large
