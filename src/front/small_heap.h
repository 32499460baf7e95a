// front/small_heap.h -- a heap of its own: SLOB and frames, within a limit, that ends as a whole.
//
// Idea
//   What a process starts with, as an object: a zone, SLOB for the blocks that it serves
//   (slob/slob.h: serves), whole frames for the others. It stands in memory of the caller's, of
//   which it then uses nothing else, or in address space of its own, which gets memory as it grows
//   and gives back what comes free. No block of it is known to malloc, and none of malloc's to it.
//   To end it nothing is looked up: its memory goes as a whole.
//
//   What it has of the system's memory counts in the bounds of the process. Before it refuses for
//   their sake it asks for room as malloc does: its own free memory goes back, then malloc's, then
//   the program's caches are asked. And where memory is to go back, by age or since it is short, a
//   list tells which such heaps there are. A buffer is no business of that.
//
//   Calls go through the gate, so that a fork finds no heap half changed. Beside the gate there is
//   nothing to be had of a heap: a request waits for the fork, as long as a Stay does. What is
//   freed meanwhile is noted, and heaps that end are marked, and somebody sees to them as soon as
//   the gate is open (upkeep.h: PutOff). For a heap in a buffer its own next call does that; should
//   there be another fork before, its child goes without what was noted. There the first call also
//   frees its locks, which no list tells.
//
// Invariants (audit())
//   1. Those of the zone and of SLOB.
//   2. Listed are those that have memory of the system's, from the end of create() to destroy().
//
// Locking
//   The zone's and SLOB's. The list's (LockRank::kHeaps) between two heaps that are visited, not
//   meanwhile. One thread visits at a time; whoever ends the heap where it is just then waits for
//   it to go on.
//
// Cost
//   That of slob/slob.h: for some tens of pages tens of nanoseconds, for thousands microseconds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "base/list.h"
#include "front/upkeep.h"
#include "os/lock.h"
#include "os/thread.h"
#include "page/page_heap.h"
#include "slob/slob.h"

namespace ashlar::front {

class SmallHeap {
 public:
  /// A heap of at most `limit` bytes, its own records not counted; null where memory is out.
  static SmallHeap* create(size_t limit);
  /// A heap within [memory, memory + size), records and all; null where that is too small. It
  /// touches nothing else, and the memory is the caller's again when it ends.
  static SmallHeap* create_in(void* memory, size_t size);
  /// Ends the heap with everything in it.
  void destroy();

  /// At least `size` bytes at a multiple of `align` (a power of two) and of a grain; null where the
  /// heap is exhausted.
  void* alloc(size_t size, size_t align);
  /// As alloc, zeroed.
  void* alloc_zeroed(size_t size);
  void free(void* p);
  /// p and size are not 0. null where there is no room; then the block is as it was.
  void* resize(void* p, size_t size);
  size_t usable_size(const void* p);

  /// Bytes of live blocks, as they were rounded.
  size_t live_bytes();
  void audit();

  /// Whether there is a heap in the list.
  static bool is_any() { return count_.load(std::memory_order_relaxed) > 0; }
  /// Of all in the list: what they need not keep goes back; all that can, and whether anything
  /// went. Called inside the gate with no lock held. One caller at a time does the work; others
  /// return at once.
  static void trim_all() ASHLAR_EXCLUDES(list_lock_);
  static bool give_back_all() ASHLAR_EXCLUDES(list_lock_);
  /// Whether another thread visits them, or returns memory of one that it uses.
  static bool are_others_returning() ASHLAR_EXCLUDES(list_lock_);
  /// In the child of a fork: what other threads had under way is nobody's any more.
  static void reset_in_child();

 private:
  friend class base::List<SmallHeap>;
  constexpr SmallHeap() = default;
  page::Frame& frame_of(const void* p);
  void* alloc_once(size_t size, size_t align);
  ASHLAR_INLINE void* try_alloc(size_t size, size_t align);
  void free_inside(void* p);
  void end();
  ASHLAR_INLINE void note(void* p);
  void free_noted();
  void forget_others();
  void find_process();
  bool make_room(base::Pages pages);
  void* refuse(size_t size);
  void keep_up();
  void answer();
  void* resize_in_place(void* p, size_t size);

  bool try_join_list() ASHLAR_EXCLUDES(list_lock_);
  bool try_leave_list() ASHLAR_EXCLUDES(list_lock_);
  bool try_remove() ASHLAR_REQUIRES(list_lock_);
  static bool try_end_marked() ASHLAR_EXCLUDES(list_lock_);
  static void want_visit();
  static void catch_up(PutOff& work) ASHLAR_EXCLUDES(list_lock_);

  template <class Visit>
  static bool visit_all(Visit visit) ASHLAR_EXCLUDES(list_lock_);

  // A process without such heaps looks at no more of them than their count.
  static std::atomic<uint32_t> count_;
  static std::atomic<const os::ThreadState*> visitor_;
  static os::Lock list_lock_;
  static base::List<SmallHeap> list_ ASHLAR_GUARDED_BY(list_lock_);
  static SmallHeap* visited_ ASHLAR_GUARDED_BY(list_lock_);
  static std::atomic<bool> wants_visit_;  // some have noted blocks, or have ended
  static PutOff visit_;

  page::Zone zone_{};
  page::MetaArena meta_{};
  slob::Slob slob_{};
  // Blocks that were freed while the gate was closed, each holding the address of the next. In the
  // child of that fork they may not be whole.
  std::atomic<void*> noted_{nullptr};
  std::atomic<uint64_t> process_{0};  // of a heap in a buffer: the one that it knows of
  std::atomic<bool> has_ended_{false};
  bool is_in_buffer_ = false;
  SmallHeap *next, *prev;  // in the list
};

}  // namespace ashlar::front
