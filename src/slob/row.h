// slob/row.h -- the first pages of a list, and how much room each has, side by side.
//
// Idea
//   A walk along a list of pages reads the record of each, a line of cache that the program has
//   displaced since, to find that the page has no such room. Here the rooms of the first pages
//   stand side by side in one line, a byte each, and one addition compares eight of them: only
//   pages that have room are then looked at. Short rooms are told to the grain, longer ones in
//   steps, and a page may have less than is told. Who inserts pages keeps them in order.
//
// Invariants (audit())
//   1. A place that holds no page has no room, and there are no more than kMost.
//
// Locking
//   None here: see slob/slob.h.
//
// Cost
//   To find: six instructions for eight pages. To insert and to remove: what stands behind moves.
//   bench/README.md: Calls that SLOB serves, weighed.
//
// Source
//   A comparison of all bytes of a word at once: L. Lamport, Multiple byte processing with
//   full-word instructions, CACM 18(8), 1975.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/attributes.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/config.h"
#include "base/grain_map.h"

namespace ashlar::slob {

class alignas(base::kCacheLine) Row {
 public:
  /// Has so many places.
  static constexpr unsigned kMost = 48;
  /// A page with a higher number cannot be in it.
  static constexpr uint32_t kLast = UINT16_MAX;

  unsigned count() const { return count_; }
  /// The number of the page at a place.
  uint32_t at(unsigned place) const { return numbers_[place]; }

  /// The first place from `from` on whose page may have a run of so many grains; kMost where there
  /// is none.
  unsigned find(unsigned from, unsigned grains) const {
    static_assert(std::endian::native == std::endian::little, "the first byte is the lowest");
    uint64_t least = (128 - uint64_t{told(grains)}) * kEach;
    uint64_t mask = kHigh << from % kWord * 8;
    for (unsigned at = from - from % kWord; at < count_; at += kWord, mask = kHigh) {
      uint64_t rooms;
      std::memcpy(&rooms, &rooms_[at], kWord);
      uint64_t found = (rooms + least) & mask;
      if (found != 0) return at + base::lowest_bit(found) / 8;
    }
    return kMost;
  }

  /// The place of a page that is there, by its number. `near` is where it was some time ago.
  unsigned find_page(unsigned near, uint32_t number) const {
    for (unsigned step = 0;; ++step) {
      ASHLAR_ASSERT(step < kMost);
      if (has(near + step, number)) return near + step;
      if (has(near - step, number)) return near - step;
    }
  }

  /// The first place whose page has a higher number, or count().
  unsigned place_for(uint32_t number) const {
    unsigned place = 0;
    while (place < count_ && numbers_[place] < number) ++place;
    return place;
  }

  /// Puts a page there; what stands there and behind moves back by one. There must be a place left.
  void insert(unsigned place, uint32_t number, unsigned grains) {
    ASHLAR_ASSERT(number <= kLast && count_ < kMost);
    unsigned behind = count_++ - place;
    uint16_t* number_at = numbers_.data() + place;
    uint8_t* room_at = rooms_.data() + place;
    std::memmove(number_at + 1, number_at, behind * sizeof *number_at);
    std::memmove(room_at + 1, room_at, behind);
    numbers_[place] = static_cast<uint16_t>(number);
    set_room(place, grains);
  }

  void remove(unsigned place) {
    unsigned behind = --count_ - place;
    uint16_t* number_at = numbers_.data() + place;
    uint8_t* room_at = rooms_.data() + place;
    std::memmove(number_at, number_at + 1, behind * sizeof *number_at);
    std::memmove(room_at, room_at + 1, behind);
    rooms_[count_] = 0;
  }

  /// Tells of the longest run of free grains that a page has.
  void set_room(unsigned place, unsigned grains) { rooms_[place] = told(grains); }

  /// Whether it tells of such a run.
  bool may_have(unsigned place, unsigned grains) const { return rooms_[place] >= told(grains); }

  void audit() const {
    ASHLAR_CHECK(count_ <= kMost);
    for (unsigned place = count_; place < kMost; ++place) ASHLAR_CHECK(rooms_[place] == 0);
  }

 private:
  static constexpr unsigned kWord = sizeof(uint64_t);
  static constexpr uint64_t kEach = 0x0101010101010101, kHigh = kEach << 7;

  // Many pages that are full of blocks of one length lack a grain for the next longer one: told in
  // steps, each would be looked at in vain. Long blocks are few.
  static constexpr unsigned kToTheGrain = 96, kStep = 6;
  static constexpr uint8_t told(unsigned grains) {
    unsigned beyond = grains - std::min(grains, kToTheGrain);
    return static_cast<uint8_t>(grains - beyond + beyond / kStep);
  }
  static_assert(base::kGrains <= kToTheGrain + kStep * (127 - kToTheGrain));
  bool has(unsigned place, uint32_t number) const {
    return place < count_ && numbers_[place] == number;
  }

  uint32_t count_ = 0;
  std::array<uint8_t, kMost> rooms_{};
  std::array<uint16_t, kMost> numbers_{};
  static_assert(sizeof count_ + sizeof rooms_ <= base::kCacheLine);
};

}  // namespace ashlar::slob
