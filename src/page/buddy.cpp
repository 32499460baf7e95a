#include "page/buddy.h"

#include <bit>
#include <utility>

#include "base/bits.h"
#include "base/check.h"

namespace ashlar::page {

using base::kMaxOrder;
using base::Order;
using base::Pages;

static_assert(kMaxOrder < 32, "one bit per order in nonempty_");

Buddy::Buddy(Frame* frames, base::BitMap dirty, size_t in_front)
    : frames_(frames), in_front_(in_front), dirty_map_(dirty) {
  for (Ends& list : lists_) list = {kNone, kNone, kNone};
}

size_t Buddy::dirty_in(uint32_t first, size_t count, Content content) const {
  switch (content) {
    case Content::kClean: return 0;
    case Content::kDirty: return count;
    case Content::kMixed: return dirty_map_.count(first, count);
  }
  __builtin_unreachable();
}

Buddy::Content Buddy::content_of(uint32_t block) const {
  const Frame& frame = frames_[block];
  if (frame.count == 0) return Content::kClean;
  return frame.count == Order(frame.order).pages().n ? Content::kDirty : Content::kMixed;
}

void Buddy::insert(uint32_t block, unsigned order, size_t dirty) {
  Frame& frame = frames_[block];
  frame.kind = FrameKind::kFree;
  frame.order = static_cast<uint8_t>(order);
  frame.count = static_cast<uint32_t>(dirty);
  frames_[block + Order(order).pages().n - 1].order = frame.order;
  free_ += Order(order).pages().n;
  dirty_ += dirty;

  Ends& list = lists_[order];
  bool front = dirty != 0;
  frame.link.next = front ? list.first : kNone;
  frame.link.prev = front ? kNone : list.last;
  uint32_t& behind = front ? (list.first == kNone ? list.last : frames_[list.first].link.prev)
                           : (list.last == kNone ? list.first : frames_[list.last].link.next);
  behind = block;
  if (front && list.oldest == kNone) list.oldest = block;
  (front ? list.first : list.last) = block;
  nonempty_ |= 1u << order;
}

void Buddy::remove(uint32_t block) {
  Frame& frame = frames_[block];
  ASHLAR_CHECK(frame.kind == FrameKind::kFree);
  Ends& list = lists_[frame.order];
  uint32_t next = frame.link.next, prev = frame.link.prev;
  if (list.oldest == block) list.oldest = prev;
  (prev == kNone ? list.first : frames_[prev].link.next) = next;
  (next == kNone ? list.last : frames_[next].link.prev) = prev;
  if (list.first == kNone) nonempty_ &= ~(1u << frame.order);
  free_ -= Order(frame.order).pages().n;
  dirty_ -= frame.count;
  frame.kind = FrameKind::kInside;
}

uint32_t Buddy::take(Pages pages, Order align, FrameKind kind) {
  unsigned order = Order::ceil(pages).n;
  if (order < align.n) order = align.n;
  if (order > kMaxOrder) return kNone;
  uint32_t fitting = nonempty_ & ~((1u << order) - 1);
  uint32_t block = fitting == 0 ? kNone : lists_[base::lowest_bit(fitting)].first;
  bool is_odd = align.n == 0 && !std::has_single_bit(pages.n) && pages.bytes() < base::kHugeSize;
  if (is_odd && follows_on(pages, block != kNone && frames_[block].count != 0))
    block = take_within(next_, next_, pages, kind);
  else if (block != kNone)
    block = take_front(block, pages, kind);
  if (is_odd && block != kNone) next_ = block + static_cast<uint32_t>(pages.n);
  return block;
}

// Whether `pages` frames are free from where the last odd count ended, and are used already if
// others of these are to be had.
bool Buddy::follows_on(Pages pages, bool are_others_dirty) const {
  if (next_ >= end_ || frames_[next_].kind_now() != FrameKind::kFree) return false;
  if (are_others_dirty && frames_[next_].count == 0) return false;
  return is_run_free(next_, next_ + static_cast<uint32_t>(pages.n));
}

uint32_t Buddy::take_clean(Pages pages, FrameKind kind) {
  for (unsigned order = Order::ceil(pages).n; order <= kMaxOrder; ++order) {
    uint32_t last = lists_[order].last;  // clean blocks stand behind dirty ones
    if (last != kNone && frames_[last].count == 0) return take_front(last, pages, kind);
  }
  return kNone;
}

// Whether `pages` frames hold memory, half of them or more.
bool Buddy::is_warm(uint32_t first, Pages pages) const {
  return dirty_map_.count(first, pages.n) * 2 >= pages.n;
}

uint32_t Buddy::take_warm(const Choices& choices, FrameKind kind) {
  for (unsigned i = 0; i < choices.count; ++i) {
    Pages pages = choices.of[i];
    bool is_odd = !std::has_single_bit(pages.n);
    uint32_t lists = nonempty_ & ~((1u << Order::ceil(pages).n) - 1);
    for (; lists != 0; lists &= lists - 1) {
      uint32_t block = lists_[base::lowest_bit(lists)].first;  // dirty ones stand in front
      if (!is_warm(block, pages)) continue;
      if (is_odd && follows_on(pages, true) && is_warm(next_, pages))
        block = take_within(next_, next_, pages, kind);
      else
        take_front(block, pages, kind);
      if (is_odd) next_ = block + static_cast<uint32_t>(pages.n);
      return block;
    }
  }
  return kNone;
}

uint32_t Buddy::take_scrap(FrameKind kind) {
  for (unsigned order = 0; order <= 1; ++order) {
    uint32_t first = lists_[order].first;  // dirty blocks stand in front of clean ones
    if (first != kNone && content_of(first) == Content::kDirty)
      return take_front(first, Pages(1), kind);
  }
  return kNone;
}

// Takes the front of a free block and gives back what lies behind: one block for each step down
// from the block's order.
uint32_t Buddy::take_front(uint32_t block, Pages pages, FrameKind kind) {
  Content content = content_of(block);
  size_t rest = Order(frames_[block].order).pages().n - pages.n;
  remove(block);
  give(block + static_cast<uint32_t>(pages.n), Pages(rest), content);
  bool is_new = content == Content::kClean ||
                (content == Content::kMixed && dirty_map_.count(block, pages.n) == 0);
  dirty_map_.set(block, pages.n);
  frames_[block].kind = kind;
  frames_[block].is_new = is_new;
  frames_[block].count = static_cast<uint32_t>(pages.n);
  return block;
}

// Calls visit(block) for up to `most` free blocks of this kind in each list, the smallest first,
// until it returns false.
template <class Visit>
void Buddy::for_blocks(unsigned least_order, unsigned most, Run run, Visit visit) const {
  for (uint32_t lists = nonempty_ >> least_order << least_order; lists != 0; lists &= lists - 1) {
    uint32_t at = lists_[base::lowest_bit(lists)].first;
    for (unsigned looks = 0; looks < most && at != kNone && is_of(at, run); ++looks) {
      if (!visit(at)) return;
      at = frames_[at].link.next;
    }
  }
}

// The first of the adjacent free blocks that end in front of `end`.
uint32_t Buddy::run_start(uint32_t end, Run kind) const {
  for (uint32_t before; (before = block_before(end, kind)) != end;) end = before;
  return end;
}

uint32_t Buddy::retract(Pages step) {
  uint32_t start = run_start(end_, Run::kFree);
  uint32_t first = static_cast<uint32_t>(base::round_up(start, step.n));
  if (first >= end_) return kNone;
  try_remove(start, end_);
  dirty_map_.clear(first, end_ - first);
  end_ = first;
  give(start, Pages(first - start), Content::kMixed);
  return first;
}

void Buddy::unretract(uint32_t first, Pages pages) {
  end_ = first + static_cast<uint32_t>(pages.n);
  dirty_map_.set(first, pages.n);
  give(first, pages, Content::kDirty);
}

// Where the adjacent free blocks from `first` on end; not looked at beyond `enough`.
uint32_t Buddy::run_end(uint32_t first, uint32_t enough, Run kind) const {
  while (first < enough && first < end_ && is_of(first, kind))
    first += static_cast<uint32_t>(Order(frames_[first].order).pages().n);
  return first;
}

bool Buddy::is_run_free(uint32_t first, uint32_t end) const {
  return run_end(first, end, Run::kFree) >= end;
}

// Each run is looked at from its first block; where that leads nowhere, from all of its blocks, for
// the first may stand too far back in its list.
uint32_t Buddy::take_run(Pages pages, Pages unit, Run run, FrameKind kind) {
  constexpr unsigned kLooks = 16;
  // A run's largest block has a quarter of its frames at least.
  unsigned least_order = base::log2_floor(pages.n);
  least_order = least_order < 2 ? 0 : least_order - 2;
  auto count = static_cast<uint32_t>(pages.n);
  uint32_t best = kNone, best_start = 0, shortest = UINT32_MAX;
  size_t best_dirty = 0;
  bool from_all = false;
  // Of blocks below a MiB there are many, and what such a one leaves is of use to others.
  uint32_t enough = pages.bytes() < base::kApartFrom ? count + count / 4 : count;
  auto look = [&](uint32_t block) {
    uint32_t before = from_all || !base::kHasCaches ? block : block_before(block, run);
    if (before != block && frames_[before].order >= least_order) return true;
    uint32_t start = run_start(block, run);
    uint32_t first = first_of(unit, start);
    // Of what is twice as long as need be no more is to be known.
    uint32_t end = run_end(start, first + 2 * count, Run::kFree);
    if (first == best || end < first + count) return true;
    size_t dirty = dirty_map_.count(first, pages.n);
    bool is_better = dirty > best_dirty || (dirty == best_dirty && end - start < shortest);
    if (!is_better) return true;
    best = first;
    best_start = start;
    shortest = end - start;
    best_dirty = dirty;
    return !base::kHasCaches || dirty < count || shortest > enough;  // what is found will do
  };
  do {
    for_blocks(least_order, kLooks, run, look);
  } while (base::kHasCaches && best == kNone && !std::exchange(from_all, true));
  return best == kNone ? kNone : take_within(best_start, best, pages, kind);
}

// Takes frames out of the free run that begins at `start`. What lies in front goes back.
uint32_t Buddy::take_within(uint32_t start, uint32_t first, Pages pages, FrameKind kind) {
  bool is_new = dirty_map_.count(first, pages.n) == 0;
  if (!try_remove(start, first + static_cast<uint32_t>(pages.n))) return kNone;
  dirty_map_.set(first, pages.n);
  give(start, Pages(first - start), Content::kMixed);
  frames_[first].kind = kind;
  frames_[first].count = static_cast<uint32_t>(pages.n);
  frames_[first].is_new = is_new;
  return first;
}

uint32_t Buddy::take_tail(Pages pages, Pages unit, FrameKind kind) {
  uint32_t start = run_start(end_, Run::kFree);
  size_t first = base::round_up(start, unit.n);
  if (first + pages.n > end_) return kNone;
  return take_within(start, static_cast<uint32_t>(first), pages, kind);
}

bool Buddy::try_take_range(uint32_t first, Pages pages) {
  if (!try_remove(first, first + static_cast<uint32_t>(pages.n))) return false;
  dirty_map_.set(first, pages.n);
  return true;
}

// Removes free frames from the lists; what holds memory stays noted.
bool Buddy::try_remove(uint32_t first, uint32_t end) {
  // The frame in front of the range is not free, so the range begins with a block, and each free
  // block is followed by another's first frame or by none that is free.
  if (!is_run_free(first, end)) return false;
  Content last = Content::kClean;
  uint32_t at = first;
  while (at < end) {
    uint32_t size = static_cast<uint32_t>(Order(frames_[at].order).pages().n);
    last = content_of(at);
    remove(at);
    at += size;
  }
  give(end, Pages(at - end), last);
  return true;
}

void Buddy::extend(uint32_t first, Pages pages) {
  ASHLAR_CHECK(first >= end_);
  end_ = first + static_cast<uint32_t>(pages.n);
  give(first, pages, Content::kClean);
}

void Buddy::give(uint32_t first, Pages pages, Content content) {
  size_t left = pages.n;
  while (left > 0) {
    unsigned order = base::log2_floor(left);
    unsigned aligned = first == 0 ? kMaxOrder : base::lowest_bit(first);
    if (order > aligned) order = aligned;
    if (order > kMaxOrder) order = kMaxOrder;
    give_block(first, order, dirty_in(first, Order(order).pages().n, content));
    first += static_cast<uint32_t>(Order(order).pages().n);
    left -= Order(order).pages().n;
  }
}

void Buddy::give_block(uint32_t block, unsigned order, size_t dirty) {
  frames_[block].kind = FrameKind::kInside;
  for (; order < kMaxOrder; ++order) {
    uint32_t buddy = block ^ (uint32_t{1} << order);
    if (buddy >= end_) break;
    if (frames_[buddy].kind_now() != FrameKind::kFree || frames_[buddy].order != order) break;
    dirty += frames_[buddy].count;
    remove(buddy);
    block &= ~(uint32_t{1} << order);
  }
  insert(block, order, dirty);
}

uint32_t Buddy::isolate(Order least, Pages most) {
  for (uint32_t lists = nonempty_; lists != 0;) {
    unsigned order = base::log2_floor(lists);
    if (order < least.n) return kNone;
    lists &= ~(1u << order);
    uint32_t block = lists_[order].oldest;
    if (block == kNone) continue;
    size_t dirty = frames_[block].count;
    remove(block);
    while (order > least.n && Order(order).pages() > most) {
      uint32_t upper = block + (uint32_t{1} << --order);
      size_t in_upper = dirty_map_.count(upper, Order(order).pages().n);
      if (in_upper == 0) {
        insert(upper, order, 0);
      } else {
        insert(block, order, dirty - in_upper);
        block = upper;
        dirty = in_upper;
      }
    }
    frames_[block].kind = FrameKind::kIsolated;
    frames_[block].order = static_cast<uint8_t>(order);
    return block;
  }
  return kNone;
}

void Buddy::put_back(uint32_t first) {
  ASHLAR_CHECK(frames_[first].kind == FrameKind::kIsolated);
  unsigned order = frames_[first].order;
  give_block(first, order, dirty_map_.count(first, Order(order).pages().n));
}

void Buddy::soil(uint32_t first, Pages pages) {
  uint32_t end = first + static_cast<uint32_t>(pages.n), size = 1;
  for (uint32_t at = first; at < end; at += size) {
    unsigned order = frames_[at].order;
    bool is_free = frames_[at].kind_now() == FrameKind::kFree;
    size = is_free ? static_cast<uint32_t>(Order(order).pages().n) : 1;
    if (!is_free || content_of(at) == Content::kDirty) continue;
    remove(at);
    dirty_map_.set(at, size);
    insert(at, order, size);
  }
}

int Buddy::fragmentation(Order order) const {
  if (nonempty_ >> order.n != 0) return -1000;
  size_t pieces = 0;
  for (unsigned n = 0; n < order.n; ++n) pieces += blocks(Order(n));
  if (pieces == 0) return 0;
  size_t parts = (1000 + free_ * 1000 / order.pages().n) / pieces;
  return parts > 1000 ? 0 : 1000 - static_cast<int>(parts);
}

size_t Buddy::blocks(Order order) const {
  if ((nonempty_ >> order.n & 1) == 0) return 0;
  size_t count = 0;
  for (uint32_t at = lists_[order.n].first; at != kNone; at = frames_[at].link.next) ++count;
  return count;
}

void Buddy::audit() const {
  size_t free = 0, dirty = 0;
  for (unsigned order = 0; order <= kMaxOrder; ++order) {
    uint32_t size = uint32_t{1} << order;
    bool seen_clean = false;
    ASHLAR_CHECK((lists_[order].first != kNone) == ((nonempty_ >> order & 1) != 0));
    for (uint32_t at = lists_[order].first, before = kNone; at != kNone;
         before = at, at = frames_[at].link.next) {
      const Frame& frame = frames_[at];
      ASHLAR_CHECK(at % size == 0);
      ASHLAR_CHECK(frame.kind == FrameKind::kFree && frame.order == order);
      ASHLAR_CHECK(frame.link.prev == before);
      uint32_t buddy = at ^ size;
      ASHLAR_CHECK(order == kMaxOrder || buddy >= end_ || frames_[buddy].kind != FrameKind::kFree ||
                   frames_[buddy].order != order);
      ASHLAR_CHECK(frame.count == dirty_map_.count(at, size));
      ASHLAR_CHECK(frame.count == 0 || !seen_clean);
      ASHLAR_CHECK(frames_[at + size - 1].order == order);
      seen_clean |= frame.count == 0;
      bool is_oldest =
          frame.count != 0 && (frame.link.next == kNone || frames_[frame.link.next].count == 0);
      ASHLAR_CHECK(is_oldest == (lists_[order].oldest == at));
      free += size;
      dirty += frame.count;
    }
  }
  ASHLAR_CHECK(free == free_);
  ASHLAR_CHECK(dirty == dirty_);
}

}  // namespace ashlar::page
