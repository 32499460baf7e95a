#include "page/retention.h"

#include <algorithm>
#include <utility>

#include "base/config.h"

namespace ashlar::page {
namespace {

// A frame that is purged and wanted again costs between half a microsecond, in a huge page, and
// two. So memory that waits by this measure costs one to four percent of the time at most when it
// is wanted just after it went by age.
constexpr size_t kFramesPerMs = 16;
// Small blocks wait half as long, for what is wanted again is regretted and kept the next time. But
// they wait for such a share of what was set at least: their sum tells little of how soon they are
// wanted.
constexpr size_t kSmallFramesPerMs = 32;
constexpr uint32_t kLeastShare = 16;
// In a small heap less than this is not worth system calls several times a second: it waits for
// all of what was set.
constexpr size_t kLittle = (size_t{1} << 20) / base::kFrameSize;
constexpr size_t kSmallLive = base::kSmallHeap / base::kFrameSize;
// Live and kept memory may be more than the peak by this share of it. With less, blocks of
// different sizes that replace one another are purged and fetched over and over
// (bench/workloads/large_blocks).
constexpr size_t kPeakShare = 16;
// And where blocks are so large that their sizes seldom fit each other's places, by this one.
constexpr size_t kPeakShareOfLarge = 8;
// For the sake of that share one frame may be purged and wanted again in so long a time: with what
// goes along with it, one part in a thousand of the time, or one in a hundred of a virtual
// machine's.
constexpr size_t kMsPerFrame = 2;
// As many as were fetched beyond that may be kept above the share, up to this one of live memory.
constexpr size_t kShareOfCostly = 2;
// Less than this, of a small heap, is not worth a system call for each piece.
constexpr size_t kLeastLift = 8;

}  // namespace

void Keeping::note_demand(const Frames& now, size_t clean, Fetch fetch) {
  peak_ = std::max(peak_, now.live + now.other);
  low_dirty_ = std::min(low_dirty_, now.dirty);
  size_t regretted = std::min(clean, lately_purged_);
  lately_purged_ -= regretted;
  regretted_ += regretted;
  if (!base::kHasCaches) return;  // the small library neither lifts nor counts what is costly
  most_held_ = static_cast<uint32_t>(std::min<size_t>(most_held_ + regretted, UINT32_MAX));
  size_t most_ms = std::max(peak_, last_peak_) / kShareOfCostly * kMsPerFrame;
  size_t costly = fetch == Fetch::kByPage ? regretted : 0;
  debt_ms_ = static_cast<uint32_t>(std::min(debt_ms_ + costly * kMsPerFrame, most_ms));
}

void Keeping::note_lift(const Frames& now) {
  if (keeps_to_peak()) return;
  size_t held = now.live + now.dirty;
  size_t lift = std::min(held - std::min<size_t>(held, most_held_), now.dirty);
  lift_ = lift < kLeastLift ? 0 : static_cast<uint32_t>(lift);
  most_held_ = std::max(most_held_, static_cast<uint32_t>(held - lift_));
}

void Keeping::note_purge(const Frames& now, size_t purged) {
  low_dirty_ = std::min(low_dirty_, now.dirty);
  lately_purged_ += purged;
}

size_t Keeping::least(const Frames& now) const {
  return std::max(now.live / 100 * retention_.percent, retention_.least_bytes / base::kFrameSize);
}

size_t Keeping::most(const Frames& now) const {
  bool are_large = keeps_to_peak();
  size_t live = now.live + now.other;
  size_t costly = std::min<size_t>(debt_ms_ / kMsPerFrame, live / kShareOfCostly);
  size_t wanted = are_large ? std::max(least(now), now.live / 2) + costly : least(now) + regretted_;
  size_t peak = std::max({peak_, last_peak_, live});
  size_t in_bounds = now.dirty - std::min(now.dirty, now.over);
  size_t allowed = now.over == 0 ? SIZE_MAX : in_bounds;
  size_t above = peak / (are_large ? kPeakShareOfLarge : kPeakShare) + costly;
  size_t below_peak = peak - live + above;
  return std::min({wanted, below_peak - std::min(below_peak, now.kept), allowed});
}

// Small blocks are many, each a system call; those that are kept to the peak always are worth one.
size_t Keeping::worth_beyond(size_t keep) const {
  return keep + (keeps_to_peak() ? 0 : keep / 4) + kSlack;
}

uint64_t Keeping::interval_ms(const Frames& now) const {
  if (!base::kHasCaches) return retention_.interval_ms;  // the small library does not reckon
  size_t frames = now.dirty + lately_purged_;
  uint64_t most = retention_.interval_ms, least = most / kLeastShare;
  if (keeps_to_peak()) return std::min<uint64_t>(frames / kFramesPerMs, most);
  if (frames < kLittle && now.live < kSmallLive) return most;
  return std::clamp<uint64_t>(frames / kSmallFramesPerMs, least, most);
}

// Time pays for what was fetched. (Where a clock jumps, for all of it.)
void Keeping::pay(uint64_t now_ms) {
  auto now = static_cast<uint32_t>(now_ms);
  debt_ms_ -= std::min(debt_ms_, now - std::exchange(paid_at_ms_, now));
}

size_t Keeping::limit(const Frames& now, uint64_t now_ms) {
  if (base::kHasCaches) pay(now_ms);
  if (base::kHasCaches && lift_ > 0)
    return now.dirty - std::min<size_t>(now.dirty, std::exchange(lift_, 0u));
  size_t keep = most(now);
  if (!has_come(interval_begin_ + interval_ms(now), now_ms, retention_.interval_ms))
    return is_worth_it(now, keep) ? keep : now.dirty;
  size_t unneeded = std::min(low_dirty_, now.dirty);
  regretted_ -= std::min(regretted_, unneeded);
  lately_purged_ = 0;
  last_peak_ = std::exchange(peak_, now.live + now.other);
  interval_begin_ = now_ms;
  low_dirty_ = std::min(most(now), now.dirty - unneeded);
  return low_dirty_;
}

}  // namespace ashlar::page
