#include "large/large.h"

#include "base/bits.h"

namespace large {

using base::Order;
using base::Pages;
using page::Frame;
using page::PageHeap;

namespace {

// From here on moving pages is cheaper than copying them: the kernel moves 512 at a time.
constexpr size_t kMoveFrom = size_t{2} << 20;

void* address_of(Block block) { return block.zone->address_of(*block.frame); }

void* move(PageHeap& heap, Block block, Pages pages) {
  Block target = heap.alloc_large(pages, Order(0));
  if (target.frame == nullptr) return nullptr;
  char* from = block.zone->address_of(*block.frame);
  char* to = target.zone->address_of(*target.frame);
  if (!block.zone->vm().move(from, to, usable_size(block))) {
    free(target);
    return nullptr;
  }
  free(block);
  return to;
}

}  // namespace

Memory alloc(PageHeap& heap, size_t size, size_t align) {
  Order order = align <= base::kFrameSize ? Order(0) : Order::ceil(Pages::ceil(align));
  Block block = heap.alloc_large(Pages::ceil(size), order);
  if (block.frame == nullptr) return {};
  void* address = address_of(block);
  if (!base::is_aligned(address, align)) {  // beyond what the window itself is aligned to
    free(block);
    return {};
  }
  return {address, block.frame->is_new != 0};
}

void* try_resize(PageHeap& heap, Block block, size_t size) {
  Pages pages = Pages::ceil(size);
  Pages have = Pages(block.frame->count);
  if (pages < have) block.zone->shrink(*block.frame, pages);
  if (pages <= have || block.zone->try_grow(*block.frame, pages)) return address_of(block);
  return have.bytes() < kMoveFrom ? nullptr : move(heap, block, pages);
}

}  // namespace large
