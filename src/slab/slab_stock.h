// slab/slab_stock.h -- all slabs of one object cache.
//
// Idea
//   Slabs are full, partial or empty. Partial ones stand in lists by how much of them is free, and
//   objects are taken from the fullest first: so the emptier ones come free whole. One empty slab
//   is kept against a cache that breathes around a slab's edge; any further one is *retired*: its
//   frames go back to the page heap, its descriptor to the metadata arena.
//
//   Work is done in batches, one lock for many objects.
//
// Invariants (audit())
//   1. Each slab stands in the list of its bucket, full ones in none; slabs() counts them all.
//   2. live() is the number of objects taken and not put back.
//   3. At most one slab is empty.
//
// Locking
//   lock_ (LockRank::kStock); the page heap is called with it held (carve, retire).
//
// Source
//   J. Bonwick, The Slab Allocator, USENIX Summer 1994. Fullest first: Linux mm/slab.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/list.h"
#include "os/lock.h"
#include "page/page_heap.h"
#include "slab/slab.h"

namespace slab {

struct StockStats {
  size_t slabs = 0, carved = 0, retired = 0;
  size_t held = 0, live = 0;  ///< objects in all slabs; those of them that have been taken
};

class SlabStock {
 public:
  constexpr SlabStock() = default;
  void start(page::PageHeap& heap, const SlabLayout& layout, uint8_t cache_id, const char* name);

  /// Takes up to `most` objects into `out`; fewer where memory is out. How many.
  unsigned refill(void** out, unsigned most) ASHLAR_EXCLUDES(lock_);

  /// Puts objects of this stock back. An object that is free already, or that is none, is misuse.
  void flush(void* const* objects, unsigned count) ASHLAR_EXCLUDES(lock_);

  /// Retires the empty slab that is kept: `now`, or if it has been kept and not used since the last
  /// time.
  void reap(bool now) ASHLAR_EXCLUDES(lock_);

  /// Whether this object of a slab is in the stock, not with a caller or a magazine.
  bool holds(const Slab& slab, const void* object) ASHLAR_EXCLUDES(lock_);

  const SlabLayout& layout() const { return *layout_; }
  uint8_t cache_id() const { return cache_id_; }
  const char* name() const { return name_; }
  page::PageHeap& heap() { return *heap_; }
  StockStats stats() ASHLAR_EXCLUDES(lock_);
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  // Bucket 0 holds the fullest; kEmptyBucket the empty slab; full slabs are in no list.
  static constexpr uint8_t kPartialBuckets = 4;
  static constexpr uint8_t kEmptyBucket = kPartialBuckets;
  static constexpr uint8_t kNoBucket = 255;

  uint8_t bucket_for(const Slab& slab) const;
  void file(Slab& slab) ASHLAR_REQUIRES(lock_);
  Slab* pick() ASHLAR_REQUIRES(lock_);
  Slab* carve() ASHLAR_REQUIRES(lock_);
  size_t descriptor_bytes() const { return Slab::bytes_for(layout_->count); }
  void retire(Slab& slab) ASHLAR_REQUIRES(lock_);
  void put(void* object) ASHLAR_REQUIRES(lock_);

  os::Lock lock_;
  uint8_t cache_id_ = 0;
  uint16_t colour_ = 0;
  const SlabLayout* layout_ = nullptr;
  const char* name_ = nullptr;
  page::PageHeap* heap_ = nullptr;
  base::List<Slab> buckets_[kPartialBuckets + 1] ASHLAR_GUARDED_BY(lock_){};
  const Slab* idle_ ASHLAR_GUARDED_BY(lock_) = nullptr;  // the empty slab, not used since reap()
  uint32_t slabs_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t live_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t carved_ ASHLAR_GUARDED_BY(lock_) = 0;
};

}  // namespace slab
