#include "cache/seat.h"

#include <algorithm>
#include <atomic>

#include "os/lock.h"
#include "slab/slab_stock.h"

namespace ashlar::cache {
namespace {

ASHLAR_CACHE_DATA constinit os::Lock g_lock;
ASHLAR_CACHE_DATA os::RseqMode g_mode = os::RseqMode::kNone;
ASHLAR_CACHE_DATA page::MetaArena* g_meta = nullptr;
ASHLAR_CACHE_DATA Area* g_unused = nullptr;  // areas of threads that have ended
ASHLAR_CACHE_DATA bool g_is_drained = false;
ASHLAR_CACHE_DATA bool g_is_kept_drained = false;   // for a fork
ASHLAR_CACHE_DATA bool g_has_exit_hook = false;     // without it no thread could give its seat back
ASHLAR_CACHE_DATA std::atomic<unsigned> g_made{0};  // areas
ASHLAR_CACHE_DATA Area* g_cpu_areas = nullptr;      // whether drained or not

void store_entry(unsigned cpu, const os::CpuArea* area) {
  __atomic_store_n(&os::g_fast.areas[cpu], const_cast<os::CpuArea*>(area), __ATOMIC_RELEASE);
}

bool has_area(unsigned cpu) {
  const Area* area = g_cpu_areas;
  while (area != nullptr && area->cpu != cpu) area = area->next;
  return area != nullptr;
}

Area* make_area() {
  // A frame of its own, and not from its start: a processor takes a load for dependent on an older
  // store when their addresses agree in the lowest twelve bits, and objects that programs use
  // closely together tend to lie at the starts of frames. (bench/micro/cache: pairs)
  constexpr size_t kOffset = 1024;
  static_assert(kOffset + sizeof(Area) <= base::kFrameSize);
  void* frame = g_meta->alloc(base::kFrameSize, base::kFrameSize);
  if (frame == nullptr) return nullptr;
  Area* area = reinterpret_cast<Area*>(static_cast<char*>(frame) + kOffset);
  close_words(*area);
  area->yard = static_cast<uint16_t>(g_made.fetch_add(1, std::memory_order_relaxed) %
                                     slab::SlabStock::kYards);
  return area;
}

Seat cpu_seat() {
  int id = os::rseq_cpu();
  if (id < 0) return {};
  os::CpuArea* entry = __atomic_load_n(&os::g_fast.areas[id], __ATOMIC_ACQUIRE);
  if (entry != &os::kNullArea) [[likely]]
    return {static_cast<Area*>(entry), false};
  os::Locked held(g_lock);
  auto cpu = static_cast<unsigned>(id);
  if (g_is_drained || has_area(cpu)) return {};
  Area* area = make_area();
  if (area == nullptr) return {};
  area->cpu = cpu;
  area->next = g_cpu_areas;
  __atomic_store_n(&g_cpu_areas, area, __ATOMIC_RELEASE);
  store_entry(cpu, area);
  return {area, false};
}

Area* reuse_area() {
  os::Locked held(g_lock);
  Area* area = g_unused;
  if (area == nullptr) return make_area();
  g_unused = area->next;
  return area;
}

Seat thread_seat() {
  os::ThreadState& thread = os::this_thread();
  if (thread.fallback != nullptr) [[likely]]
    return {static_cast<Area*>(thread.fallback), true};
  if (thread.has_exited || !g_has_exit_hook) return {};
  Area* area = reuse_area();
  if (area == nullptr) return {};
  // From here on calls of malloc find the seat: asking for the hook may make one. Should it not be
  // had, for want of memory, this seat's objects are lost when the thread ends.
  thread.fallback = area;
  os::at_thread_exit(area);
  return {area, true};
}

}  // namespace

void close_words(Area& area) {
  std::fill_n(area.words, base::kMaxCaches, os::kClosedWord);
  std::fill_n(area.words + base::kMaxCaches, base::kMaxCaches, kNoMagazine);
  std::fill_n(area.habits, base::kMaxCaches, Habit{});
  area.held = 0;
}

os::RseqMode start_seats(page::MetaArena& meta, bool allow_rseq, void (*on_exit)(void*)) {
  g_lock.set_rank(os::LockRank::kRegistry);
  g_meta = &meta;
  g_mode = os::start_rseq(allow_rseq);
  if (g_mode == os::RseqMode::kNone) g_has_exit_hook = os::start_thread_exit(on_exit);
  return g_mode;
}

unsigned seat_count() {
  return g_made.load(std::memory_order_relaxed);
}

bool has_thread_seats() {
  return g_mode == os::RseqMode::kNone;
}

Seat take_seat() {
  return has_thread_seats() ? thread_seat() : cpu_seat();
}

Seat present_seat() {
  if (has_thread_seats()) return own_seat();
  os::CpuArea* entry = os::rseq_area();
  return entry == &os::kNullArea ? Seat{} : Seat{static_cast<Area*>(entry), false};
}

Area* first_cpu_area() {
  return __atomic_load_n(&g_cpu_areas, __ATOMIC_ACQUIRE);
}

bool drain_seats() {
  if (has_thread_seats()) return false;
  if (g_is_kept_drained) return true;
  for_each_cpu_area([](const Area& area) { store_entry(area.cpu, &os::kNullArea); });
  g_is_drained = true;
  if (os::rseq_fence()) return true;
  restore_seats();
  return false;
}

bool is_drained() {
  return g_is_drained;
}

void keep_seats_drained(bool are_kept) {
  g_is_kept_drained = are_kept;
}

void restore_seats() {
  if (g_is_kept_drained) return;
  g_is_drained = false;
  for_each_cpu_area([](const Area& area) { store_entry(area.cpu, &area); });
}

void leave_seat() {
  os::ThreadState& thread = os::this_thread();
  thread.fallback = nullptr;
  thread.has_exited = true;
}

void keep_area(Area& area) {
  close_words(area);
  os::Locked held(g_lock);
  area.next = g_unused;
  g_unused = &area;
}

os::Lock& seat_lock() {
  return g_lock;
}

bool Seat::exchange(size_t index, uint64_t expected, uint64_t desired) const {
  if (!is_mine_) return os::rseq_exchange(area_, index, expected, desired);
  if (area_->words[index] != expected) return false;
  area_->words[index] = desired;
  return true;
}

void* Seat::pop(size_t cache) const {
  if (!is_mine_) return os::rseq_pop(cache);
  uint64_t word = area_->words[cache];
  if (is_empty(word)) return nullptr;
  area_->words[cache] = below(word);
  return top_of(word);
}

bool Seat::push(size_t cache, void* object) const {
  if (!is_mine_) return os::rseq_push(cache, object);
  uint64_t word = area_->words[cache];
  if (is_full(word)) return false;
  area_->words[cache] = pushed(word, object);
  return true;
}

}  // namespace ashlar::cache
