// slob/slob_page.h -- one frame that blocks of all sizes share.
//
// Idea
//   base/grain_map.h tells which parts of the frame are taken. The block at the first grain may
//   have begun some frames in front of the page, of which this page, then, is the end.
//
// Invariants (audit())
//   1. Those of the map.
//   2. Where there are frames in front, a block begins at the first grain.
//
// Locking
//   None here. Callers hold the Slob's lock (LockRank::kSlob).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/grain_map.h"
#include "page/frame.h"

namespace ashlar::slob {

using base::kGrains;
using base::kNoGrain;

/// Which requests a page was begun for: those alike share pages, so that small blocks do not break
/// up the room of larger ones.
enum class Shelf : uint8_t { kSmall, kMedium, kLarge };
inline constexpr unsigned kShelves = 3;

constexpr Shelf shelf_for(size_t size) {
  if (size < 256) return Shelf::kSmall;
  if (size < 1024) return Shelf::kMedium;
  return Shelf::kLarge;
}
static_assert(shelf_for(255) == Shelf::kSmall && shelf_for(256) == Shelf::kMedium);
static_assert(shelf_for(1023) == Shelf::kMedium && shelf_for(1024) == Shelf::kLarge);

class SlobPage : public base::GrainMap {
 public:
  static constexpr uint8_t kNoPlace = 0xff;

  Shelf shelf;
  uint8_t in_front;  ///< so many whole frames in front are of the block at the first grain
  uint8_t age;       ///< of the Slob when it last took grains of this page
  uint8_t place;     ///< about where in the row of its shelf it is; kNoPlace where it is in none
  SlobPage* next;    ///< in the list of its shelf, by address
  SlobPage* prev;
  page::Frame* frame;

  /// Makes all grains free.
  void start(page::Frame& of) {
    frame = &of;
    in_front = 0;
    place = kNoPlace;
    clear();
  }

  /// The grains in front of the page that belong to the block at `grain`.
  unsigned in_front_of(unsigned grain) const { return grain == 0 ? in_front * kGrains : 0; }

  void audit() const {
    GrainMap::audit();
    ASHLAR_CHECK(in_front == 0 || is_taken(0));
  }
};
static_assert(sizeof(SlobPage) == 96, "2.3 % of a frame; a longer record needs a reason");
/// No record lies in more cache lines than it must.
inline constexpr size_t kSlobPageAlign = 32;

}  // namespace ashlar::slob
