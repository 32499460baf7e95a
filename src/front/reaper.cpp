#include "front/reaper.h"

#include <atomic>

#include "front/heap.h"
#include "front/upkeep.h"
#include "os/lock.h"
#include "os/thread.h"

namespace ashlar::front {
namespace {

enum State : uint32_t { kNone, kRunning, kParked, kRefused };
std::atomic<uint32_t> g_state{kNone};

// In the child of a fork: its only thread, until another one calls.
std::atomic<const void*> g_only_thread{nullptr};

// After so many intervals without a call all is gone that goes by age.
constexpr unsigned kIdleIntervals = 4;
constexpr unsigned kUsOfMs = 1000;
// While parked it looks so often whether the first thread has ended.
constexpr unsigned kLookMs = 5000;

// Sleeps until the slow path wakes us, or the first thread has ended. `seen` is what slow_calls()
// was when we last looked: who came by since then has not seen us park.
void park(uint32_t seen) {
  g_state.store(kParked);
  while (g_state.load() == kParked && slow_calls() == seen && !os::has_first_thread_ended())
    os::futex_wait(g_state, kParked, kLookMs * kUsOfMs);
  g_state.store(kRunning);
}

// libc ends a process with the last of its threads, and counts us as one: so we go where the first
// has gone, and do not come back.
void run() {
  uint32_t seen = slow_calls();
  for (unsigned idle = 0; !os::has_first_thread_ended();) {
    os::futex_wait(g_state, kRunning, static_cast<unsigned>(g_heap.interval_ms()) * kUsOfMs);
    uint32_t calls = slow_calls();
    idle = calls == seen ? idle + 1 : 0;
    seen = calls;
    reap_by_age();
    if (idle < kIdleIntervals) continue;
    park(seen);
    idle = 0;
  }
  g_state.store(kRefused);
}

}  // namespace

void wake_reaper(bool may_start) {
  uint32_t state = g_state.fetch_or(0);  // a fence, too: our call has been counted before
  if (state == kRunning || state == kRefused || (state == kNone && !may_start)) return;
  const void* only = g_only_thread.load(std::memory_order_relaxed);
  if (state == kNone && only == &os::this_thread()) return;
  uint32_t next = kRunning;
  if (!g_state.compare_exchange_strong(state, next)) return;
  if (state == kParked)
    os::futex_wake_all(g_state);
  else if (!os::start_thread(run, "ashlar-reaper"))
    g_state.store(kRefused);
}

void forget_reaper() {
  g_state.store(kNone, std::memory_order_relaxed);
  g_only_thread.store(&os::this_thread(), std::memory_order_relaxed);
}

}  // namespace ashlar::front
