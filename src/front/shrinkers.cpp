#include "front/shrinkers.h"

#include "os/thread.h"

namespace front {

constinit Shrinkers g_shrinkers;

unsigned Shrinkers::add(Shrink shrink, void* data) {
  for (unsigned i = 0; i < kMost; ++i) {
    Slot& slot = slots_[i];
    State state = State::kEmpty;
    if (!slot.state.compare_exchange_strong(state, State::kTaken)) continue;
    slot.shrink = shrink;
    slot.data = data;
    slot.state.store(State::kReady);
    count_.fetch_add(1, std::memory_order_relaxed);
    return i;
  }
  return kNone;
}

bool Shrinkers::remove(unsigned index) {
  if (index >= kMost) return false;
  Slot& slot = slots_[index];
  State state = State::kReady;
  if (!slot.state.compare_exchange_strong(state, State::kTaken)) return false;
  count_.fetch_sub(1, std::memory_order_relaxed);
  // A shrinker that removes itself, or another, must not wait for its own end.
  if (!os::this_thread().is_shrinking)
    while (slot.calls.load() != 0) os::yield_cpu();
  slot.state.store(State::kEmpty);
  return true;
}

size_t Shrinkers::ask(size_t bytes) {
  os::ThreadState& me = os::this_thread();
  if (is_empty() || me.is_shrinking) return 0;
  me.is_shrinking = true;
  size_t freed = 0;
  for (unsigned i = 0; i < kMost && freed < bytes; ++i) {
    Slot& slot = slots_[i];
    // Counted first: whoever takes it out of use afterwards sees this call.
    slot.calls.fetch_add(1);
    if (slot.state.load() == State::kReady) freed += slot.shrink(slot.data, bytes - freed);
    slot.calls.fetch_sub(1);
  }
  me.is_shrinking = false;
  return freed;
}

void Shrinkers::reset_in_child() {
  // A shrinker that forks has its own call under way in the child, too.
  if (is_empty() || os::this_thread().is_shrinking) return;
  for (Slot& slot : slots_) slot.calls.store(0, std::memory_order_relaxed);
}

}  // namespace front
