// slob/slob.h -- Simple List Of Blocks: for heaps too small to afford a slab for each size.
//
// Idea
//   Where a heap holds a few blocks of each of many sizes, a slab a size is mostly empty. Here
//   blocks of all sizes below a frame share pages, sixteen bytes apart, first fit by address. Three
//   lists of pages that have room, by what they were begun for, keep small blocks from breaking up
//   the room of larger ones. When no page of a list has room for a request, one of another list
//   may; only then the page heap gives a frame. A page that is empty goes back to it, but for one,
//   kept against a program that breathes around a page's edge. Pages stand in their list by
//   address, as far as kLooks of them tell; of the process's own heap the first of each list stand
//   in a *row* (slob/row.h), where the room of all is seen at a glance.
//
//   A heap of many pages has a few more *ready*, which have a frame and hold nothing: where a page
//   more is wanted, or one less, the page heap's tables need not be written to. The child of a fork
//   shares those with its parent until it does. It shares the pages, too, so where it is told of
//   the fork it begins new ones, before it takes grains here and there of those that it has
//   inherited and gets a copy of each. Pages of its own stand in front of them in the lists.
//
//   Of each short length a few that came free are *kept* (slob/kept.h): they stay taken, and the
//   next requests of their length get them. Only where there is one thread, and who starts this
//   gives a place for them.
//
//   A block of more than a frame is *long*: whole frames, and behind them the first grains of a
//   page, whose rest is there for others. When it is freed the frames go back at once. The records
//   of its first frame and of that page both lead to the page. A request that would leave no such
//   rest, or is much larger than it, has no business here: it is a block of the page heap.
//
// Invariants (audit())
//   1. Each page with a free grain stands in the row or the list of its shelf, and a full one in
//      neither. A list has pages only when its row is full, when one has a number beyond a row, or
//      in a child whose own pages come first.
//   2. live() counts the grains that are taken, pages() the frames; those of long blocks, too.
//   3. At most one page that is shelved is empty. Those that are ready are not, nor in pages().
//   4. A block that is kept is taken, and of the length for which it is kept.
//   5. The first frame of a long block is kSlob and names the page where the block ends.
//   6. No page has a longer run of free grains than is told of it in a row, which is in order, or
//      of all in a list. In a child whose own pages come first rows are as they were inherited.
//
// Locking
//   lock_ (LockRank::kSlob); the page heap is called with it held. What is kept changes without it
//   while there is one thread, and under it from then on.
//
// Cost
//   A look at a row, or a walk along the pages of a list, most of them passed by after one compare:
//   tens of nanoseconds; none where a walk has found that no page has such room. Of a long list
//   only kLooks are looked at, from the front and from where the last such walk ended, and the one
//   begun last. A long block is looked for nowhere; its frames come from the page heap and go back
//   to it. bench/micro/slob.
//
// Source
//   Linux's SLOB (M. Mackall, 2005), which goes back to B. W. Kernighan, D. M. Ritchie, The C
//   Programming Language, 8.7. There blocks have headers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/list.h"
#include "os/lock.h"
#include "page/page_heap.h"
#include "slob/kept.h"
#include "slob/row.h"
#include "slob/slob_page.h"

namespace ashlar::slob {

/// The least request that is too large: what the rest of a frame would save is little there.
inline constexpr size_t kEnd = size_t{32} << 10;

/// How many bytes of its last frame a long block must leave for others; else it has all of it.
inline constexpr size_t kLeastRest = 1280;

/// Whether a request is SLOB's.
constexpr bool serves(size_t size) {
  if (size < base::kFrameSize) return true;
  size_t last = size % base::kFrameSize;
  return size < kEnd && last > 0 && last <= base::kFrameSize - kLeastRest;
}
static_assert(serves(0) && serves(base::kFrameSize - 1) && serves(base::kFrameSize + 1));
static_assert(!serves(base::kFrameSize) && !serves(kEnd + 1));

/// What a request takes of a page.
constexpr unsigned grains_for(size_t size) {
  return size == 0 ? 1 : static_cast<unsigned>((size + base::kGrain - 1) / base::kGrain);
}

/// How many pages of a list one walk looks at.
inline constexpr unsigned kLooks = 64;

/// How many pages there are for each one that is ready.
inline constexpr unsigned kPagesPerReady = 16;

/// How many pages of its own a child has before it takes grains of inherited ones.
inline constexpr unsigned kMostApart = 32;

struct SlobStats {
  size_t pages = 0, live_bytes = 0;
};

class Slob {
 public:
  constexpr Slob() = default;
  /// Takes frames from `zone`, and its records from `meta`. Has up to `most_ready` pages ready.
  /// Blocks are kept in `kept`, and the first pages of each shelf stand in `rows`, if any.
  void start(page::Zone& zone, page::MetaArena& meta, unsigned most_ready = 0, Kept* kept = nullptr,
             Row* rows = nullptr);

  /// At least `size` bytes, less than kEnd, at a multiple of `align` (a power of two up to a frame)
  /// and of a grain. null when memory is out. The bytes are whatever they were, but zero where the
  /// record of the frame in which the block begins says is_new.
  void* alloc(size_t size, size_t align) ASHLAR_EXCLUDES(lock_);

  /// The same, at a multiple of a grain, of pages that have room; null where none has.
  void* alloc_in_room(size_t size) ASHLAR_EXCLUDES(lock_);
  /// Free bytes of all pages, where the caller is the only thread.
  size_t room() const ASHLAR_UNCHECKED { return bytes() - live_ * base::kGrain; }

  /// Takes back a block of the page whose record `frame` is: how many bytes that were. What is no
  /// block, or free already, is misuse.
  size_t free(const page::Frame& frame, void* p) ASHLAR_EXCLUDES(lock_);

  /// The same where the caller is the only thread: keeps the block, unless it is long, one too
  /// many, or in a page of long or inherited ones.
  size_t free_alone(const page::Frame& frame, void* p, Keep keep) ASHLAR_UNCHECKED;
  /// A block that was kept, as alloc() would give it, where the caller is the only thread. null
  /// where none is of that length.
  void* take_kept(size_t size) ASHLAR_UNCHECKED {
    if (size > kMostKept * base::kGrain || apart_ > 0) return nullptr;
    uint32_t block = kept_->take(grains_for(size));
    return block == Kept::kNone ? nullptr : block_at(block);
  }
  /// Frees all that are kept.
  void drop_kept() ASHLAR_EXCLUDES(lock_);

  /// The bytes that the owner of a block may use.
  size_t usable_size(const page::Frame& frame, const void* p) ASHLAR_EXCLUDES(lock_);

  /// Makes a block `size` bytes long, less than kEnd, where it stands. False where what follows is
  /// taken, or where it would end in another frame. `had`: its usable size until then.
  bool try_resize(const page::Frame& frame, void* p, size_t size, size_t* had = nullptr)
      ASHLAR_EXCLUDES(lock_);

  /// In the child of a fork: what there is by now counts as inherited, unless much of it is free.
  void restart() ASHLAR_UNCHECKED;

  /// Gives the empty page back that is kept, and those that are ready. Whether there were any.
  bool reap() ASHLAR_EXCLUDES(lock_);

  SlobStats stats() ASHLAR_EXCLUDES(lock_);
  /// Bytes of all pages and long blocks. Read without the lock: a moment old.
  size_t bytes() const {
    return size_t{pages_.load(std::memory_order_relaxed)} << base::kFrameShift;
  }
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  // Where a block begins, and how many grains it has in that page.
  struct Place {
    SlobPage* page;
    unsigned grain;
    unsigned count;
  };
  Place place_of_any(const page::Frame& frame, const void* p) ASHLAR_REQUIRES(lock_);
  Place place_of(const page::Frame& frame, const void* p) ASHLAR_REQUIRES(lock_);
  [[noreturn]] void tell_misuse(const void* p, const void* start) ASHLAR_UNCHECKED;
  bool try_keep(const Place& place, void* p, Keep keep) ASHLAR_REQUIRES(lock_);
  size_t give(Place place) ASHLAR_REQUIRES(lock_);
  // Blocks that are kept are told by the grains of the zone in front of them, and one.
  size_t number_of(const void* p) const {
    auto offset = static_cast<size_t>(static_cast<const char*>(p) - zone_->address_of(0));
    return offset / base::kGrain + 1;
  }
  char* block_at(size_t number) const { return zone_->address_of(0) + (number - 1) * base::kGrain; }
  void* take(SlobPage& page, unsigned count, unsigned align) ASHLAR_REQUIRES(lock_);
  /// The pages of a shelf that are in no row, where the last walk beyond the first kLooks ended,
  /// and the page of the shelf that was begun last, if it has room.
  struct Pages {
    base::List<SlobPage> list{};
    SlobPage* cursor = nullptr;
    SlobPage* newest = nullptr;
    unsigned longest = 0;  // no longest() of a page in the list is more
  };
  void* take_from_list(Pages& pages, unsigned count, unsigned align) ASHLAR_REQUIRES(lock_);
  void* take_from_shelves(Shelf first, unsigned count, unsigned align) ASHLAR_REQUIRES(lock_);
  void* alloc_long(unsigned count) ASHLAR_REQUIRES(lock_);
  unsigned most_ready() const;
  SlobPage* new_page(unsigned in_front) ASHLAR_REQUIRES(lock_);
  SlobPage* take_ready() ASHLAR_REQUIRES(lock_);
  SlobPage* add_page(Shelf shelf, unsigned in_front) ASHLAR_REQUIRES(lock_);
  unsigned give_front(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void count_pages(size_t more) ASHLAR_REQUIRES(lock_) {
    pages_.store(pages_.load(std::memory_order_relaxed) + static_cast<uint32_t>(more),
                 std::memory_order_relaxed);
  }
  bool is_apart_from(const SlobPage& page) const ASHLAR_REQUIRES(lock_) {
    return base::kHasCaches && apart_ > 0 && page.age != age_;
  }
  void set_own(SlobPage& page) ASHLAR_REQUIRES(lock_) {
    if (base::kHasCaches) page.age = age_;
  }
  bool is_behind(const SlobPage& page, const SlobPage& other) const ASHLAR_REQUIRES(lock_);
  unsigned find_place(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void note_room(SlobPage& page) ASHLAR_REQUIRES(lock_);
  bool try_insert(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void remove_from_row(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void move_to_list(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void fill_row(Shelf on) ASHLAR_REQUIRES(lock_);
  void insert_in_list(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void remove_from_list(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void shelve(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void unshelve(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void note_free(SlobPage& page, bool was_full, unsigned longest) ASHLAR_REQUIRES(lock_);
  void retire(SlobPage& page) ASHLAR_REQUIRES(lock_);
  void give_back(SlobPage& page) ASHLAR_REQUIRES(lock_);
  Pages& shelf(Shelf shelf) ASHLAR_REQUIRES(lock_) {
    return shelves_[static_cast<unsigned>(shelf)];
  }
  Row& row_of(Shelf shelf) ASHLAR_REQUIRES(lock_) { return rows_[static_cast<unsigned>(shelf)]; }
  // The child of a fork does not while its own pages come first: it would have to write to them.
  bool uses_rows() const ASHLAR_REQUIRES(lock_) { return rows_ != nullptr && apart_ == 0; }
  void update_rows() ASHLAR_REQUIRES(lock_);
  uint32_t frame_number(const SlobPage& page) const { return zone_->number_of(*page.frame); }
  SlobPage& page_at(uint32_t number) const {
    return *static_cast<SlobPage*>(zone_->frame_at(number).tenant);
  }

  os::Lock lock_;
  page::Zone* zone_ = nullptr;
  page::MetaArena* meta_ = nullptr;
  Pages shelves_[kShelves] ASHLAR_GUARDED_BY(lock_){};
  base::List<SlobPage> unused_ ASHLAR_GUARDED_BY(lock_){};  // records of pages that went back
  base::List<SlobPage> ready_ ASHLAR_GUARDED_BY(lock_){};
  unsigned ready_count_ ASHLAR_GUARDED_BY(lock_) = 0;
  unsigned most_ready_ = 0;
  unsigned apart_ ASHLAR_GUARDED_BY(lock_) = 0;         // how many more of its own come first
  uint8_t age_ ASHLAR_GUARDED_BY(lock_) = 0;            // restarts
  bool are_rows_old_ ASHLAR_GUARDED_BY(lock_) = false;  // less may be told in them than there is
  SlobPage* empty_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  size_t live_ ASHLAR_GUARDED_BY(lock_) = 0;  // grains
  std::atomic<uint32_t> pages_{0};            // frames; written under the lock
  Kept* kept_ = nullptr;
  Row* rows_ = nullptr;  // one for each shelf
};

}  // namespace ashlar::slob
