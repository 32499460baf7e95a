#include "front/reaper.h"

#include <atomic>

#include "front/heap.h"
#include "front/upkeep.h"
#include "os/lock.h"
#include "os/thread.h"

namespace front {
namespace {

enum State : uint32_t { kNone, kRunning, kParked, kRefused };
std::atomic<uint32_t> g_state{kNone};

// After so many intervals without a call all is gone that goes by age.
constexpr unsigned kIdleIntervals = 4;

// Sleeps until the slow path wakes us. `seen` is what slow_calls() was when we last looked: who
// came by since then has not seen us park.
void park(uint32_t seen) {
  g_state.store(kParked);
  while (g_state.load() == kParked && slow_calls() == seen) os::futex_wait(g_state, kParked, 0);
  g_state.store(kRunning);
}

void run() {
  constexpr unsigned kUsOfMs = 1000;
  uint32_t seen = slow_calls();
  for (unsigned idle = 0;;) {
    os::futex_wait(g_state, kRunning, static_cast<unsigned>(g_heap.interval_ms()) * kUsOfMs);
    uint32_t calls = slow_calls();
    idle = calls == seen ? idle + 1 : 0;
    seen = calls;
    reap_by_age();
    if (idle < kIdleIntervals) continue;
    park(seen);
    idle = 0;
  }
}

}  // namespace

void wake_reaper(bool may_start) {
  uint32_t state = g_state.fetch_or(0);  // a fence, too: our call has been counted before
  if (state == kRunning || state == kRefused || (state == kNone && !may_start)) return;
  uint32_t next = kRunning;
  if (!g_state.compare_exchange_strong(state, next)) return;
  if (state == kParked)
    os::futex_wake_all(g_state);
  else if (!os::start_thread(run, "ashlar-reaper"))
    g_state.store(kRefused);
}

void forget_reaper() {
  g_state.store(kNone, std::memory_order_relaxed);
}

}  // namespace front
