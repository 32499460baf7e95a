// front/api_pages.cpp -- the C entry points of ashlar/pages.h. The small library goes without them.
//
// Idea
//   Pages are what malloc gives for sizes and alignments of whole pages: one page at a time from
//   this CPU's magazine, more of them as blocks of frames. A page's record is its frame's.
#include <cerrno>
#include <iterator>

#include "ashlar/pages.h"
#include "base/attributes.h"
#include "cache/registry.h"
#include "front/contract.h"
#include "front/effort.h"
#include "front/heap.h"
#include "front/process.h"

using namespace ashlar;

using front::or_errno;

namespace {

void* get(size_t size, size_t align, unsigned flags) {
  int error = 0;
  void* pages = front::alloc_flagged(size, align, flags, error);
  return or_errno(pages, error);
}

void* get_exact(size_t size, unsigned flags) {
  if (size > front::kMaxRequest) return or_errno<void>(nullptr, ENOMEM);
  size_t bytes = base::Pages::ceil(size == 0 ? 1 : size).bytes();
  return get(bytes, base::kFrameSize, flags);
}

void* alloc_pages(size_t size, const ashlar_zone* zones, size_t count, unsigned node) {
  using Where = page::Manners::Where;
  constexpr Where kWhere[] = {Where::kAnywhere, Where::kLow, Where::kPinned, Where::kHuge2M,
                              Where::kHuge1G};
  bool is_known = count > 0;
  for (size_t i = 0; i < count; ++i) is_known &= static_cast<size_t>(zones[i]) < std::size(kWhere);
  if (!is_known) return or_errno<void>(nullptr, EINVAL);
  for (size_t i = 0; i < count && size <= front::kMaxRequest; ++i)
    if (void* pages = front::alloc_zeroed_in({kWhere[zones[i]], node}, size, i + 1 == count))
      return pages;
  return or_errno<void>(nullptr, ENOMEM);
}

const page::Frame* frame_of(const ashlar_page* page) {
  return reinterpret_cast<const page::Frame*>(page);
}

// The page's address; null for no page.
char* address_of(const ashlar_page* page) {
  page::Zone* zone = front::g_heap.pages().zone_with(frame_of(page));
  return zone == nullptr ? nullptr : zone->address_of(*frame_of(page));
}

}  // namespace

extern "C" {

ASHLAR_EXPORT void* ashlar_pages_alloc(size_t size, const ashlar_zone* zones, size_t count) {
  return alloc_pages(size, zones, count, page::Nodes::kHere);
}

ASHLAR_EXPORT void* ashlar_pages_alloc_on(size_t size, const ashlar_zone* zones, size_t count,
                                          int node) {
  if (node == ASHLAR_NODE_HERE) return ashlar_pages_alloc(size, zones, count);
  const os::Topology* nodes = front::nodes();
  if (nodes == nullptr)
    return node == 0 ? ashlar_pages_alloc(size, zones, count) : or_errno<void>(nullptr, EINVAL);
  unsigned index = nodes->index_of(static_cast<unsigned>(node));
  if (index == os::Topology::kNone) return or_errno<void>(nullptr, EINVAL);
  return alloc_pages(size, zones, count, index);
}

ASHLAR_EXPORT int ashlar_node_count(void) {
  const os::Topology* nodes = front::nodes();
  return nodes == nullptr ? 1 : static_cast<int>(nodes->count());
}

ASHLAR_EXPORT int ashlar_node_of(const void* p) {
  page::PageHeap& pages = front::g_heap.pages();
  const page::Zone* zone = pages.zone_of(p);
  if (zone == nullptr) return -1;
  return pages.nodes().are_several()
             ? static_cast<int>(pages.nodes().topology()->number_of(zone->node()))
             : 0;
}

ASHLAR_EXPORT void* ashlar_pages_get(unsigned order, unsigned flags) {
  if (order > ASHLAR_PAGES_MOST_ORDER) return or_errno<void>(nullptr, EINVAL);
  size_t size = base::kFrameSize << order;
  return get(size, size, flags);
}

ASHLAR_EXPORT void* ashlar_pages_get_exact(size_t size, unsigned flags) {
  return get_exact(size, flags);
}

ASHLAR_EXPORT void* ashlar_vmalloc(size_t size, unsigned flags) {
  return get_exact(size, flags);
}

ASHLAR_EXPORT void ashlar_pages_free(void* pages) {
  front::free(pages);
}

ASHLAR_EXPORT ashlar_page* ashlar_page_of(const void* address) {
  page::Zone* zone = front::g_heap.pages().zone_of(address);
  return zone == nullptr ? nullptr : reinterpret_cast<ashlar_page*>(&zone->frame_of(address));
}

ASHLAR_EXPORT void* ashlar_page_address(const ashlar_page* page) {
  return address_of(page);
}

ASHLAR_EXPORT size_t ashlar_page_block_size(const ashlar_page* page) {
  const char* address = address_of(page);
  if (address == nullptr) return 0;
  uint8_t id = front::g_heap.pages().zone_of(address)->class_at(address);
  const page::Frame& frame = *frame_of(page);
  if (frame.kind == page::FrameKind::kLarge) return base::Pages(frame.count).bytes();
  if (id == 0 && frame.kind_now() == page::FrameKind::kRemnant) {
    front::GateEntry entry;
    return cache::g_remnants.size_at(address);
  }
  if (id == 0) return 0;
  front::GateEntry entry;
  slab::SlabStock& stock = cache::g_registry.at(id).stock();
  slab::SlabStock::Around around = stock.object_around(address);
  if (!around.is_in_slab) return cache::g_remnants.size_at(address);
  bool begins = stock.layout().lead == 0 && around.object == address;
  return begins ? stock.layout().object_size : 0;
}

}  // extern "C"
