// slab/remnants.h -- what is left of slabs that were dissolved serves objects of all sizes.
//
// Idea
//   A program's objects shift from one size to another, and of each size a few live on. Each keeps
//   the page that it lies in, and in a slab no other size may use the rest: after some such turns
//   most of the heap is pages with one object each. So where slabs of which little is in use make
//   up much of the heap, and another size is about to get a slab of its own, some of them are
//   *dissolved*: frames without an object in use go back to the zone, and each of the others
//   becomes a *remnant*, a page that objects of all sizes share, cut by grains (base/grain_map.h).
//   A batch of objects is taken from remnants before a slab is carved.
//
//   Objects keep their addresses, and magazines and depots take those of remnants like any others.
//   But the class map does not know them: free() has to look for their size, which the page's map
//   tells, without a lock: whoever changes a map makes its version odd meanwhile.
//
//   Pages stand in lists by the longest free run in them. What fits is looked for from the fullest
//   on, so that others come free. Where none has room, *scraps* become pages: frames that hold
//   memory, of free blocks of one or two such. An empty page is no remnant any more: its frame
//   goes back.
//
// Invariants (audit())
//   1. Each remnant stands in the list of its longest run, full ones in none.
//   2. free and pages are the sums over all.
//
// Locking
//   lock_ (LockRank::kRemnants), inside a stock's; the page heap is called with it held.
//
// Source
//   Blocks of all sizes in shared pages: Linux's SLOB (M. Mackall, 2005), as slob/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/grain_map.h"
#include "base/list.h"
#include "os/lock.h"
#include "page/page_heap.h"
#include "slab/slab_layout.h"

namespace ashlar::slab {

class Remnant : public base::GrainMap {
 public:
  static constexpr uint8_t kNoBucket = 255;
  uint8_t bucket;                 ///< which list it is in
  std::atomic<uint16_t> version;  ///< odd while the map changes
  void begin_change() {
    version.store(version.load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
  }
  void end_change() {
    auto next = static_cast<uint16_t>((version.load(std::memory_order_relaxed) | 1) + 1);
    version.store(next, std::memory_order_release);
  }
  Remnant* next;
  Remnant* prev;
  page::Frame* frame;
};
static_assert(sizeof(Remnant) == 96, "2.3 % of a frame; a longer record needs a reason");

struct RemnantStats {
  size_t pages = 0, live_bytes = 0;
};

class Remnants {
 public:
  constexpr Remnants() = default;
  void start(page::PageHeap& heap);

  /// Whether slabs of which little is in use and free grains are so much of the heap that they had
  /// best be used before there are more slabs. Never on several memory nodes.
  bool are_worth_it() const;
  /// More slabs shall be dissolved: nothing here fits what was asked for. take_wish() forgets it.
  bool has_wish() const { return wish_.load(std::memory_order_relaxed); }
  bool take_wish() { return has_wish() && wish_.exchange(false); }

  /// Takes up to `most` objects into `out`. How many.
  unsigned take(const SlabLayout& layout, void** out, unsigned most) ASHLAR_EXCLUDES(lock_);

  /// Takes back objects, in whose frames' records kRemnant stands. What is no object, or free
  /// already, is misuse.
  void put(void* const* objects, unsigned count) ASHLAR_EXCLUDES(lock_);

  /// The bytes that the owner of an object may use. What is no object is misuse.
  size_t usable_size(const void* object) ASHLAR_EXCLUDES(lock_);
  /// The same for the object that begins at an address of a remnant; 0 where none does.
  size_t size_at(const void* address) ASHLAR_EXCLUDES(lock_);
  /// The same without a lock, for an object that nobody frees meanwhile and of which the class map
  /// has told that it is in no slab; 0 also where the page is just changing again and again.
  size_t peek_size(const void* object) const;

  /// For SlabStock::dissolve: makes frames remnants, all of a slab's or none.
  class ASHLAR_SCOPED_CAPABILITY Adoption {
   public:
    explicit Adoption(Remnants& to) ASHLAR_ACQUIRES(to.lock_);
    ~Adoption() ASHLAR_RELEASES();
    /// Readies so many records. False where memory is out.
    bool make_room(unsigned pages);
    /// A frame becomes a remnant, in which nothing is taken yet; file() comes when that is done.
    /// Until then nobody looks into it without the lock.
    Remnant& adopt(page::Frame& frame);
    void file(Remnant& remnant);

   private:
    Remnants& to_;
  };

  RemnantStats stats() ASHLAR_EXCLUDES(lock_);
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  static constexpr unsigned kBuckets = 16;
  static constexpr unsigned kGrainsOfBucket = base::kGrains / kBuckets;
  static unsigned bucket_for(unsigned run) { return run / kGrainsOfBucket; }
  struct Place {
    Remnant* remnant;
    unsigned grain;
  };
  Place find(const void* address) const;
  Place place_of(const void* object) ASHLAR_REQUIRES(lock_);
  void put(const Place& place) ASHLAR_REQUIRES(lock_);
  unsigned take_from(Remnant& remnant, unsigned count, unsigned align, void** out, unsigned most)
      ASHLAR_REQUIRES(lock_);
  void refile(Remnant& remnant) ASHLAR_REQUIRES(lock_);
  bool make_room(unsigned pages) ASHLAR_REQUIRES(lock_);
  Remnant& adopt(page::Frame& frame) ASHLAR_REQUIRES(lock_);
  void file(Remnant& remnant) ASHLAR_REQUIRES(lock_);
  Remnant* add_scrap() ASHLAR_REQUIRES(lock_);
  void retire(Remnant& remnant) ASHLAR_REQUIRES(lock_);

  os::Lock lock_;
  page::PageHeap* heap_ = nullptr;
  base::List<Remnant> buckets_[kBuckets + 1] ASHLAR_GUARDED_BY(lock_){};
  // Records of pages that are none any more: as many as there ever were pages at a time.
  base::List<Remnant> unused_ ASHLAR_GUARDED_BY(lock_){};
  unsigned unused_count_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t pages_ ASHLAR_GUARDED_BY(lock_) = 0;
  std::atomic<size_t> free_{0};  // grains; written under the lock
  std::atomic<bool> wish_{false};
};

}  // namespace ashlar::slab
