#include "front/shrinkers.h"

#include <cerrno>

#include "os/thread.h"

namespace ashlar::front {

constinit Shrinkers g_shrinkers;

// Who asks looks at a place for some instructions, unless it is interrupted there.
constexpr unsigned kMostSearches = 100;

static_assert(Shrinkers::kMost < 128, "a slot's number and 1 fit ThreadState::shrinking");

unsigned Shrinkers::add(Shrink shrink, void* data, Whose whose) {
  bool is_any_looked_at = true;
  for (unsigned tries = 0; is_any_looked_at && tries < kMostSearches; ++tries) {
    if (tries > 0) os::yield_cpu();
    is_any_looked_at = false;
    unsigned end = whose == Whose::kProgram ? kMost : kCaches;
    for (unsigned i = first_of(whose); i < end; ++i) {
      Slot& slot = slots_[i];
      State state = State::kEmpty;
      if (!slot.state.compare_exchange_strong(state, State::kTaken)) continue;
      // By who asks; or one that was here before, and has removed itself, runs.
      if (slot.calls.load() != 0) {
        slot.state.store(State::kEmpty);
        is_any_looked_at = true;
        continue;
      }
      slot.shrink = shrink;
      slot.data = data;
      slot.state.store(State::kReady);
      count_.fetch_add(1, std::memory_order_relaxed);
      return i;
    }
  }
  return kNone;
}

bool Shrinkers::remove(unsigned index) {
  if (index >= kMost) return false;
  Slot& slot = slots_[index];
  State state = State::kReady;
  if (!slot.state.compare_exchange_strong(state, State::kTaken)) return false;
  count_.fetch_sub(1, std::memory_order_relaxed);
  // A shrinker that removes itself must not wait for its own end; nor for another of the program's,
  // which may just be removing this one. A cache, whose memory goes now, is waited for.
  unsigned shrinking = os::this_thread().shrinking;
  uint32_t own = shrinking == index + 1 ? 1 : 0;
  if (shrinking == 0 || index < kCaches)
    while (slot.calls.load() > own) os::yield_cpu();
  slot.state.store(State::kEmpty);
  return true;
}

// Calls those that are `wanted(shrink)`, one after the other, until `bytes` have been freed.
template <class Wanted>
size_t Shrinkers::ask_some(size_t bytes, Wanted wanted) {
  os::ThreadState& me = os::this_thread();
  if (is_empty() || me.shrinking != 0) return 0;
  size_t freed = 0;
  int error = errno;  // of whoever asks for memory, and may have it
  for (unsigned i = 0; i < kMost && freed < bytes; ++i) {
    Slot& slot = slots_[i];
    // An empty place that is looked at is in nobody's way.
    if (slot.state.load() != State::kReady) continue;
    me.shrinking = static_cast<uint8_t>((i + 1) & 127);
    // Counted first: whoever takes it out of use afterwards sees this call.
    slot.calls.fetch_add(1);
    if (slot.state.load() == State::kReady && wanted(slot.shrink))
      freed += slot.shrink(slot.data, bytes - freed);
    slot.calls.fetch_sub(1);
    me.shrinking = 0;
  }
  errno = error;
  return freed;
}

size_t Shrinkers::ask(size_t bytes) {
  return ask_some(bytes, [](Shrink) { return true; });
}

size_t Shrinkers::ask_all(Shrink shrink) {
  return ask_some(SIZE_MAX, [=](Shrink each) { return each == shrink; });
}

void Shrinkers::reset_in_child() {
  unsigned ready = 0;
  for (unsigned i = 0; i < kMost; ++i) {
    Slot& slot = slots_[i];
    // A shrinker that forks is under way in the child, too. Only what differs is written: the page
    // is shared with the parent.
    uint32_t mine = os::this_thread().shrinking == i + 1 ? 1 : 0;
    if (slot.calls.load() != mine) slot.calls.store(mine);
    if (slot.state.load() == State::kTaken) slot.state.store(State::kEmpty);
    ready += slot.state.load() == State::kReady;
  }
  // One that another thread was just adding or removing may not have been counted.
  if (count_.load() != ready) count_.store(ready);
}

}  // namespace ashlar::front
