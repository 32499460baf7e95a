// front/size_class.h -- request sizes and the object caches that serve them.
//
// Idea
//   Sixteen bytes apart up to kLinearEnd, then eight classes per doubling, so that rounding wastes
//   at most a ninth. The fast path finds a class in a table of one byte per sixteen bytes of
//   request, with one load; all others reckon it, which costs a small process no page of a table.
//   Table and bounds are made and proved while compiling.
//
//   Each class's objects stand at multiples of the largest power of two that divides their size
//   (up to a frame), so an aligned request is served by the first class its alignment divides.
//
// Source
//   The waste of this and other spacings on real programs: bench/size_classes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/config.h"
#include "slab/slab_layout.h"

namespace ashlar::front {

using base::kGrain;
using base::kMaxCached;

inline constexpr size_t kLinearEnd = 512;
inline constexpr size_t kStepsPerDoubling = 8;

/// The distance between classes just above `size`.
constexpr size_t step_above(size_t size) {
  if (size < kLinearEnd) return kGrain;
  return (size_t{1} << base::log2_floor(size)) / kStepsPerDoubling;
}

consteval unsigned count_classes() {
  unsigned count = 0;
  for (size_t size = 0; size < kMaxCached; size += step_above(size)) ++count;
  return count;
}

inline constexpr unsigned kClasses = count_classes();

/// Sizes by cache id; id 0 is no class.
inline constexpr auto kClassSize = [] {
  std::array<uint16_t, kClasses + 1> sizes{};
  size_t size = 0;
  for (unsigned id = 1; id <= kClasses; ++id) {
    size += step_above(size);
    sizes[id] = static_cast<uint16_t>(size);
  }
  return sizes;
}();

/// Cache id by (size + 15) / 16.
inline constexpr auto kClassOf = [] {
  std::array<uint8_t, kMaxCached / kGrain + 1> ids{};
  unsigned id = 1;
  for (size_t grains = 0; grains < ids.size(); ++grains) {
    if (grains * kGrain > kClassSize[id]) ++id;
    ids[grains] = static_cast<uint8_t>(id);
  }
  return ids;
}();

/// What the table of classes is indexed by. size <= kMaxCached.
constexpr size_t grains_of(size_t size) {
  return (size + kGrain - 1) / kGrain;
}

/// The bytes of a block that is rounded to grains and to no class.
constexpr size_t whole_grains(size_t size) {
  return base::round_up(size == 0 ? 1 : size, kGrain);
}

/// The cache for a request of `size` <= kMaxCached bytes.
constexpr uint8_t class_of(size_t size) {
  if (size <= kLinearEnd) return size == 0 ? 1 : static_cast<uint8_t>(grains_of(size));
  constexpr unsigned kLinear = kLinearEnd / kGrain, kFirst = base::log2_floor(kLinearEnd);
  unsigned doubling = base::log2_floor(size - 1);
  size_t step = (size - 1) >> (doubling - base::log2_floor(kStepsPerDoubling));
  return static_cast<uint8_t>(kLinear + (doubling - kFirst - 1) * kStepsPerDoubling + step + 1);
}

/// What every object of this size is aligned to.
constexpr size_t natural_alignment(size_t size) {
  size_t lowest = size & (~size + 1);
  return lowest < base::kFrameSize ? lowest : base::kFrameSize;
}

/// The cache for `size` bytes at a multiple of `align`, a power of two; 0 where none fits. A size
/// that is a multiple of `align` is a class itself, or its class is a multiple of a larger power.
constexpr uint8_t class_of_aligned(size_t size, size_t align) {
  if (align > base::kFrameSize || size > kMaxCached) return 0;
  size_t rounded = base::round_up(size == 0 ? 1 : size, align);
  return rounded > kMaxCached ? 0 : class_of(rounded);
}

inline constexpr auto kLayouts = [] {
  std::array<slab::SlabLayout, kClasses + 1> layouts{};
  for (unsigned id = 1; id <= kClasses; ++id)
    layouts[id] = slab::layout_for(kClassSize[id], natural_alignment(kClassSize[id]));
  return layouts;
}();

/// The caches' names: "malloc-16" and so on.
struct ClassName {
  char text[16];
};
inline constexpr auto kNameTexts = [] {
  std::array<ClassName, kClasses + 1> names{};
  for (unsigned id = 1; id <= kClasses; ++id) {
    char* at = names[id].text;
    for (char c : {'m', 'a', 'l', 'l', 'o', 'c', '-'}) *at++ = c;
    size_t divisor = 1;
    while (kClassSize[id] / divisor >= 10) divisor *= 10;
    for (; divisor > 0; divisor /= 10)
      *at++ = static_cast<char>('0' + kClassSize[id] / divisor % 10);
  }
  return names;
}();
constexpr const char* class_name(unsigned id) {
  return kNameTexts[id].text;
}

consteval bool every_size_fits_its_class() {
  for (size_t size = 1; size <= kMaxCached; size += kGrain - 1) {
    unsigned id = class_of(size);
    if (kClassSize[id] < size) return false;                 // too small
    if (id > 1 && kClassSize[id - 1] >= size) return false;  // a smaller one would do
    if (kClassOf[grains_of(size)] != id) return false;
  }
  return kClassSize[kClasses] == kMaxCached;
}

consteval bool every_multiple_has_an_aligned_class() {
  for (size_t align = kGrain; align <= base::kFrameSize; align *= 2)
    for (size_t size = align; size <= kMaxCached; size += align)
      if (natural_alignment(kClassSize[class_of(size)]) < align) return false;
  return true;
}

consteval bool every_layout_divides_and_aligns() {
  for (unsigned id = 1; id <= kClasses; ++id) {
    const slab::SlabLayout& layout = kLayouts[id];
    if (!slab::divides_exactly(layout)) return false;
    if (layout.colour_step % natural_alignment(layout.object_size) != 0) return false;
    size_t last = size_t{layout.colours - 1u} * layout.colour_step;
    if (last + size_t{layout.count} * layout.object_size > layout.bytes()) return false;
  }
  return true;
}

static_assert(every_size_fits_its_class());
static_assert(every_multiple_has_an_aligned_class());
static_assert(every_layout_divides_and_aligns());
static_assert(kClasses < base::kMaxClasses, "each class is a cache with an id");
static_assert(class_of(0) == 1 && class_of(16) == 1 && class_of(17) == 2);
static_assert(kClassSize[class_of_aligned(100, 64)] == 128);
static_assert(class_of_aligned(1, 4096) == class_of(4096) && class_of_aligned(1, 8192) == 0);

}  // namespace ashlar::front
