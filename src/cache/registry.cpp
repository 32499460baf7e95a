#include "cache/registry.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace ashlar::cache {
namespace {

// Magazines of one CPU that hold less than this together need no thought.
constexpr size_t kMuchHeld = size_t{128} << 10;
// From here on it is worth a fence to empty magazines that nobody uses.
constexpr size_t kMuchIdle = size_t{64} << 10;

// Frames of slabs that are dissolved in one go, and under one lock; and what a stock has of such
// slabs before it is looked at.
constexpr size_t kMuchDissolved = 256;
constexpr size_t kDissolvedAtOnce = 64;
constexpr size_t kLeastSparse = 16;

uint64_t load_word(const Area& area, size_t index) {
  return __atomic_load_n(&area.words[index], __ATOMIC_RELAXED);
}

// Tells one word from another with little doubt, and from none. A magazine that is taken for idle
// is refilled, and no more than that.
uint16_t mark_of(uint64_t word) {
  return static_cast<uint16_t>(word ^ word >> 16 ^ word >> 32 ^ word >> 48) | 1;
}

struct Words {
  size_t both[2];
  const size_t* begin() const { return both; }
  const size_t* end() const { return both + 2; }
};
Words words_of(const ObjectCache& cache) {
  return {{cache.id(), spare_of(cache.id())}};
}

bool is_idle(const Area& area, size_t index) {
  uint64_t word = load_word(area, index);
  return !is_empty(word) && mark_of(word) == __atomic_load_n(&area.seen[index], __ATOMIC_RELAXED);
}

}  // namespace

ASHLAR_CACHE_DATA constinit Registry g_registry;

// Magazines that were taken out of an area; how many at a time, for stacks may be short.
struct Registry::Taken {
  static constexpr unsigned kMost = 32;
  struct {
    ObjectCache* cache;
    uint64_t magazine;
  } magazines[kMost];
  unsigned count = 0;

  bool is_full() const { return count == kMost; }
  void take(Area& area, ObjectCache& cache, size_t index) {
    if (is_full()) return;
    bool is_spare = index != cache.id();
    uint64_t magazine = area.words[index];
    area.words[index] = is_spare ? kNoMagazine : os::kClosedWord;
    if (!is_spare) area.habits[index] = {};
    if (!is_empty(magazine)) magazines[count++] = {&cache, magazine};
  }
  void flush() const {
    for (unsigned i = 0; i < count; ++i) magazines[i].cache->flush(magazines[i].magazine);
  }
};

os::RseqMode Registry::start(page::PageHeap& heap, bool allow_rseq, void (*on_exit)(void*)) {
  heap_ = &heap;
  g_remnants.start(heap);
  return start_seats(heap.meta(), allow_rseq, on_exit);
}

// The cache with this id, which has a place from now on.
ObjectCache& Registry::place(uint8_t id) {
  if (places_[id].load(std::memory_order_relaxed) == 0)
    places_[id].store(static_cast<uint8_t>(++last_place_), std::memory_order_release);
  return at(id);
}

ObjectCache& Registry::create(uint8_t id, const slab::SlabLayout& layout, const char* name) {
  if (!at(id).is_started()) {
    os::Locked held(seat_lock());
    if (ObjectCache& cache = place(id); !cache.is_started()) {
      cache.start(*heap_, layout, id, name);
    }
  }
  return at(id);
}

ObjectCache* Registry::find_shared(const Own& own) {
  for (unsigned i = 0; i < kOwn; ++i) {
    const Record& record = records_[i];
    const slab::SlabLayout& layout = record.own.layout;
    if (!own_at(i).is_started() || record.own.sharing == Sharing::kAlone) continue;
    // Caches for aligned objects have another step, if not another size.
    if (layout.object_size == own.layout.object_size &&
        layout.colour_step == own.layout.colour_step)
      return &own_at(i);
  }
  return nullptr;
}

// Whether an own cache's id is in use: by users, or by objects that outlive them. One that has lost
// its last object since is stopped here.
bool Registry::is_taken(unsigned at) {
  if (at > 0 && records_[at - 1].own.layout.lead != 0 && own_at(at - 1).is_started())
    return is_taken(at - 1);  // its word's
  if (records_[at].users > 0) return true;
  ObjectCache& cache = own_at(at);
  if (!cache.is_started()) return false;
  if (cache.stock().stats().slabs > 0) return true;
  if (!close_words_of(cache)) return true;
  cache.stop();
  return false;
}

bool Registry::close_words_of(ObjectCache& cache) {
  if (has_thread_seats()) return true;
  if (!drain_seats()) return false;
  for_each_cpu_area([&](Area& area) {
    area.words[cache.id()] = os::kClosedWord;
    area.habits[cache.id()] = {};
  });
  restore_seats();
  return true;
}

// The first of so many ids in a row that are free; kOwn where there are none.
unsigned Registry::find_free(unsigned ids) {
  for (unsigned i = 0; i + ids <= kOwn; i += ids)
    if (!is_taken(i) && !is_taken(i + ids - 1)) return i;
  return kOwn;
}

ObjectCache* Registry::create_own(const Own& own, const char* name) {
  os::Locked held(seat_lock());
  ObjectCache* cache = own.sharing == Sharing::kShared ? find_shared(own) : nullptr;
  if (cache != nullptr) {
    ++records_[cache->stock().cache_id() - base::kMaxClasses].users;
    return cache;
  }
  unsigned ids = own.layout.lead != 0 ? 2 : 1;
  unsigned at = find_free(ids);
  if (at == kOwn) return nullptr;
  Record& record = records_[at];
  records_[at + ids - 1] = {};
  records_[at + ids - 1].users = 1;
  record.own = own;
  record.users = 1;
  size_t length = std::min(base::length_of(name), sizeof record.name - 1);
  *std::copy_n(name, length, record.name) = '\0';
  auto id = static_cast<uint8_t>(base::kMaxClasses + at);
  Ids both{.word = static_cast<uint8_t>(id + ids - 1), .slabs = id};
  for_each_cpu_area([&](Area& area) {
    ASHLAR_ASSERT(area.words[both.word] == os::kClosedWord);
    ASHLAR_ASSERT(is_empty(area.words[spare_of(both.word)]));
  });
  cache = &place(id);
  cache->start_own(*heap_, record.own.layout, both, record.name, own.empties);
  return cache;
}

void Registry::end_own(ObjectCache& cache) {
  unsigned at = cache.stock().cache_id() - base::kMaxClasses;
  Record& record = records_[at];
  {
    os::Locked held(seat_lock());
    if (record.users > 1) {
      --record.users;
      return;
    }
  }
  empty(cache);
  cache.stock().reap(true);
  os::Locked held(seat_lock());
  if (record.own.layout.lead != 0) records_[at + 1].users = 0;
  if (--record.users == 0) is_taken(at);  // stops it, if all is back
}

bool Registry::empty(ObjectCache& cache) {
  bool is_empty = has_thread_seats();  // own caches have no magazines then
  if (!is_empty) {
    os::Locked held(seat_lock());
    is_empty = drain_seats();
    if (is_empty) {
      for_each_cpu_area([&](Area& area) {
        Taken taken;
        for (size_t index : words_of(cache)) taken.take(area, cache, index);
        taken.flush();
      });
      restore_seats();
    }
  }
  cache.empty_depot();
  return is_empty;
}

size_t Registry::count_live(ObjectCache& cache) {
  return empty(cache) ? cache.stock().stats().live : SIZE_MAX;
}

bool Registry::is_free(uint8_t id, const void* object) {
  const Area* own = static_cast<Area*>(os::this_thread().fallback);
  os::Locked held(seat_lock());
  bool is_drained = drain_seats();
  bool is_held = (is_drained || has_thread_seats()) && at(id).holds(object, own);
  if (is_drained) restore_seats();
  return is_held;
}

void Registry::count_ready(size_t* counts) {
  const Area* own = static_cast<Area*>(os::this_thread().fallback);
  os::Locked held(seat_lock());
  bool is_drained = drain_seats();
  if (is_drained || has_thread_seats())
    for_each([&](ObjectCache& cache) { counts[cache.id()] = cache.count_ready(own); });
  if (is_drained) restore_seats();
}

// Where magazines hold much, all shrink by half: those that are still busy soon grow again, and the
// others leave them room.
void Registry::fade(const Seat& seat) {
  if (!seat.end_holding(kMuchHeld)) return;
  for_each([&](ObjectCache& cache) { cache.fade(seat); });
}

void Registry::reap() {
  end_peak(heap_->live_bytes());
  undissolved_.store(0, std::memory_order_relaxed);
  if (Seat own = own_seat(); !own.is_none()) fade(own);
  for_each_cpu_area([&](Area& area) { fade({&area, false}); });
  reap_idle();
}

void Registry::take_all(Area& area, Taken& taken) {
  for_each([&](ObjectCache& cache) {
    for (size_t index : words_of(cache)) taken.take(area, cache, index);
  });
  area.held = 0;
}

void Registry::take_idle(Area& area, Taken& taken) {
  for_each([&](ObjectCache& cache) {
    for (size_t index : words_of(cache))
      if (is_idle(area, index)) taken.take(area, cache, index);
  });
}

// Gives back what take(taken) takes, as often as there is more.
template <class Take>
void Registry::flush_what(Take take) {
  for (bool has_more = true; has_more;) {
    Taken taken;
    take(taken);
    taken.flush();
    has_more = taken.is_full();
  }
}

// Nobody sits there.
void Registry::empty_area(Area& area) {
  flush_what([&](Taken& taken) { take_all(area, taken); });
}

// Gives back what `take` takes out of each CPU's area. It goes to the slabs, object by object, when
// the CPUs have their areas again.
void Registry::empty_cpu_areas(void (Registry::*take)(Area&, Taken&)) {
  for_each_cpu_area([&](Area& area) {
    flush_what([&](Taken& taken) {
      os::Locked held(seat_lock());
      if (!drain_seats()) return;
      (this->*take)(area, taken);
      restore_seats();
    });
  });
}

// What magazines may hold in which nothing has changed since they were last looked at.
size_t Registry::idle_bytes(const Area& area) {
  size_t bytes = 0;
  for_each([&](ObjectCache& cache) {
    size_t whole = cache.capacity() * size_t{cache.stock().layout().object_size};
    for (size_t index : words_of(cache))
      if (is_idle(area, index)) bytes += whole;
  });
  return bytes;
}

void Registry::note_seen(Area& area) {
  for_each([&](ObjectCache& cache) {
    for (size_t index : words_of(cache))
      __atomic_store_n(&area.seen[index], mark_of(load_word(area, index)), __ATOMIC_RELAXED);
  });
}

// A CPU that no longer runs this process, or a class that had its time, keeps nothing for long.
void Registry::reap_idle() {
  for_each([](ObjectCache& cache) { cache.reap(false); });
  if (has_thread_seats()) {
    Area* own = static_cast<Area*>(os::this_thread().fallback);
    if (own == nullptr) return;
    if (idle_bytes(*own) >= kMuchIdle) flush_what([&](Taken& taken) { take_idle(*own, taken); });
    note_seen(*own);
    return;
  }
  size_t idle = 0;
  for_each_cpu_area([&](const Area& area) { idle += idle_bytes(area); });
  if (idle >= kMuchIdle) empty_cpu_areas(&Registry::take_idle);
  for_each_cpu_area([&](Area& area) { note_seen(area); });
}

// Small objects first: of their slabs the most is left. Where nothing could be done, it is tried
// again when there is more, or in the next interval.
void Registry::dissolve() {
  if (!g_remnants.take_wish() || !g_remnants.are_worth_it()) return;
  size_t sparse = heap_->vacancy().sparse();
  if (sparse < undissolved_.load(std::memory_order_relaxed)) return;
  size_t left = kMuchDissolved;
  for_each([&](ObjectCache& cache) {
    if (left == 0 || cache.stock().sparse() < kLeastSparse) return;
    left -= std::min(left, cache.stock().dissolve(g_remnants, std::min(left, kDissolvedAtOnce)));
  });
  undissolved_.store(kMuchDissolved - left >= kLeastSparse ? 0 : sparse + kMuchDissolved,
                     std::memory_order_relaxed);
}

void Registry::reap_everything() {
  if (has_thread_seats()) {
    if (void* own = os::this_thread().fallback) empty_area(*static_cast<Area*>(own));
  } else {
    empty_cpu_areas(&Registry::take_all);
  }
  for_each([](ObjectCache& cache) { cache.reap(true); });
}

// The caller has begun to trim the vacancy.
size_t Registry::purge(size_t most, uint64_t now_ms) {
  slab::SlabStock::Purged sum;
  for (unsigned share = slab::SlabStock::kShares; share-- > 0;)
    for_each([&](ObjectCache& cache) {
      if (sum.frames >= most || sum.is_refused) return;
      slab::SlabStock::Purged purged = cache.stock().purge(share, most - sum.frames);
      sum.frames += purged.frames;
      sum.is_refused = purged.is_refused;
    });
  heap_->vacancy().end(now_ms, sum.is_refused);
  return sum.frames;
}

size_t Registry::trim(uint64_t now_ms) {
  // What depots hold beyond their bound, which moves as others allocate and free, may empty pages.
  if (bytes_in_depots() > always_in_depots(heap_->live_bytes()))
    for_each([](ObjectCache& cache) { cache.trim_depot(); });
  // What lies in depots is no more in use than what is vacant.
  page::Frames zone = heap_->slab_frames();
  size_t ready = std::min(bytes_in_depots() / base::kFrameSize, zone.live);
  zone.live -= ready;
  zone.dirty += ready;
  size_t surplus = heap_->vacancy().begin(zone, now_ms);
  return surplus == 0 ? 0 : purge(surplus, now_ms);
}

size_t Registry::purge_everything(uint64_t now_ms) {
  return heap_->vacancy().begin_all() ? purge(SIZE_MAX, now_ms) : 0;
}

void Registry::forget_magazines() {
  for_each_cpu_area(close_words);
}

void Registry::end_seat(Area& area) {
  empty_area(area);
  keep_area(area);
}

void Registry::audit() {
  for_each([](ObjectCache& cache) { cache.audit(); });
  g_remnants.audit();
  ASHLAR_CHECK(!caches_[0].is_started());
  for (unsigned id = 1; id < base::kMaxCaches; ++id) {
    unsigned place = places_[id].load(std::memory_order_relaxed);
    ASHLAR_CHECK(place <= last_place_);
    ObjectCache& cache = caches_[place];
    ASHLAR_CHECK(!cache.is_started() || cache.stock().cache_id() == id);
  }
}

}  // namespace ashlar::cache
