// page/zone_huge.cpp -- which parts of a zone are backed by huge pages, and when these end. The
// rest of zone.h is in zone.cpp, zone_layout.cpp and zone_moved.cpp.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/bits.h"
#include "page/zone.h"

namespace ashlar::page {

using base::kFrameSize;
using base::Pages;

namespace {

constexpr size_t kUnit = base::kHugeSize / kFrameSize;

// A window grows by a MiB at a time up to eight times this, and so hardly ever has a huge page
// before; and a smaller heap opens no file.
constexpr size_t kLeastUnasked = size_t{16} << 20;
// Each huge page that blocks share, or that shall be none any more, may split a mapping, of which a
// process has 65,530. In a larger window none is begun, and the advice stays.
constexpr size_t kMostShared = size_t{32} << 30;
// How many of each doubling of a window are probes; of a small one it is every eighth.
constexpr size_t kProbes = 8;

// Some huge pages of a window are never advised for blocks that share one: what of the last of
// these is in memory tells whether such blocks are filled. One that was advised would be in memory
// whole as soon as one of its blocks is written to.
constexpr size_t probe_of(size_t huge) {
  return huge - huge % std::max(kProbes, std::bit_floor(huge) / kProbes);
}
static_assert(probe_of(0) == 0 && probe_of(7) == 0 && probe_of(8) == 8 && probe_of(127) == 120);
static_assert(probe_of(128) == 128 && probe_of(143) == 128 && probe_of(144) == 144);

// The last but one: a block that begins in the last may be the one that has just come.
constexpr size_t probe_before(size_t huge) {
  size_t last = probe_of(huge);
  return last == 0 ? 0 : probe_of(last - 1);
}

}  // namespace

// Whether parts of huge pages may be what is to be purged in slabs; and has their end come? The
// first to find it so says it to the kernel, for all that there is; introduce() for what will be.
bool Zone::is_broken_up() {
  using HugePages = Manners::HugePages;
  if (!has_slabs() || manners_.huge_pages == HugePages::kNever || window_size() < kLeastUnasked)
    return false;
  Unasked known = unasked_.load(std::memory_order_relaxed);
  if (known != Unasked::kUnknown) return known == Unasked::kEnded;
  bool is_any = manners_.huge_pages == HugePages::kAlways || vm_->gives_huge_pages();
  os::Locked held(lock_);
  known = is_any ? Unasked::kEnded : Unasked::kNone;
  if (unasked_.exchange(known, std::memory_order_relaxed) == Unasked::kUnknown && is_any)
    forbid_huge();
  return is_any;
}

// Once for each huge page in a row of ranges: whole ones need it not.
void Zone::break_up(const os::Range* ranges, size_t count) {
  size_t last = SIZE_MAX;
  for (size_t i = 0; i < count; ++i) {
    if (ranges[i].size >= base::kHugeSize) continue;
    size_t huge = number_of(ranges[i].at) / kUnit;
    if (std::exchange(last, huge) == huge) continue;
    vm_->break_up(ranges[i].at);
    end_advice(huge);
  }
}

// Of a huge page of which a part goes: else the kernel would make one of it again (khugepaged), and
// fetch what has gone.
void Zone::end_advice(size_t huge) {
  if (!has_advised()) return;
  {
    os::Locked held(lock_);
    if (!is_advised(huge) || window_size() > kMostShared) return;
    advised_.clear(huge * kUnit, kUnit);
  }
  vm_->advise_huge(address_of(static_cast<uint32_t>(huge * kUnit)), base::kHugeSize, false);
}

bool Zone::may_advise() const {
  return base::kHasCaches && !is_hugetlb() && manners_.huge_pages == Manners::HugePages::kAuto;
}

bool Zone::is_advised(size_t huge) const {
  return has_advised() && (huge + 1) * kUnit <= window_size() / kFrameSize &&
         advised_.count(huge * kUnit, 1) != 0;
}

void Zone::advise_huge(const Frame& block) {
  if (!may_advise()) return;
  size_t first = base::round_up(number_of(block), kUnit);
  size_t end = base::round_down(number_of(block) + size_t{block.count}, kUnit);
  if (first < end) advise(first, end - first);
}

void Zone::advise(size_t first, size_t count) {
  {
    os::Locked held(lock_);
    if (first + count > window_size() / kFrameSize || !start_table(kAdvised)) return;
    has_advised_.store(true, std::memory_order_relaxed);
    if (advised_.count(first, count) == count) return;
    advised_.set(first, count);
  }
  vm_->advise_huge(address_of(static_cast<uint32_t>(first)), Pages(count).bytes(), true);
}

void Zone::advise_ends(const Frame& block, bool is_filled, Pages had) {
  size_t begin = number_of(block), first = begin + had.n, end = begin + block.count;
  if (!may_advise() || first >= end) return;
  bool is_giant = is_filled && Pages(block.count).bytes() >= base::kAdviseFrom;
  // Those between the ends of a giant that is filled have been asked for.
  size_t last = (end - 1) / kUnit, all = last - first / kUnit;
  size_t step = is_giant ? std::max(all, size_t{1}) : 1;
  for (size_t huge = first / kUnit; huge <= last; huge += step) {
    Share share{.here = std::min(end, (huge + 1) * kUnit) - std::max(begin, huge * kUnit),
                .is_giant = is_giant,
                .is_filled = is_filled};
    Advice advice = advice_for(huge, share);
    if (advice == Advice::kAsk) advice = ask(huge);
    if (advice == Advice::kEnds) end_advice(huge);
    if (advice != Advice::kBegins) continue;
    advise(huge * kUnit, kUnit);
    os::Locked held(lock_);
    if (is_advised(huge)) soil(huge);
  }
}

// What is to become of a huge page that a block has a share of.
Zone::Advice Zone::advice_for(size_t huge, const Share& share) {
  os::Locked held(lock_);
  if (!keeping_.keeps_to_peak()) return Advice::kStays;
  bool was_advised = is_advised(huge);
  bool is_alone = dirty_.count(huge * kUnit, kUnit) == share.here;
  // Where it stays advised, what is free of it comes with the block. Where the window is large it
  // does whatever the block is.
  bool stays = !is_alone || share.is_giant || window_size() > kMostShared;
  if (stays && was_advised) soil(huge);
  if (stays) return Advice::kStays;
  // Where somebody else's mapping stands in the window, a huge page may be partly theirs.
  size_t frames = window_size() / kFrameSize;
  bool is_ours = holes_ == 0 && (huge + 1) * kUnit <= frames;
  bool may_be = share.is_filled && is_ours && huge != probe_of(huge) &&
                live_bytes() >= base::kAdviseAmong && !is_advised(probe_before(huge)) &&
                os::page_size() == kFrameSize &&
                (budget_ == nullptr || budget_->has_room_for_all(kUnit - share.here));
  bool is_open = frames >= shared_[0].ask_from && (shared_[0].in_memory >> huge % 64 & 1) == 0;
  if (may_be && (was_advised || is_open)) return Advice::kAsk;
  return was_advised ? Advice::kEnds : Advice::kStays;
}

// What is let of the probe must be in memory, for the most part; and the last one that was begun
// either whole or, if it was not written to, not at all: the kernel may have none. A huge page that
// holds memory stays as it is, for the kernel joins pages late, if ever.
Zone::Advice Zone::ask(size_t huge) {
  auto resident = [&](size_t other) {
    return vm_->resident(address_of(static_cast<uint32_t>(other * kUnit)), base::kHugeSize,
                         os::Owner::kAny);
  };
  size_t probe = probe_before(huge), used = 0, last = 0;
  bool was_advised = false;
  {
    os::Locked held(lock_);
    used = dirty_.count(probe * kUnit, kUnit) * kFrameSize;
    was_advised = is_advised(huge);
    last = is_advised(shared_[0].last) ? shared_[0].last : 0;
  }
  if (resident(huge) != 0) {
    if (was_advised) return Advice::kBegins;
    os::Locked held(lock_);
    shared_[0].in_memory |= uint64_t{1} << huge % 64;
    return Advice::kStays;
  }
  size_t of_last = last == 0 ? 0 : resident(last);
  bool do_come = of_last == 0 || of_last == base::kHugeSize;
  bool are_filled = used >= base::kHugeSize / 4 && resident(probe) >= used / 8 * 7;
  os::Locked held(lock_);
  size_t frames = window_size() / kFrameSize;
  if (do_come && are_filled)
    shared_[0].last = huge;
  else
    shared_[0].ask_from = frames + std::max(kUnit, frames / kProbes);
  return do_come && are_filled ? Advice::kBegins : Advice::kEnds;
}

// What is free of a huge page is in memory as soon as a block of it is written to.
void Zone::soil(size_t huge) {
  if (dirty_.count(huge * kUnit, kUnit) == kUnit) return;
  buddy_.soil(static_cast<uint32_t>(huge * kUnit), Pages(kUnit));
  tell_budget();
}

}  // namespace ashlar::page
