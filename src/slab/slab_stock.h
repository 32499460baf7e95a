// slab/slab_stock.h -- all slabs of one object cache.
//
// Idea
//   Slabs are full, partial or empty. Partial ones stand in lists by how much of them is free, and
//   objects are taken from the fullest first: so the emptier ones come free whole. Of those that
//   are about as full, slabs without a vacant page come first. One empty slab is kept against a
//   cache that breathes around a slab's edge; any further one is *retired*: its frames go back to
//   the page heap, its descriptor to the metadata arena.
//
//   One object that lives on keeps a slab, but not its memory: vacant pages are counted
//   (page/vacancy.h) and can be purged, those of many slabs in one batch. The slabs are isolated
//   meanwhile: nothing is taken from them, so purging needs no lock. Free objects in the stock hold
//   no links, so their content may be lost. Whoever takes objects from a slab with hollow pages
//   says so to the zone; others pay nothing. A new slab is hollow until it is used.
//
//   *Sparse* slabs may be dissolved (slab/remnants.h). Where an object in use lies in two frames,
//   those in front of the first one in use and behind the last go back instead.
//
//   Where there are several memory nodes (page/nodes.h) each has a *yard* of such lists. Objects
//   are taken from the slabs of the node that the caller runs on; if it has none with room, a new
//   one is carved there, and only if that cannot be had, the slabs of other nodes serve, the
//   nearest first. An object that is put back goes into its own slab, whoever brings it: so what
//   another node has freed is home again with the batch that it came in.
//
//   On one node, yards belong to seats (CPUs, or threads that have magazines of their own), where
//   objects are of sizes that share cache lines: else the objects of two threads would come to lie
//   in one line, and each would wait for the other. A seat whose yard has no room takes over
//   another's slab of which half or more is free before one is carved, but not the one that the
//   other takes from. So what yards hold free beyond what one would is less than what is in use,
//   and a slab for each. When nodes are found later, slabs leave their seats' yards for their
//   nodes'.
//
//   Work is done in batches, one lock for many objects; a slab is filed once for those of it that
//   come back in a row. They leave with a link written into each: where several pages in a row come
//   into use by it, they are fetched in one call. Of objects larger than a frame only the first
//   page has a link, so theirs are not.
//
//   Slabs are not advised to be in huge pages. Where the system makes some of its own accord (THP
//   set to "always"), a purged page leaves the resident set, but the kernel may have it back only
//   when it splits the huge page.
//
//   Where objects that keep their state have to be ended one by one, empty slabs are not retired
//   here: whoever can end objects takes them, one by one, and says when it is done.
//
// Invariants (audit())
//   1. Each slab begins where its first frame does, and stands in the list of its bucket in its
//      yard, full ones in none; slabs() counts them all.
//   2. live() is the number of objects taken and not put back.
//   3. At most one slab of a yard is empty that is not isolated, but where empty slabs are kept;
//      empties() counts them.
//   4. A slab's hollow frames are those that hold no memory by the zone's dirty map; a full one has
//      none. The stock's counts of vacant and hollow frames are the sums over all slabs.
//
// Locking
//   lock_ (LockRank::kStock); the page heap is called with it held (carve, retire, take). Pages are
//   purged and fetched without it: those of isolated slabs, and of objects that have been taken.
//   One thread at a time calls purge(): whoever began to trim the vacancy.
//
// Source
//   J. Bonwick, The Slab Allocator, USENIX Summer 1994. Fullest first: Linux mm/slab.c.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/list.h"
#include "os/lock.h"
#include "page/page_heap.h"
#include "slab/remnants.h"
#include "slab/slab.h"

namespace ashlar::slab {

struct StockStats {
  size_t slabs = 0, carved = 0, retired = 0;
  size_t held = 0, live = 0;      ///< objects in all slabs; those of them that have been taken
  size_t frames = 0;              ///< of all slabs
  size_t vacant = 0, hollow = 0;  ///< frames not in use: with memory, and without
};

/// What becomes of empty slabs.
enum class Empties : uint8_t { kRetire, kKeep };

class SlabStock {
 public:
  constexpr SlabStock() = default;
  void start(page::PageHeap& heap, const SlabLayout& layout, uint8_t cache_id, const char* name,
             Empties empties = Empties::kRetire);

  /// The yard that serves a caller who runs here: the memory node's, else the one of its seat,
  /// below kYards, where that is of use.
  unsigned yard_here(unsigned of_seat) const;
  static constexpr unsigned kYards = os::Topology::kMaxNodes;
  /// Whether yards but the first have ever been used.
  bool has_yards() const { return has_yards_.load(std::memory_order_relaxed); }

  /// Takes up to `most` objects into `out`, of this yard if that can be; fewer where memory is out.
  /// How many. Without growth no slab is carved, but on several memory nodes.
  enum class Growth : uint8_t { kAllowed, kNot };
  unsigned refill(void** out, unsigned most, unsigned yard = 0, Growth growth = Growth::kAllowed)
      ASHLAR_EXCLUDES(lock_);

  /// Puts objects of this stock back. An object that is free already, or that is none, is misuse.
  /// Those whose slabs have been dissolved are moved to the front: how many.
  unsigned flush(void** objects, unsigned count) ASHLAR_EXCLUDES(lock_);

  /// Dissolves slabs of which little is in use, until `most` frames of them are free or remnants,
  /// or there are no more. How many frames.
  size_t dissolve(Remnants& remnants, size_t most) ASHLAR_EXCLUDES(lock_);
  /// Frames of such slabs that hold memory, about. Read without the lock.
  size_t sparse() const { return told_sparse_.load(std::memory_order_relaxed); }

  /// Retires the empty slab that is kept: `now`, or if it has been kept and not used since the last
  /// time.
  void reap(bool now) ASHLAR_EXCLUDES(lock_);

  /// An empty slab that is kept, out of everybody's sight; null where no more than `spared` are
  /// left. When its objects have been ended, it goes back to retire_taken().
  Slab* take_empty(size_t spared) ASHLAR_EXCLUDES(lock_);
  void retire_taken(Slab& slab) ASHLAR_EXCLUDES(lock_);
  size_t empties() ASHLAR_EXCLUDES(lock_) {
    os::Locked held(lock_);
    return empties_;
  }

  /// How much of a slab is free: a quarter's worth each, and the empty one.
  static constexpr unsigned kShares = 5;
  struct Purged {
    size_t frames = 0;        ///< that are not vacant any more
    bool is_refused = false;  ///< the kernel would not
  };
  /// Purges vacant pages of slabs of which such a share is free (or retires the empty one), until
  /// `most` frames are gone or there are no more. No lock is held.
  Purged purge(unsigned share, size_t most) ASHLAR_EXCLUDES(lock_);

  /// Whether this object is in a slab, not with a caller or a magazine.
  bool holds(const void* object) ASHLAR_EXCLUDES(lock_);

  /// The object of this stock, or its handle, that contains an address; null where none does.
  struct Around {
    bool is_in_slab = false;  ///< else its slab has been dissolved
    char* object = nullptr;
  };
  Around object_around(const void* address) ASHLAR_EXCLUDES(lock_);

  const SlabLayout& layout() const { return *layout_; }
  uint8_t cache_id() const { return cache_id_; }
  const char* name() const { return name_; }
  page::PageHeap& heap() { return *heap_; }
  StockStats stats() ASHLAR_EXCLUDES(lock_);
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  // Bucket 2n holds slabs of which the n-th quarter is free, from the fullest, without a vacant
  // page that holds memory; 2n + 1 those with one; kEmptyBucket the empty slab; kIsolated those
  // that are just being purged, or whose objects are being ended. Full slabs are in no list.
  static constexpr uint8_t kQuarters = kShares - 1;
  static constexpr uint8_t kHalfFree = kQuarters;  // from this bucket on
  static constexpr uint8_t kEmptyBucket = 2 * kQuarters;
  static constexpr uint8_t kIsolated = kEmptyBucket + 1;
  static constexpr uint8_t kNoBucket = 15;
  // What is purged at once. One slab's vacant pages alternate with others at most.
  struct Batch {
    static constexpr unsigned kMostOfOne = kMaxFrames / 2;
    static constexpr unsigned kRoom = 2 * kMostOfOne;
    os::Range ranges[kRoom];
    unsigned count = 0;
    size_t frames = 0;
    bool has_room() const { return count + kMostOfOne <= kRoom; }
  };

  // Pages without memory that a batch of objects begins to use, as far as they are several in a
  // row. A batch is of few slabs mostly; what finds no room here is fetched page by page.
  struct Unfetched {
    static constexpr unsigned kRoom = 8;
    os::Range ranges[kRoom];
    unsigned count = 0;
    void add(const Slab::Pages& pages) {
      if (count < kRoom) ranges[count++] = {pages.first, base::Pages(pages.frames).bytes()};
    }
  };

  uint8_t bucket_for(const Slab& slab) const;
  void file(Slab& slab) ASHLAR_REQUIRES(lock_);
  void move_to(Slab& slab, uint8_t bucket) ASHLAR_REQUIRES(lock_);
  struct Yard;
  Yard* yard_at(unsigned number) ASHLAR_REQUIRES(lock_);
  Yard& yard_of(const Slab& slab) ASHLAR_REQUIRES(lock_);
  // Calls visit(yard, number) for those that are there.
  template <class Visit>
  void for_each_yard(Visit visit) ASHLAR_REQUIRES(lock_) {
    visit(first_, 0u);
    if (further_ == nullptr) return;
    for (unsigned number = 1; number < kYards; ++number)
      if (Yard* yard = (*further_)[number]) visit(*yard, number);
  }
  Slab* find(unsigned number, unsigned has_objects, Growth growth) ASHLAR_REQUIRES(lock_);
  Slab* find_near(unsigned here, unsigned has_objects) ASHLAR_REQUIRES(lock_);
  Slab* pick(const Yard& yard) ASHLAR_REQUIRES(lock_);
  Slab* pick_any() ASHLAR_REQUIRES(lock_);
  Slab* take_over(unsigned number) ASHLAR_REQUIRES(lock_);
  void send_home(Slab& slab) ASHLAR_REQUIRES(lock_);
  void send_all_home() ASHLAR_REQUIRES(lock_);
  Slab* pick_whole() ASHLAR_REQUIRES(lock_);
  page::Frame* alloc_frames(page::Zone& zone) const;
  Slab* carve(unsigned node, unsigned number) ASHLAR_REQUIRES(lock_);
  page::Zone& zone_of(const Slab& slab) const { return heap_->slabs(slab.node); }
  size_t descriptor_bytes() const { return Slab::bytes_for(*layout_); }
  void forget(const Slab& slab) ASHLAR_REQUIRES(lock_);
  void retire(Slab& slab) ASHLAR_REQUIRES(lock_);
  void drop(Slab& slab) ASHLAR_REQUIRES(lock_);
  Slab* slab_of(const void* address) ASHLAR_REQUIRES(lock_);
  unsigned gather(void** out, unsigned most, unsigned yard, Growth growth, Unfetched& pages)
      ASHLAR_EXCLUDES(lock_);
  unsigned put(void* const* objects, unsigned count) ASHLAR_REQUIRES(lock_);
  [[noreturn]] void tell_misuse(const Slab& slab, Slab::Put finding,
                                const char* object) ASHLAR_UNCHECKED;
  [[noreturn]] void tell_stray(const void* object, const char* finding) ASHLAR_UNCHECKED;
  void set_yard(Slab& slab, unsigned number) ASHLAR_REQUIRES(lock_);
  // Of slabs that may be dissolved those of which little is in use.
  bool is_sparse(uint8_t bucket) const {
    return bucket / 2 == kQuarters - 1 && cache_id_ < base::kMaxClasses;
  }
  bool is_straddled(const Slab& slab) const ASHLAR_REQUIRES(lock_);
  size_t dissolve(Slab& slab, Remnants& remnants) ASHLAR_REQUIRES(lock_);
  void give_to(Remnants::Adoption& adoption, Slab& slab) ASHLAR_REQUIRES(lock_);
  void give_frames(page::Zone& zone, uint32_t first, uint32_t end) ASHLAR_REQUIRES(lock_);
  size_t shorten(Slab& slab) ASHLAR_REQUIRES(lock_);
  void recount(Slab& slab, unsigned hollow) ASHLAR_REQUIRES(lock_);
  void note_taken(Slab& slab, void* const* objects, unsigned count, Unfetched& pages)
      ASHLAR_REQUIRES(lock_);
  void isolate(Slab& slab, Batch& batch) ASHLAR_REQUIRES(lock_);
  void put_back(Slab& slab) ASHLAR_REQUIRES(lock_);
  void put_back_all() ASHLAR_REQUIRES(lock_);
  void purge_yard(Yard& yard, unsigned share, size_t most, Purged& purged) ASHLAR_REQUIRES(lock_);
  void file_or_retire(Slab& slab) ASHLAR_REQUIRES(lock_);
  unsigned hollow_in(const Slab& slab);
  void tell_vacancy() ASHLAR_REQUIRES(lock_);

  os::Lock lock_;
  uint8_t cache_id_ = 0;
  Empties empties_are_ = Empties::kRetire;
  uint16_t colour_ = 0;
  uint32_t slabs_ ASHLAR_GUARDED_BY(lock_) = 0;
  const SlabLayout* layout_ = nullptr;
  const char* name_ = nullptr;
  page::PageHeap* heap_ = nullptr;
  struct Yard {
    base::List<Slab> buckets[kIsolated + 1];
    const Slab* idle;     // the empty slab, not used since reap()
    const Slab* current;  // the one that objects were taken from last
  };
  Yard first_ ASHLAR_GUARDED_BY(lock_){};
  // The others, made when needed.
  std::atomic<bool> has_yards_{false};
  bool are_home_ ASHLAR_GUARDED_BY(lock_) = false;  // slabs, since the nodes are known
  using Yards = Yard* [kYards];
  Yards* further_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  uint32_t empties_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t live_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t held_ ASHLAR_GUARDED_BY(lock_) = 0;    // objects in all slabs
  size_t frames_ ASHLAR_GUARDED_BY(lock_) = 0;  // of all slabs
  size_t carved_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint32_t vacant_ ASHLAR_GUARDED_BY(lock_) = 0, hollow_ ASHLAR_GUARDED_BY(lock_) = 0;  // frames
  uint32_t told_ ASHLAR_GUARDED_BY(lock_) = 0;    // of vacant_, to the vacancy
  uint32_t sparse_ ASHLAR_GUARDED_BY(lock_) = 0;  // frames of slabs of which little is in use
  std::atomic<uint32_t> told_sparse_{0};          // frames of them, to the vacancy
};

}  // namespace ashlar::slab
