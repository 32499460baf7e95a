#include "page/vacancy.h"

#include <algorithm>

namespace ashlar::page {

void Vacancy::set(const Retention& retention) {
  os::Locked held(lock_);
  interval_ms_ = retention.interval_ms;
  keeping_.set(retention);
  most_.store(keeping_.worth_from({}), std::memory_order_relaxed);
}

size_t Vacancy::begin(const Frames& zone, uint64_t now_ms) {
  os::Locked held(lock_);
  wants_trim_.store(false, std::memory_order_relaxed);
  if (is_trimming_ || !has_come(refused_until_ms_, now_ms, interval_ms_)) return 0;
  size_t vacant = frames();
  live_ = zone.live - std::min(zone.live, vacant);
  Frames now{.live = live_, .dirty = vacant, .kept = zone.dirty, .over = zone.over};
  keeping_.note_demand(now, wanted_.exchange(0, std::memory_order_relaxed));
  size_t keep = keeping_.limit(now, now_ms);
  most_.store(keeping_.worth_from(now), std::memory_order_relaxed);
  if (vacant <= keep) return 0;
  is_trimming_ = true;
  return vacant - keep;
}

bool Vacancy::begin_all() {
  os::Locked held(lock_);
  if (is_trimming_) return false;
  is_trimming_ = true;
  return true;
}

void Vacancy::end(uint64_t now_ms, bool is_refused) {
  os::Locked held(lock_);
  is_trimming_ = false;
  keeping_.note_purge({live_, frames()}, purged_.exchange(0, std::memory_order_relaxed));
  if (!is_refused) return;
  refused_until_ms_ = now_ms + interval_ms_;
  most_.store(SIZE_MAX, std::memory_order_relaxed);
}

}  // namespace ashlar::page
