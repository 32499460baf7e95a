// cache/magazine.h -- a stack of ready objects that is one word.
//
// Idea
//   os/rseq.h says what a magazine's word is: the address of its top object and a biased height;
//   each object in it stores the address of the object below and its own height. So a whole
//   magazine changes hands as one word, without an object being touched, and a chain tells its own
//   end: address 0. Here is the arithmetic of such words, and the building and taking apart of
//   chains that nobody else can see.
//
// Invariants
//   1. The height of a magazine of capacity n runs from 0x8000 - n (empty) to 0x8000 (full).
//
// Source
//   J. Bonwick, J. Adams, Magazines and Vmem, USENIX 2001. There a magazine is an array.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "os/rseq.h"

namespace ashlar::cache {

/// No magazine holds more objects; as large as the batches that move between it and the stock.
inline constexpr unsigned kMaxMagazine = 128;

/// What a freed object holds: the link below it, and the key that tells a double free.
struct FreeObject {
  uint64_t link;
  uint64_t key;
};

inline constexpr uint64_t kFullHeight = 0x8000;
/// "No magazine": what an unused spare holds.
inline constexpr uint64_t kNoMagazine = 0;

constexpr uint64_t empty_word(unsigned capacity) {
  return kFullHeight - capacity;
}
/// Biased: see the invariant.
constexpr uint64_t height_of(uint64_t word) {
  return word & os::kHeightMask;
}
constexpr bool is_full(uint64_t word) {
  return height_of(word) >= kFullHeight;
}
inline FreeObject* top_of(uint64_t word) {
  return reinterpret_cast<FreeObject*>(word >> 16);
}
constexpr bool is_empty(uint64_t word) {
  return word >> 16 == 0;
}

/// The word that is left when the top object is removed.
inline uint64_t below(uint64_t word) {
  return top_of(word)->link;
}

/// How many objects more fit in.
constexpr size_t room_in(uint64_t word) {
  return is_full(word) ? 0 : static_cast<size_t>(kFullHeight - height_of(word));
}

/// The word after `object` has been put on top, which makes it so high. Marks the object as free.
inline uint64_t pushed(uint64_t word, void* object, uint64_t height) {
  FreeObject* free_object = static_cast<FreeObject*>(object);
  free_object->link = word;
  free_object->key = os::free_key();
  return reinterpret_cast<uint64_t>(object) << 16 | height;
}
inline uint64_t pushed(uint64_t word, void* object) {
  return pushed(word, object, height_of(word + 1));
}

/// A magazine of `capacity` with `count` objects in it, the first of them on top.
inline uint64_t chain(void* const* objects, unsigned count, unsigned capacity) {
  uint64_t word = empty_word(capacity);
  while (count > 0) word = pushed(word, objects[--count]);
  return word;
}

/// Objects taken out of a magazine, the top one first.
struct Batch {
  void* objects[kMaxMagazine];
  unsigned count = 0;
};

}  // namespace ashlar::cache
