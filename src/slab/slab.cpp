#include "slab/slab.h"

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"
#include "os/vm.h"

namespace ashlar::slab {
namespace {

char* page_down(const char* p) {
  return reinterpret_cast<char*>(base::round_down(reinterpret_cast<size_t>(p), os::page_size()));
}

char* page_up(const char* p) {
  return reinterpret_cast<char*>(base::round_up(reinterpret_cast<size_t>(p), os::page_size()));
}

Slab::Pages pages_between(char* first, const char* end) {
  if (end <= first) return {first, 0};
  return {first, static_cast<uint32_t>(static_cast<size_t>(end - first) >> base::kFrameShift)};
}

// Whether each frame that an object of so many bytes lies in is one of those of another such.
bool is_within_frames_of(const void* object, const void* other, size_t size) {
  auto first = reinterpret_cast<size_t>(object), of_other = reinterpret_cast<size_t>(other);
  return first >> base::kFrameShift >= of_other >> base::kFrameShift &&
         (first + size - 1) >> base::kFrameShift <= (of_other + size - 1) >> base::kFrameShift;
}

}  // namespace

void Slab::start(const SlabLayout& layout, char* block, unsigned frame_count, unsigned colours) {
  frames = static_cast<uint8_t>(frame_count);
  count = static_cast<uint16_t>(layout.count_in(frame_count));
  size_t slack = bytes() - size_t{count} * layout.object_size;
  size_t offset = colours % (slack / layout.colour_step + 1) * layout.colour_step;
  colour = static_cast<uint16_t>(offset + layout.lead);
  objects = block + colour;
  free_count = count;
  hint = 0;
  for (unsigned word = 0, left = count; left > 0; ++word) {
    unsigned here = left < 64 ? left : 64;
    bits_[word] = base::low_mask(here);
    if (layout.lead != 0) bits_[words_for(count) + word] = 0;
    left -= here;
  }
  vacant = static_cast<uint8_t>(count_vacant(layout));
  hollow = 0;
  is_fresh = false;
}

unsigned Slab::take(const SlabLayout& layout, void** out, unsigned most) {
  unsigned taken = 0;
  unsigned want = most < free_count ? most : free_count;
  for (unsigned word = hint; taken < want; ++word) {
    uint64_t bits = bits_[word];
    hint = word & 15;
    while (bits != 0 && taken < want) {
      uint32_t index = word * 64 + base::lowest_bit(bits);
      bits &= bits - 1;
      out[taken++] = objects + size_t{index} * layout.object_size;
    }
    bits_[word] = bits;
  }
  free_count = static_cast<uint16_t>(free_count - taken);
  return taken;
}

char* Slab::object_around(const SlabLayout& layout, const void* address) const {
  const char* p = static_cast<const char*>(address);
  if (p < objects) return nullptr;
  uint32_t index = layout.index_of(static_cast<size_t>(p - objects));
  if (index >= count) return nullptr;
  return objects + size_t{index} * layout.object_size;
}

Slab::Put Slab::put(const SlabLayout& layout, void* object, const void* next) {
  if (object_around(layout, object) != object) return Put::kNoObject;
  const char* p = static_cast<const char*>(object);
  uint32_t index = layout.index_of(static_cast<size_t>(p - objects));
  if (is_free(index)) return Put::kWasFree;
  bits_[index / 64] |= uint64_t{1} << (index % 64);
  if (index / 64 < hint) hint = index / 64 & 15;
  ++free_count;
  if (next != nullptr && is_within_frames_of(object, next, layout.object_size)) return Put::kDone;
  if (may_vacate(layout, index)) vacant = static_cast<uint8_t>(vacant + vacated_by(layout, p));
  return Put::kDone;
}

bool Slab::is_made(const SlabLayout& layout, const void* handle) {
  uint32_t index = index_of(layout, handle);
  return (__atomic_load_n(&made_word(index), __ATOMIC_RELAXED) >> (index % 64) & 1) != 0;
}

void Slab::note_made(const SlabLayout& layout, const void* handle) {
  uint32_t index = index_of(layout, handle);
  __atomic_fetch_or(&made_word(index), uint64_t{1} << (index % 64), __ATOMIC_RELAXED);
}

bool Slab::are_free(uint32_t first_index, uint32_t last_index) const {
  uint32_t last_word = last_index / 64;
  uint64_t mask = ~uint64_t{0} << (first_index % 64);
  for (uint32_t word = first_index / 64; word < last_word; ++word, mask = ~uint64_t{0})
    if ((bits_[word] & mask) != mask) return false;
  mask &= base::low_mask(last_index % 64 + 1);
  return (bits_[last_word] & mask) == mask;
}

// False where so few objects around this one are free that none of its pages can be vacant. Looks
// at one word, since this is asked for each object that comes back.
bool Slab::may_vacate(const SlabLayout& layout, uint32_t index) const {
  uint64_t bits = bits_[index / 64];
  unsigned bit = index % 64;
  unsigned before = static_cast<unsigned>(std::countl_one(bits << (63 - bit)));
  unsigned behind = static_cast<unsigned>(std::countr_one(bits >> bit));
  bool goes_on = before > bit || bit + behind == 64 || index + behind == count;
  return goes_on || before + behind > layout.in_frame;
}

// Pages that no object overlaps, in front of the first or behind the last, are not: who would say
// when they are in use?
bool Slab::is_vacant(const SlabLayout& layout, const char* page, size_t page_size) const {
  const char* end = page + page_size;
  if (end <= objects) return false;
  uint32_t first_index = page <= objects ? 0 : layout.index_of(static_cast<size_t>(page - objects));
  if (first_index >= count) return false;
  uint32_t last_index = layout.index_of(static_cast<size_t>(end - objects - 1));
  return are_free(first_index, std::min<uint32_t>(last_index, count - 1u));
}

bool Slab::is_frame_vacant(const SlabLayout& layout, unsigned number) const {
  const char* frame = block() + (size_t{number} << base::kFrameShift);
  bool is_beside =
      frame + base::kFrameSize <= objects || frame >= objects + size_t{count} * layout.object_size;
  return is_beside || is_vacant(layout, frame, base::kFrameSize);
}

bool Slab::is_frame_straddled(const SlabLayout& layout, unsigned number) const {
  const char* frame = block() + (size_t{number} << base::kFrameShift);
  if (frame <= objects) return false;
  uint32_t index = layout.index_of(static_cast<size_t>(frame - objects));
  return index < count && objects + size_t{index} * layout.object_size != frame && !is_free(index);
}

Slab::Span Slab::span_in_use(const SlabLayout& layout) const {
  uint64_t used = ~bits_[0] & base::low_mask(count);
  size_t from = colour + size_t{base::lowest_bit(used)} * layout.object_size;
  size_t to = colour + (base::log2_floor(used) + size_t{1}) * layout.object_size;
  unsigned first = static_cast<unsigned>(from >> base::kFrameShift);
  size_t end = base::round_up(to, base::kFrameSize) >> base::kFrameShift;
  return {first, static_cast<unsigned>(end) - first};
}

void Slab::shorten(const SlabLayout& layout, Span span) {
  size_t skipped = size_t{span.first} << base::kFrameShift;
  size_t before = skipped <= colour ? 0 : skipped - colour;
  unsigned index = layout.index_of(before + layout.object_size - 1);
  objects += size_t{index} * layout.object_size;
  colour = static_cast<uint16_t>(colour + size_t{index} * layout.object_size - skipped);
  first += span.first;
  frames = static_cast<uint8_t>(span.frames);
  count = static_cast<uint16_t>((bytes() - colour) / layout.object_size);
  bits_[0] = bits_[0] >> index & base::low_mask(count);
  free_count = static_cast<uint16_t>(std::popcount(bits_[0]));
  hint = 0;
}

// Frames of the pages that are vacant since this object is free.
unsigned Slab::vacated_by(const SlabLayout& layout, const char* object) const {
  if (layout.lead != 0) return 0;
  size_t page_size = os::page_size();
  const char* end = block() + bytes();
  unsigned frames = 0;
  size_t start = base::round_down(reinterpret_cast<size_t>(object), page_size);
  for (auto* page = reinterpret_cast<const char*>(start); page < object + layout.object_size;
       page += page_size)
    if (page >= block() && page + page_size <= end && is_vacant(layout, page, page_size))
      frames += static_cast<unsigned>(page_size >> base::kFrameShift);
  return frames;
}

Slab::Pages Slab::next_vacant(const SlabLayout& layout, const char* from) const {
  size_t page_size = os::page_size();
  const char* end = block() + bytes();
  char* first = page_up(std::max<const char*>(from, block()));
  while (first + page_size <= end && !is_vacant(layout, first, page_size)) first += page_size;
  char* behind = first;
  while (behind + page_size <= end && is_vacant(layout, behind, page_size)) behind += page_size;
  return pages_between(first, behind);
}

Slab::Pages Slab::pages_of(const void* first, const void* last) const {
  char* from = page_down(static_cast<const char*>(first));
  const char* to = page_up(static_cast<const char*>(last) + 1);
  return pages_between(std::max(from, page_up(block())),
                       std::min<const char*>(to, page_down(block() + bytes())));
}

unsigned Slab::count_vacant(const SlabLayout& layout) const {
  unsigned frames = 0;
  if (layout.lead != 0) return 0;
  for (Pages run = next_vacant(layout, block()); run.frames > 0;
       run = next_vacant(layout, run.end()))
    frames += run.frames;
  return frames;
}

void Slab::audit(const SlabLayout& layout) const {
  ASHLAR_CHECK(colour - layout.lead + size_t{count} * layout.object_size <= bytes());
  unsigned set = 0;
  for (unsigned word = 0; word < words_for(count); ++word) {
    set += static_cast<unsigned>(std::popcount(bits_[word]));
    ASHLAR_CHECK(word >= hint || bits_[word] == 0);
  }
  ASHLAR_CHECK(set == free_count);
  if (count % 64 != 0) ASHLAR_CHECK((bits_[count / 64] & ~base::low_mask(count % 64)) == 0);
  ASHLAR_CHECK(count_vacant(layout) == unsigned{vacant} + hollow);
}

}  // namespace ashlar::slab
