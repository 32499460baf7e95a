// base/grain_map.h -- a page cut into blocks of any length: which of its grains are taken, and
// where blocks begin.
//
// Idea
//   Two bits a grain, in metadata and not in the page: whether it is taken, and whether a block
//   begins there. A block ends where the next one begins or a free grain stands. So blocks have no
//   header, nothing in the page can be overwritten that the books depend on, and an address that
//   is no block's, or a free one's, is found out by looking at a bit. 64 bytes of bits a page are
//   1.6 %; the headers they replace took eight bytes of each block.
//
//   A request takes the lowest run of free grains that is long enough (first fit). A bound on the
//   longest run that may be left lets most pages that cannot serve it be passed over by one
//   compare.
//
// Invariants (audit())
//   1. A block begins only at a grain that is taken; the first of a run of taken grains begins one.
//   2. free_grains is the number of grains that are not taken.
//   3. No run of free grains is longer than `longest`.
//
// Locking
//   None here: whoever owns the page has a lock for it. Only peek_length() does without.
//
// Cost
//   To take: a few operations on each of four words, however many runs of free grains there are. A
//   run of more than a word, or an aligned one, is looked for run by run; in the small library all.
//
// Source
//   First fit: D. E. Knuth, The Art of Computer Programming, vol. 1, 2.5. A map of what is taken
//   and one of where blocks begin: Linux, mm/percpu.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/config.h"

namespace ashlar::base {

/// A page has so many grains.
inline constexpr unsigned kGrains = kFrameSize / kGrain;

/// No grain.
inline constexpr unsigned kNoGrain = kGrains;

class GrainMap {
 public:
  /// Makes all grains free.
  void clear();

  /// Takes the lowest free run of `count` grains from a multiple of `align` grains on, a power of
  /// two. Its first grain, or kNoGrain.
  unsigned take(unsigned count, unsigned align);
  /// Makes `count` free grains from `grain` on a block.
  void place(unsigned grain, unsigned count);

  /// Gives back the block that begins at `grain`, and is `count` grains long.
  void put(unsigned grain, unsigned count);
  void put(unsigned grain) { put(grain, length_at(grain)); }

  /// Makes the block that begins at `grain` `count` grains long. False where what follows is taken.
  bool try_resize(unsigned grain, unsigned count);

  unsigned free_grains() const { return free_grains_; }
  /// No run of free grains is longer.
  unsigned longest() const { return longest_; }
  bool is_taken(unsigned grain) const { return (taken_[grain / 64] >> (grain % 64) & 1) != 0; }
  /// Whether a block begins there.
  bool begins(unsigned grain) const { return (begins_[grain / 64] >> (grain % 64) & 1) != 0; }
  /// The first grain of the block that `grain`, a taken one, belongs to.
  unsigned block_around(unsigned grain) const;
  /// The length of the block that begins at `grain`.
  unsigned length_at(unsigned grain) const {
    if (!kHasCaches) return end_of(grain) - grain;
    // Where blocks may end that begin here, of up to 64 grains: most are no longer. No branch tells
    // in which of two words that is, which would be guessed wrong often.
    unsigned word = grain / 64, shift = grain % 64, next = (word + 1) % kWords;
    uint64_t behind_last = ~uint64_t{0} * ((word + 1) / kWords);
    uint64_t high = begins_[next] | ~taken_[next] | behind_last;
    uint64_t ends = (begins_[word] | ~taken_[word]) >> shift >> 1 | high << (63 - shift);
    return ends != 0 ? lowest_bit(ends) + 1 : end_of(grain) - grain;
  }

  /// The same while others may change the map: as it never was, perhaps. 0 where no block begins.
  unsigned peek_length(unsigned grain) const;

  bool is_empty() const { return free_grains_ == kGrains; }

  void audit() const;

 private:
  static constexpr unsigned kWords = kGrains / 64;

  unsigned next_taken(unsigned from) const;
  unsigned next_free(unsigned from) const;
  unsigned end_of(unsigned grain) const;
  unsigned run_start(unsigned grain) const;
  unsigned find_short(unsigned count) const;
  void begin(unsigned grain, unsigned count);
  void mark(unsigned first, unsigned count);
  void unmark(unsigned first, unsigned count);

  uint64_t taken_[kWords];
  uint64_t begins_[kWords];
  uint16_t free_grains_;
  uint16_t longest_;
};

}  // namespace ashlar::base
