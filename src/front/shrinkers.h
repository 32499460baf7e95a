// front/shrinkers.h -- the program's own caches, which are asked to give back before memory is out.
//
// Idea
//   A program that caches what it could compute again registers a function that frees some of it.
//   The functions are called where memory is short: before a request fails, and above the soft
//   bound. They are the program's code, so no lock is held and no gate is passed meanwhile, and
//   they may allocate and free; what they ask for in turn asks nobody again.
//
//   A fixed table of slots: to register needs no memory, and to ask needs no lock. Each slot counts
//   the calls that are under way, and whoever unregisters waits for them. Object caches with
//   destructors, or constructed blocks that wait, have slots of their own, so that they leave the
//   program's to it, and they are asked first: what they give back is free, and only costly to make
//   again.
//
// Invariants
//   1. After remove() the function will not run, and is not running, but for the call that remove()
//      was called from. One of the program's that a shrinker removes may still be under way.
//
// Locking
//   None: the state of each slot is atomic.
//
// Source
//   Linux, mm/shrinker.c.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "base/config.h"

namespace ashlar::front {

class Shrinkers {
 public:
  /// Frees about `bytes` of what `data` stands for. How many it has freed.
  using Shrink = size_t (*)(void* data, size_t bytes);
  static constexpr unsigned kCaches = 63, kMost = kCaches + 64;
  static constexpr unsigned kNone = UINT32_MAX;
  /// Caches with slabs of their own find a slot in any case: those of blocks leave them so many as
  /// there can be.
  enum class Whose : uint8_t { kCacheOfSlabs, kCacheOfBlocks, kProgram };

  constexpr Shrinkers() = default;
  /// A slot's number, or kNone where all of that kind are taken.
  unsigned add(Shrink shrink, void* data, Whose whose = Whose::kProgram);
  /// False where the slot is empty.
  bool remove(unsigned slot);
  bool is_empty() const { return count_.load(std::memory_order_relaxed) == 0; }

  /// Calls one after the other until `bytes` have been freed. How many were. Called with no lock
  /// held, outside the gate; from within a shrinker it does nothing.
  size_t ask(size_t bytes);

  /// Calls all that are this function, as if nothing were ever enough. How much was freed.
  size_t ask_all(Shrink shrink);

  /// In the child of a fork: calls that other threads had under way are nobody's any more.
  void reset_in_child();

 private:
  enum class State : uint8_t { kEmpty, kTaken, kReady };
  struct Slot {
    std::atomic<State> state{State::kEmpty};
    std::atomic<uint32_t> calls{0};  // under way
    Shrink shrink = nullptr;
    void* data = nullptr;
  };

  static constexpr unsigned first_of(Whose whose) {
    // One with a constructor takes two ids.
    constexpr unsigned kOfSlabs = (base::kMaxCaches - base::kMaxClasses) / 2;
    static_assert(kOfSlabs < kCaches);
    if (whose == Whose::kProgram) return kCaches;
    return whose == Whose::kCacheOfBlocks ? kOfSlabs : 0;
  }
  template <class Wanted>
  size_t ask_some(size_t bytes, Wanted wanted);

  std::atomic<unsigned> count_{0};
  Slot slots_[kMost]{};
};

/// The process's shrinkers.
ASHLAR_HIDDEN extern Shrinkers g_shrinkers;

}  // namespace ashlar::front
