// front/process.h -- the gate of the slow path, and what happens around fork.
//
// Idea
//   A forked child has one thread and a copy of memory that was taken page by page while the other
//   threads went on. For the copy to be a heap, nobody may be changing the heap while it is taken:
//   neither under a lock nor in a restartable section. So the prepare handler closes a *gate*,
//   waits until every thread has left the slow path, and drains all CPUs, which makes every fast
//   path fail into the gate.
//
//   But nobody may wait at the gate for long: libc takes the locks of stdio after our handler has
//   run, and a thread inside getline that holds one may be waiting for memory. So a thread that
//   finds the gate closed waits a moment, once, and then takes frames from a zone *beside* the
//   heap, which is nobody's but theirs, and gives them back to it; what else it frees is noted, and
//   freed by the next slow path. The child abandons the zone beside it and what was freed
//   meanwhile: a bounded loss.
//
//   No lock is held over fork. A fork inside a signal handler that has interrupted this very slow
//   path cannot wait for threads that wait for us: it waits a short while and goes on. So does one
//   beside a thread that has found misuse, and ends the process from within the slow path. In the
//   child locks whose holder does not exist are freed; our own are ours to release.
//
// Invariants
//   1. While a fork copies the memory, no thread but the one that forks is between enter and leave:
//      but for these two cases.
//
// Locking
//   One fork at a time: g_fork_lock, which no other code takes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "os/thread.h"

namespace ashlar::front {

ASHLAR_HIDDEN extern std::atomic<bool> g_is_registered;

/// A stay inside the slow path.
class GateEntry {
 public:
  GateEntry() { enter(); }
  ~GateEntry() { leave(); }
  GateEntry(const GateEntry&) = delete;
  GateEntry& operator=(const GateEntry&) = delete;

  /// False where the gate was closed: then the heap must not be changed.
  bool is_open() const { return is_open_; }

  /// Comes in anew when wait() is over.
  template <class Wait>
  void reenter_after(Wait wait) {
    leave();
    wait();
    enter();
  }

 private:
  void enter();
  void leave();

  bool is_open_ = true;
  bool is_counted_ = false;
  uint32_t process_ = 0;  // the fork_count() of the process that has counted it
};

/// Waits up to a millisecond for the gate to open. A thread that has waited since it was closed
/// returns at once, unless `again`. Whether it is open; if not, the caller works beside the heap.
bool wait_for_gate(bool again);

/// How many milliseconds inside_gate() waits at most while a fork keeps the gate closed. The fork
/// may be waiting for this very thread, or for a lock of libc that it holds: who can do without
/// gives up after a second, and who must have memory after ten.
enum class GateWait : uint32_t {
  kNot = 0,
  kTenthOfASecond = 100,
  kSecond = 1'000,
  kTenSeconds = 10'000
};

/// Does `what` inside the gate. False where that has stayed closed; then nothing is done.
template <class What>
bool inside_gate(GateWait wait, What what) {
  for (uint32_t waits = 0;; ++waits) {
    {
      GateEntry entry;
      if (entry.is_open()) {
        what();
        return true;
      }
    }
    if (waits == static_cast<uint32_t>(wait)) return false;
    wait_for_gate(true);
  }
}

/// A stay inside the gate for who has no way beside it. The fork may be waiting for this very
/// thread, so the wait is given up after ten seconds; and at once where another one has been, for
/// the same fork. Not inside the gate.
class Stay {
 public:
  Stay();
  bool is_open() const { return entry_.is_open(); }

 private:
  GateEntry entry_;
};

template <class What>
bool inside_sometime(What what) {
  Stay stay;
  if (stay.is_open()) what();
  return stay.is_open();
}
/// The same for who has one: it waits the moment that malloc waits, once for each fork.
template <class What>
bool inside_soon(What what) {
  auto try_now = [&] { return inside_gate(GateWait::kNot, what); };
  return try_now() || (wait_for_gate(false) && try_now());
}

/// A block beside the heap, which may be freed like any other once the gate is open; null where
/// memory is out or there is no zone beside it.
void* alloc_beside(size_t size, size_t align);

/// Frees a block that lies beside the heap, or notes it to be freed when the gate is open again.
/// The block holds 16 bytes at least.
void free_beside(void* block);

/// Whether no fork is under way. Inside a GateEntry it then stays so until that ends.
bool is_gate_open();

/// The blocks that were noted, each holding the address of the next; they are the caller's now.
bool has_freed_beside();
void* take_freed_beside();

/// How many forks of processes with other threads lie between the first process and this one.
uint32_t fork_count();

/// A number, not 0, that no process with other threads has had of those that led to this one. Asks
/// the kernel only in the handlers of a fork.
uint64_t this_process();
/// For what a fork's child finds as another thread has left it, and no list tells: forget() is
/// called by the first call of a process, and further ones wait for it.
template <class Forget>
void once_in_process(std::atomic<uint64_t>& known, Forget forget) {
  constexpr uint64_t kForgetting = uint64_t{1} << 31;
  const uint64_t mine = this_process();
  for (uint64_t seen = known.load(std::memory_order_acquire); seen != mine;) {
    if (seen == (mine | kForgetting)) {
      os::yield_cpu();
      seen = known.load(std::memory_order_acquire);
    } else if (known.compare_exchange_strong(seen, mine | kForgetting, std::memory_order_acquire)) {
      forget();
      known.store(mine, std::memory_order_release);
      return;
    }
  }
}

/// The fork under way, by a number below 2^63 that no other one has; 0 for none.
uint64_t fork_under_way();
/// Whether what was noted beside that fork is whole here. In that fork's child it is not: the
/// memory was copied meanwhile. False for 0, and where this cannot be known.
bool is_whole_here(uint64_t noted_beside);

/// Registers the fork handlers, if that has not been done. A process without other threads needs
/// none, and to register them at its start would cost each small process 30 pages of libc. So it is
/// done by the first slow path that sees another thread, by a calloc that does (of pthread_create,
/// which need not come by the slow path), by one of a promoted heap, whose children have something
/// to begin anew, where a pool is made, and by requests for memory that a child does not have as
/// its parent did: what is pinned, or was set apart.
///
/// Not by any: pthread_atfork itself asks for memory, with the list of handlers locked, when that
/// is lengthened, and would wait for itself. But it is long then (48 handlers of 24 bytes or more).
void start_process();
inline bool is_process_started() {
  return g_is_registered.load(std::memory_order_relaxed);
}
inline void start_process_for(size_t size) {
  constexpr size_t kLeastOfHandlers = 1024;
  if (!is_process_started() && size < kLeastOfHandlers) [[unlikely]]
    start_process();
}
inline void start_process_beside_threads() {
  if (!is_process_started() && os::has_other_threads()) [[unlikely]]
    start_process();
}

}  // namespace ashlar::front
