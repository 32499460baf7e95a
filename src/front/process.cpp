#include "front/process.h"

#include <algorithm>
#include <atomic>

#include "base/bits.h"
#include "base/units.h"
#include "cache/registry.h"
#include "front/heap.h"
#include "front/reaper.h"
#include "front/shrinkers.h"
#include "front/small_heap.h"
#include "front/upkeep.h"
#include "os/lock.h"
#include "os/thread.h"

namespace ashlar::front {

ASHLAR_CACHE_DATA std::atomic<bool> g_is_registered{false};

namespace {

// A count of threads, with the number of the process that counts, fork_count(), in the upper half:
// a child begins anew, and who was counted before goes out of a count that he is not in.
struct alignas(base::kCacheLine) Count {
  std::atomic<uint64_t> word{0};

  uint32_t come_in() {
    uint64_t seen = word.load(std::memory_order_relaxed);
    while (!word.compare_exchange_weak(seen, seen + 1, std::memory_order_seq_cst)) {
    }
    return static_cast<uint32_t>(seen >> 32);
  }
  void go_out(uint32_t process) {
    uint64_t seen = word.load(std::memory_order_relaxed);
    while (seen >> 32 == process &&
           !word.compare_exchange_weak(seen, seen - 1, std::memory_order_release)) {
    }
  }
  uint32_t threads() const { return static_cast<uint32_t>(word.load(std::memory_order_seq_cst)); }
  void begin(uint32_t process) { word.store(uint64_t{process} << 32, std::memory_order_relaxed); }
};
// Spread over cache lines so that slow paths do not meet here.
constexpr size_t kCounts = 8;
ASHLAR_CACHE_DATA Count g_inside[kCounts];

ASHLAR_CACHE_DATA std::atomic<os::ThreadState*> g_closer{nullptr};
// What waiters sleep on: 0, or the number of this closing, from 1 to 255.
ASHLAR_START_DATA std::atomic<uint32_t> g_closing{0};
ASHLAR_CACHE_DATA uint8_t g_last_closing = 0;
// This closing, where it has outlasted a Stay's wait; else 0, or one that is over just now.
std::atomic<uint8_t> g_long_closing{0};
ASHLAR_CACHE_DATA constinit os::Lock g_fork_lock;
// Forks by handlers that have interrupted the slow path, and wait for another one to be over.
ASHLAR_CACHE_DATA Count g_forkers_inside;
ASHLAR_START_DATA std::atomic<void*> g_freed_beside{nullptr};
ASHLAR_CACHE_DATA uint32_t g_forks = 0;
// How often the gate was closed by this process and those that it comes from, and up to the fork
// that has made it.
ASHLAR_CACHE_DATA std::atomic<uint32_t> g_closings{0};
ASHLAR_CACHE_DATA uint32_t g_closings_at_birth = 0;
// For the fork under way: nobody can be in a restartable section; that was so before it; and this
// very thread had seen to it.
ASHLAR_CACHE_DATA bool g_is_fenced = false, g_was_drained = false, g_is_our_drain = false;
ASHLAR_CACHE_DATA unsigned g_nested = 0;  // forks by handlers that have interrupted our own
ASHLAR_CACHE_DATA uint32_t g_forking_process = 0;

// How long a thread waits at the gate, once: most forks are over by then, and work beside the heap
// costs a frame for each object. Were it to wait again, with a lock of stdio in its hands each
// time, the thread that forks would hardly ever come by that lock.
constexpr unsigned kWaitUs = 1000;
// How often a fork yields to threads inside, and how long it sleeps then, before it yields again:
// threads come by and go.
constexpr unsigned kYields = 16;
constexpr unsigned kCloserWaitUs = 50;
// How often a fork that has interrupted the slow path gives way for others to leave it: they may be
// waiting for a lock that we hold, so it cannot wait for good. Nor can one beside a thread that has
// seen misuse, and whose handler of SIGABRT may be waiting for this fork.
constexpr unsigned kSignalWaits = 1000, kLeastSignalWaits = 4;
constexpr unsigned kSignalWaitUs = 50;

Count& my_count() {
  return g_inside[os::my_place(kCounts)];
}

uint32_t threads_inside() {
  uint32_t sum = 0;
  for (const Count& count : g_inside) sum += count.threads();
  return sum;
}

bool is_closed_to(const os::ThreadState& me) {
  os::ThreadState* closer = g_closer.load(std::memory_order_seq_cst);
  return closer != nullptr && closer != &me;
}

// How many of those inside will never leave: this thread, whom the fork has interrupted, or those
// that have found misuse, also since the gate is closed.
uint32_t endless_stays() {
  uint32_t endless = base::kHasCaches ? os::endless_stays() : 0;
  return std::max(endless, uint32_t{os::this_thread().gate_depth > 0});
}

// False, with the gate as good as open, where a fork inside the slow path waits for this one.
bool try_close_gate() {
  os::ThreadState& me = os::this_thread();
  g_last_closing = g_last_closing == UINT8_MAX ? uint8_t{1} : uint8_t(g_last_closing + 1);
  g_closings.fetch_add(1, std::memory_order_relaxed);
  g_closing.store(g_last_closing, std::memory_order_release);
  g_closer.store(&me, std::memory_order_seq_cst);
  // Whoever yields for long keeps a CPU from those that it waits for.
  for (unsigned looks = 0; endless_stays() == 0 && threads_inside() > 0; ++looks) {
    if (g_forkers_inside.threads() > 0) return false;
    if (looks % (kYields + 1) < kYields)
      os::yield_cpu();
    else
      os::futex_wait(g_closing, g_last_closing, kCloserWaitUs);
  }
  // We may have been interrupted in front of being counted: one more look than it seems.
  for (unsigned waits = 0; endless_stays() > 0 && waits < kSignalWaits; ++waits) {
    if (waits >= kLeastSignalWaits && threads_inside() <= endless_stays()) break;
    os::futex_wait(g_closing, g_last_closing, kSignalWaitUs);
  }
  return true;
}

void open_gate() {
  g_closer.store(nullptr, std::memory_order_release);
  g_long_closing.store(0, std::memory_order_relaxed);
  g_closing.store(0, std::memory_order_release);
  os::futex_wake_all(g_closing);
}

bool is_forking() {
  return g_closer.load(std::memory_order_relaxed) == &os::this_thread();
}

// A fork whose handler has interrupted the slow path must not wait for one that waits for the slow
// path to end: that one gives way.
void close_gate() ASHLAR_UNCHECKED {
  bool is_inside = os::this_thread().gate_depth > 0;
  uint32_t process = is_inside ? g_forkers_inside.come_in() : 0;
  g_fork_lock.acquire();
  if (is_inside) g_forkers_inside.go_out(process);
  while (!try_close_gate()) {
    open_gate();
    g_fork_lock.release();
    while (g_forkers_inside.threads() > 0) os::futex_wait(g_closing, 0, kCloserWaitUs);
    g_fork_lock.acquire();
  }
}

// Ends a fork from a handler that has interrupted another one, in whatever instruction of ours: it
// leaves the gate as it is for that. False for any other.
bool end_nested() {
  if (!g_fork_lock.is_mine() || g_nested == 0) return false;
  --g_nested;
  return true;
}

// Taken here and released in one of the next two: beyond what the analysis can follow.
void before_fork() ASHLAR_UNCHECKED {
  // Heaps in buffers come through the gate before there is malloc's.
  if (!os::has_other_threads() || !start_heap()) return;
  if (g_fork_lock.is_mine()) {
    ++g_nested;
    return;
  }
  if (base::kHasCaches) g_forking_process = os::process_id();
  close_gate();
  if (os::this_thread().gate_depth == 0) g_heap.pages().start_beside();
  if (!base::kHasCaches) return;
  // What has been put off for an earlier fork is the child's, too.
  if (endless_stays() == 0) catch_up_in_fork();
  // A drain that we have interrupted goes on afterwards, and ends it itself. So does, but in the
  // parent alone, one of a thread that waits for what we hold. Neither may have fenced yet.
  g_was_drained = cache::is_drained();
  g_is_our_drain = g_was_drained && cache::seat_lock().is_mine();
  g_is_fenced = g_was_drained ? os::rseq_fence() : cache::drain_seats();
  cache::keep_seats_drained(g_is_fenced && !g_was_drained);
}

void after_fork_in_parent() ASHLAR_UNCHECKED {
  if (end_nested() || !g_fork_lock.is_mine()) return;
  if (base::kHasCaches) cache::keep_seats_drained(false);
  if (base::kHasCaches && g_is_fenced && !g_was_drained) cache::restore_seats();
  g_is_fenced = false;
  open_gate();
  g_fork_lock.release();
}

void after_fork_in_child() ASHLAR_UNCHECKED {
  if (base::kHasCaches) {
    g_heap.pages().abandon_hugetlb();
    g_heap.pages().note_unpinned();
  }
  bool is_nested = end_nested();
  if (base::kHasCaches && !is_nested) {
    g_heap.restart();
    g_heap.slob().restart();
  }
  if (!g_fork_lock.is_mine()) return;
  ++g_forks;
  g_closings_at_birth = g_closings.load(std::memory_order_relaxed);
  auto reset = [](os::Lock& lock) { lock.reset_in_child(); };
  g_heap.for_each_lock(reset);
  if (base::kHasCaches) cache::g_registry.for_each_lock(reset);
  g_heap.pages().for_each_lock(reset);
  g_heap.pages().reset_in_child();
  if (base::kHasCaches) {
    reset_upkeep_in_child();
    SmallHeap::reset_in_child();
    g_shrinkers.reset_in_child();
    os::forget_endless_stays();
    forget_reaper();
  }
  for (Count& count : g_inside) count.begin(g_forks);
  g_forkers_inside.begin(g_forks);
  g_freed_beside.store(nullptr, std::memory_order_relaxed);
  // Without a fence another thread may have been inside a section while its page was copied.
  if (base::kHasCaches && !g_is_fenced) cache::g_registry.forget_magazines();
  if (base::kHasCaches) g_forking_process = os::process_id();
  if (is_nested) return;
  g_is_fenced = false;
  if (base::kHasCaches) cache::keep_seats_drained(false);
  if (base::kHasCaches && !g_is_our_drain) cache::restore_seats();
  open_gate();
  g_fork_lock.release();
}

}  // namespace

void GateEntry::enter() {
  is_open_ = true;
  os::ThreadState& me = os::this_thread();
  is_counted_ = os::has_other_threads();
  if (!is_counted_) return;
  if (!is_process_started()) [[unlikely]]
    start_process();
  // Many who come by a closed gate and go must not keep the fork from seeing nobody inside.
  if (me.gate_depth == 0 && is_closed_to(me)) [[unlikely]] {
    is_open_ = is_counted_ = false;
    return;
  }
  // Depth first: a signal handler that forks must know that it has interrupted us.
  ++me.gate_depth;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  process_ = my_count().come_in();
  is_open_ = me.gate_depth > 1 || !is_closed_to(me);
}

void GateEntry::leave() {
  if (!is_counted_) return;
  os::ThreadState& me = os::this_thread();
  my_count().go_out(process_);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  --me.gate_depth;
}

bool wait_for_gate(bool again) {
  os::ThreadState& me = os::this_thread();
  uint32_t closing = g_closing.load(std::memory_order_acquire);
  if (closing == 0) return true;
  if (me.last_closing == closing && !again) return false;
  me.last_closing = static_cast<uint8_t>(closing);
  os::futex_wait(g_closing, closing, kWaitUs);
  return is_gate_open();
}

namespace {

// Waits for the gate to open. False where it stays closed for too long.
bool wait_long_for_gate() {
  const uint8_t& closing = os::this_thread().last_closing;
  constexpr auto kMostWaits = static_cast<uint32_t>(GateWait::kTenSeconds);
  for (uint32_t waits = 0; waits < kMostWaits; ++waits) {
    if (wait_for_gate(true)) return true;
    if (closing == g_long_closing.load(std::memory_order_relaxed)) return false;
  }
  g_long_closing.store(closing, std::memory_order_relaxed);
  return false;
}

}  // namespace

Stay::Stay() {
  bool goes_on = true;
  while (goes_on && !entry_.is_open())
    entry_.reenter_after([&] { goes_on = wait_long_for_gate(); });
}

void* alloc_beside(size_t size, size_t align) {
  base::Pages pages = std::max(base::Pages::ceil(size), base::Pages(1));
  base::Order order = base::Order::ceil(std::max(base::Pages::ceil(align), base::Pages(1)));
  page::PageHeap::Block block = g_heap.pages().alloc_beside(pages, order);
  return block.frame == nullptr ? nullptr : block.zone->address_of(*block.frame);
}

void free_beside(void* block) {
  if (g_heap.pages().try_free_beside(block)) return;
  void* top = g_freed_beside.load(std::memory_order_relaxed);
  do {
    *static_cast<void**>(block) = top;
  } while (!g_freed_beside.compare_exchange_weak(top, block, std::memory_order_release));
}

bool is_gate_open() {
  return g_closing.load(std::memory_order_acquire) == 0;
}

bool has_freed_beside() {
  return g_freed_beside.load(std::memory_order_relaxed) != nullptr;
}

void* take_freed_beside() {
  return g_freed_beside.exchange(nullptr, std::memory_order_acquire);
}

uint32_t fork_count() {
  return g_forks;
}

uint64_t this_process() {
  // The program's handlers may come before ours.
  bool is_child = is_forking() && os::process_id() != g_forking_process;
  return uint64_t{g_forks + is_child} << 32 | 1;
}

uint64_t fork_under_way() {
  if (is_gate_open()) return 0;
  return uint64_t{g_forks} << 32 | g_closings.load(std::memory_order_relaxed);
}

// A fork's child does not know, until our handler has run, that it is not the parent. Of forks
// before the last one that led here the number is not known any more.
bool is_whole_here(uint64_t noted_beside) {
  if (noted_beside == 0) return false;
  auto forks = static_cast<uint32_t>(noted_beside >> 32);
  auto number = static_cast<uint32_t>(noted_beside);
  if (forks == g_forks) return !is_forking() || number != g_closings;
  return forks + 1 == g_forks && number != g_closings_at_birth;
}

void start_process() {
  if (g_is_registered.exchange(true, std::memory_order_relaxed)) return;
  g_fork_lock.set_rank(os::LockRank::kFork);
  os::at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}

}  // namespace ashlar::front
