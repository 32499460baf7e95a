#include "page/budget.h"

#include <algorithm>
#include <cstdint>

#include "base/config.h"

namespace ashlar::page {
namespace {

// What a program may need to say that memory is out, and to free: a share of all, of 1 MiB at most.
constexpr size_t kReserveShare = 32;
constexpr size_t kMostReserve = (size_t{1} << 20) / base::kFrameSize;

}  // namespace

void Budget::set(Bounds bounds) {
  if (bounds.hard != kUnlimited && bounds.soft > bounds.hard)
    bounds.soft = bounds.hard - bounds.hard / 8;
  soft_.store(bounds.soft, kRelaxed);
  hard_.store(bounds.hard, kRelaxed);
  is_open_.store(false, kRelaxed);
}

size_t Budget::reserve_of(size_t hard) {
  return std::min(hard / kReserveShare, kMostReserve);
}

bool Budget::fits(size_t more, size_t hard, For whom) const {
  bool is_open = whom == For::kSmall && is_open_.load(kRelaxed);
  size_t most = hard - (is_open ? 0 : reserve_of(hard));
  return more <= most && held() <= most - more;
}

bool Budget::open_reserve() {
  return is_limited() && !is_open_.exchange(true, kRelaxed);
}

void Budget::close_reserve() {
  if (!is_open_.load(kRelaxed)) return;
  size_t hard = hard_.load(kRelaxed);
  if (hard == kUnlimited || held() + 2 * reserve_of(hard) <= hard) is_open_.store(false, kRelaxed);
}

}  // namespace ashlar::page
