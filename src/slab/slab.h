// slab/slab.h -- one slab: equal objects in one block of frames.
//
// Idea
//   The descriptor lies in metadata, not in the slab: a bit for each object that is free. So whole
//   pages of free objects may be purged, a stray write cannot reach the books, and an object that
//   is put back twice is found out. Objects are taken in the order of their addresses, which keeps
//   neighbours in time neighbours in memory.
//
//   A page of the system is *vacant* when every object that overlaps it is free. An object that is
//   put back is the last of its page now and then, which the bitmap tells by a comparison or two;
//   taking starts at the front, so all vacant pages between the first and the last object of a
//   batch are in use afterwards. Vacant pages that hold no memory are *hollow*. Where objects keep
//   their state while they are free, no page is vacant; a second bit then tells for each object
//   whether it has been *made*.
//
// Invariants (audit())
//   1. free_count is the number of set bits, at most count.
//   2. No bit at or above count is set.
//   3. vacant + hollow are the frames of all vacant pages.
//
// Locking
//   None here. Callers hold the stock's lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slab/slab_layout.h"

namespace ashlar::slab {

class SlabStock;

class Slab {
 public:
  Slab* next;  ///< in the list of its bucket
  Slab* prev;
  SlabStock* stock;
  char* objects;   ///< the first object, or its handle
  uint32_t first;  ///< number of the block's first frame
  uint16_t free_count;
  uint16_t count;
  uint16_t colour;       ///< bytes of the block in front of the first object, or its handle
  uint8_t bucket : 4;    ///< which list of the stock it is in
  uint8_t hint : 4;      ///< no word of the bitmap before this one has a bit
  uint8_t frames;        ///< of the block
  uint8_t vacant;        ///< frames of vacant pages that may hold memory
  uint8_t hollow;        ///< frames of vacant pages that hold none
  uint8_t node : 7;      ///< whose memory it is
  uint8_t is_fresh : 1;  ///< what is hollow has not been touched since the slab was carved
  uint8_t yard;          ///< which of the stock's

  /// Makes as many objects as `frame_count` frames hold, all free. The first one lies so many
  /// colours behind the start of the block, as far as it has room for them.
  void start(const SlabLayout& layout, char* block, unsigned frame_count, unsigned colours);

  /// Takes up to `most` objects, lowest addresses first, into `out`. How many. Whoever had vacant
  /// or hollow pages counts them anew afterwards.
  unsigned take(const SlabLayout& layout, void** out, unsigned most);

  enum class Put : uint8_t { kDone, kWasFree, kNoObject };
  /// Puts one object back; pages that it leaves vacant are counted, now or with `next`, an object
  /// of this slab that is put back right behind it. Anything but kDone has changed nothing.
  Put put(const SlabLayout& layout, void* object, const void* next = nullptr);

  bool is_free(uint32_t index) const { return (bits_[index / 64] >> (index % 64) & 1) != 0; }
  bool is_empty() const { return free_count == count; }
  size_t bytes() const { return size_t{frames} << base::kFrameShift; }

  /// Whether an object with a lead has been made, and that it has. Whoever holds the object asks;
  /// others may do so for its neighbours.
  bool is_made(const SlabLayout& layout, const void* handle);
  void note_made(const SlabLayout& layout, const void* handle);
  /// Calls visit(handle) for each object that has been made. Nobody holds any of them.
  template <class Visit>
  void for_each_made(const SlabLayout& layout, Visit visit) const {
    for (unsigned word = 0; word < words_for(count); ++word)
      for (uint64_t bits = bits_[words_for(count) + word]; bits != 0; bits &= bits - 1)
        visit(objects + size_t{word * 64 + base::lowest_bit(bits)} * layout.object_size);
  }

  /// Whether an address lies in the slab's block.
  bool spans(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - block()) < bytes();
  }
  /// The start of the object that contains an address of this slab; null in front of the first
  /// and behind the last.
  char* object_around(const SlabLayout& layout, const void* address) const;

  /// Adjacent pages of the system, whole and within the block.
  struct Pages {
    char* first = nullptr;
    uint32_t frames = 0;
    char* end() const { return first + (size_t{frames} << base::kFrameShift); }
  };
  /// The next vacant ones at `from` or behind; no frames where there are none.
  Pages next_vacant(const SlabLayout& layout, const char* from) const;
  /// Those from the one that `first` lies in to the one that `last` lies in.
  Pages pages_of(const void* first, const void* last) const;
  /// Whether no object in use overlaps the frame with this number in the block, and whether one
  /// begins in front of it and ends in it.
  bool is_frame_vacant(const SlabLayout& layout, unsigned number) const;
  bool is_frame_straddled(const SlabLayout& layout, unsigned number) const;
  /// Calls visit(object) for each object in use that begins in that frame.
  template <class Visit>
  void for_each_taken_in(const SlabLayout& layout, unsigned number, Visit visit) const {
    const char *from = block() + (size_t{number} << base::kFrameShift),
               *to = from + base::kFrameSize;
    size_t before = from <= objects ? 0 : static_cast<size_t>(from - objects);
    uint32_t index = layout.index_of(before + layout.object_size - 1);
    for (; index < count; ++index) {
      char* object = objects + size_t{index} * layout.object_size;
      if (object >= to) return;
      if (!is_free(index)) visit(object);
    }
  }
  /// Which frames lie from the first object in use to the last, of a slab that is not empty and has
  /// one word of bits.
  struct Span {
    unsigned first = 0, frames = 0;
  };
  Span span_in_use(const SlabLayout& layout) const;
  /// Only these are the slab from now on. Its vacant pages are to be counted anew.
  void shorten(const SlabLayout& layout, Span span);

  /// Frames of all vacant pages.
  unsigned count_vacant(const SlabLayout& layout) const;

  /// Bytes of a descriptor.
  static constexpr size_t bytes_for(const SlabLayout& layout) {
    return sizeof(Slab) + (layout.lead != 0 ? 2ul : 1) * words_for(layout.count) * sizeof(uint64_t);
  }

  void audit(const SlabLayout& layout) const;

 private:
  static constexpr unsigned words_for(unsigned count) { return (count + 63) / 64; }
  uint32_t index_of(const SlabLayout& layout, const void* handle) const {
    return layout.index_of(static_cast<size_t>(static_cast<const char*>(handle) - objects));
  }
  uint64_t& made_word(uint32_t index) { return bits_[words_for(count) + index / 64]; }
  char* block() const { return objects - colour; }
  bool are_free(uint32_t first_index, uint32_t last_index) const;
  bool may_vacate(const SlabLayout& layout, uint32_t index) const;
  bool is_vacant(const SlabLayout& layout, const char* page, size_t page_size) const;
  unsigned vacated_by(const SlabLayout& layout, const char* object) const;

  uint64_t bits_[];
};
static_assert(sizeof(Slab) == 48, "with its bitmap mostly one or two cache lines");

}  // namespace ashlar::slab
