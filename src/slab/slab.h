// slab/slab.h -- one slab: equal objects in one block of frames.
//
// Idea
//   The descriptor lies in metadata, not in the slab: a bit for each object that is free. So whole
//   frames of free objects may be purged, a stray write cannot reach the books, and an object that
//   is put back twice is found out. Objects are taken in the order of their addresses, which keeps
//   neighbours in time neighbours in memory.
//
// Invariants (audit())
//   1. free_count is the number of set bits, at most count.
//   2. No bit at or above count is set.
//
// Locking
//   None here. Callers hold the stock's lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "page/frame.h"
#include "slab/slab_layout.h"

namespace slab {

class SlabStock;

class Slab {
 public:
  Slab* next;  ///< in the list of its bucket
  Slab* prev;
  SlabStock* stock;
  page::Frame* frame;  ///< first of the block
  char* objects;       ///< the first object: start of the block and its colour
  uint32_t free_count;
  uint16_t count;
  uint8_t bucket;  ///< which list of the stock it is in
  uint8_t hint;    ///< no word of the bitmap before this one has a bit

  /// Makes all objects free.
  void start(const SlabLayout& layout, char* first_object);

  /// Takes up to `most` objects, lowest addresses first, into `out`. How many.
  unsigned take(const SlabLayout& layout, void** out, unsigned most);

  enum class Put : uint8_t { kDone, kWasFree, kNoObject };
  /// Puts one object back. Anything but kDone has changed nothing.
  Put put(const SlabLayout& layout, void* object);

  bool is_free(uint32_t index) const { return (bits_[index / 64] >> (index % 64) & 1) != 0; }
  bool is_empty() const { return free_count == count; }

  /// The start of the object that contains an address of this slab; null in front of the first
  /// and behind the last.
  char* object_around(const SlabLayout& layout, const void* address) const;

  /// Bytes of a descriptor for `count` objects.
  static constexpr size_t bytes_for(unsigned count) {
    return sizeof(Slab) + (count + 63) / 64 * sizeof(uint64_t);
  }

  void audit(const SlabLayout& layout) const;

 private:
  uint64_t bits_[];
};

}  // namespace slab
