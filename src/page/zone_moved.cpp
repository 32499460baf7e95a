// page/zone_moved.cpp -- frames in use that hold no memory, and blocks whose pages the kernel has
// moved, with what they cost. The rest of zone.h is in zone.cpp, zone_layout.cpp and zone_huge.cpp.
//
// Idea
//   Pages that are moved bring their mapping along. It remembers where they came from, and so joins
//   no neighbour as long as it lives, also when it is purged and holds nothing: each move may add
//   two mappings to the 65,530 that a process may have. So a zone counts those that it was brought,
//   a block's record says how many of them it consists of, and when the block is freed, or its tail
//   is, they are replaced by a new mapping that becomes one with what is around it. That takes
//   their memory, too. So blocks that are not worth it are not moved, and no more than a bound.
//
// Invariants
//   1. moved_ is no less than the sum of what the records of live blocks say. It is more by what
//      the kernel would not replace.
#include <algorithm>

#include "base/bits.h"
#include "page/zone.h"

namespace ashlar::page {

using base::kFrameSize;
using base::Pages;

namespace {

constexpr size_t kUnit = base::kHugeSize / kFrameSize;

// Mappings that were moved, in a zone; each may be two more of the process's, of which no more than
// 65,530 are to be had. A block of less than so many bytes may not take the last quarter of them:
// to copy it is no great matter, and another's is.
constexpr size_t kMostMoved = 4096;
constexpr size_t kGreat = size_t{64} << 20;
// A block may have one for each so many bytes of its own, or a few: what is moved again and again
// is copied now and then, and is none of them then.
constexpr size_t kLeastMoved = size_t{4} << 20;
constexpr size_t kFew = 4;

}  // namespace

bool Zone::may_take_moved(Pages pages, size_t mappings) const {
  size_t of_block = std::clamp(pages.bytes() / kLeastMoved, kFew, size_t{UINT8_MAX});
  size_t of_zone = pages.bytes() < kGreat ? kMostMoved / 4 * 3 : kMostMoved;
  return mappings <= of_block && moved_[0].load(std::memory_order_relaxed) + mappings <= of_zone;
}

void Zone::hollow_out(uint32_t first, Pages pages) {
  os::Locked held(lock_);
  hollow_ += dirty_.count(first, pages.n);
  dirty_.clear(first, pages.n);
  tell_budget();
}

size_t Zone::touch(uint32_t first, Pages pages) {
  os::Locked held(lock_);
  size_t hollow = pages.n - dirty_.count(first, pages.n);
  dirty_.set(first, pages.n);
  hollow_ -= hollow;
  tell_budget();
  return hollow;
}

size_t Zone::count_hollow(uint32_t first, Pages pages) {
  os::Locked held(lock_);
  return pages.n - dirty_.count(first, pages.n);
}

size_t Zone::purge_let(const os::Range* ranges, size_t count) {
  if (is_broken_up()) break_up(ranges, count);
  auto [ranges_done, locked] = vm_->purge_each(ranges, count);
  os::Locked held(lock_);
  size_t frames = 0;
  for (size_t i = 0; i < ranges_done; ++i) {
    uint32_t first = number_of(ranges[i].at);
    size_t pages = ranges[i].size / kFrameSize;
    frames += dirty_.count(first, pages);
    dirty_.clear(first, pages);
  }
  hollow_ += frames;
  tell_budget();
  frames -= std::min(frames, locked / kFrameSize);
  purged_ += frames;
  purges_ += ranges_done;
  return frames;
}

void Zone::note_moved(Frame& block, size_t mappings) {
  block.moved = static_cast<uint8_t>(mappings);
  moved_[0].fetch_add(mappings, std::memory_order_relaxed);
}

void Zone::note_not_moved(const Frame& block) {
  os::Locked held(lock_);
  introduce_again(number_of(block), block.count);
}

// What is said of new frames is said again of those that are new again.
void Zone::introduce_again(size_t first, size_t count) {
  char* at = address_of(static_cast<uint32_t>(first));
  if (manners_.node_number != Manners::kNoNumber)
    vm_->bind(at, count * kFrameSize, static_cast<unsigned>(manners_.node_number));
  introduce(first, count);
  size_t end = first + count;
  for (size_t huge = first / kUnit; huge * kUnit < end; ++huge) {
    size_t from = huge * kUnit;
    for (; huge * kUnit < end && is_advised(huge); ++huge) {
    }
    size_t begin = std::max(from, first), behind = std::min(huge * kUnit, end);
    if (begin >= behind) continue;
    vm_->advise_huge(address_of(static_cast<uint32_t>(begin)), (behind - begin) * kFrameSize, true);
  }
}

// Of frames of a block whose owner gives them up. The block's other pages are not touched, where
// the system's are larger than frames: what was moved is made of whole ones.
os::Moved Zone::renew(size_t first, size_t count) {
  size_t whole = os::page_size() / kFrameSize;
  size_t end = base::round_down(first + count, whole);
  first = base::round_up(first, whole);
  if (first >= end) return os::Moved::kNo;
  os::Moved renewed =
      vm_->renew(address_of(static_cast<uint32_t>(first)), (end - first) * kFrameSize);
  if (renewed == os::Moved::kTargetLost)
    hollow_out(static_cast<uint32_t>(first), Pages(end - first));
  if (renewed != os::Moved::kYes) return renewed;
  os::Locked held(lock_);
  introduce_again(first, end - first);
  dirty_.clear(first, end - first);
  return renewed;
}

// What the kernel has lost stays let, without memory: its address space is somebody else's by now,
// or nobody's.
void Zone::free_moved(Frame& block) {
  if (is_abandoned()) return;
  uint32_t first = number_of(block);
  os::Moved renewed = renew(first, block.count);
  if (renewed == os::Moved::kTargetLost) return;
  if (renewed == os::Moved::kYes) moved_[0].fetch_sub(block.moved, std::memory_order_relaxed);
  os::Locked held(lock_);
  if (!is_abandoned()) give_partly_dirty(block);
}

// It reads as zero and holds nothing: who needs memory that holds some had better look elsewhere.
void Zone::free_emptied(Frame& block) {
  if (block.moved != 0) return free_moved(block);
  os::Locked held(lock_);
  if (is_abandoned()) return;
  dirty_.clear(number_of(block), block.count);
  give_partly_dirty(block);
}

void Zone::give_partly_dirty(const Frame& block) {
  large_ -= block.count;
  --large_blocks_;
  live_ -= block.count;
  buddy_.give_partly_dirty(number_of(block), Pages(block.count));
  note_change();
}

void Zone::shrink_moved(Frame& block, Pages pages) {
  if (is_abandoned()) return;
  auto tail = number_of(block) + static_cast<uint32_t>(pages.n);
  size_t less = block.count - pages.n;
  os::Moved renewed = renew(tail, less);
  os::Locked held(lock_);
  if (is_abandoned()) return;
  block.count = static_cast<uint32_t>(pages.n);
  large_ -= less;
  if (renewed == os::Moved::kTargetLost) return;
  live_ -= less;
  buddy_.give_partly_dirty(tail, Pages(less));
  note_change();
}

}  // namespace ashlar::page
