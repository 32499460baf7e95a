// slob/slob_page.h -- one frame cut into blocks of any length.
//
// Idea
//   Two bits a grain, in metadata and not in the frame: whether it is taken, and whether a block
//   begins there. A block ends where the next one begins or a free grain stands. So blocks have no
//   header, nothing in the frame can be overwritten that the books depend on, and an address that
//   is no block's, or a free one's, is found out by looking at a bit. 64 bytes of bits a frame are
//   1.6 %; the headers they replace took eight bytes of each block.
//
//   A request takes the lowest run of free grains that is long enough (first fit). A bound on the
//   longest run that may be left lets most pages that cannot serve it be passed over by one
//   compare.
//
//   The block at the first grain may have begun some frames in front of the page, of which this
//   page, then, is the end.
//
// Invariants (audit())
//   1. A block begins only at a grain that is taken; the first of a run of taken grains begins one.
//   2. free_grains is the number of grains that are not taken.
//   3. No run of free grains is longer than `longest`.
//   4. Where there are frames in front, a block begins at the first grain.
//
// Locking
//   None here. Callers hold the Slob's lock (LockRank::kSlob).
//
// Cost
//   At most four words of either map are looked at for each run of free grains in the page.
//
// Source
//   First fit: D. E. Knuth, The Art of Computer Programming, vol. 1, 2.5. A map of what is taken
//   and one of where blocks begin: Linux, mm/percpu.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/config.h"
#include "page/frame.h"

namespace slob {

/// A page has so many grains.
inline constexpr unsigned kGrains = base::kFrameSize / base::kGrain;

/// No grain.
inline constexpr unsigned kNoGrain = kGrains;

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

class SlobPage {
 public:
  SlobPage* next;  ///< in the list of its shelf, by address
  SlobPage* prev;
  page::Frame* frame;
  uint16_t free_grains;
  uint16_t longest;  ///< no run of free grains is longer
  Shelf shelf;
  uint8_t in_front;  ///< so many whole frames in front are of the block at the first grain
  uint8_t age;       ///< of the Slob when it last took grains of this page

  /// Makes all grains free.
  void start(page::Frame& of);

  /// Takes the lowest free run of `count` grains from a multiple of `align` grains on, a power of
  /// two. Its first grain, or kNoGrain.
  unsigned take(unsigned count, unsigned align);

  /// Gives back the block that begins at `grain`.
  void put(unsigned grain);

  /// Makes the block that begins at `grain` `count` grains long. False where what follows is taken.
  bool try_resize(unsigned grain, unsigned count);

  bool is_taken(unsigned grain) const { return (taken_[grain / 64] >> (grain % 64) & 1) != 0; }
  /// Whether a block begins there.
  bool begins(unsigned grain) const { return (begins_[grain / 64] >> (grain % 64) & 1) != 0; }
  /// The first grain of the block that `grain`, a taken one, belongs to.
  unsigned block_around(unsigned grain) const;
  /// The length of the block that begins at `grain`, without the frames in front.
  unsigned length_at(unsigned grain) const { return end_of(grain) - grain; }
  /// The grains in front of the page that belong to the block at `grain`.
  unsigned in_front_of(unsigned grain) const { return grain == 0 ? in_front * kGrains : 0; }

  bool is_empty() const { return free_grains == kGrains; }

  void audit() const;

 private:
  static constexpr unsigned kWords = kGrains / 64;

  unsigned next_taken(unsigned from) const;
  unsigned next_free(unsigned from) const;
  unsigned end_of(unsigned grain) const;
  unsigned run_start(unsigned grain) const;
  void mark(unsigned first, unsigned count);
  void unmark(unsigned first, unsigned count);

  uint64_t taken_[kWords];
  uint64_t begins_[kWords];
};
static_assert(sizeof(SlobPage) == 96, "2.3 % of a frame; a longer record needs a reason");

}  // namespace slob
