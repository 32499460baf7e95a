// page/page_heap.h -- the page floor's public face: frames for tenants.
//
// Idea
//   Two zones. Slabs and blocks of moderate size share the first; giant blocks have the second, so
//   that neither breaks up the other's address space, whole ranges come free in both, and a giant
//   block that grows mostly finds what follows it free. While little is live the first serves all
//   but the largest, and where giants are many smaller blocks fill what they leave (is_for_giants).
//   The second zone is laid out when first needed, and shares the first one's peak: what giant
//   blocks leave goes as slabs grow. On a machine of several memory nodes each has such a pair
//   (page/nodes.h), and requests go to that of the node that they come from, and then to the
//   others'. When a zone is out of memory the answer is null; whoever can give something back does
//   so and asks again. Nothing here calls upward.
//
//   Further zones serve only requests that name them: one below 4 GiB, one that is locked in
//   memory, two of huge pages that were set apart.
//
//   While a fork is under way, a third zone *beside* the heap serves other threads (front/process).
//   The child, whose copy of it may be torn, abandons that zone: blocks in it can be used, but what
//   is freed there is lost, and its next fork has another.
//
// Invariants (audit())
//   1. Those of each zone.
//
// Locking
//   start_lock_ (LockRank::kZoneStart) while another zone, or the record of a node, is laid out;
//   else each zone's own.
#pragma once

#include <atomic>
#include <cstddef>

#include "base/units.h"
#include "page/budget.h"
#include "page/meta_arena.h"
#include "page/nodes.h"
#include "page/vacancy.h"
#include "page/zone.h"

namespace ashlar::page {

class PageHeap {
 public:
  constexpr PageHeap() = default;

  /// Lays out the first zone. False where there is no address space.
  bool start(const os::Vm& vm, const Retention& retention, const Manners& manners = {});

  /// From now on each of several nodes has zones of its own; what is there belongs to node 0.
  /// False, and nothing has changed, where that cannot be had. One thread calls it, once.
  bool set_nodes(const os::Topology& topology);
  const Nodes& nodes() const { return nodes_; }

  /// A block of frames and the zone it lies in.
  struct Block {
    Zone* zone = nullptr;
    Frame* frame = nullptr;
  };
  /// A kLarge block of `pages` frames aligned to align's bytes, from the zones of `node`, or else
  /// of the nodes next to it; frame is null when memory is out. `moved`: as for Zone::alloc.
  Block alloc_large(base::Pages pages, base::Order align, unsigned node = Nodes::kHere,
                    base::Pages moved = base::Pages(0));
  /// A kLarge block of memory that reads as zero, if there is any, from this node; frame is null
  /// where that has no memory.
  Block alloc_clean(base::Pages pages);
  /// Gives a kLarge block back.
  void free_large(Block block) {
    // Asked for before the lock, too, which in the child of a fork may be nobody's.
    if (!block.zone->is_abandoned()) block.zone->free_large(*block.frame);
  }

  /// A kLarge block of a zone that requests must name; frame is null when memory is out, or no such
  /// zone is to be had. Pinned zones there are for each node, of the others one for all.
  Block alloc_in(Manners::Where where, base::Pages pages, base::Order align,
                 unsigned node = Nodes::kHere, base::Pages moved = base::Pages(0));

  /// Readies the zone beside the heap. Without it alloc_beside finds nothing.
  void start_beside();
  /// As trim() and purge(0), for the zone beside. Not while a fork is under way: in the child the
  /// zone's lock may be another thread's for ever.
  void trim_beside() {
    if (Zone* zone = beside(); zone != nullptr && zone->wants_trim()) [[unlikely]]
      zone->trim();
  }
  size_t purge_beside() {
    Zone* zone = beside();
    return zone != nullptr ? zone->purge(0) : 0;
  }
  /// As alloc_large, from the zone beside.
  Block alloc_beside(base::Pages pages, base::Order align);
  /// Gives a block of the zone beside back, also while a fork is under way. False for all else.
  bool try_free_beside(const void* p);

  /// Calls visit(Zone&) for each zone that has been laid out, but for the one beside.
  template <class Visit>
  void for_each_zone(Visit visit) {
    visit(slabs_);
    if (!base::kHasCaches) return;
    if (has_giants()) visit(giants_);
    for (std::atomic<Zone*>& named : named_)
      if (Zone* zone = named.load(std::memory_order_acquire)) visit(*zone);
    nodes_.for_each_zone(visit);
  }

  /// The zone whose window an address lies in; null for memory that is not ours.
  Zone* zone_of(const void* p) { return slabs_.contains(p) ? &slabs_ : other_zone_of(p); }

  /// The zone that a record is of; null where it is none of ours.
  Zone* zone_with(const Frame* frame);

  /// Where slabs live: free()'s fast path looks here. Those of other nodes are parts of it: what it
  /// says of an address holds for them, too.
  Zone& slabs() { return slabs_; }
  /// The part of a node; the whole where that has no set.
  Zone& slabs(unsigned node) {
    Node* zones = node == 0 ? nullptr : nodes_.find(node);
    return zones == nullptr ? slabs_ : zones->slabs;
  }
  /// The same, made if need be; null where memory is out.
  Zone* slabs_for(unsigned node) {
    if (node == 0) return &slabs_;
    Node* zones = start_node(node);
    return zones == nullptr ? nullptr : &zones->slabs;
  }
  /// Calls visit(Zone&) for all of them.
  template <class Visit>
  void for_each_slab_zone(Visit visit) {
    visit(slabs_);
    for (unsigned node = 1; node < nodes_.count(); ++node)
      if (Node* zones = nodes_.find(node)) visit(zones->slabs);
  }
  /// Bytes that tenants hold there.
  size_t live_bytes() {
    size_t bytes = 0;
    for_each_slab_zone([&](Zone& zone) { bytes += zone.live_bytes(); });
    return bytes;
  }
  /// What all of them have, as Zone::frames.
  Frames slab_frames();
  Zone& giants() { return giants_; }
  MetaArena& meta() { return meta_; }
  /// The frames of slabs that are not in use.
  Vacancy& vacancy() { return vacancy_; }
  /// What all zones may hold; in the small library without the one beside.
  Budget& budget() { return budget_; }

  /// Returns to the kernel what the zones need not keep. Called with no lock held.
  void trim();
  bool wants_trim() const {
    bool wants = slabs_.wants_trim();
    if (!base::kHasCaches) return wants;
    bool has_others = nodes_.are_several() || has_named_.load(std::memory_order_relaxed);
    return wants || giants_.wants_trim() || (has_others && others_want_trim());
  }

  /// Gives address space back where it is free at a window's end. Whether there was any.
  bool retract();

  /// Returns to the kernel all free memory but `keep` frames in each zone. Frames returned.
  size_t purge(size_t keep) {
    size_t purged = 0;
    for_each_zone([&](Zone& zone) { purged += zone.purge(keep); });
    return purged;
  }
  /// Whether a thread is returning memory, and others that would are turned away.
  bool is_purging() {
    bool is_any = vacancy_.is_trimming();
    for_each_zone([&](const Zone& zone) { is_any |= zone.is_purging(); });
    return is_any;
  }
  void set_retention(const Retention& retention);
  const Retention& retention() const { return retention_; }

  /// Calls visit(Lock&) for every lock of this floor, in order.
  template <class Visit>
  void for_each_lock(Visit visit) {
    if (base::kHasCaches) visit(start_lock_);
    visit(slabs_.lock());
    if (base::kHasCaches) {
      visit(giants_.lock());
      for (std::atomic<Zone*>& named : named_)
        if (Zone* zone = named.load(std::memory_order_relaxed)) visit(zone->lock());
      nodes_.for_each_zone([&](Zone& zone) { visit(zone.lock()); });
      visit(vacancy_.lock());
    }
    visit(meta_.lock());
  }

  size_t table_bytes() {
    size_t bytes = 0;
    for_each_zone([&](Zone& zone) { bytes += zone.table_bytes(); });
    return bytes;
  }
  ASHLAR_INLINE void reset_in_child() {
    if (has_beside_.exchange(false)) besides_.load(std::memory_order_relaxed)->zone.abandon();
    budget_.forget_beside();
    slabs_.reset_in_child();
    if (!base::kHasCaches) return;
    for (std::atomic<Zone*>& named : named_)
      if (Zone* zone = named.load(std::memory_order_relaxed)) zone->reset_in_child();
    giants_.reset_in_child();
    nodes_.for_each_zone([](Zone& zone) { zone.reset_in_child(); });
    vacancy_.reset_in_child();
  }

  /// In the child of a fork, also of a process with one thread: pages that were set apart serve no
  /// request any more (page/zone.h).
  void abandon_hugetlb() {
    for (std::atomic<Zone*>& named : named_)
      if (Zone* zone = named.load(std::memory_order_acquire); zone != nullptr && zone->is_hugetlb())
        zone->abandon();
  }
  /// The same of what is pinned, which the child has, but unlocked.
  void note_unpinned() {
    if (!has_named_.load(std::memory_order_relaxed)) return;
    for_each_zone([](Zone& zone) {
      if (zone.is_pinned()) zone.note_unpinned();
    });
  }

  void audit();

 private:
  ASHLAR_COLD bool others_want_trim() const;
  Zone* other_zone_of(const void* p);
  Manners manners_for(unsigned node, const char* name) const;
  Node* start_node(unsigned node);
  Zone* start_giants(unsigned node);
  Zone* start_named(Manners::Where where, unsigned node);
  bool is_for_giants(base::Pages pages, unsigned node) const;
  Block alloc_near(base::Pages pages, base::Order align, unsigned node, base::Pages moved);
  // null where there is none; also for a moment in a child whose fork has interrupted the caller.
  Zone* beside() const {
    if (!has_beside_.load(std::memory_order_acquire)) return nullptr;
    return &besides_.load(std::memory_order_relaxed)->zone;
  }
  // Calls visit(zone) for the zone beside the heap and those of earlier generations.
  template <class Visit>
  void for_each_beside(Visit visit) {
    Beside* beside = besides_.load(std::memory_order_acquire);
    for (; beside != nullptr; beside = beside->next) visit(beside->zone);
  }
  bool has_giants() const { return has_giants_.load(std::memory_order_acquire); }

  Zone slabs_{};
  Vacancy vacancy_{};
  MetaArena meta_{};
  Budget budget_{};
  std::atomic<bool> has_beside_{false};
  os::Lock start_lock_{os::LockRank::kZoneStart};
  std::atomic<bool> has_giants_{false}, has_named_{false};
  const os::Vm* vm_ = nullptr;
  Manners manners_{};
  Retention retention_{};
  Zone giants_{};
  // Of each generation of forks by threads one, the newest first. Those behind it are abandoned.
  struct Beside {
    Zone zone;
    Beside* next;
  };
  std::atomic<Beside*> besides_{nullptr};
  static constexpr unsigned kNamed = 4;
  std::atomic<Zone*> named_[kNamed]{};                        // by Manners::Where: made when needed
  void* unstarted_ ASHLAR_GUARDED_BY(start_lock_) = nullptr;  // a record for the next of them
  Nodes nodes_{};
};

/// Zeroed metadata for a record of a tenant, `align` and a multiple of that long; null when memory
/// is out. Where the arena cannot grow, a frame of the zone serves it: free memory must never be
/// out of reach for want of a record that describes it.
void* alloc_record(Zone& zone, MetaArena& meta, size_t size, size_t align);

}  // namespace ashlar::page
