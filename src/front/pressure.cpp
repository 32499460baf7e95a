#include "front/pressure.h"

#include <algorithm>

#include "base/config.h"
#include "page/retention.h"

namespace ashlar::front {
namespace {

// The container's bound is read each so many looks: that takes a file or two for each folder.
constexpr uint32_t kLooksPerBound = 8;
// Of it, so much is left to what is no heap.
constexpr size_t kOthersShare = 8;
// From this percentage of waiting on the system counts as short of memory.
constexpr unsigned kMuchWaiting = 10;
// The heap is relieved so often in an interval at most: to empty all magazines costs a fence, and
// what they held is soon wanted again.
constexpr uint64_t kReliefsPerInterval = 8;
// What the program's caches are asked for where the heap itself is not over its bound.
constexpr size_t kModestWish = size_t{1} << 20;

// Whether the time has come, and this thread is the one that acts on it.
bool is_due(std::atomic<uint64_t>& next_ms, uint64_t now_ms, uint64_t interval_ms) {
  uint64_t due = next_ms.load(std::memory_order_relaxed);
  return page::has_come(due, now_ms, interval_ms) &&
         next_ms.compare_exchange_strong(due, now_ms + interval_ms);
}

}  // namespace

void Pressure::ask_kernel(page::Budget& budget, const char* root) {
  if (is_looking_.exchange(true, std::memory_order_acquire)) return;  // and takes long
  if (looks_.load(std::memory_order_relaxed) % kLooksPerBound == 0) {
    group_.find(root);  // anew: a process may be moved to another group
    size_t bound = group_.bound();
    // Where files could not be opened, for want of descriptors say, what was known stays.
    if (!group_.was_refused())
      budget.set_outer(bound == SIZE_MAX ? page::Budget::kUnlimited
                                         : (bound - bound / kOthersShare) / base::kFrameSize);
  }
  // Counted afterwards: should the bound be forgotten meanwhile, it will be once more.
  looks_.fetch_add(1, std::memory_order_relaxed);
  is_system_short_.store(group_.pressure() >= kMuchWaiting, std::memory_order_relaxed);
  is_looking_.store(false, std::memory_order_release);
}

bool Pressure::look(page::Budget& budget, const Rules& rules, uint64_t now_ms) {
  budget.close_reserve();
  bool is_watched = rules.follows && budget.held() >= kLeastWatched;
  if (is_watched && is_due(next_look_ms_, now_ms, rules.interval_ms))
    ask_kernel(budget, rules.root);
  // Not written to for nothing: a small process has no page for this.
  if (!is_watched && is_system_short()) is_system_short_.store(false, std::memory_order_relaxed);
  if (!rules.follows) forget_bound(budget);
  if (budget.over() == 0 && !is_system_short()) return false;
  uint64_t pause_ms = std::max(rules.interval_ms / kReliefsPerInterval, uint64_t{1});
  return is_due(next_relief_ms_, now_ms, pause_ms);
}

// The program has turned it off. (A heap that is small for a while keeps the bound that it knows:
// it may grow again faster than files are read.)
void Pressure::forget_bound(page::Budget& budget) {
  if (looks_.exchange(0, std::memory_order_relaxed) == 0) return;
  budget.set_outer(page::Budget::kUnlimited);
}

size_t Pressure::wish(const page::Budget& budget) const {
  return std::max(budget.over() * base::kFrameSize, is_system_short() ? kModestWish : size_t{0});
}

}  // namespace ashlar::front
