#include "front/heap.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "cache/registry.h"
#include "front/blocks.h"
#include "front/contract.h"
#include "front/objects.h"
#include "front/process.h"
#include "front/upkeep.h"
#include "harden/misuse.h"
#include "os/env.h"
#include "os/lock.h"
#include "os/thread.h"

namespace ashlar::front {

constinit Heap g_heap;

namespace {

using cache::FreeObject;
using cache::g_registry;
using page::Frame;
using page::FrameKind;
using page::Zone;

// A start that found no address space is tried again by the next call.
enum class State : uint32_t { kNew, kStarting, kStarted };
ASHLAR_START_DATA std::atomic<State> g_state{State::kNew};

// Where there is no memory beside the heap while a fork is under way, a request waits so often.
// Then memory is out for it.
constexpr auto kMostGateWaits = static_cast<uint32_t>(GateWait::kTenSeconds);

void free_inside(Zone& zone, void* p);

// Who asks for so much is likely to lift the heap to a peak: what SLOB keeps shall not add to that.
constexpr size_t kDropsKept = size_t{128} << 10;

// What other threads freed while a fork was under way.
void free_noted() {
  for (void* block = take_freed_beside(); block != nullptr;) {
    void* next = *static_cast<void**>(block);
    free_inside(*g_heap.pages().zone_of(block), block);
    block = next;
  }
}

// What a fork has left behind. Not while one is under way: in a child whose handlers have not all
// run, the list may be torn, and the zone beside be locked by nobody.
void tidy_beside() {
  if (has_freed_beside()) [[unlikely]]
    free_noted();
  g_heap.pages().trim_beside();
}

cache::ObjectCache& cache_for(uint8_t id) {
  return g_registry.create(id, kLayouts[id], class_name(id));
}

ASHLAR_NOINLINE void* alloc_object(uint8_t id, const Request& request) {
  cache::ObjectCache& cache = cache_for(id);
  bool is_for_room = request.align <= kGrain && has_room(request.size);
  void* object = cache.alloc_slow(is_for_room ? cache::Source::kHeld : cache::Source::kAll);
  if (object == nullptr && is_for_room) {
    if (cache.try_without_slab())
      if (void* block = alloc_in_room(request.size)) return block;
    object = cache.alloc_slow();
  }
  if (object != nullptr) static_cast<FreeObject*>(object)->key = 0;
  return object;
}

// Whether the class has an object cache, or gets one now.
bool has_cache(uint8_t id) {
  if (!base::kHasCaches) return false;
  bool is_there = g_heap.is_promoted() && g_registry.at(id).is_started();
  if (is_there && g_heap.promotion().is_over()) return true;
  Demand demand{.id = id,
                .size = kClassSize[id],
                .has_cache = is_there,
                .slob_bytes = g_heap.slob().bytes(),
                .has_threads = os::has_other_threads()};
  bool was_over = g_heap.promotion().is_over();
  bool is_wanted = g_heap.promotion().note_demand(demand);
  // What a parent has asked for is not held against its children.
  if (!was_over && g_heap.promotion().is_over() && g_heap.is_new_process()) {
    g_heap.restart();
    return false;
  }
  if (!was_over && g_heap.promotion().is_over())
    g_heap.slob().drop_kept();  // nobody asks for them any more
  // Readied for the first other thread before it runs, when that costs least: pthread_create asks
  // for memory. (membarrier's registration takes milliseconds once there are two.)
  return (is_wanted || g_heap.promotion().is_over()) && g_heap.promote() && is_wanted;
}

ASHLAR_COLD large::Memory alloc_named(const Request& request) {
  if (request.where >= page::Manners::Where::kPinned) start_process();  // a fork takes it away
  return large::alloc_in(g_heap.pages(), {request.where, request.node}, request.size,
                         request.align);
}

// The same where the user wants pages that were set apart for all that will fill one.
ASHLAR_COLD large::Memory alloc_hugetlb(const Request& wanted) {
  if (wanted.fill != large::Fill::kWhole) return {};
  Request request = wanted;
  bool is_2m = g_heap.options().hugetlb == Options::k2M;
  request.where = is_2m ? page::Manners::Where::kHuge2M : page::Manners::Where::kHuge1G;
  bool is_filling = request.size >> page::hugetlb_shift(request.where) != 0;
  return is_filling ? alloc_named(request) : large::Memory{};
}

large::Memory alloc_once(const Request& request) {
  if (request.is_named()) return alloc_named(request);
  uint8_t id = base::kHasCaches ? class_of_aligned(request.size, request.align) : uint8_t{0};
  if (id != 0 && has_cache(id)) return {alloc_object(id, request), false};
  if (slob::serves(request.size) && request.align <= base::kFrameSize)
    return alloc_by_slob(request.size, request.align);
  if (base::kHasCaches && g_heap.options().hugetlb != Options::kNever) [[unlikely]]
    if (large::Memory memory = alloc_hugetlb(request); memory.address != nullptr) return memory;
  bool keeps = base::kHasCaches && !g_heap.promotion().is_over();
  if (keeps && request.size >= kDropsKept) {
    g_heap.slob().drop_kept();
    note_bytes();
  }
  return large::alloc(g_heap.pages(), request.size, request.align, request.fill);
}

large::Memory alloc_inside(const Request& request) {
  if (g_heap.is_promoted()) start_process_for(request.size);
  large::Memory memory = alloc_once(request);
  if (memory.address == nullptr) {
    const page::Budget& budget = g_heap.pages().budget();
    if (!request.is_last || budget.is_beyond(base::Pages::ceil(request.size).n)) return memory;
    // What is kept counts against the bound, and free objects may make up whole frames.
    bool is_limited = budget.is_limited();
    if (!is_limited) reap_caches();
    unsigned tries = base::kHasCaches && is_limited ? kReturnTries : 1;
    for (bool goes_on = true; goes_on && memory.address == nullptr && tries > 0; --tries) {
      goes_on = is_limited && give_back();
      memory = alloc_once(request);
    }
    // And one zone's free address space may be what the other lacks.
    if (base::kHasCaches && memory.address == nullptr && g_heap.pages().retract())
      memory = alloc_once(request);
  }
  finish_slow_path();
  return memory;
}

// Threads with magazines of their own need no gate for them: nobody else looks into them.
ASHLAR_INLINE void* alloc_from_own_seat(size_t size) {
  cache::Seat seat = cache::own_seat();
  if (seat.is_none() || size > kMaxCached) return nullptr;
  void* object = seat.pop(class_of(size));
  if (object != nullptr) static_cast<FreeObject*>(object)->key = 0;
  return object;
}

ASHLAR_INLINE bool free_to_own_seat(Zone& zone, void* p) {
  cache::Seat seat = cache::own_seat();
  uint8_t id = zone.class_at(p);
  if (seat.is_none() || id == 0 || !base::is_aligned(p, kGrain)) return false;
  return !bears_key(p) && seat.push(id, p);
}

// Without the gate, and without leaving the slow path.
ASHLAR_INLINE void* alloc_ready(size_t size) {
  if (!base::kHasCaches) return nullptr;
  void* block = alloc_alone(size);
  return block != nullptr ? block : alloc_from_own_seat(size);
}

ASHLAR_INLINE bool free_to_ready(Zone& zone, void* p) {
  return base::kHasCaches && (free_alone(zone, p) || free_to_own_seat(zone, p));
}

large::Memory alloc_through_gate(const Request& request) {
  for (uint32_t wait = 0; wait < kMostGateWaits; ++wait) {
    {
      GateEntry entry;
      if (entry.is_open()) return alloc_inside(request);
    }
    // Beside the heap there is no named zone: such a request waits.
    if (wait_for_gate(wait > 0 || request.is_named()) || request.is_named()) continue;
    if (void* block = alloc_beside(request.size, request.align)) return {block, false};
  }
  return {};
}

// From what the program's own caches free. They are asked when the gate has been left.
ASHLAR_COLD large::Memory alloc_of_program(const Request& request) {
  large::Memory memory;
  bool is_served = ask_program_until(request.size, request.where, [&] {
    memory = alloc_through_gate(request);
    return memory.address != nullptr;
  });
  if (!is_served) g_heap.pages().budget().open_reserve();
  return memory;
}

}  // namespace

void finish_slow_path() {
  if (!is_gate_open()) [[unlikely]]
    return;  // a fork waits for us: what is to be tidied up can wait for it
  tidy_beside();
  maintain();
}

large::Memory alloc_memory(const Request& request) {
  if (request.size > kMaxRequest || !start_heap()) return {};
  large::Memory memory = alloc_through_gate(request);
  // Called from within the slow path, by a libc function of ours that allocates: the gate is
  // passed.
  if (!base::kHasCaches || os::this_thread().gate_depth != 0) return memory;
  attend(Start::kAllowed);
  if (memory.address == nullptr) [[unlikely]]
    return request.is_last ? alloc_of_program(request) : memory;
  if (g_heap.has_wish() && !request.asks_nobody) [[unlikely]]
    answer_wish();
  return memory;
}

void tell_misuse(Zone& zone, const void* p) {
  // Back to the first frame of the block that contains p.
  uint32_t number = zone.number_of(p);
  while (number > 0 && zone.frame_at(number).kind == FrameKind::kInside) --number;
  const Frame& frame = zone.frame_at(number);
  char* start = zone.address_of(number);
  size_t offset = static_cast<size_t>(static_cast<const char*>(p) - start);
  bool is_block = frame.kind == FrameKind::kLarge || frame.kind == FrameKind::kSlob;
  if (is_block && offset < base::Pages(frame.count).bytes()) misuse::interior_free(p, start);
  if (base::is_aligned(p, base::kFrameSize)) misuse::double_free_large(p);
  misuse::foreign_free(p);
}

namespace {

void free_inside(Zone& zone, void* p) {
  Frame& frame = zone.frame_of(p);
  switch (frame.kind_now()) {
    case FrameKind::kSlab:
      if constexpr (base::kHasCaches) free_object(zone, frame, p);
      return;
    case FrameKind::kRemnant:
      if constexpr (base::kHasCaches) free_remnant(p);
      return;
    case FrameKind::kSlob: free_by_slob(frame, p); return;
    case FrameKind::kLarge:
      if (zone.address_of(frame) != p) tell_misuse(zone, p);
      large::free(g_heap.pages(), {&zone, &frame});
      return;
    case FrameKind::kInside:
    case FrameKind::kMeta:
    case FrameKind::kFree:
    case FrameKind::kWaiting:
    case FrameKind::kIsolated: tell_misuse(zone, p);
  }
  __builtin_unreachable();
}

// The exit hook of a thread with magazines of its own: they go back as by any other slow path. A
// fork may be waiting for this thread to end, where the program's handler joins it; then they go
// later.
void end_thread(void* area) {
  struct LateEnd : PutOff {
    cache::Area* area;
  };
  cache::leave_seat();
  auto& seat = *static_cast<cache::Area*>(area);
  if (inside_soon([&] { g_registry.end_seat(seat); })) return;
  auto end_late = [](PutOff& work) { g_registry.end_seat(*static_cast<LateEnd&>(work).area); };
  static_assert(sizeof(LateEnd) == sizeof(seat.late));
  put_off(*new (seat.late) LateEnd{{nullptr, end_late}, &seat});
}

}  // namespace

bool Heap::promote() {
  if (!base::kHasCaches) return false;
  if (is_published_.load(std::memory_order_acquire)) return true;
  os::Locked held(promotion_lock_);
  if (!is_promoted()) {
    if (!pages_.slabs().cover_classes()) return false;
    mode_ = g_registry.start(pages_, options_.rseq != 0, end_thread);
    is_promoted_.store(true, std::memory_order_release);
  }
  if (mode_ != os::RseqMode::kNone) publish();
  is_published_.store(true, std::memory_order_release);
  return true;
}

bool Heap::is_new_process() const {
  uint32_t began = process_.load(std::memory_order_relaxed);
  return began != 0 && began != os::process_id();
}

void Heap::restart() {
  if (!base::kHasCaches || options_.slob_max == 0) return;
  process_.store(os::process_id(), std::memory_order_relaxed);
  promotion_.restart(slob_.bytes());
  if (!is_promoted()) return;
  is_published_.store(false, std::memory_order_relaxed);
  os::g_fast_line.cached_end = 0;
}

// What leads into the fast path comes last, and no thread sees it before the rest.
void Heap::publish() {
  if (!base::kHasCaches) return;
  os::FastLine& line = os::g_fast_line;
  static_assert(sizeof os::g_fast.class_of == sizeof kClassOf);
  std::memcpy(os::g_fast.class_of, kClassOf.data(), sizeof os::g_fast.class_of);
  line.class_map = pages_.slabs().class_map();
  line.window = pages_.slabs().window();
  if (os::has_other_threads()) os::rseq_fence();
  pages_.slabs().publish_size(line.window_size);
  __atomic_store_n(&line.cached_end, kMaxCached + 1, __ATOMIC_RELEASE);
}

bool start_heap() {
  State state = g_state.load(std::memory_order_acquire);
  if (state == State::kStarted) [[likely]]
    return true;
  if (state == State::kNew &&
      g_state.compare_exchange_strong(state, State::kStarting, std::memory_order_acquire)) {
    bool is_started = g_heap.start();
    g_state.store(is_started ? State::kStarted : State::kNew, std::memory_order_release);
    return is_started;
  }
  while (g_state.load(std::memory_order_acquire) == State::kStarting) os::yield_cpu();
  return g_state.load(std::memory_order_acquire) == State::kStarted;
}

bool is_heap_started() {
  return g_state.load(std::memory_order_acquire) == State::kStarted;
}

void* alloc_slow(size_t size) {
  if (void* ready = alloc_ready(size)) return ready;
  return alloc_memory({size}).address;
}

void* alloc_aligned(size_t size, size_t align) {
  align = std::max(align, kGrain);
  uint8_t id = class_of_aligned(size, align);
  if (base::kHasCaches && id != 0 && os::g_fast_line.cached_end != 0)
    if (void* object = try_alloc_class(id)) return object;
  return alloc_memory({size, align}).address;
}

void* alloc_zeroed(size_t size) {
  void* object = try_alloc(size);
  if (object == nullptr) object = alloc_ready(size);
  if (object != nullptr) {
    if (g_heap.is_promoted()) start_process_beside_threads();
    return std::memset(object, 0, size);
  }
  large::Memory memory = alloc_memory({.size = size, .fill = large::Fill::kSparse});
  if (memory.address != nullptr && !memory.is_zero) std::memset(memory.address, 0, size);
  return memory.address;
}

// Pages that an administrator sets apart do not come of what others give back.
void* alloc_zeroed_in(large::Place place, size_t size, bool is_last) {
  size_t bytes = std::max(base::Pages::ceil(size), base::Pages(1)).bytes();
  large::Memory memory =
      alloc_memory({.size = bytes,
                    .align = base::kFrameSize,
                    .node = place.node,
                    .where = place.where,
                    .fill = large::Fill::kSparse,
                    .is_last = is_last && page::hugetlb_shift(place.where) == 0});
  if (memory.address != nullptr && !memory.is_zero) std::memset(memory.address, 0, bytes);
  return memory.address;
}

void free_slow(void* p) {
  if (p == nullptr) return;
  Zone* zone = g_heap.pages().zone_of(p);
  if (zone == nullptr) misuse::foreign_free(p);
  if (free_to_ready(*zone, p)) return;
  bool is_remnant = base::kHasCaches && zone->class_at(p) == 0 &&
                    zone->frame_of(p).kind_now() == FrameKind::kRemnant;
  if (is_remnant && free_to_magazine(p)) return;
  {
    GateEntry entry;
    if (entry.is_open()) {
      free_inside(*zone, p);
      finish_slow_path();
      p = nullptr;
    }
  }
  if (p != nullptr) {
    const Frame& frame = zone->frame_of(p);
    bool is_own = base::kHasCaches && zone->class_at(p) >= base::kMaxClasses;
    free_beside(is_own ? handle_of(*static_cast<slab::Slab*>(frame.tenant), p) : p);
  }
  attend(Start::kNot);
}

void free_sized(void* p, size_t size) {
  free_aligned_sized(p, kGrain, size);
}

void free_aligned_sized(void* p, size_t align, size_t size) {
  if constexpr (base::kAsserts) {
    uint8_t id = class_of_aligned(size, std::max(align, kGrain));
    size_t usable = usable_size(p);
    size_t of_frames = base::Pages::ceil(std::max(size, kGrain)).bytes();
    size_t expected = id != 0 ? kClassSize[id] : of_frames;
    // A block that realloc has shrunk in place is of a larger class than its size; one of SLOB's is
    // of no class.
    bool is_right =
        (size <= usable && size > usable / 2) || expected == usable || whole_grains(size) == usable;
    if (p != nullptr && !is_right) {
      // One that was asked for while a fork was under way has frames, however small it is.
      const Frame& frame = g_heap.pages().zone_of(p)->frame_of(p);
      is_right = frame.kind_now() == FrameKind::kLarge && usable == of_frames;
    }
    if (p != nullptr && !is_right) misuse::wrong_size(p, size, usable);
  }
  free(p);
}

size_t usable_size_slow(const void* p) {
  if (p == nullptr) return 0;
  Zone* zone = g_heap.pages().zone_of(p);
  if (zone == nullptr) misuse::foreign_free(p);
  uint8_t id = base::kHasCaches ? zone->class_at(p) : uint8_t{0};
  if (id != 0) return object_size(id, p);
  const Frame& frame = zone->frame_of(p);
  FrameKind kind = frame.kind_now();
  if (base::kHasCaches && kind == FrameKind::kRemnant) return object_size(id, p);
  if (kind == FrameKind::kSlob) {
    if (!base::kHasCaches) return g_heap.slob().usable_size(frame, p);
    GateEntry entry;
    return g_heap.slob().usable_size(frame, p);
  }
  if (kind != FrameKind::kLarge || zone->address_of(frame) != p) tell_misuse(*zone, p);
  return base::Pages(frame.count).bytes();
}

}  // namespace ashlar::front
