// slab/slab_layout.h -- how objects of one size lie in a slab: pure arithmetic.
//
// Idea
//   A slab is a count of frames carved into equal objects. More frames waste less at the end and
//   are asked for less often; fewer frames come free sooner. The smallest count is taken whose end
//   waste is small and which holds enough objects. Since the page heap serves exact counts, five
//   frames are as good as four.
//
//   Where memory that came free lies in shorter pieces, a slab is shorter, too: it holds fewer
//   objects, in as few frames as these need, if no more than an eighth of them is wasted.
//
//   What is left at the end moves in front, a cache line more in each successive slab, so that the
//   first fields of objects in different slabs do not share cache sets: *colouring*.
//
//   Objects that keep their state while they are free have their link behind them, in two words at
//   their end. Magazines and slabs know such an object by the address of these words, its *handle*;
//   the bytes in front of it are its `lead`. Everything here reckons in handles.
//
//   Dividing an offset by the object size is a multiplication by a rounded-up reciprocal, exact for
//   every offset in a slab.
//
// Source
//   J. Bonwick, The Slab Allocator, USENIX Summer 1994, 4.3 (colouring). Division by invariant
//   integers: T. Granlund, P. Montgomery, PLDI 1994.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/config.h"

namespace ashlar::slab {

/// The most objects a slab may hold: what a slab's bitmap and a batch of work are sized for.
inline constexpr unsigned kMaxObjects = 1024;
/// The least number of objects that fill a slab.
inline constexpr size_t kLeastObjects = 8;
/// And one that is shorter.
inline constexpr unsigned kLeastOfShort = 3;
/// The most frames a slab may have.
inline constexpr unsigned kMaxFrames = 2 * kLeastObjects * base::kMaxCached / base::kFrameSize;
static_assert(kMaxFrames < 256, "frames of a slab are counted in a byte");

struct SlabLayout {
  uint64_t reciprocal = 0;  ///< 2^40 / object_size, rounded up
  uint32_t object_size = 0;
  uint16_t frames = 0;
  uint16_t count = 0;     ///< objects in a slab
  uint16_t in_frame = 0;  ///< objects that at least lie whole in a frame between others
  uint16_t colours = 0;   ///< distinct offsets of the first object
  uint16_t colour_step = 0;
  uint16_t lead = 0;        ///< from an object to its handle; 0 where they are the same
  bool has_poison = false;  ///< free objects hold a pattern (harden/poison.h)

  /// How many objects lie in so many frames.
  constexpr unsigned count_in(unsigned frame_count) const {
    unsigned fitting = (frame_count << base::kFrameShift) / object_size;
    return fitting < count ? fitting : count;
  }
  /// How many frames a slab has that is made of so many at most: none in which no object begins or
  /// ends, and none at all where more than an eighth would be wasted, or it would hold few objects.
  constexpr unsigned frames_within(unsigned most) const {
    size_t used = size_t{count_in(most)} * object_size;
    size_t whole = base::round_up(used, base::kFrameSize);
    bool is_worth_it = count_in(most) >= kLeastOfShort && (whole - used) * 8 <= whole;
    return !is_worth_it ? 0 : static_cast<unsigned>(whole >> base::kFrameShift);
  }
  constexpr size_t bytes() const { return size_t{frames} << base::kFrameShift; }
  /// Whether neighbours share cache lines to speak of.
  constexpr bool shares_lines() const {
    return object_size % base::kCacheLine != 0 && object_size < 8 * base::kCacheLine;
  }
  /// Which object an offset from the first object lies in.
  constexpr uint32_t index_of(size_t offset) const {
    return static_cast<uint32_t>(offset * reciprocal >> 40);
  }
};

/// The layout for objects of `size` bytes, a multiple of the grain, each at a multiple of `align`
/// (a power of two up to a frame that divides the size).
constexpr SlabLayout layout_for(size_t size, size_t align) {
  constexpr size_t kLeastBytes = size_t{16} << 10;  // fewer trips to the page heap
  size_t least = base::round_up(size * kLeastObjects, base::kFrameSize);
  if (least < kLeastBytes) least = kLeastBytes;
  size_t best = least;
  // The first length that wastes at most 1/64, else the one that wastes the least share.
  for (size_t bytes = least; bytes <= 2 * least; bytes += base::kFrameSize) {
    if ((bytes % size) * best < (best % size) * bytes) best = bytes;
    if ((best % size) * 64 <= best) break;
  }
  size_t count = best / size;
  if (count > kMaxObjects) count = kMaxObjects;
  size_t step = align > base::kCacheLine ? align : base::kCacheLine;
  return {.reciprocal = ((uint64_t{1} << 40) + size - 1) / size,
          .object_size = static_cast<uint32_t>(size),
          .frames = static_cast<uint16_t>(best >> base::kFrameShift),
          .count = static_cast<uint16_t>(count),
          .in_frame =
              static_cast<uint16_t>(size > base::kFrameSize / 2 ? 0 : base::kFrameSize / size - 1),
          .colours = static_cast<uint16_t>((best - count * size) / step + 1),
          .colour_step = static_cast<uint16_t>(step)};
}

/// The layout for objects of `size` bytes that keep their state while they are free.
constexpr SlabLayout layout_with_lead(size_t size, size_t align) {
  size_t lead = base::round_up(size, base::kGrain);
  SlabLayout layout = layout_for(base::round_up(lead + base::kGrain, align), align);
  layout.lead = static_cast<uint16_t>(lead);
  return layout;
}

/// Whether every offset into a slab is divided exactly.
constexpr bool divides_exactly(const SlabLayout& layout) {
  for (uint32_t i = 0; i < layout.count; ++i) {
    size_t first = size_t{i} * layout.object_size;
    if (layout.index_of(first) != i) return false;
    if (layout.index_of(first + layout.object_size - 1) != i) return false;
  }
  return true;
}

static_assert(layout_for(64, 16).frames == 4 && layout_for(64, 16).count == 256);
static_assert(layout_for(16, 16).count == 1024);
static_assert(layout_for(1280, 16).frames == 5 && layout_for(1280, 16).count == 16);
static_assert(layout_with_lead(100, 64).lead == 112 &&
              layout_with_lead(100, 64).object_size == 128);
static_assert(divides_exactly(layout_for(16, 16)) && divides_exactly(layout_for(1040, 16)));

}  // namespace ashlar::slab
