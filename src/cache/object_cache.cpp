#include "cache/object_cache.h"

#include <algorithm>

#include "base/check.h"
#include "harden/misuse.h"

namespace ashlar::cache {

ASHLAR_CACHE_DATA constinit slab::Remnants g_remnants;

namespace {

// A magazine holds about this many bytes. More would be held idle on each CPU, fewer would make
// trips too often: see bench/micro/cache.
constexpr size_t kMagazineBytes = size_t{256} << 10;
constexpr size_t kLeastMagazine = 4;
// A magazine's first objects take so many bytes: CPUs whose objects share a cache line, or two that
// the processor fetches together, slow each other down.
constexpr size_t kLeastFirstBytes = 4 * base::kCacheLine;
// A magazine that only empties, or only fills, holds so much of that.
constexpr size_t kOneWayShare = 16;
// What all depots together may hold, in bytes of objects: this, and a share of the live memory.
// Objects come back from a depot in the order in which they were freed, from the slabs in that of
// their addresses: with 1 MiB a set of 20,000 nodes that followed another was searched 20 % slower.
constexpr size_t kDepotBytes = size_t{256} << 10;
constexpr size_t kDepotShare = 64;
// With what was regretted they may hold more. Beyond this, all of them together and what is in use
// stay within a share above the most that was in use lately: else a program that uses one class
// after the other, each again and again, would have the most that each ever held lie ready.
constexpr size_t kRegretBytes = size_t{4} << 20;
constexpr size_t kPeakShare = 16;
ASHLAR_CACHE_DATA std::atomic<size_t> g_in_depots{0};
ASHLAR_CACHE_DATA std::atomic<size_t> g_peak{0},
    g_last_peak{0};  // bytes in use at most, in this interval and the last
// What a magazine holds of another yard's objects is a magazine of its own from such a part on.
constexpr unsigned kLeastPart = 4;
// Up to what all magazines of one seat (a CPU's, or a thread's) may grow together, and spares the
// same again: this, and a share of the live memory. Shares of all seats together are bounded, too.
constexpr size_t kSeatBytes = size_t{256} << 10;
constexpr size_t kSeatShare = 16, kSeatsShare = 8;

// For each slab that is carved so many others' objects may come from elsewhere.
constexpr unsigned kSlabsForgone = 4;

// Counts that may lose one to a race: they are hints and statistics.
void add(std::atomic<uint32_t>& counter, uint32_t more) {
  counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

// What is in use of so much live memory, about; the most of that in this interval.
size_t note_use(size_t live) {
  size_t use = live - std::min(live, bytes_in_depots());
  size_t peak = g_peak.load(std::memory_order_relaxed);
  if (use > peak) g_peak.store(use, std::memory_order_relaxed);
  return std::max(use, peak);
}

// Orders objects so that those next to each other are given out far apart: 0 4 2 6 1 5 3 7 of
// eight.
void spread(Batch& batch) {
  Batch sorted = batch;
  unsigned bits = base::log2_ceil(batch.count);
  for (unsigned i = 0, at = 0; at < batch.count; ++i) {
    unsigned reversed = 0;
    for (unsigned bit = 0; bit < bits; ++bit) reversed |= (i >> bit & 1) << (bits - 1 - bit);
    if (reversed < batch.count) batch.objects[at++] = sorted.objects[reversed];
  }
}

}  // namespace

size_t always_in_depots(size_t live) {
  return kDepotBytes + live / kDepotShare;
}

size_t bytes_in_depots() {
  return g_in_depots.load(std::memory_order_relaxed);
}

void end_peak(size_t live) {
  size_t peak = note_use(live);
  g_last_peak.store(peak, std::memory_order_relaxed);
  g_peak.store(live - std::min(live, bytes_in_depots()), std::memory_order_relaxed);
}

void ObjectCache::start(page::PageHeap& heap, const slab::SlabLayout& layout, uint8_t id,
                        const char* name) {
  has_remnants_ = true;
  start_parts(heap, layout, {.word = id, .slabs = id}, name, slab::Empties::kRetire);
}

void ObjectCache::start_own(page::PageHeap& heap, const slab::SlabLayout& layout, Ids ids,
                            const char* name, slab::Empties empties) {
  has_no_seats_ = has_thread_seats();
  start_parts(heap, layout, ids, name, empties);
}

// The id comes last: whoever sees it uses the cache.
void ObjectCache::start_parts(page::PageHeap& heap, const slab::SlabLayout& layout, Ids ids,
                              const char* name, slab::Empties empties) {
  for (std::atomic<uint32_t>* count :
       {&slow_allocs_, &slow_frees_, &refills_, &flushes_, &lately_flushed_, &regretted_})
    count->store(0, std::memory_order_relaxed);
  size_t objects =
      std::clamp(kMagazineBytes / layout.object_size, kLeastMagazine, size_t{kMaxMagazine});
  capacity_ = static_cast<uint8_t>(objects);
  first_ = static_cast<uint8_t>(
      std::max({objects / 32, kLeastFirstBytes / layout.object_size, size_t{2}}));
  size_t one_way = kMagazineBytes / kOneWayShare / layout.object_size;
  one_way_ = static_cast<uint8_t>(std::clamp(one_way, size_t{2}, objects));
  depot_.start(heap.meta());
  stock_.start(heap, layout, ids.slabs, name, empties);
  id_.store(ids.word, std::memory_order_release);
}

void* ObjectCache::alloc_slow(Source source) {
  add(slow_allocs_, 1);
  for (;;) {
    Seat seat = here();
    if (seat.is_none()) {
      void* object = nullptr;
      bool is_there = source != Source::kReady && take_from_slabs(&object, 1, seat, source) == 1;
      return is_there ? object : nullptr;
    }
    uint64_t loaded = seat.load(id());
    if (!is_empty(loaded)) {  // another thread filled it, or we are on another CPU by now
      if (void* object = seat.pop(id())) return object;
      continue;
    }
    uint64_t magazine = next_magazine(seat, source);
    if (magazine == kNoMagazine) return nullptr;
    void* object = top_of(magazine);
    uint64_t rest = below(magazine);
    if (!seat.exchange(id(), loaded, rest)) give_back(rest, seat.habit(id()).capacity);
    return object;
  }
}

bool ObjectCache::try_without_slab() {
  if (without_slab_ < kSlabsForgone * stock_.layout().count) {
    ++without_slab_;
    return true;
  }
  without_slab_ = 0;
  return false;
}

void* ObjectCache::take_ready_here() {
  Seat seat = has_no_seats_ ? Seat{} : present_seat();
  if (seat.is_none()) return nullptr;
  void* object = seat.pop(id());
  return object != nullptr ? object : seat.pop(spare_of(id()));
}

unsigned ObjectCache::take_raw(Batch& batch) {
  Seat seat = here();
  unsigned capacity = seat.is_none() ? 1 : seat.habit(id()).capacity;
  add(refills_, 1);
  batch.count = stock_.refill(batch.objects, std::max(capacity, 1u), yard_of(seat));
  return batch.count;
}

void ObjectCache::put_made(const Batch& batch) {
  if (batch.count < 2) return;
  Seat seat = here();
  unsigned capacity = seat.is_none() ? kMaxMagazine : seat.habit(id()).capacity;
  capacity = std::max(capacity, batch.count - 1);
  uint64_t magazine = chain(batch.objects + 1, batch.count - 1, capacity);
  if (!seat.is_none())
    if (uint64_t loaded = seat.load(id());
        is_empty(loaded) && seat.exchange(id(), loaded, magazine))
      return;
  give_back(magazine, batch.count - 1);
}

// A magazine that is not empty: the spare, the depot's, or one filled from the slabs.
uint64_t ObjectCache::next_magazine(const Seat& seat, Source source) {
  unsigned capacity = learn(seat, false);
  uint64_t spare = seat.load(spare_of(id()));
  // Whoever must not wait takes single objects of it, and may have left an empty word.
  if (!is_empty(spare) && seat.exchange(spare_of(id()), spare, kNoMagazine)) return spare;
  Full full = depot_.take(yard_of(seat));
  if (full.magazine != kNoMagazine) {
    leave_depot(full);
    return full.magazine;
  }
  if (source == Source::kReady) return kNoMagazine;
  // What was flushed in this interval and is wanted now had better been kept.
  if (unsigned flushed = lately_flushed_.load(std::memory_order_relaxed); flushed > 0) {
    lately_flushed_.store(flushed - 1, std::memory_order_relaxed);
    add(regretted_, 1);
  }
  return refill(seat, capacity, source);
}

// The capacity that this seat's magazine had best have from now on.
unsigned ObjectCache::learn(const Seat& seat, bool is_full) {
  Habit habit = seat.habit(id());
  bool has_turned = habit.was_full != is_full;
  unsigned limit = has_turned ? capacity_ : one_way_;
  unsigned capacity = habit.capacity;
  if (capacity < first_)
    capacity = first_;
  else if (capacity < limit)
    capacity = grown(seat, capacity, limit);
  seat.set_habit(id(), {static_cast<uint8_t>(capacity), is_full});
  return capacity;
}

unsigned ObjectCache::grown(const Seat& seat, unsigned capacity, unsigned limit) {
  unsigned larger = std::min(capacity + capacity / 4 + 1, limit);
  size_t share = std::max(kSeatShare, kSeatsShare * seat_count());
  size_t most = kSeatBytes + stock_.heap().live_bytes() / share;
  size_t more = (larger - capacity) * size_t{stock_.layout().object_size};
  return seat.try_hold(more, most) ? larger : capacity;
}

void ObjectCache::fade(const Seat& seat) {
  Habit habit = seat.habit(id());
  habit.capacity /= 2;
  seat.set_habit(id(), habit);
  seat.try_hold(habit.capacity * size_t{stock_.layout().object_size}, SIZE_MAX);
}

// Where memory lies in slabs of which little is in use, what they have left comes before more
// slabs.
unsigned ObjectCache::take_from_slabs(void** out, unsigned most, const Seat& seat, Source source) {
  using Growth = slab::SlabStock::Growth;
  Growth growth = source == Source::kHeld ? Growth::kNot : Growth::kAllowed;
  unsigned yard = yard_of(seat);
  if (!has_remnants_ || !g_remnants.are_worth_it()) return stock_.refill(out, most, yard, growth);
  unsigned count = stock_.refill(out, most, yard, Growth::kNot);
  if (count == 0) count = g_remnants.take(stock_.layout(), out, most);
  return count != 0 || growth == Growth::kNot ? count : stock_.refill(out, most, yard);
}

void ObjectCache::put_to_slabs(void** objects, unsigned count) {
  unsigned strangers = stock_.flush(objects, count);
  if (strangers > 0) g_remnants.put(objects, strangers);
}

uint64_t ObjectCache::refill(const Seat& seat, unsigned capacity, Source source) {
  add(refills_, 1);
  Batch batch;
  batch.count = take_from_slabs(batch.objects, capacity, seat, source);
  // The first objects of threads that begin on one CPU and go on on others must not share a line.
  if (capacity == first_ && batch.count > 1) spread(batch);
  return batch.count == 0 ? kNoMagazine : chain(batch.objects, batch.count, capacity);
}

void ObjectCache::free_slow(void* object) {
  add(slow_frees_, 1);
  for (;;) {
    Seat seat = here();
    if (seat.is_none()) {
      put_to_slabs(&object, 1);
      return;
    }
    uint64_t loaded = seat.load(id());
    if (is_full(loaded)) make_room(seat, loaded);
    // A push that was aborted at its last step has left the key, for which the next would turn this
    // object away.
    static_cast<FreeObject*>(object)->key = 0;
    if (seat.push(id(), object)) return;
  }
}

bool ObjectCache::try_free(void* object) {
  Seat seat = has_no_seats_ ? Seat{} : present_seat();
  return !seat.is_none() && seat.push(id(), object);
}

// Sees to it that the seat's magazine is not full, if we still sit there.
void ObjectCache::make_room(const Seat& seat, uint64_t loaded) {
  unsigned had = seat.habit(id()).capacity;
  unsigned capacity = learn(seat, true);
  if (capacity > had) {
    enlarge(seat, loaded, capacity);
    return;
  }
  if (!seat.exchange(id(), loaded, empty_word(capacity))) return;
  if (is_empty(loaded)) return;  // a closed one: full and empty
  // The spare stays: what has just been freed is still in the processor's caches, and giving back
  // walks through it.
  uint64_t spare = seat.load(spare_of(id()));
  if (!is_empty(spare) || !seat.exchange(spare_of(id()), spare, loaded))
    give_back(loaded, capacity);
}

// Puts the objects of a small magazine into one of larger capacity.
void ObjectCache::enlarge(const Seat& seat, uint64_t loaded, unsigned capacity) {
  uint64_t larger = empty_word(capacity);
  if (!seat.exchange(id(), loaded, larger) || is_empty(loaded)) return;
  Batch batch = unchain(loaded);
  if (batch.count > capacity) {  // it came from a CPU with larger ones
    give_back(loaded, batch.count);
    return;
  }
  uint64_t refilled = chain(batch.objects, batch.count, capacity);
  if (!seat.exchange(id(), larger, refilled)) give_back(refilled, batch.count);
}

void ObjectCache::leave_depot(const Full& full) {
  g_in_depots.fetch_sub(size_t{full.objects} * stock_.layout().object_size,
                        std::memory_order_relaxed);
}

// Whether this depot may hold its magazines, or `more`, all depots together being so large.
bool ObjectCache::fits_in_depots(size_t bytes, unsigned more) {
  size_t live = stock_.heap().live_bytes();
  if (bytes <= always_in_depots(live)) return true;
  if (depot_.count() + more > regretted_.load(std::memory_order_relaxed)) return false;
  size_t peak = std::max(note_use(live), g_last_peak.load(std::memory_order_relaxed));
  return bytes <= kRegretBytes || live <= peak + peak / kPeakShare;
}

void ObjectCache::trim_depot() {
  while (depot_.count() > 0 && !fits_in_depots(bytes_in_depots(), 0)) {
    Full surplus = depot_.take_any();
    if (surplus.magazine == kNoMagazine) return;
    leave_depot(surplus);
    flush(surplus.magazine);
  }
}

// To the depot, or to the slabs where depots hold enough.
void ObjectCache::deposit(Full full) {
  size_t bytes = size_t{full.objects} * stock_.layout().object_size;
  size_t sum = g_in_depots.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (fits_in_depots(sum, 1) && depot_.try_put(full)) return;
  leave_depot(full);
  flush(full.magazine);
  add(lately_flushed_, 1);
  // What was allowed while there was more live memory is too much now: shrink as others are freed.
  if (fits_in_depots(bytes_in_depots(), 0)) return;
  if (Full surplus = depot_.take_any(); surplus.magazine != kNoMagazine) {
    leave_depot(surplus);
    flush(surplus.magazine);
  }
}

// Each yard's objects by themselves, where there are more than a few. The yards are read as they
// are at this moment: a slab that is taken over meanwhile costs locality, and no more.
void ObjectCache::sort_out(Full full) {
  const page::Zone& zone = stock_.heap().slabs();
  auto yard_of_object = [&](const void* object) {
    return __atomic_load_n(&zone.frame_of(object).yard, __ATOMIC_RELAXED);
  };
  Batch batch = unchain(full.magazine);
  void **few = batch.objects, **end = batch.objects + batch.count;
  for (void** from = batch.objects; from != end;) {
    unsigned yard = yard_of_object(*from);
    auto is_its = [&](const void* object) { return yard_of_object(object) == yard; };
    void** rest = std::partition(from + 1, end, is_its);
    auto count = static_cast<uint16_t>(rest - from);
    Full own{
        .magazine = full.magazine, .objects = full.objects, .yard = static_cast<uint16_t>(yard)};
    if (count == batch.count) return deposit(own);
    if (count < batch.count / kLeastPart) {
      few = std::copy(from, rest, few);
    } else {
      own.magazine = chain(from, count, std::max<unsigned>(full.objects, batch.count));
      own.objects = count;
      deposit(own);
    }
    from = rest;
  }
  if (few == batch.objects) return;
  add(flushes_, 1);
  put_to_slabs(batch.objects, static_cast<unsigned>(few - batch.objects));
}

void ObjectCache::give_back(Full full) {
  if (is_empty(full.magazine)) return;
  if (stock_.has_yards()) return sort_out(full);
  deposit(full);
}

void ObjectCache::flush(uint64_t magazine) {
  add(flushes_, 1);
  Batch batch = unchain(magazine);
  put_to_slabs(batch.objects, batch.count);
}

// Whether an address is in a slab of this cache or in a remnant. Between the parts of nodes the map
// may be read, and there are no records.
bool ObjectCache::may_be_mine(const void* object) {
  const page::Zone& zone = stock_.heap().slabs();
  uint8_t id = zone.class_at(object);
  if (id != 0 || !has_remnants_) return id == stock_.cache_id();
  return stock_.heap().zone_of(object) != nullptr &&
         zone.frame_of(object).kind_now() == page::FrameKind::kRemnant;
}

// Calls visit(object) from the top on. The links lie in freed memory: what leads out of the heap
// was overwritten.
template <class Visit>
void ObjectCache::walk(uint64_t magazine, Visit visit) {
  const page::Zone& zone = stock_.heap().slabs();
  const void* above = top_of(magazine);
  for (unsigned objects = 0; !is_empty(magazine); ++objects, magazine = below(magazine)) {
    void* object = top_of(magazine);
    if (objects == kMaxMagazine || !zone.spans(object) || !may_be_mine(object))
      misuse::corrupted(above, "a freed object was written to");
    visit(object);
    above = object;
  }
}

Batch ObjectCache::unchain(uint64_t magazine) {
  Batch batch;
  const page::Zone& zone = stock_.heap().slabs();
  walk(magazine, [&](void* object) {
    // The next link is a cache miss as a rule; what the stock will look at comes along with it.
    __builtin_prefetch(&zone.frame_of(object));
    batch.objects[batch.count++] = object;
  });
  return batch;
}

// Gives back what `take` finds in the depot. How many magazines.
template <class Take>
unsigned ObjectCache::flush_depot(Take take) {
  unsigned flushed = 0;
  for (Full full = take(); full.magazine != kNoMagazine; full = take(), ++flushed) {
    leave_depot(full);
    flush(full.magazine);
  }
  return flushed;
}

unsigned ObjectCache::empty_depot() {
  return flush_depot([&] { return depot_.take_any(); });
}

void ObjectCache::reap(bool everything) {
  unsigned flushed = everything ? empty_depot() : flush_depot([&] { return depot_.take_idle(); });
  // What nobody needed need not be kept the next time.
  unsigned regretted = regretted_.load(std::memory_order_relaxed);
  regretted_.store(regretted - std::min(regretted, flushed), std::memory_order_relaxed);
  lately_flushed_.store(0, std::memory_order_relaxed);
  depot_.end_interval();
  stock_.reap(everything);
}

template <class Visit>
void ObjectCache::for_each_magazine(const Area* own, Visit visit) {
  depot_.for_each(visit);
  auto visit_area = [&](const Area& area) {
    visit(area.words[id()]);
    visit(area.words[spare_of(id())]);
  };
  if (own != nullptr) visit_area(*own);
  for_each_cpu_area(visit_area);
}

bool ObjectCache::holds(const void* object, const Area* own) {
  bool found = stock_.holds(object);
  for_each_magazine(own, [&](uint64_t magazine) {
    walk(magazine, [&](const void* free) { found |= free == object; });
  });
  return found;
}

size_t ObjectCache::count_ready(const Area* own) {
  size_t ready = 0;
  for_each_magazine(own, [&](uint64_t magazine) { walk(magazine, [&](void*) { ++ready; }); });
  return ready;
}

CacheStats ObjectCache::stats() {
  return {.name = stock_.name(),
          .object_size = stock_.layout().object_size,
          .capacity = capacity_,
          .slow_allocs = slow_allocs_.load(std::memory_order_relaxed),
          .slow_frees = slow_frees_.load(std::memory_order_relaxed),
          .refills = refills_.load(std::memory_order_relaxed),
          .flushes = flushes_.load(std::memory_order_relaxed),
          .depot_magazines = depot_.count(),
          .stock = stock_.stats()};
}

void ObjectCache::audit() {
  depot_.audit();
  stock_.audit();
}

}  // namespace ashlar::cache
