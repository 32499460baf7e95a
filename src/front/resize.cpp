// front/resize.cpp -- realloc: where a block may stay, and where it goes when it may not.
//
// Idea
//   A block stays where it is as long as that wastes less than half of it; one of SLOB or of frames
//   may also become longer there, and a large one may be moved by the kernel. What is left is
//   copied. To grow in place needs the least memory: where that is short it is tried before and
//   after a whole new block.
//
// Locking
//   None of its own. In place a block is resized inside the gate.
#include <algorithm>
#include <cstring>

#include "front/blocks.h"
#include "front/contract.h"
#include "front/heap.h"
#include "front/process.h"
#include "front/upkeep.h"
#include "harden/misuse.h"

namespace ashlar::front {

using page::Frame;
using page::FrameKind;
using page::Zone;

namespace {

// Whether a block of `have` bytes of frames may stay one when it is `size` bytes long.
bool stays_in_frames(const Zone& zone, size_t have, size_t size) {
  bool is_named = zone.where() != page::Manners::Where::kAnywhere;
  return is_named || size > kMaxCached || (have <= kMaxCached && size >= base::kFrameSize);
}

// A block that is no object, made longer or shorter without copying; null where that cannot be.
// What it has is told where SLOB has been asked.
void* resize_inside(Zone& zone, Frame& frame, void* p, size_t& have, size_t size) {
  void* resized = nullptr;
  if (frame.kind == FrameKind::kSlob)
    resized = size < slob::kEnd ? resize_by_slob(frame, p, &have, size) : nullptr;
  else if (stays_in_frames(zone, base::Pages(frame.count).bytes(), size))
    resized = large::try_resize(g_heap.pages(), {&zone, &frame}, size);
  finish_slow_path();
  return resized;
}

// From this size on a block stays on its node, also where a thread of another one asks.
constexpr size_t kStaysFrom = size_t{2} << 20;

ASHLAR_COLD void* alloc_on(unsigned node, size_t size) {
  GateEntry entry;
  // Beside the heap there are no nodes, and nobody may wait for the gate (front/process.h).
  if (!entry.is_open()) return nullptr;
  page::PageHeap& pages = g_heap.pages();
  constexpr auto kAnywhere = page::Manners::Where::kAnywhere;
  void* block = large::alloc_in(pages, {kAnywhere, node}, size, kGrain).address;
  // As a new block of malloc's, for it is filled.
  if (block != nullptr && size >= base::kAdviseFrom) {
    Zone& zone = *pages.zone_of(block);
    zone.advise_huge(zone.frame_of(block));
  }
  finish_slow_path();
  return block;
}

// A block stays in the zone that was asked for, but that pages that were set apart may be few.
void* copy_to_new(const Zone& zone, void* p, size_t have, size_t size, size_t align) {
  void* fresh = nullptr;
  bool is_anywhere = zone.where() == page::Manners::Where::kAnywhere;
  const page::Nodes& nodes = g_heap.pages().nodes();
  bool stays = nodes.are_several() && have >= kStaysFrom;
  if (!is_anywhere)
    fresh = alloc_memory({.size = size,
                          .align = align,
                          .node = stays ? zone.node() : page::Nodes::kHere,
                          .where = zone.where(),
                          .is_last = !zone.is_hugetlb()})
                .address;
  else if (stays && align == kGrain && size > kMaxCached && zone.node() != nodes.here())
    fresh = alloc_on(zone.node(), size);
  if (fresh == nullptr && (is_anywhere || zone.is_hugetlb()))
    fresh = align == kGrain ? alloc(size) : alloc_aligned(size, align);
  if (fresh == nullptr) return nullptr;
  std::memcpy(fresh, p, std::min(have, size));
  free(p);
  return fresh;
}

ASHLAR_COLD void* resize_in_gate(Zone& zone, Frame& frame, void* p, size_t have, size_t size) {
  GateEntry entry;
  return entry.is_open() ? resize_inside(zone, frame, p, have, size) : nullptr;
}

bool has_room(base::Pages more) {
  return g_heap.pages().budget().has_room(more.n, page::Budget::For::kLarge);
}

// The bounds have no room for what the block lacks, until the program's caches give way.
ASHLAR_COLD void* grow_by_program(Zone& zone, Frame& frame, void* p, size_t have, size_t size) {
  void* there = nullptr;
  ask_program_until(size - have, zone.where(), [&] {
    there = resize_in_gate(zone, frame, p, have, size);
    return there != nullptr || has_room(base::Pages::ceil(size - have));
  });
  return there;
}

}  // namespace

void* resize_there(void* p, size_t size) {
  Zone& zone = *g_heap.pages().zone_of(p);
  Frame& frame = zone.frame_of(p);
  FrameKind kind = frame.kind_now();
  bool is_object = kind == FrameKind::kSlab || kind == FrameKind::kRemnant;
  if (is_object || size > kMaxRequest) return nullptr;
  return resize_in_gate(zone, frame, p, usable_size_slow(p), size);
}

void* resize_slow(void* p, size_t size, size_t align) {
  if (size > kMaxRequest) return nullptr;
  Zone* of = g_heap.pages().zone_of(p);
  if (of == nullptr) misuse::foreign_free(p);
  Zone& zone = *of;
  Frame& frame = zone.frame_of(p);
  FrameKind kind = frame.kind_now();
  // What a block of SLOB has is not looked up twice: where it is resized that is told.
  bool is_told = base::kHasCaches && kind == FrameKind::kSlob && size < slob::kEnd;
  size_t have = is_told ? 0 : usable_size_slow(p);
  // An object that is half used or more stays where it is.
  bool is_object = base::kHasCaches && (kind == FrameKind::kSlab || kind == FrameKind::kRemnant);
  if (is_object && size <= have && size > have / 2) return p;
  void* there = nullptr;
  bool is_refused = false;
  if (!is_object) {
    GateEntry entry;
    if (entry.is_open()) {
      there = resize_inside(zone, frame, p, have, size);
      // To grow in place needs the least, once what is kept has given way.
      base::Pages more = base::Pages::ceil(size - std::min(size, have));
      bool is_larger = size > have && frame.kind == FrameKind::kLarge;
      is_refused = there == nullptr && is_larger && !has_room(more);
      if (is_refused && give_back()) there = resize_inside(zone, frame, p, have, size);
    }
  }
  if (base::kHasCaches && there == nullptr && is_refused) [[unlikely]]
    there = grow_by_program(zone, frame, p, have, size);
  if (there != nullptr) {
    if (base::kHasCaches && g_heap.has_wish()) [[unlikely]]
      answer_wish();
    return there;
  }
  if (base::kHasCaches && have == 0) have = usable_size_slow(p);  // a fork is under way
  void* fresh = copy_to_new(zone, p, have, size, align);
  if (fresh == nullptr && size <= have) return p;  // rather too long than refused
  // What stood behind the block may have gone since.
  if (base::kHasCaches && fresh == nullptr && !is_object) [[unlikely]]
    return resize_in_gate(zone, frame, p, have, size);
  return fresh;
}

}  // namespace ashlar::front
