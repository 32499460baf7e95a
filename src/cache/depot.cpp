#include "cache/depot.h"

#include <algorithm>

#include "base/check.h"

namespace ashlar::cache {
namespace {

constexpr unsigned kFirstRoom = 4;  // one cache line of slots
constexpr unsigned kMostRoom = 32768;
// The most magazines that are looked at for one of a yard: eight cache lines of slots.
constexpr unsigned kLooks = 32;

}  // namespace

Full Depot::remove(unsigned slot) {
  Full full = slots_[slot];
  slots_[slot] = slots_[--count_];
  idle_ = std::min(idle_, count_);
  return full;
}

Full Depot::take(unsigned yard) {
  os::Locked held(lock_);
  unsigned end = count_ - std::min<unsigned>(count_, kLooks);
  for (unsigned slot = count_; slot > end; --slot)
    if (slots_[slot - 1].yard == yard) return remove(slot - 1);
  return {};
}

Full Depot::take_any() {
  os::Locked held(lock_);
  return count_ == 0 ? Full{} : remove(count_ - 1u);
}

// Slots double; the old array is left behind, which at most doubles what the largest one takes.
bool Depot::make_room() {
  if (room_ == kMostRoom) return false;
  unsigned room = room_ == 0 ? kFirstRoom : 2u * room_;
  void* slots = meta_->alloc(room * sizeof(Full), base::kCacheLine);
  if (slots == nullptr) return false;
  std::copy_n(slots_, count_, static_cast<Full*>(slots));
  slots_ = static_cast<Full*>(slots);
  room_ = static_cast<uint16_t>(room);
  return true;
}

bool Depot::try_put(Full full) {
  os::Locked held(lock_);
  if (count_ == room_ && !make_room()) return false;
  slots_[count_++] = full;
  return true;
}

Full Depot::take_idle() {
  os::Locked held(lock_);
  return idle_ == 0 ? Full{} : remove(--idle_);
}

void Depot::end_interval() {
  os::Locked held(lock_);
  idle_ = count_;
}

void Depot::audit() {
  os::Locked held(lock_);
  ASHLAR_CHECK(idle_ <= count_ && count_ <= room_);
  for (unsigned i = 0; i < count_; ++i) ASHLAR_CHECK(!is_empty(slots_[i].magazine));
}

}  // namespace ashlar::cache
