// cache/seat.h -- where a thread's magazines are: its CPU's area, or one of its own.
//
// Idea
//   The slow path is written once for both ways of having magazines. With restartable sequences a
//   seat is the area of the CPU that we run on, and each operation on it may find that we no
//   longer do; then it has changed nothing. Without them a seat is an area that belongs to this
//   thread alone, and the same operations are plain loads and stores. A thread that has neither
//   (not registered, or past its exit hook, or its CPU is being drained) has no seat and works on
//   the stock directly.
//
//   Behind the words an area keeps each magazine's habits: its capacity, and whether it was full or
//   empty when it last needed help. They are hints: others may change them, or the magazine alone,
//   at any moment.
//
//   *Draining* takes an area away from its CPU: its table entry is exchanged for the null area,
//   and a fence waits until no section can have seen the old entry.
//
// Invariants
//   1. os::g_fast.areas[id] is the area of id, or the null area: while it has none or is drained.
//
// Locking
//   A drain and the making of an area hold the registry's lock (LockRank::kRegistry).
#pragma once

#include <cstdint>

#include "cache/magazine.h"
#include "page/meta_arena.h"

namespace ashlar::cache {

/// What the slow path has learnt of one magazine.
struct alignas(2) Habit {
  uint8_t capacity;
  bool was_full;  ///< and not empty, the last time that it came to the slow path
};

/// An area with the habits of its magazines.
struct Area : os::CpuArea {
  Habit habits[base::kMaxCaches];
  uint32_t held;  ///< bytes that magazines of these capacities hold; a hint, too
  uint16_t seen[2 * base::kMaxCaches];  ///< marks of all words, when they were last looked at
  uint16_t yard;                        ///< of each stock, that serves who sits here
  unsigned cpu;                         ///< whose it is, unless a thread's
  Area* next;                           ///< CPUs' areas, or those of threads that have ended
  void* late[3];                        ///< for whoever has a thread's area emptied later
};

constexpr size_t spare_of(size_t cache) {
  return base::kMaxCaches + cache;
}

class Seat {
 public:
  Seat() = default;
  Seat(Area* area, bool is_mine) : area_(area), is_mine_(is_mine) {}
  bool is_none() const { return area_ == nullptr; }
  /// The yard of each stock that serves this seat, if the stock gives seats yards of their own.
  unsigned yard() const { return area_ == nullptr ? 0 : area_->yard; }

  uint64_t load(size_t index) const {
    return __atomic_load_n(&area_->words[index], __ATOMIC_RELAXED);
  }
  /// Replaces a word if it still is `expected` and we still sit here.
  bool exchange(size_t index, uint64_t expected, uint64_t desired) const;
  void* pop(size_t cache) const;
  bool push(size_t cache, void* object) const;

  /// A hint that others may be changing.
  Habit habit(size_t cache) const {
    Habit habit;
    __atomic_load(&area_->habits[cache], &habit, __ATOMIC_RELAXED);
    return habit;
  }
  void set_habit(size_t cache, Habit habit) const {
    __atomic_store(&area_->habits[cache], &habit, __ATOMIC_RELAXED);
  }
  /// Whether this seat's magazines may hold so many bytes more, of `most` together. Then they do.
  bool try_hold(size_t more, size_t most) const {
    size_t held = __atomic_load_n(&area_->held, __ATOMIC_RELAXED) + more;
    if (held > most) return false;
    __atomic_store_n(&area_->held, static_cast<uint32_t>(held), __ATOMIC_RELAXED);
    return true;
  }
  /// Begins that count anew, if it has come to `much`.
  bool end_holding(size_t much) const {
    if (__atomic_load_n(&area_->held, __ATOMIC_RELAXED) < much) return false;
    __atomic_store_n(&area_->held, 0, __ATOMIC_RELAXED);
    return true;
  }

 private:
  Area* area_ = nullptr;
  bool is_mine_ = false;
};

/// Decides how this process has magazines. Called once, before any seat is taken. A thread with a
/// seat of its own gives it back through `on_exit(Area*)` when it ends.
os::RseqMode start_seats(page::MetaArena& meta, bool allow_rseq, void (*on_exit)(void*));

/// The calling thread's seat, made if need be. Takes LockRank::kRegistry when it makes one.
Seat take_seat();

/// The same, but none where it would have to be made: takes no lock.
Seat present_seat();

/// The seat that belongs to the calling thread alone, if it has one by now.
inline Seat own_seat() {
  return {static_cast<Area*>(os::this_thread().fallback), true};
}

/// How many seats there are, or have been at once.
unsigned seat_count();

/// Whether threads have seats of their own, for want of restartable sequences.
bool has_thread_seats();

/// The areas that CPUs have, drained or not. They are never unmade.
Area* first_cpu_area();
template <class Visit>
void for_each_cpu_area(Visit visit) {
  for (Area* area = first_cpu_area(); area != nullptr; area = area->next) visit(*area);
}

/// Takes all areas from their CPUs. False where the kernel cannot fence, or threads have seats of
/// their own; then nothing has changed. The caller holds seat_lock(), or no other thread can be in
/// the slow path.
bool drain_seats();
bool is_drained();
/// While a fork is under way, areas that are drained stay so: its own thread's handlers may drain
/// and restore them as they like.
void keep_seats_drained(bool are_kept);
/// Gives the areas back.
void restore_seats();

/// From here on the calling thread, which ends, has no seat of its own. The area is the caller's.
void leave_seat();
/// Keeps the area of a thread that has left its seat, with empty magazines, for another.
void keep_area(Area& area);

/// Makes every magazine of an area one of no capacity: empty and full at once.
void close_words(Area& area);

os::Lock& seat_lock();

}  // namespace ashlar::cache
