// page/zone.h -- one window of address space and the buddy heap in it.
//
// Idea
//   A zone owns an *estate*: a large place of which the lower half holds the zone's tables and the
//   upper half is the *window*, the memory that is given out. Both grow from their lower ends as
//   the heap grows, so every table is a plain array indexed by (address - window) / 4 KiB, and
//   only touched parts of it cost memory:
//
//       | frame records | class map | dirty map | advised map | metadata |    window ->    |
//
//   The class map holds one byte a frame: the id of the object cache whose slab the frame belongs
//   to, or 0. 64 frames share a cache line of it, so that free() finds its cache in one byte load
//   that mostly hits.
//
//   Memory returns to the kernel by isolation: blocks leave their lists under the lock, are purged
//   without it, a batch at a time, and are put back clean. Nobody waits for madvise. With a large
//   block go the records of the frames inside it. How much is kept is decided in page/retention.h,
//   and how much may be held in page/budget.h.
//
//   A frame of a slab may hold no memory either: it has not been touched yet, or none of its
//   objects is in use and it was purged (page/vacancy.h). Such *hollow* frames are let, but clean
//   in the dirty map; they do not count where a share of the live memory is meant.
//
//   A zone may be divided (page/nodes.h): parts of its window, with their parts of the tables, are
//   zones of their own then, each with its own lock, and one class map serves all.
//
//   Where the kernel makes huge pages that nobody asked for, or the user wants them everywhere,
//   slabs have them until the first of their frames goes back alone. From then on the window gets
//   no more of them, for the kernel would fill what was purged again (khugepaged), and a huge page
//   is broken up when a part of it goes: until then its memory stays taken. Giant blocks that will
//   be filled are advised to have huge pages, and so are smaller ones that share such a page, where
//   others like them were filled (zone_huge.cpp). Whole pages go back when they are free; of one
//   in which another block begins or ends a part does, it is broken up, too, and its advice ends.
//   What is free of an advised page in which a block stands counts as dirty. Measured:
//   bench/README.md.
//
//   A zone may consist of huge pages that were set apart (hugetlb). They are the process's own from
//   the moment that the window grows by them, no more of them than a request needs. None of them
//   goes back alone: they leave at the window's end, when a purge finds it free. What the kernel
//   has refused is not asked for again for a while. In the child of a fork such a zone is
//   abandoned, since a write to a page that is shared still needs another one, and where none is
//   left ends the process.
//
//   Large blocks that came free wait, unmerged, in a short row for a request of the same size, so
//   that a pair of malloc and free splits and merges nothing. (Moved ones do not: zone_moved.cpp.)
//
// Invariants (audit())
//   1. Those of the buddy heap.
//   2. committed frames = live + free + waiting + isolated.
//   3. The class map is 0 outside slabs: proved from above, where carving can be seen (inspect).
//   4. hollow frames are frames of slabs, of a block that others' pages are moved to, and such as
//      the kernel has lost, whose dirty bit is clear: proved by the stocks.
//   5. What the budget was told is live - hollow + dirty.
//
// Locking
//   lock_ (LockRank::kZone). frame_at, class_map and the window's bounds are read without it.
//
// Source
//   The frame table: Linux's mem_map.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "os/lock.h"
#include "os/vm.h"
#include "page/buddy.h"
#include "page/budget.h"
#include "page/frame.h"
#include "page/manners.h"
#include "page/retention.h"
#include "page/vacancy.h"

namespace ashlar::page {

struct ZoneStats {
  size_t committed = 0, live = 0, free = 0, dirty = 0;  ///< frames
  size_t large = 0, large_blocks = 0;                   ///< frames in kLarge blocks; blocks
  size_t hollow = 0;                                    ///< of the live ones, without memory
  size_t purged = 0, purges = 0, growths = 0;           ///< since start
};

class Zone {
 public:
  constexpr Zone() = default;

  /// What this zone holds counts in a budget. Called in front of start(), like the next ones.
  void join(Budget& budget, Budget::Teller teller = Budget::kHeap) {
    budget_ = &budget;
    if (base::kHasCaches) teller_ = teller;
  }
  /// It is to have slabs. The first such zone also counts the frames that are vacant in all of
  /// them.
  void set_slabs() { has_slabs_ = true; }
  void set_vacancy(const Vacancy& vacancy) {
    set_slabs();
    vacancy_ = &vacancy;
  }
  bool has_slabs() const { return has_slabs_; }
  void set_manners(const Manners& manners) { manners_ = manners; }
  Manners::Where where() const {
    return base::kHasCaches ? manners_.where : Manners::Where::kAnywhere;
  }
  bool is_pinned() const { return where() == Manners::Where::kPinned; }
  // The small library has no named zones.
  bool is_hugetlb() const { return base::kHasCaches && hugetlb_shift(where()) != 0; }
  /// Whether the kernel must not be asked to move or to purge parts of what is committed.
  bool is_rigid() const { return is_pinned() || is_hugetlb(); }
  unsigned node() const { return manners_.node; }
  /// From now on memory comes from the node with this number, behind what is committed, too.
  void settle(unsigned node_number) ASHLAR_EXCLUDES(lock_);

  /// Lays out the estate, for a window of up to `window_size` bytes, rounded up to 64 KiB. False
  /// where no address space is to be had. A zone with an `other` shares its peak with it: as the
  /// other grows, this one keeps less of what came free.
  bool start(const os::Vm& vm, const Retention& retention, size_t window_size,
             const Zone* other = nullptr);
  /// Divides the window into equal parts, about as long as `wanted` bytes each: this zone keeps the
  /// first, and each of the others may become a zone of its own. False where they would be small;
  /// then nothing has changed. The class map is there for all of them from then on.
  bool divide(unsigned parts, size_t wanted) ASHLAR_EXCLUDES(lock_);
  /// Lays out a part of a divided zone. What records and class map of `whole` say by address, and
  /// its frame_of(), hold for the part, too; numbers of frames are the part's own.
  void start_part(const Zone& whole, unsigned index, const Retention& retention)
      ASHLAR_EXCLUDES(lock_);
  /// Whether an address lies in the window or between its parts.
  bool spans(const void* p) const {
    size_t span = std::max(span_.load(std::memory_order_relaxed), window_size());
    return static_cast<size_t>(static_cast<const char*>(p) - window_) < span;
  }
  /// Bytes of a part.
  size_t part_size() const { return size_t{1} << part_shift_; }
  /// Lays out tables and window in [memory, memory + size), which is committed and may hold
  /// anything. False where no frame is left. Such a zone has no slabs, and what is free in it is no
  /// business of the kernel's: all stays.
  bool start_within(char* memory, size_t size);
  bool is_lent() const { return vm_ == nullptr; }
  /// Gives a zone's memory and address space back that start() laid out, whatever is in use.
  void stop() ASHLAR_EXCLUDES(lock_);

  /// Takes `pages` adjacent frames at an address divisible by align's bytes. null: out of memory.
  /// The block's record is its kind, its count, and in is_new whether the memory reads as zero.
  /// Frames that pages of another block are going to move into do not count until touch().
  Frame* alloc(base::Pages pages, base::Order align, FrameKind kind,
               base::Pages moved = base::Pages(0)) ASHLAR_EXCLUDES(lock_);

  /// As alloc of the first of these counts; of another one where much memory is held free and makes
  /// up no more, or where memory is out.
  Frame* alloc_any(const Choices& choices, FrameKind kind) ASHLAR_EXCLUDES(lock_);

  /// As alloc of a kLarge block, from memory that reads as zero if there is any.
  Frame* alloc_clean(base::Pages pages) ASHLAR_EXCLUDES(lock_);

  /// A frame that holds memory of a free block of one or two such; null where there is none.
  Frame* alloc_scrap(FrameKind kind) ASHLAR_EXCLUDES(lock_);

  /// Gives frames back, a whole block or its tail. They must be in no slab any more. Whether more
  /// is kept now than need be is noted for wants_trim(): this may be called under other locks.
  void free(uint32_t first, base::Pages pages) ASHLAR_EXCLUDES(lock_);
  /// Gives a kLarge block back; free_emptied one whose pages the kernel has moved to another.
  void free_large(Frame& block) ASHLAR_EXCLUDES(lock_);
  void free_emptied(Frame& block) ASHLAR_EXCLUDES(lock_);

  /// Frames of a slab may be *hollow*, without memory: they came so and have not been touched
  /// (hollow_out), or were purged (purge_let: ranges of whole system pages that their slabs have
  /// isolated; how many went). touch() says that they are written to now, and how many were hollow.
  void hollow_out(uint32_t first, base::Pages pages) ASHLAR_EXCLUDES(lock_);
  size_t purge_let(const os::Range* ranges, size_t count) ASHLAR_EXCLUDES(lock_);
  size_t touch(uint32_t first, base::Pages pages) ASHLAR_EXCLUDES(lock_);
  size_t count_hollow(uint32_t first, base::Pages pages) ASHLAR_EXCLUDES(lock_);
  /// Whether the budget has room for this many hollow frames to be touched.
  bool may_touch(size_t frames) const { return has_room(frames, Budget::For::kSmall); }

  /// Makes a block longer without moving it. False where what follows is not free.
  bool try_grow(Frame& block, base::Pages pages) ASHLAR_EXCLUDES(lock_);

  /// Gives the block's frames behind the first `pages` back.
  void shrink(Frame& block, base::Pages pages) ASHLAR_EXCLUDES(lock_);

  /// Pages that the kernel moves to a block are mappings of their own until the block is freed:
  /// whether so many may come to one of `pages` frames; that they have; that they were refused.
  bool may_take_moved(base::Pages pages, size_t mappings) const;
  void note_moved(Frame& block, size_t mappings);
  void note_not_moved(const Frame& block) ASHLAR_EXCLUDES(lock_);

  /// Returns free memory to the kernel until at most `keep` dirty frames are left of those that
  /// there are now. How many went. One caller at a time does the work; others return at once.
  size_t purge(size_t keep) ASHLAR_EXCLUDES(lock_);

  /// Purges what retention no longer justifies. Called with no lock held.
  void trim() ASHLAR_EXCLUDES(lock_);
  bool wants_trim() const { return wants_trim_.load(std::memory_order_relaxed); }

  /// Asks for huge pages behind the part of a block that covers them whole, unless that has been
  /// done or manners forbid it. Called by the block's owner, with no lock held.
  void advise_huge(const Frame& block) ASHLAR_EXCLUDES(lock_);
  /// Decides on the huge pages that a new block, which `is_filled` as a rule or not, shares with
  /// others: they are asked for where much is live and blocks like it have been filled, and given
  /// up where that is not so. Of a block that has grown from `had` pages on, what is new. The same
  /// way.
  void advise_ends(const Frame& block, bool is_filled, base::Pages had = base::Pages(0))
      ASHLAR_EXCLUDES(lock_);
  /// Whether manners let it look where huge pages are of use, and whether it need be called.
  bool may_advise() const;
  bool has_shared_ends() const { return has_advised() || live_bytes() >= base::kAdviseAmong; }

  /// Gives the address space of free frames at the window's end back: for when another zone, or
  /// the program, needs it. How many frames.
  size_t retract() ASHLAR_EXCLUDES(lock_);

  /// Readies the class map. False where memory is out. Needed before there is a slab: a heap
  /// without slabs saves it.
  bool cover_classes() ASHLAR_EXCLUDES(lock_);
  /// The id of the cache whose slab an address of the window belongs to, or 0.
  uint8_t class_at(const void* p) const {
    if (!has_classes_.load(std::memory_order_acquire)) return 0;
    return __atomic_load_n(&class_map_[number_of(p)], __ATOMIC_ACQUIRE);
  }

  /// Marks the frames of a slab in records and class map, and unmarks them but for remnants.
  void mark_slab(Frame& first, void* slab, uint8_t cache);
  void unmark_slab(Frame& first, base::Pages pages);

  bool contains(const void* p) const {
    return static_cast<size_t>(static_cast<const char*>(p) - window_) < window_size();
  }
  /// Keeps `copy` equal to window_size(), 0 until now: what free()'s fast path compares with. The
  /// class map is there. Of a divided zone it covers all parts.
  void publish_size(size_t& copy) ASHLAR_EXCLUDES(lock_) {
    os::Locked held(lock_);
    published_size_ = &copy;
    publish_size();
  }
  /// In the child of a fork: a purge that another thread had under way is nobody's any more.
  void reset_in_child() { is_purging_ = false; }
  bool is_purging() const { return is_purging_.load(std::memory_order_relaxed); }
  /// In the child of a fork, whose copy of this zone may be torn: from now on what is freed to it
  /// is lost, and nothing can be had of it. A call that the fork has interrupted finds it so, too.
  /// What the budget was told stays with it.
  void abandon();
  bool is_abandoned() const { return state_.load(std::memory_order_relaxed) == State::kAbandoned; }
  /// The same of a pinned zone, whose memory a fork leaves unlocked: no more can be had of it until
  /// all of it is locked again. False where the kernel refuses that.
  void note_unpinned() { state_.store(State::kUnpinned, std::memory_order_relaxed); }
  bool pin_again() ASHLAR_EXCLUDES(lock_);

  /// Bytes of the window that have been committed so far. Grows; shrinks by retract().
  size_t window_size() const { return window_size_.load(std::memory_order_relaxed); }
  char* window() const { return window_; }
  uint8_t* class_map() const { return class_map_; }

  uint32_t number_of(const void* p) const {
    return static_cast<uint32_t>(static_cast<size_t>(static_cast<const char*>(p) - window_) >>
                                 base::kFrameShift);
  }
  uint32_t number_of(const Frame& frame) const { return static_cast<uint32_t>(&frame - frames_); }
  /// Whether a record is of this zone.
  bool has(const Frame* frame) const {
    size_t frames = window_size_.load(std::memory_order_acquire) >> base::kFrameShift;
    return frame >= frames_ && frame < frames_ + frames;
  }
  Frame& frame_at(uint32_t number) const { return frames_[number]; }
  Frame& frame_of(const void* p) const { return frames_[number_of(p)]; }
  char* address_of(uint32_t number) const {
    return window_ + (size_t{number} << base::kFrameShift);
  }
  char* address_of(const Frame& frame) const { return address_of(number_of(frame)); }

  /// Bytes of memory that tenants hold. Read without the lock: a moment old.
  size_t live_bytes() const {
    size_t live = live_.load(std::memory_order_relaxed);
    return (live - std::min(live, hollow_.load(std::memory_order_relaxed))) << base::kFrameShift;
  }

  /// The part of the estate that is left for the metadata arena.
  const os::Place& place() const { return place_; }
  /// Bytes of tables for what is committed so far.
  size_t table_bytes() const {
    size_t frames = window_size() >> base::kFrameShift;
    return frames * sizeof(Frame) + frames + frames / 8;
  }
  char* meta_first() const { return meta_; }
  size_t meta_size() const { return meta_size_; }
  /// Zeroed memory that the tables leave unused where a page is touched anyway: the arena's first.
  char* spare() const { return reinterpret_cast<char*>(dirty_.words()) - kSpare; }
  static constexpr size_t kSpare = 3072;
  const os::Vm& vm() const { return *vm_; }

  void set_retention(const Retention& retention) ASHLAR_EXCLUDES(lock_) {
    os::Locked held(lock_);
    keeping_.set(retention);
  }
  ZoneStats stats() ASHLAR_EXCLUDES(lock_);
  /// What retention goes by, but that vacant frames count as live.
  Frames frames() ASHLAR_EXCLUDES(lock_);
  size_t free_blocks(base::Order order) ASHLAR_EXCLUDES(lock_);
  /// As Buddy::fragmentation.
  int fragmentation(base::Order order) ASHLAR_EXCLUDES(lock_);
  /// What records and class map say of slabs. Looks at every frame; while others carve and retire
  /// slabs the two may disagree for a moment.
  struct SlabFrames {
    size_t marked = 0;  ///< frames of slabs by their records
    size_t strays = 0;  ///< others that the class map gives to a cache
  };
  SlabFrames slab_frames() ASHLAR_EXCLUDES(lock_);
  void audit() ASHLAR_EXCLUDES(lock_);
  os::Lock& lock() { return lock_; }

 private:
  // Address space comes and goes in multiples of the largest page a system may have, in frames; in
  // those of the pages that were set apart, or of the system's where they are pinned.
  static constexpr size_t kStep = (size_t{64} << 10) / base::kFrameSize;
  size_t step() const { return is_rigid() ? step_of_rigid() : kStep; }
  ASHLAR_COLD size_t step_of_rigid() const;

  void lay_out(const os::Vm& vm, const os::Place& place, size_t skip) ASHLAR_EXCLUDES(lock_);
  void leave_place() ASHLAR_REQUIRES(lock_);
  void set_window_size(size_t frames) ASHLAR_REQUIRES(lock_);
  void publish_size() ASHLAR_REQUIRES(lock_) {
    size_t size = std::max(window_size(), span_.load(std::memory_order_relaxed));
    __atomic_store_n(published_size_, size, __ATOMIC_RELEASE);
  }
  // Where large runs begin: with a huge page, if they may get some, unless address space is short.
  base::Pages run_unit(base::Pages pages) const ASHLAR_REQUIRES(lock_) {
    bool may_be = base::kHasCaches && !is_short_ && !is_pinned();
    bool is_huge = may_be && pages.bytes() >= base::kAdviseFrom;
    return base::Pages(is_huge ? base::kHugeSize / base::kFrameSize : 1);
  }
  // Where looking for memory that is used already costs little.
  bool is_small_heap() const { return window_size() <= base::kSmallHeap; }
  bool add(size_t first, size_t count) ASHLAR_REQUIRES(lock_);
  bool commit(char* at, size_t count) ASHLAR_REQUIRES(lock_);
  ASHLAR_COLD bool commit_hugetlb(char* at, size_t count) ASHLAR_REQUIRES(lock_);
  // What was refused is asked for again after so long: hugetlb takes a file for each attempt.
  static constexpr uint64_t kAskAgainMs = 1000;
  ASHLAR_COLD void pause(uint64_t& until_ms);
  ASHLAR_COLD size_t purge_end(size_t keep) ASHLAR_EXCLUDES(lock_);
  void introduce(size_t first, size_t count) ASHLAR_REQUIRES(lock_);
  ASHLAR_COLD void name(size_t first, size_t count) ASHLAR_REQUIRES(lock_);
  void introduce_again(size_t first, size_t count) ASHLAR_REQUIRES(lock_);
  os::Moved renew(size_t first, size_t count) ASHLAR_EXCLUDES(lock_);
  ASHLAR_COLD void free_moved(Frame& block) ASHLAR_EXCLUDES(lock_);
  void give_partly_dirty(const Frame& block) ASHLAR_REQUIRES(lock_);
  ASHLAR_COLD void shrink_moved(Frame& block, base::Pages pages) ASHLAR_EXCLUDES(lock_);
  bool grow(size_t more, size_t alone) ASHLAR_REQUIRES(lock_);
  void note_hole(uint32_t first, size_t count) ASHLAR_REQUIRES(lock_);
  template <class Visit>
  void for_each_piece(size_t begin, size_t end, Visit visit) ASHLAR_REQUIRES(lock_);
  struct Table;
  bool cover(size_t frames) ASHLAR_REQUIRES(lock_);
  bool cover(Table& table, size_t frames) ASHLAR_REQUIRES(lock_);
  bool start_table(unsigned table) ASHLAR_REQUIRES(lock_);
  bool has_room(size_t frames, Budget::For whom) const {
    return budget_ == nullptr || budget_->has_room(frames, whom);
  }
  void tell_budget() ASHLAR_REQUIRES(lock_);
  void note_change() ASHLAR_REQUIRES(lock_);
  void note_demand(base::Pages pages, size_t dirty_before) ASHLAR_REQUIRES(lock_);
  Frame* take_waiting(base::Pages pages) ASHLAR_REQUIRES(lock_);
  uint32_t take(base::Pages pages, base::Order align, FrameKind kind) ASHLAR_REQUIRES(lock_);
  uint32_t cut_out(base::Pages pages, base::Order align, FrameKind kind) ASHLAR_REQUIRES(lock_);
  uint32_t find(base::Pages pages, base::Order align, FrameKind kind) ASHLAR_REQUIRES(lock_);
  ASHLAR_COLD uint32_t find_held(base::Pages pages, FrameKind kind, Budget::For whom)
      ASHLAR_REQUIRES(lock_);
  ASHLAR_COLD bool has_room_from(uint32_t first, size_t frames) const ASHLAR_REQUIRES(lock_);
  Frame* let(uint32_t block, size_t dirty_before) ASHLAR_REQUIRES(lock_);
  void let_wait(Frame& block) ASHLAR_REQUIRES(lock_);
  void end_waiting() ASHLAR_REQUIRES(lock_);
  size_t dirty_frames() const ASHLAR_REQUIRES(lock_) {
    return buddy_.dirty_frames() + (base::kHasCaches ? waiting_ : 0);
  }
  Frames now() const ASHLAR_REQUIRES(lock_) {
    size_t over = budget_ == nullptr ? 0 : budget_->over();
    if (!base::kHasCaches) return {.live = live_, .dirty = dirty_frames(), .over = over};
    size_t live = live_ - hollow_;
    size_t vacant = vacancy_ == nullptr ? 0 : std::min(vacancy_->frames(), live);
    return {.live = live - vacant,
            .dirty = dirty_frames(),
            .other = other_ == nullptr ? 0 : other_->live_bytes() >> base::kFrameShift,
            .kept = vacant,
            .over = over};
  }
  // Blocks that are purged at once.
  static constexpr size_t kBatch = 64;
  struct Batch {
    os::Range ranges[kBatch];
    size_t count = 0, frames = 0;
  };
  bool is_broken_up() ASHLAR_EXCLUDES(lock_);
  void forbid_huge() ASHLAR_REQUIRES(lock_);
  void break_up(const os::Range* ranges, size_t count) ASHLAR_EXCLUDES(lock_);
  // Huge pages, by their numbers in the window.
  void end_advice(size_t huge) ASHLAR_EXCLUDES(lock_);
  bool is_advised(size_t huge) const ASHLAR_REQUIRES(lock_);
  void advise(size_t first, size_t count) ASHLAR_EXCLUDES(lock_);
  enum class Advice : uint8_t { kStays, kBegins, kEnds, kAsk };
  struct Share {
    size_t here;     // frames
    bool is_giant;   // a giant's that will be filled
    bool is_filled;  // as a rule
  };
  Advice advice_for(size_t huge, const Share& share) ASHLAR_EXCLUDES(lock_);
  Advice ask(size_t huge) ASHLAR_EXCLUDES(lock_);
  void soil(size_t huge) ASHLAR_REQUIRES(lock_);
  Batch isolate(size_t wanted) ASHLAR_REQUIRES(lock_);
  size_t put_back(const Batch& batch, size_t purged) ASHLAR_REQUIRES(lock_);
  void purge_records(const os::Range& block);

  os::Lock lock_{os::LockRank::kZone};
  const os::Vm* vm_ = nullptr;
  const Zone* other_ = nullptr;
  Budget* budget_ = nullptr;
  const Vacancy* vacancy_ = nullptr;
  Manners manners_{};
  os::Place place_{};
  Frame* frames_ = nullptr;
  uint8_t* class_map_ = nullptr;
  base::BitMap dirty_{};
  base::BitMap advised_{};
  char* meta_ = nullptr;
  size_t meta_size_ = 0;
  char* window_ = nullptr;
  std::atomic<size_t> window_size_{0};
  size_t* published_size_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  size_t max_size_ = 0;
  std::atomic<size_t> span_{0};  // bytes of the window with all parts, if it is divided
  unsigned part_shift_ = 0;      // a part's bytes, by powers of two
  Buddy buddy_ ASHLAR_GUARDED_BY(lock_);

  struct Table {
    char* first = nullptr;
    size_t bytes_per_512 = 0;  // of table, for 512 frames
    size_t offset = 0;         // of its first byte in its first page
    bool is_used = false;      // no memory is committed for it before it is
    size_t committed = 0;
  };
  enum : unsigned {
    kRecords,
    kDirty = base::kHasCaches ? 2 : 1,  // the small library has no others
    kClasses = 1,
    kAdvised = base::kHasCaches ? 3 : 0,
    kTables = base::kHasCaches ? 4 : 2
  };
  Table tables_[kTables] ASHLAR_GUARDED_BY(lock_);
  // Once there has been advice.
  bool has_advised() const {
    return base::kHasCaches && has_advised_.load(std::memory_order_relaxed);
  }
  std::atomic<bool> has_advised_{false};
  // Whether free memory may be a part of huge pages.
  bool may_have_huge() const {
    bool has_ended = unasked_.load(std::memory_order_relaxed) == Unasked::kEnded;
    return has_advised() || (base::kHasCaches && has_ended);
  }
  std::atomic<bool> has_classes_{false};
  enum class State : uint8_t { kWhole, kUnpinned, kAbandoned };
  std::atomic<State> state_{State::kWhole};
  bool has_slabs_ = false;
  Budget::Teller teller_ = Budget::kHeap;
  // What is known of huge pages that came unasked, of a window that is large enough to have some.
  enum class Unasked : uint8_t { kUnknown, kNone, kEnded };
  std::atomic<Unasked> unasked_{Unasked::kUnknown};

  Keeping keeping_ ASHLAR_GUARDED_BY(lock_){};
  size_t told_ ASHLAR_GUARDED_BY(lock_) = 0;  // to the budget
  bool is_named_ ASHLAR_GUARDED_BY(lock_) = false;
  bool is_short_ ASHLAR_GUARDED_BY(lock_) = false;  // the kernel has refused address space
  size_t refused_ ASHLAR_GUARDED_BY(lock_) = 0;     // frames of hugetlb that were not to be had
  uint64_t refused_until_ms_ ASHLAR_GUARDED_BY(lock_) = 0;        // they are not asked for again
  uint64_t purge_refused_until_ms_ ASHLAR_GUARDED_BY(lock_) = 0;  // what there was to go is locked
  // Of huge pages that blocks share: from how many frames on it is asked whether these are filled;
  // the last that was begun, by its number; and some that hold memory, by theirs modulo 64.
  struct Shared {
    size_t ask_from = 0, last = 0;
    uint64_t in_memory = 0;
  };
  std::array<Shared, base::kHasCaches ? 1 : 0> shared_ ASHLAR_GUARDED_BY(lock_){};
  std::array<std::atomic<size_t>, base::kHasCaches ? 1 : 0> moved_{};  // mappings, at any time
  size_t holes_ ASHLAR_GUARDED_BY(lock_) = 0;
  uint32_t last_hole_ ASHLAR_GUARDED_BY(lock_) = 0;  // kNone from lay_out() on
  std::atomic<size_t> live_{0};  // frames; written under the lock, like the next ones
  std::atomic<size_t> hollow_{0};
  std::atomic<size_t> large_{0}, large_blocks_{0};
  static constexpr unsigned kWaiters = 8;
  uint32_t waiters_[kWaiters] ASHLAR_GUARDED_BY(lock_) = {};  // first frames, oldest first
  unsigned waiter_count_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t waiting_ ASHLAR_GUARDED_BY(lock_) = 0;  // their frames
  size_t isolated_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t purged_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t purges_ ASHLAR_GUARDED_BY(lock_) = 0;
  size_t growths_ ASHLAR_GUARDED_BY(lock_) = 0;
  std::atomic<bool> wants_trim_{false}, is_purging_{false};  // the second written under the lock
};

}  // namespace ashlar::page
