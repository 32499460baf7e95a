#include "front/promotion.h"

namespace ashlar::front {
namespace {

// Where many classes have nearly as many, this many of one once SLOB has served so many more than
// promote; each of these calls takes the long way, so where promotion comes late they are few.
constexpr uint32_t kSomeOfOne = 256;
constexpr uint32_t kMoreBySlob = 1024, kMoreBySlobOfLarger = Promotion::kManyCallsOfLarger;
// SLOB holds so much of a class before that is worth a slab, or half the objects of one.
constexpr size_t kMuchOfOne = size_t{64} << 10;
constexpr size_t kHalfSlab = 4;
// Where threads are, so few calls of one class are many: SLOB has one lock for all. And objects up
// to this size that threads share a line of would slow each other down from the first on.
constexpr uint32_t kManyWithThreads = 8;
constexpr size_t kShared = base::kCacheLine;

}  // namespace

// Whether the process has outgrown SLOB alone. Once it has, it has for good.
bool Promotion::is_busy(const Demand& demand) {
  if (is_over()) return true;
  bool is_often = calls_.load(std::memory_order_relaxed) > many_calls(demand.slob_bytes);
  bool is_over = is_often || is_large(demand.slob_bytes) || demand.has_threads;
  if (!is_over) return false;
  is_over_.store(true);
  note_bytes(demand.slob_bytes);
  return true;
}

bool Promotion::is_worth_a_slab(const Demand& demand) {
  const Class& counts = classes_[demand.id];
  uint32_t calls = counts.calls.load(std::memory_order_relaxed);
  uint32_t all = calls_.load(std::memory_order_relaxed);
  uint32_t many = many_calls(demand.slob_bytes);
  uint32_t more = many == kManyCalls ? kMoreBySlob : kMoreBySlobOfLarger;
  if (calls > kManyOfOne || (calls > kSomeOfOne && all > many + more)) return true;
  size_t live = size_t{counts.live.load(std::memory_order_relaxed)} * base::kGrain;
  if (live > std::max(kMuchOfOne, kHalfSlab * demand.size)) return true;
  bool is_in_frames = demand.size >= base::kFrameSize;  // elsewhere it wastes no more than in slabs
  if (!is_in_frames && demand.slob_bytes / 2 > slob_max_) return true;
  return demand.has_threads && (calls > kManyWithThreads || demand.size <= kShared);
}

bool Promotion::note_demand(const Demand& demand) {
  if (slob_max_ == 0) return true;
  note_call(demand.id);
  if (demand.size >= base::kFrameSize) add(calls_, kCallsOfFrames - 1);
  if (slob_max_ == kUnlimited) return false;
  return is_busy(demand) && (demand.has_cache || is_worth_a_slab(demand));
}

void Promotion::end_interval() {
  calls_.store(0, std::memory_order_relaxed);
  drops_.store(0, std::memory_order_relaxed);
  for (Class& counts : classes_) counts.calls.store(0, std::memory_order_relaxed);
}

}  // namespace ashlar::front
