// page/buddy.h -- blocks of 2^n frames, split on demand and merged on return.
//
// Idea
//   A block and its *buddy* are the two halves of one parent; their frame numbers differ in bit n
//   alone, so the buddy is found by one XOR, and its record tells in one load whether it is free
//   and whole. A request takes a block of its order, or splits the smallest larger one; freeing
//   merges upward while the buddy is free. Nothing is searched.
//
//   A request that is no power of two takes the front of a block and gives the tail back, and a
//   range of any length returns as the few blocks it is made of: memory is never rounded up.
//   Such requests, below a huge page, follow on one another where what lies behind the last one is
//   free. Each in a block of its own, runs of nine frames would leave seven of sixteen behind.
//
//   Blocks that may hold memory stand in front of those that hold none in each list. So warm
//   memory is used first, and whoever looks for memory to purge stops at the first clean block.
//
// Invariants (audit() proves them in this order)
//   1. A block of order n starts at a frame number divisible by 2^n.
//   2. A frame is in list n  <=>  it is kFree, of order n, and first in its block.
//   3. Below kMaxOrder no two free blocks are buddies: they would have been merged.
//   4. A free block's count is the number of its dirty bits; dirty blocks come before clean ones.
//   5. A free block's last record tells its order, too, for who comes from behind.
//   6. free_frames() and dirty_frames() are the sums over all lists.
//
// Locking
//   None here. Callers hold their zone's lock (LockRank::kZone).
//
// Cost
//   take and give: at most kMaxOrder list steps each, no system call, no allocation.
//
// Source
//   K. C. Knowlton, A fast storage allocator, CACM 8(10), 1965. The tail given back: Linux,
//   alloc_pages_exact. Bound on fragmentation: J. M. Robson, JACM 21(3), 1974.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bit_map.h"
#include "base/config.h"
#include "base/units.h"
#include "page/frame.h"

namespace ashlar::page {

/// No frame.
inline constexpr uint32_t kNone = UINT32_MAX;

/// Counts of frames any of which will do, the best first.
struct Choices {
  static constexpr unsigned kMost = 8;
  base::Pages of[kMost];
  unsigned count = 0;
  void add(base::Pages pages) { of[count++] = pages; }
  Choices best() const { return {{of[0]}, 1}; }
};

class Buddy {
 public:
  /// None yet, all zero: it can be asked how much it has, which is nothing.
  constexpr Buddy() = default;
  /// A heap over the records at `frames`, empty until memory is given to it. In front of the first
  /// frame are so many more up to an address that has any alignment.
  Buddy(Frame* frames, base::BitMap dirty, size_t in_front = 0);

  /// Takes `pages` adjacent frames whose first number is divisible by align's pages. Marks them
  /// dirty and the first one `kind`. kNone where no free block is large enough.
  uint32_t take(base::Pages pages, base::Order align, FrameKind kind);

  /// As take, but only from a block that holds no memory; kNone where there is none.
  uint32_t take_clean(base::Pages pages, FrameKind kind);

  /// Takes the first of these counts for which there is a block that holds memory, in half of the
  /// frames that are wanted or more; kNone where there is none.
  uint32_t take_warm(const Choices& choices, FrameKind kind);

  /// Takes a frame that holds memory out of a block of up to two that do; kNone where none stands
  /// first in its list.
  uint32_t take_scrap(FrameKind kind);

  /// What a run of adjacent free blocks may consist of.
  enum class Run : uint8_t { kFree, kDirty };

  /// As take, for large counts: looks for adjacent free blocks, dirty ones first, that together
  /// hold `pages`, from an address that is a multiple of `unit` on, and takes the shortest run of
  /// those that hold most memory. So memory that came free is used again whatever its shape. kNone
  /// where the blocks it looks at, a bounded number, lead to none.
  uint32_t take_run(base::Pages pages, base::Pages unit, Run run, FrameKind kind);

  /// Takes frames from a multiple of `unit` on out of the free run at the very end of the address
  /// space given; kNone where that is not as long.
  uint32_t take_tail(base::Pages pages, base::Pages unit, FrameKind kind);
  /// How many frames at the very end are free.
  base::Pages free_tail() const { return base::Pages(end_ - run_start(end_, Run::kFree)); }

  /// Takes the frames [first, first + pages) if all of them are free, or nothing.
  bool try_take_range(uint32_t first, base::Pages pages);

  /// Gives back frames that were taken; all of them count as dirty.
  void give(uint32_t first, base::Pages pages) { give(first, pages, Content::kDirty); }
  /// The same for frames of which the dirty map says which ones may hold memory.
  void give_partly_dirty(uint32_t first, base::Pages pages) { give(first, pages, Content::kMixed); }

  /// Gives new address space, which holds no memory. It follows all that was given so far; what
  /// lies between is nobody's and stays so.
  void extend(uint32_t first, base::Pages pages);

  /// Removes the free frames at the very end of the address space given, from a multiple of `step`
  /// on; they are nobody's then. The first of them, or kNone where there are none.
  uint32_t retract(base::Pages step);
  /// Takes frames that were retracted back, for they could not be given up; all count as dirty.
  void unretract(uint32_t first, base::Pages pages);

  /// Removes a dirty free block, the oldest of the largest, and marks it kIsolated; kNone where
  /// there is none. It returns by put_back(). It has no more than `most` frames, unless that is
  /// less than the order `least` has: of a larger block the upper end goes, and the lower stays
  /// warm.
  uint32_t isolate(base::Order least, base::Pages most);
  void put_back(uint32_t first);

  /// Counts the free blocks of [first, first + pages), the place of a huge page of which a part is
  /// taken, as dirty: what brought that part has brought all of it.
  void soil(uint32_t first, base::Pages pages);

  size_t free_frames() const { return free_; }
  size_t dirty_frames() const { return dirty_; }
  /// Free blocks of an order, for buddyinfo. Costs a walk.
  size_t blocks(base::Order order) const;
  /// Why a block of this order could not be had: from 0, there is too little memory, to 1000, there
  /// is enough of it, in pieces. -1000 where it could. Linux's extfrag_index. Costs a walk.
  int fragmentation(base::Order order) const;

  /// The first frame from `frame` on whose address is a multiple of `unit`.
  uint32_t first_of(base::Pages unit, uint32_t frame) const {
    return static_cast<uint32_t>(base::round_up(frame + in_front_, unit.n) - in_front_);
  }

  void audit() const;

 private:
  /// What is known of a range's dirty bits without counting them.
  enum class Content : uint8_t { kClean, kDirty, kMixed };

  size_t dirty_in(uint32_t first, size_t count, Content content) const;
  void insert(uint32_t block, unsigned order, size_t dirty);
  void remove(uint32_t block);
  void give(uint32_t first, base::Pages pages, Content content);
  void give_block(uint32_t block, unsigned order, size_t dirty);
  Content content_of(uint32_t block) const;
  uint32_t take_front(uint32_t block, base::Pages pages, FrameKind kind);
  bool try_remove(uint32_t first, uint32_t end);
  uint32_t take_within(uint32_t start, uint32_t first, base::Pages pages, FrameKind kind);
  bool is_of(uint32_t block, Run kind) const {
    const Frame& frame = frames_[block];
    return frame.kind_now() == FrameKind::kFree && (kind == Run::kFree || frame.count != 0);
  }
  // The free block that ends in front of `end`, or `end` itself. Its last record tells its order;
  // what else may stand there the first record does not confirm.
  uint32_t block_before(uint32_t end, Run kind) const {
    if (end == 0) return end;
    unsigned order = frames_[end - 1].order;
    uint32_t size = uint32_t{1} << order;
    bool is_any = end % size == 0 && frames_[end - size].order == order && is_of(end - size, kind);
    return is_any ? end - size : end;
  }
  uint32_t run_start(uint32_t end, Run kind) const;
  uint32_t run_end(uint32_t first, uint32_t enough, Run kind) const;
  bool is_run_free(uint32_t first, uint32_t end) const;
  bool is_warm(uint32_t first, base::Pages pages) const;
  bool follows_on(base::Pages pages, bool are_others_dirty) const;
  template <class Visit>
  void for_blocks(unsigned least_order, unsigned most, Run run, Visit visit) const;

  Frame* frames_ = nullptr;
  size_t in_front_ = 0;
  uint32_t end_ = 0;   // records from here on are not there
  uint32_t next_ = 0;  // where the last count that is no power of two ended
  base::BitMap dirty_map_{};
  size_t free_ = 0;
  size_t dirty_ = 0;
  uint32_t nonempty_ = 0;  // bit n: list n has a block
  struct Ends {
    uint32_t first, last;
    uint32_t oldest;  // the last that is dirty
  };
  Ends lists_[base::kMaxOrder + 1]{};
};

}  // namespace ashlar::page
