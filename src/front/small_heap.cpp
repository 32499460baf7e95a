#include "front/small_heap.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/bits.h"
#include "front/contract.h"
#include "front/heap.h"
#include "front/process.h"
#include "front/upkeep.h"
#include "harden/misuse.h"

namespace ashlar::front {

using base::Order;
using base::Pages;
using page::Frame;
using page::FrameKind;

ASHLAR_START_DATA constinit std::atomic<uint32_t> SmallHeap::count_{0};
constinit os::Lock SmallHeap::list_lock_{os::LockRank::kHeaps};
constinit base::List<SmallHeap> SmallHeap::list_;
constinit SmallHeap* SmallHeap::visited_ = nullptr;
constinit std::atomic<const os::ThreadState*> SmallHeap::visitor_{nullptr};
constinit std::atomic<bool> SmallHeap::wants_visit_{false};
constinit PutOff SmallHeap::visit_{nullptr, catch_up};

SmallHeap* SmallHeap::create(size_t limit) {
  void* memory = front::alloc(sizeof(SmallHeap));
  if (memory == nullptr) return nullptr;
  SmallHeap* heap = new (memory) SmallHeap;
  heap->zone_.join(g_heap.pages().budget());
  // The page size is known, and the options are, since malloc has started.
  if (base::kHasCaches) heap->zone_.set_manners(g_heap.manners("ashlar heap"));
  if (heap->zone_.start(os::kVm, g_heap.pages().retention(), limit)) {
    heap->meta_.start(os::kVm, heap->zone_.place(), heap->zone_.meta_first(),
                      heap->zone_.meta_size());
    heap->meta_.donate(heap->zone_.spare(), page::Zone::kSpare);
    heap->slob_.start(heap->zone_, heap->meta_);
    if (!base::kHasCaches || heap->try_join_list()) return heap;
    heap->end();
    return nullptr;
  }
  front::free(memory);
  return nullptr;
}

// The records of small blocks stand in front, a place for each frame: among the frames they would
// break up the room of large blocks.
SmallHeap* SmallHeap::create_in(void* memory, size_t size) {
  char* end = static_cast<char*>(memory) + size;
  auto rounded = [](char* address, size_t align) {
    return reinterpret_cast<char*>(base::round_up(reinterpret_cast<size_t>(address), align));
  };
  char* first = rounded(static_cast<char*>(memory), alignof(SmallHeap));
  char* records = rounded(first + sizeof(SmallHeap), slob::kSlobPageAlign);
  size_t records_size = size / base::kFrameSize * sizeof(slob::SlobPage);
  char* rest = records + records_size;
  if (rest > end) return nullptr;
  SmallHeap* heap = new (first) SmallHeap;
  if (!heap->zone_.start_within(rest, static_cast<size_t>(end - rest))) return nullptr;
  heap->is_in_buffer_ = true;
  if (base::kHasCaches) heap->process_.store(this_process(), std::memory_order_relaxed);
  heap->meta_.donate(static_cast<char*>(std::memset(records, 0, records_size)), records_size);
  heap->slob_.start(heap->zone_, heap->meta_);
  return heap;
}

void SmallHeap::destroy() {
  if (is_in_buffer_) return;
  if (!base::kHasCaches || try_leave_list()) return end();
  has_ended_.store(true, std::memory_order_relaxed);
  want_visit();
}

void SmallHeap::end() {
  meta_.stop();
  zone_.stop();
  front::free(this);
}

// False where a fork keeps the list as it is.
bool SmallHeap::try_join_list() {
  Stay stay;
  if (!stay.is_open()) return false;
  os::Locked held(list_lock_);
  list_.push_front(*this);
  count_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// The same. Where it is just visited, it waits.
bool SmallHeap::try_leave_list() {
  for (;; os::yield_cpu()) {
    Stay stay;
    if (!stay.is_open()) return false;
    os::Locked held(list_lock_);
    if (try_remove()) return true;
  }
}

// False where it is just visited.
bool SmallHeap::try_remove() {
  if (visited_ == this) return false;
  list_.remove(*this);
  count_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

// Has all of them visited once the gate is open.
void SmallHeap::want_visit() {
  if (!wants_visit_.exchange(true, std::memory_order_acq_rel)) put_off(visit_);
}

void SmallHeap::catch_up(PutOff&) {
  wants_visit_.exchange(false, std::memory_order_acq_rel);  // what comes from here on counts anew
  bool is_done = visit_all([](SmallHeap& heap) { heap.free_noted(); });
  if (!is_done || !try_end_marked()) want_visit();
}

// Ends those that a fork has kept from it. False where one of them is just visited.
bool SmallHeap::try_end_marked() {
  for (;;) {
    SmallHeap* marked = nullptr;
    {
      os::Locked held(list_lock_);
      list_.for_each([&](SmallHeap& heap) {
        if (heap.has_ended_.load(std::memory_order_relaxed)) marked = &heap;
      });
      if (marked == nullptr) return true;
      if (!marked->try_remove()) return false;
    }
    marked->end();
  }
}

// No lock is held meanwhile: the kernel may be asked for long. False where somebody else visits.
template <class Visit>
bool SmallHeap::visit_all(Visit visit) {
  const os::ThreadState* nobody = nullptr;
  if (!visitor_.compare_exchange_strong(nobody, &os::this_thread())) return false;
  for (bool is_first = true;; is_first = false) {
    SmallHeap* heap = nullptr;
    {
      os::Locked held(list_lock_);
      heap = visited_ = is_first ? list_.front() : visited_->next;
    }
    if (heap == nullptr) break;
    visit(*heap);
  }
  visitor_.store(nullptr, std::memory_order_release);
  return true;
}

void SmallHeap::trim_all() {
  visit_all([](SmallHeap& heap) {
    heap.zone_.set_retention(g_heap.pages().retention());  // it may have been changed since
    heap.zone_.trim();
  });
}

bool SmallHeap::give_back_all() {
  bool has_purged = false;
  visit_all([&](SmallHeap& heap) {
    heap.slob_.reap();
    has_purged |= heap.zone_.purge(0) > 0;
  });
  return has_purged;
}

bool SmallHeap::are_others_returning() {
  if (!is_any()) return false;
  const os::ThreadState* visitor = visitor_.load(std::memory_order_relaxed);
  bool is_any_purging = visitor != nullptr && visitor != &os::this_thread();
  os::Locked held(list_lock_);
  list_.for_each([&](const SmallHeap& heap) { is_any_purging |= heap.zone_.is_purging(); });
  return is_any_purging;
}

// Only what differs is written: pages are shared with the parent.
void SmallHeap::reset_in_child() ASHLAR_UNCHECKED {
  list_lock_.reset_in_child();
  wants_visit_.store(false, std::memory_order_relaxed);
  list_.for_each([](SmallHeap& heap) {
    heap.forget_others();
    if (heap.zone_.is_purging()) heap.zone_.reset_in_child();
    if (heap.has_ended_.load(std::memory_order_relaxed)) want_visit();
  });
  if (visitor_.load(std::memory_order_relaxed) == &os::this_thread()) return;
  visited_ = nullptr;
  visitor_.store(nullptr, std::memory_order_relaxed);
}

// The locks of threads that the child does not have, and what they noted.
void SmallHeap::forget_others() ASHLAR_UNCHECKED {
  for (os::Lock* lock : {&slob_.lock(), &zone_.lock(), &meta_.lock()})
    if (!lock->is_free()) lock->reset_in_child();
  if (noted_.load(std::memory_order_relaxed) != nullptr)
    noted_.store(nullptr, std::memory_order_relaxed);
}

// Where the heap stands in a buffer: in the child of a fork the first call has to do that.
void SmallHeap::find_process() {
  if (!base::kHasCaches || !is_in_buffer_) return;
  once_in_process(process_, [&]() ASHLAR_UNCHECKED {
    // Whoever's name a lock bears: a new thread may have that of one that does not exist.
    for (os::Lock* lock : {&slob_.lock(), &zone_.lock(), &meta_.lock()})
      if (!lock->is_free()) lock->release();
    noted_.store(nullptr, std::memory_order_relaxed);
  });
}

Frame& SmallHeap::frame_of(const void* p) {
  if (!zone_.contains(p)) misuse::foreign_free(p);
  Frame& frame = zone_.frame_of(p);
  bool is_block = frame.kind == FrameKind::kSlob ||
                  (frame.kind == FrameKind::kLarge && zone_.address_of(frame) == p);
  if (!is_block) tell_misuse(zone_, p);
  return frame;
}

// Whether the bounds of the process had no room for so many frames, and have some now. Not inside
// the gate.
bool SmallHeap::make_room(Pages pages) {
  if (!base::kHasCaches) return false;
  page::Budget& budget = g_heap.pages().budget();
  auto has_room = [&] { return budget.has_room(pages.n, page::Budget::For::kLarge); };
  if (is_in_buffer_ || has_room() || !budget.may_help(pages.n)) return false;
  {
    Stay stay;
    if (!stay.is_open()) return false;
    slob_.reap();
    zone_.purge(0);
  }
  if (!has_room()) reap();
  return has_room() || ask_program_until(pages.bytes(), page::Manners::Where::kAnywhere, has_room);
}

// The request is refused for good. Where that is for the bounds of the process, the reserve that
// lies behind them serves from now on.
void* SmallHeap::refuse(size_t size) {
  if (!base::kHasCaches || is_in_buffer_) return nullptr;
  page::Budget& budget = g_heap.pages().budget();
  Pages pages = Pages::ceil(size);
  if (!budget.has_room(pages.n, page::Budget::For::kLarge) && budget.may_help(pages.n))
    budget.open_reserve();
  return nullptr;
}

inline void* SmallHeap::try_alloc(size_t size, size_t align) {
  void* block = alloc_once(size, align);
  if (block == nullptr && make_room(std::max(Pages::ceil(size), Pages(1))))
    block = alloc_once(size, align);
  return block;
}

void* SmallHeap::alloc(size_t size, size_t align) {
  if (size > kMaxRequest || align > kMaxRequest) return nullptr;
  void* block = try_alloc(size, align);
  if (block == nullptr) return refuse(size);
  answer();
  return block;
}

void SmallHeap::free_inside(void* p) {
  Frame& frame = frame_of(p);
  if (frame.kind == FrameKind::kSlob)
    slob_.free(frame, p);
  else
    zone_.free_large(frame);
}

inline void SmallHeap::note(void* p) {
  frame_of(p);  // tells what is no block
  void* top = noted_.load(std::memory_order_relaxed);
  do {
    *static_cast<void**>(p) = top;
  } while (!noted_.compare_exchange_weak(top, p, std::memory_order_release));
  if (!is_in_buffer_) want_visit();
}

void SmallHeap::free_noted() {
  void* p = noted_.exchange(nullptr, std::memory_order_acquire);
  while (p != nullptr) {
    void* next = *static_cast<void**>(p);
    free_inside(p);
    p = next;
  }
  if (zone_.wants_trim()) zone_.trim();
}

// What malloc's slow path does, too, on its way out of the gate, and behind it. What is noted stays
// so while a fork is under way: in a child whose handlers have not all run, it may be torn.
void SmallHeap::keep_up() {
  bool has_noted = base::kHasCaches && noted_.load(std::memory_order_relaxed) != nullptr;
  if (has_noted && is_gate_open()) [[unlikely]]
    free_noted();
  if (base::kHasCaches && !is_in_buffer_) finish_slow_path();
}

void SmallHeap::answer() {
  if (!base::kHasCaches || is_in_buffer_) return;
  attend(Start::kAllowed);
  if (g_heap.has_wish()) [[unlikely]]
    answer_wish();
}

void* SmallHeap::alloc_once(size_t size, size_t align) {
  find_process();
  Stay stay;
  if (!stay.is_open()) return nullptr;
  keep_up();
  auto alloc = [&]() -> void* {
    if (slob::serves(size) && align <= base::kFrameSize) return slob_.alloc(size, align);
    Pages pages = Pages::ceil(std::max(size, size_t{1}));
    Frame* frame = zone_.alloc(pages, Order::ceil(Pages::ceil(align)), FrameKind::kLarge);
    if (frame == nullptr) return nullptr;
    char* block = zone_.address_of(*frame);
    if (!base::kHasCaches || base::is_aligned(block, align)) return block;
    zone_.free_large(*frame);  // beyond what the heap's memory is aligned to
    return nullptr;
  };
  void* block = nullptr;
  // The page that is kept empty may stand in the way.
  do {
    block = alloc();
  } while (block == nullptr && slob_.reap());
  return block;
}

void* SmallHeap::alloc_zeroed(size_t size) {
  void* block = alloc(size, base::kGrain);
  if (block == nullptr) return nullptr;
  const Frame& frame = zone_.frame_of(block);
  bool is_zero = !is_in_buffer_ && frame.is_new != 0;
  return is_zero ? block : std::memset(block, 0, size);
}

void SmallHeap::free(void* p) {
  if (p == nullptr) return;
  find_process();
  // In the small library, which notes nothing, it stays in use where a fork lasts too long.
  std::conditional_t<base::kHasCaches, GateEntry, Stay> entry;
  if (!entry.is_open()) {
    if (base::kHasCaches) note(p);
    return;
  }
  free_inside(p);
  if (zone_.wants_trim()) zone_.trim();
  keep_up();
}

void* SmallHeap::resize_in_place(void* p, size_t size) {
  find_process();
  Stay stay;
  if (!stay.is_open()) return nullptr;
  keep_up();
  Frame& frame = frame_of(p);
  if (frame.kind == FrameKind::kSlob)
    return size < slob::kEnd && slob_.try_resize(frame, p, size) ? p : nullptr;
  Pages want = Pages::ceil(size);
  if (want.n < frame.count) zone_.shrink(frame, want);
  return want.n <= frame.count || zone_.try_grow(frame, want) ? p : nullptr;
}

void* SmallHeap::resize(void* p, size_t size) {
  if (size > kMaxRequest) return nullptr;
  size_t have = usable_size(p);
  if (void* same = resize_in_place(p, size)) {
    answer();
    return same;
  }
  // To grow in place needs the least.
  if (size > have && make_room(Pages::ceil(size - have)))
    if (void* same = resize_in_place(p, size)) return same;
  void* fresh = try_alloc(size, base::kGrain);
  if (fresh == nullptr) {
    void* same = resize_in_place(p, size);  // what stood behind it may have gone
    if (same == nullptr && size <= have) same = p;
    return same != nullptr ? same : refuse(size);
  }
  std::memcpy(fresh, p, std::min(have, size));
  free(p);
  return fresh;
}

// However long a fork lasts: it changes nothing.
size_t SmallHeap::usable_size(const void* p) {
  if (p == nullptr) return 0;
  find_process();
  Stay stay;
  const Frame& frame = frame_of(p);
  return frame.kind == FrameKind::kSlob ? slob_.usable_size(frame, p) : Pages(frame.count).bytes();
}

size_t SmallHeap::live_bytes() {
  find_process();
  Stay stay;
  return slob_.stats().live_bytes + Pages(zone_.stats().large).bytes();
}

void SmallHeap::audit() {
  zone_.audit();
  slob_.audit();
}

}  // namespace ashlar::front
