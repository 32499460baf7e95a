// front/heap.h -- malloc: which tenant serves a request, and whose an address is.
//
// Idea
//   A request up to kMaxCached bytes pops its class's magazine; anything else, and every state in
//   which that does not succeed (not started, empty, no rseq, draining, forking, out of memory), is
//   the slow path's business. The fast path compares with *variables* of the fast line (os/rseq.h)
//   that are 0 until the heap is promoted, so that "not started" and "SLOB serves" need no question
//   of their own, and stay 0 where restartable sequences are not to be had.
//
//   A process starts with SLOB and no object cache; front/promotion.h tells when it gets which.
//   Blocks stay with the tenant that gave them. How the heap starts, finds the machine's nodes and
//   follows its options (start, find_nodes, apply, set_bounds, set_retention, configure) is in
//   upkeep.cpp.
//
//   free is the mirror image, with one step in front: the class map tells the cache in one byte
//   load. What the map does not know, free_slow decides by the kind of the frame.
//
// Locking
//   promotion_lock_ (LockRank::kPromotion) while object caches are readied, nodes looked for, or
//   options changed.
//   start() runs once, under a flag that later callers wait for.
//
// Cost
//   bench/micro/front; instructions are counted by tests/front/instruction_count.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "cache/magazine.h"
#include "front/options.h"
#include "front/promotion.h"
#include "front/size_class.h"
#include "large/large.h"
#include "os/rseq.h"
#include "os/thread.h"
#include "page/page_heap.h"
#include "slob/slob.h"

namespace ashlar::front {

class Heap {
 public:
  page::PageHeap& pages() { return pages_; }
  slob::Slob& slob() { return slob_; }
  const slob::Kept& kept() const { return kept_; }
  Promotion& promotion() { return promotion_; }
  const Options& options() const { return options_; }
  /// What a zone of this name says to the kernel, as the options are.
  page::Manners manners(const char* name) const;
  /// How long what nobody needs stays before it goes back.
  uint32_t interval_ms() const { return interval_ms_.load(std::memory_order_relaxed); }
  os::RseqMode mode() const { return mode_; }
  /// Lays out what SLOB needs. False where the kernel gives no address space.
  bool start();

  /// Sets options that may be changed while the process runs, from "key:value,...". False where a
  /// word of it is wrong, which the faults tell, or fixed by now; then nothing has changed.
  bool configure(const char* text, base::Text& faults) ASHLAR_EXCLUDES(promotion_lock_);

  /// Readies object caches and, where there are restartable sequences, the fast path. False where
  /// memory is out; then nothing has changed.
  bool promote() ASHLAR_EXCLUDES(promotion_lock_);
  /// In the child of a fork: SLOB serves again until the child, too, has outgrown it.
  void restart();
  /// Whether a fork lies behind us of which restart() was not told, there being no handlers: as far
  /// back as the first note_process().
  bool is_new_process() const;
  void note_process() {
    if (process_.load(std::memory_order_relaxed) == 0)
      process_.store(os::process_id(), std::memory_order_relaxed);
  }
  bool is_promoted() const {
    return base::kHasCaches && is_promoted_.load(std::memory_order_acquire);
  }

  /// Counts a call of the slow path. Whether it is one that shall look at the clock.
  bool count_call() {
    uint32_t calls = calls_.load(std::memory_order_relaxed);
    calls_.store(calls + 1, std::memory_order_relaxed);
    return is_look_due_at(calls);
  }
  /// The same for a call that never looks: false, and not counted, if it shall.
  bool try_count_call() {
    uint32_t calls = calls_.load(std::memory_order_relaxed);
    if (is_look_due_at(calls)) return false;
    calls_.store(calls + 1, std::memory_order_relaxed);
    return true;
  }
  /// How many there were, about, modulo 2^32.
  uint32_t calls() const { return calls_.load(std::memory_order_relaxed); }

  /// Whether a thread of our own gives memory back while the program sleeps.
  bool has_reaper() const { return options_.reaper == Options::kAuto; }

  /// Sets what the heap may hold, and what is kept of free memory: as the options of these names
  /// do.
  void set_bounds(page::Budget::Bounds bounds) ASHLAR_EXCLUDES(promotion_lock_);
  void set_retention(size_t percent, size_t least_bytes) ASHLAR_EXCLUDES(promotion_lock_);

  /// Has the heap learn which memory nodes there are, once.
  void find_nodes() ASHLAR_EXCLUDES(promotion_lock_);

  /// What the program's own caches shall free, in bytes, 0 mostly; it is the caller's to see to.
  size_t take_wish() {
    if (wish_.load(std::memory_order_relaxed) == 0) [[likely]]
      return 0;
    return wish_.exchange(0, std::memory_order_relaxed);
  }
  bool has_wish() const { return wish_.load(std::memory_order_relaxed) != 0; }
  void set_wish(size_t bytes) { wish_.store(bytes, std::memory_order_relaxed); }
  /// Whether the container's bound and the kernel's word of pressure count.
  bool follows_container() const { return follows_container_.load(std::memory_order_relaxed); }

  /// Calls visit(os::Lock&) for each lock that is neither the caches' nor the page heap's, in
  /// order.
  template <class Visit>
  void for_each_lock(Visit visit) {
    visit(promotion_lock_);
    visit(slob_.lock());
  }

 private:
  // Each so many calls of the slow path look at the clock. Where SLOB serves alone, most calls are
  // slow, and most processes end before there is anything to give back.
  static constexpr uint32_t kLookEvery = 8, kLookEveryBySlob = 256;
  static_assert(base::is_power_of_two(kLookEvery) && base::is_power_of_two(kLookEveryBySlob));
  bool is_look_due_at(uint32_t calls) const {
    uint32_t mask = (is_promoted() ? kLookEvery : kLookEveryBySlob) - 1;
    return (calls & mask) == mask;
  }

  void publish();
  void apply(const Options& options);

  slob::Slob slob_{};
  slob::Kept kept_{};
  Options options_ = base::kHasCaches ? Options{} : kNoOptions;
  os::RseqMode mode_ = os::RseqMode::kNone;
  std::atomic<bool> is_promoted_{false};   // object caches are ready
  std::atomic<bool> is_published_{false};  // and the fast path leads to them
  std::atomic<uint32_t> calls_{0};
  std::atomic<uint32_t> process_{0};  // whose counts promotion_ has; 0: nobody knows
  std::atomic<size_t> wish_{0};
  std::atomic<uint32_t> interval_ms_{0};
  std::atomic<bool> follows_container_{false};
  os::Lock promotion_lock_{os::LockRank::kPromotion};
  page::PageHeap pages_{};  // what is touched first stands first in it
  Promotion promotion_{};
};

/// The process's heap.
ASHLAR_HIDDEN extern Heap g_heap;

bool is_heap_started();
/// Starts it, if it has not. False where the kernel gives no address space.
bool start_heap();

/// What is asked for. Without a gap, so that the usual one is written, and read, a word at a time.
struct Request {
  size_t size;
  size_t align = kGrain;
  unsigned node = page::Nodes::kHere;
  page::Manners::Where where = page::Manners::Where::kAnywhere;
  large::Fill fill = large::Fill::kWhole;
  bool is_last = true;       ///< without it nothing gives way
  bool asks_nobody = false;  ///< nor is the program asked for what others want

  /// Whether it names the zone that it wants.
  bool is_named() const {
    bool is_anywhere = where == page::Manners::Where::kAnywhere && node == page::Nodes::kHere;
    return base::kHasCaches && !is_anywhere;  // the small library has one zone for all
  }
};
static_assert(sizeof(Request) == 2 * sizeof(size_t) + 8);

/// Every allocation that the fast path does not serve. address is null when memory is out.
large::Memory alloc_memory(const Request& request);

/// On the way out of the slow path, inside the gate, with no lock held.
void finish_slow_path();

/// At least `size` bytes, 16-aligned; null when memory is out. errno is left alone.
void* alloc_slow(size_t size);

/// As alloc_slow, with `align` a power of two.
void* alloc_aligned(size_t size, size_t align);

/// As alloc_slow, zeroed.
void* alloc_zeroed(size_t size);

/// Zeroed frames for at least `size` bytes, in a place; realloc leaves them in that zone. Only
/// where it is the last zone to be tried does anything give way.
void* alloc_zeroed_in(large::Place place, size_t size, bool is_last);

/// As resize, for any block. What is copied comes to a multiple of `align`.
void* resize_slow(void* p, size_t size, size_t align = kGrain);

/// The same where that takes no copy; null otherwise, and then the block is as it was. Nothing is
/// given back for it.
void* resize_there(void* p, size_t size);

/// Frees a block, or does nothing for null. Misuse that shows ends the process.
void free_slow(void* p);

/// As free; in debug builds a size of another class than the block's is misuse.
void free_sized(void* p, size_t size);

/// As free_sized, for a block that was asked for with an alignment.
void free_aligned_sized(void* p, size_t align, size_t size);

/// As usable_size, for any block.
size_t usable_size_slow(const void* p);

/// Ends the process for an address of the zone's window at which no block begins.
[[noreturn]] void tell_misuse(page::Zone& zone, const void* p);

/// An object of a class from this CPU's magazine; null where it takes the slow path. Only where
/// the fast line says that there are classes.
ASHLAR_INLINE void* try_alloc_class(size_t id) {
  auto* object = static_cast<cache::FreeObject*>(os::rseq_pop(id));
  if (object == nullptr) [[unlikely]]
    return nullptr;
  object->key = 0;  // not free any more
  return object;
}

ASHLAR_INLINE void* try_alloc(size_t size) {
  if (!base::kHasCaches) return nullptr;
  if (size >= os::g_fast_line.cached_end) [[unlikely]]
    return nullptr;
  // What cached_end says is not known where a constant is compiled in.
  if (__builtin_constant_p(size) && size > base::kMaxCached) return nullptr;
  return try_alloc_class(os::g_fast.class_of[grains_of(size)]);
}

ASHLAR_INLINE void* alloc(size_t size) {
  if (void* object = try_alloc(size)) [[likely]]
    return object;
  return alloc_slow(size);
}

ASHLAR_INLINE void free(void* p) {
  if (!base::kHasCaches) return free_slow(p);
  const os::FastLine& line = os::g_fast_line;
  size_t offset = static_cast<size_t>(static_cast<char*>(p) - line.window);
  if (offset < line.window_size) [[likely]]
    if (os::rseq_push(line.class_map[offset >> base::kFrameShift], p)) [[likely]]
      return;
  free_slow(p);
}

/// The bytes of an object of a size class; 0 for any other block, and where the fast line says
/// nothing of classes.
ASHLAR_INLINE size_t class_bytes(const void* p) {
  if (!base::kHasCaches) return 0;
  const os::FastLine& line = os::g_fast_line;
  size_t offset = static_cast<size_t>(static_cast<const char*>(p) - line.window);
  uint8_t id = offset < line.window_size ? line.class_map[offset >> base::kFrameShift] : uint8_t{0};
  return id <= kClasses ? kClassSize[id] : 0;
}

/// The bytes that the owner of a block may use; 0 for null.
ASHLAR_INLINE size_t usable_size(const void* p) {
  size_t bytes = class_bytes(p);
  return bytes != 0 ? bytes : usable_size_slow(p);
}

/// As C's realloc; p and size are not 0. An object that is half used or more stays where it is.
ASHLAR_INLINE void* resize(void* p, size_t size) {
  size_t have = class_bytes(p);
  return size <= have && size > have / 2 ? p : resize_slow(p, size);
}

}  // namespace ashlar::front
