#include "page/zone.h"

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"

namespace ashlar::page {

using base::kFrameSize;
using base::Order;
using base::Pages;

namespace {

// At most this much is purged in one batch, or a sixteenth of what is to go, if that is more, so
// that nothing is out of reach for long.
constexpr size_t kPurgeBatch = (size_t{8} << 20) / kFrameSize;
// Where more than this share of what is live is held free, its short pieces are used. Where it is
// less they had better wait until their neighbours come free, too.
constexpr size_t kMuchFreeShare = 8;
// From so many frames on a block is large for a small heap, and up to here it is small: larger ones
// would fetch again much of what had gone (bench/README.md: Page faults and system time, weighed).
constexpr size_t kLifts = 8;
constexpr size_t kMostLifted = size_t{2} << 20;
// A block moves instead of lengthening the window where kRoomInFront times its size, and kMuchRoom,
// are free in front.
constexpr size_t kRoomInFront = 8;
constexpr size_t kMuchRoom = (size_t{16} << 20) / kFrameSize;
// Where nothing goes, since all is locked in memory, more than this is not looked at. Who may not
// lock all that there is may lock half as much, as a rule (RLIMIT_MEMLOCK).
constexpr size_t kMostLocked = (size_t{16} << 20) / kFrameSize;

}  // namespace

// `dirty_before` is dirty_frames() as it was in front of the request.
void Zone::note_demand(Pages pages, size_t dirty_before) {
  live_ += pages.n;
  using Fetch = Keeping::Fetch;
  keeping_.note_demand(now(), pages.n - std::min(pages.n, dirty_before - dirty_frames()),
                       pages.bytes() < base::kAdviseFrom ? Fetch::kByPage : Fetch::kByHugePage);
  bool may_lift = pages.n >= kLifts && window_size() <= kMostLifted;
  if (base::kHasCaches && may_lift) keeping_.note_lift(now());
  note_change();  // what is kept may not have fitted
}

void Zone::tell_budget() {
  size_t held = live_ - hollow_ + dirty_frames();
  bool counts = budget_ != nullptr && !(base::kHasCaches && is_abandoned());
  if (counts && held != told_) budget_->change(held - told_, teller_);
  told_ = held;
}

Frame* Zone::take_waiting(Pages pages) {
  if (!base::kHasCaches) return nullptr;
  for (unsigned i = waiter_count_; i-- > 0;) {
    Frame& block = frames_[waiters_[i]];
    if (block.count != pages.n) continue;
    std::copy(waiters_ + i + 1, waiters_ + waiter_count_, waiters_ + i);
    --waiter_count_;
    waiting_ -= pages.n;
    block.kind = FrameKind::kLarge;
    block.is_new = 0;
    return &block;
  }
  return nullptr;
}

// In the small library nothing waits.
void Zone::let_wait(Frame& block) {
  if (!base::kHasCaches) return buddy_.give(number_of(block), Pages(block.count));
  if (waiter_count_ == kWaiters) {
    Frame& oldest = frames_[waiters_[0]];
    std::copy(waiters_ + 1, waiters_ + kWaiters, waiters_);
    --waiter_count_;
    waiting_ -= oldest.count;
    buddy_.give(number_of(oldest), Pages(oldest.count));
  }
  block.kind = FrameKind::kWaiting;
  waiters_[waiter_count_++] = number_of(block);
  waiting_ += block.count;
}

void Zone::end_waiting() {
  if (!base::kHasCaches) return;
  for (unsigned i = 0; i < waiter_count_; ++i)
    buddy_.give(waiters_[i], Pages(frames_[waiters_[i]].count));
  waiter_count_ = 0;
  waiting_ = 0;
}

// A block of the buddy heap, which first gets back what waits and then grows, if it must. A block
// of a huge page and more begins where one does, in whatever run holds it; a smaller one, or one
// with an alignment, is cut from a block of a power of two, but where more would be locked.
uint32_t Zone::take(Pages pages, Order align, FrameKind kind) {
  if (!base::kHasCaches) align = Order(0);  // cut_out()
  uint32_t block = buddy_.take(pages, align, kind);
  if (base::kHasCaches && block == kNone && waiter_count_ > 0) {
    end_waiting();
    block = buddy_.take(pages, align, kind);
  }
  if (block != kNone) return block;
  bool by_run = align.n == 0 && (is_pinned() || pages.bytes() >= base::kHugeSize);
  size_t whole = std::max(Order::ceil(pages), align).pages().n;
  Pages unit = by_run ? run_unit(pages) : Pages(whole);
  size_t span = by_run ? pages.n : whole;
  size_t have = window_size() / kFrameSize;
  size_t end = base::round_up(have - buddy_.free_tail().n, unit.n) + span;
  if (end <= have || grow(end - have, unit.n + span))
    block = by_run ? buddy_.take_tail(pages, unit, kind) : buddy_.take(pages, align, kind);
  if (block != kNone || align.n != 0) return block;
  // Address space may be short: no more than is missing, from where the end is free.
  size_t tail = buddy_.free_tail().n;
  if (tail >= pages.n || add(have, base::round_up(pages.n - tail, step())))
    block = buddy_.take_tail(pages, Pages(1), kind);
  return block;
}

// Lent memory may begin anywhere, and no window at a multiple of what is beyond a GiB: the numbers
// of frames tell nothing of such addresses. So a run is looked for in which there is a place; where
// there is none, so much is had that one is in it. (In the small library each block that is aligned
// comes this way: it is shorter.)
uint32_t Zone::cut_out(Pages pages, Order align, FrameKind kind) {
  if (is_rigid()) return kNone;  // what is had beyond the block would be locked, or be set apart
  end_waiting();
  Pages enough = pages + align.pages() - Pages(1);
  uint32_t block = buddy_.take_run(pages, align.pages(), Buddy::Run::kFree, kind);
  if (block != kNone) return block;
  uint32_t more = take(enough, Order(0), kind);
  if (more == kNone) return kNone;
  block = buddy_.first_of(align.pages(), more);
  auto give = [&](uint32_t first, size_t count) ASHLAR_UNCHECKED {
    if (base::kHasCaches && frames_[more].is_new) dirty_.clear(first, count);
    buddy_.give_partly_dirty(first, Pages(count));
  };
  uint32_t in_front = block - more;
  give(block + static_cast<uint32_t>(pages.n), enough.n - pages.n - in_front);
  Frame& frame = frames_[block];
  frame = frames_[more];
  frame.count = static_cast<uint32_t>(pages.n);
  give(more, in_front);
  return block;
}

Frame* Zone::let(uint32_t block, size_t dirty_before) {
  if (block == kNone) return nullptr;
  Frame& frame = frames_[block];
  if (frame.kind == FrameKind::kLarge) {
    if (base::kHasCaches) frame.moved = 0;
    large_ += frame.count;
    ++large_blocks_;
  }
  note_demand(Pages(frame.count), dirty_before);
  return &frame;
}

Frame* Zone::alloc(Pages pages, Order align, FrameKind kind, Pages moved) {
  if (pages.n == 0 || std::max(pages, align.pages()) > Order(base::kMaxOrder).pages())
    return nullptr;
  if (base::kHasCaches && kind == FrameKind::kSlab && !cover_classes()) return nullptr;
  os::Locked held(lock_);
  bool is_small = kind != FrameKind::kLarge || pages.bytes() <= base::kMaxCached;
  Budget::For whom = is_small ? Budget::For::kSmall : Budget::For::kLarge;
  if (state_.load(std::memory_order_relaxed) != State::kWhole) return nullptr;
  size_t more = base::kHasCaches ? pages.n - moved.n : pages.n;
  size_t before = dirty_frames();
  uint32_t block = kNone;
  if (has_room(more, whom))
    block = find(pages, align, kind);
  else if (align.n == 0)
    block = find_held(pages, kind, whom);
  if (base::kHasCaches && block != kNone) {
    dirty_.clear(block, moved.n);
    hollow_ += moved.n;
  }
  return let(block, before);
}

uint32_t Zone::find(Pages pages, Order align, FrameKind kind) {
  bool is_by_number =
      base::kHasCaches && !is_lent() && base::is_aligned(window_, align.pages().bytes());
  if (align.n > 0 && !is_by_number) return cut_out(pages, align, kind);
  bool is_plain_large = kind == FrameKind::kLarge && align.n == 0;
  if (is_plain_large)
    if (Frame* block = take_waiting(pages)) return number_of(*block);
  uint32_t block = kNone;
  // The rest of a block of a power of two that a large one is cut from is too short for the next
  // large one: so they lie where they fit. In a small heap what waits or lies in odd pieces is much
  // of it, and a clean frame costs a fault: there small ones do, too, but a single frame shall not
  // break up what waits.
  bool is_any_by_fit = is_small_heap() && align.n == 0 && kind != FrameKind::kSlab;
  if (is_any_by_fit || (is_plain_large && pages.bytes() > base::kMaxCached)) {
    if (pages.n > 1) end_waiting();
    // Where address space is short, any run will do before a whole block is broken up.
    Buddy::Run run = is_short_ ? Buddy::Run::kFree : Buddy::Run::kDirty;
    block = buddy_.take_run(pages, run_unit(pages), run, kind);
  }
  if (block == kNone) block = take(pages, align, kind);
  // No block of a power of two is whole any more, but their parts may be neighbours.
  if (block == kNone && is_plain_large)
    block = buddy_.take_run(pages, Pages(1), Buddy::Run::kFree, kind);
  return block;
}

// What is free and dirty is held already. So where the budget has no room for a block, the front of
// one that waits may be had nevertheless; and a warm one, half of which is dirty at least, where
// there is room for the other half. Else all that is free would have to go first.
uint32_t Zone::find_held(Pages pages, FrameKind kind, Budget::For whom) {
  if (!base::kHasCaches || !has_room(0, whom)) return kNone;
  size_t shortest = SIZE_MAX;
  for (unsigned i = 0; kind == FrameKind::kLarge && i < waiter_count_; ++i)
    if (size_t count = frames_[waiters_[i]].count; count >= pages.n)
      shortest = std::min(shortest, count);
  if (shortest == SIZE_MAX)
    return has_room(pages.n / 2, whom) ? buddy_.take_warm({{pages}, 1}, kind) : kNone;
  Frame& block = *take_waiting(Pages(shortest));
  block.count = static_cast<uint32_t>(pages.n);
  buddy_.give(number_of(block) + block.count, Pages(shortest - pages.n));
  return number_of(block);
}

// Whether what is not held yet of so many frames may be had.
bool Zone::has_room_from(uint32_t first, size_t frames) const {
  size_t end = std::min(first + frames, window_size() / kFrameSize);
  return has_room(frames - dirty_.count(first, end - first), Budget::For::kLarge);
}

Frame* Zone::alloc_any(const Choices& choices, FrameKind kind) {
  if (kind == FrameKind::kSlab && !cover_classes()) return nullptr;
  os::Locked held(lock_);
  if (is_abandoned()) return nullptr;
  auto fits = [&](Pages pages) { return has_room(pages.n, Budget::For::kSmall); };
  size_t before = dirty_frames();
  uint32_t block = kNone;
  if (fits(choices.of[0])) {
    bool is_much_free = buddy_.dirty_frames() * kMuchFreeShare > live_ - hollow_;
    block = buddy_.take_warm(is_much_free ? choices : choices.best(), kind);
    if (block == kNone) block = take(choices.of[0], Order(0), kind);
  } else {
    block = find_held(choices.of[0], kind, Budget::For::kSmall);
  }
  for (unsigned i = 1; block == kNone && i < choices.count; ++i)
    if (fits(choices.of[i])) block = buddy_.take(choices.of[i], Order(0), kind);
  return let(block, before);
}

Frame* Zone::alloc_clean(Pages pages) {
  if (pages.n == 0 || pages > Order(base::kMaxOrder).pages()) return nullptr;
  os::Locked held(lock_);
  if (!has_room(pages.n, Budget::For::kLarge)) return nullptr;
  size_t before = dirty_frames();
  uint32_t block = buddy_.take_clean(pages, FrameKind::kLarge);
  if (block == kNone) block = take(pages, Order(0), FrameKind::kLarge);
  return let(block, before);
}

Frame* Zone::alloc_scrap(FrameKind kind) {
  os::Locked held(lock_);
  if (is_abandoned() || !has_room(0, Budget::For::kSmall)) return nullptr;
  size_t before = dirty_frames();
  return let(buddy_.take_scrap(kind), before);
}

void Zone::note_change() {
  tell_budget();
  bool stays = is_lent() || is_pinned();
  if (!stays && keeping_.may_exceed(now())) wants_trim_.store(true, std::memory_order_relaxed);
}

void Zone::free(uint32_t first, Pages pages) {
  os::Locked held(lock_);
  hollow_ -= pages.n - dirty_.count(first, pages.n);
  buddy_.give_partly_dirty(first, pages);
  live_ -= pages.n;
  note_change();
}

void Zone::free_large(Frame& block) {
  if (base::kHasCaches && block.moved != 0) return free_moved(block);
  os::Locked held(lock_);
  if (is_abandoned()) return;
  large_ -= block.count;
  --large_blocks_;
  live_ -= block.count;
  let_wait(block);
  note_change();
}

bool Zone::try_grow(Frame& block, Pages pages) {
  if (pages > Order(base::kMaxOrder).pages()) return false;
  os::Locked held(lock_);
  if (state_.load(std::memory_order_relaxed) != State::kWhole) return false;
  end_waiting();
  uint32_t first = number_of(block);
  uint32_t end = first + block.count;
  size_t more = pages.n - block.count;
  size_t have = window_size() / kFrameSize;
  if (!has_room(more, Budget::For::kLarge) && !has_room_from(end, more)) return false;
  if (end + more > have) {
    // As far as the window's end nothing may be in the way. But where there is room enough in front
    // it had better move there: a block that ends the window again and again would lengthen it for
    // good.
    size_t tail = buddy_.free_tail().n, in_front = buddy_.free_frames() - tail;
    if (end + tail < have || in_front >= std::max(kMuchRoom, kRoomInFront * pages.n)) return false;
    if (!grow(end + more - have, 0)) return false;
  }
  size_t before = dirty_frames();
  if (!buddy_.try_take_range(end, Pages(more))) return false;
  block.count = static_cast<uint32_t>(pages.n);
  block.is_new = 0;
  note_demand(Pages(more), before);
  large_ += more;
  return true;
}

void Zone::shrink(Frame& block, Pages pages) {
  if (base::kHasCaches && block.moved != 0) return shrink_moved(block, pages);
  os::Locked held(lock_);
  if (is_abandoned()) return;
  size_t less = block.count - pages.n;
  block.count = static_cast<uint32_t>(pages.n);
  large_ -= less;
  live_ -= less;
  buddy_.give(number_of(block) + static_cast<uint32_t>(pages.n), Pages(less));
  note_change();
}

void Zone::trim() {
  uint64_t now_ms = vm_->now_ms();
  size_t keep;
  wants_trim_.store(false, std::memory_order_relaxed);
  {
    os::Locked held(lock_);
    if (is_abandoned()) return;
    if (base::kHasCaches && !has_come(purge_refused_until_ms_, now_ms, kAskAgainMs)) return;
    keep = keeping_.limit(now(), now_ms);
    if (dirty_frames() <= keep) return;
  }
  purge(keep);
}

// Isolates dirty blocks that have `wanted` frames together, if there are as many. Where blocks were
// advised, no huge page is cut for the sake of a smaller sum: the rest of it would come back by 512
// faults (bench/README.md: Huge pages, weighed).
Zone::Batch Zone::isolate(size_t wanted) {
  Order least = Order::ceil(Pages::ceil(os::page_size()));
  size_t whole = has_advised() ? base::kHugeSize / kFrameSize : 0;
  Batch batch;
  while (batch.count < kBatch && batch.frames < wanted) {
    uint32_t block = buddy_.isolate(least, Pages(std::max(wanted - batch.frames, whole)));
    if (block == kNone) break;
    Pages pages = Order(frames_[block].order).pages();
    batch.ranges[batch.count++] = {address_of(block), pages.bytes()};
    batch.frames += pages.n;
  }
  isolated_ += batch.frames;
  return batch;
}

// The first `purged` blocks hold no memory any more. How many frames that were dirty are in them.
size_t Zone::put_back(const Batch& batch, size_t purged) {
  size_t done = 0;
  for (size_t i = 0; i < batch.count; ++i) {
    uint32_t block = number_of(batch.ranges[i].at);
    size_t frames = batch.ranges[i].size / kFrameSize;
    if (i < purged) {
      done += dirty_.count(block, frames);
      dirty_.clear(block, frames);
    }
    buddy_.put_back(block);
  }
  isolated_ -= batch.frames;
  purges_ += purged;
  if (base::kHasCaches) shared_[0].in_memory = 0;
  return done;
}

// Records inside a free block say no more than fresh ones do, but for the last, which is written
// anew when the block is put back. They go with its memory.
void Zone::purge_records(const os::Range& block) {
  if (!base::kHasCaches) return;
  const Frame* inside = &frame_of(block.at) + 1;
  size_t first = base::round_up(reinterpret_cast<size_t>(inside), os::page_size());
  size_t end = base::round_down(reinterpret_cast<size_t>(inside - 1 + block.size / kFrameSize),
                                os::page_size());
  if (first < end) vm_->purge(reinterpret_cast<char*>(first), end - first);
}

size_t Zone::purge_end(size_t keep) {
  {
    os::Locked held(lock_);
    if (dirty_frames() <= keep) return 0;
  }
  return retract();
}

// What is locked in memory counts as clean when it has been cleared: so it is met once. Where most
// of what is to go is, no more than its address space can be given back.
size_t Zone::purge(size_t keep) {
  if (is_hugetlb()) return purge_end(keep);
  size_t done = 0, locked = 0;
  lock_.acquire();
  if (is_purging() || is_abandoned() || is_pinned() || is_lent()) {
    lock_.release();
    return 0;
  }
  is_purging_.store(true, std::memory_order_relaxed);
  if (dirty_frames() > keep) end_waiting();
  // What comes free meanwhile is judged anew, when it is known what of this was wanted again.
  size_t surplus = buddy_.dirty_frames() - std::min(buddy_.dirty_frames(), keep);
  while (done < surplus && buddy_.dirty_frames() > keep) {
    size_t wanted = std::min(surplus - done, buddy_.dirty_frames() - keep);
    Batch batch = isolate(std::min(wanted, std::max(kPurgeBatch, wanted / 16)));
    lock_.release();
    if (may_have_huge()) break_up(batch.ranges, batch.count);
    auto [purged, locked_bytes] = vm_->purge_each(batch.ranges, batch.count);
    for (size_t i = 0; i < purged; ++i) purge_records(batch.ranges[i]);
    lock_.acquire();
    if (is_abandoned()) break;  // by a fork that has interrupted us
    size_t gone = put_back(batch, purged);
    keeping_.note_purge(now(), gone);
    done += gone;
    if (base::kHasCaches) locked += locked_bytes / kFrameSize;  // the small library clears nothing
    bool is_futile = locked > kMostLocked && locked >= done;
    if (purged < batch.count || purged == 0 || is_futile) break;
  }
  if (base::kHasCaches && surplus > 0 && locked >= done) pause(purge_refused_until_ms_);
  is_purging_.store(false, std::memory_order_relaxed);
  if (surplus > 0 && done >= surplus) note_change();
  tell_budget();
  done -= std::min(done, locked);
  purged_ += done;
  lock_.release();
  return done == 0 && locked > 0 ? retract() : done;
}

void Zone::mark_slab(Frame& first, void* slab, uint8_t cache) {
  uint32_t number = number_of(first), count = first.count;
  for (uint32_t i = 0; i < count; ++i) {
    Frame& frame = frames_[number + i];
    frame.become(FrameKind::kSlab);
    frame.count = count;
    frame.tenant = slab;
  }
  std::fill_n(class_map_ + number, count, cache);
}

void Zone::unmark_slab(Frame& first, Pages pages) {
  uint32_t number = number_of(first);
  for (uint32_t i = 0; i < pages.n; ++i)  // who sees the class gone sees the remnant
    __atomic_store_n(&class_map_[number + i], uint8_t{0}, __ATOMIC_RELEASE);
  for (uint32_t i = 0; i < pages.n; ++i)
    if (Frame& frame = frames_[number + i]; frame.kind == FrameKind::kSlab)
      frame.become(FrameKind::kInside);
}

ZoneStats Zone::stats() {
  os::Locked held(lock_);
  return {.committed = window_size() / kFrameSize - holes_,
          .live = live_,
          .free = buddy_.free_frames() + waiting_,
          .dirty = dirty_frames(),
          .large = large_,
          .large_blocks = large_blocks_,
          .hollow = hollow_,
          .purged = purged_,
          .purges = purges_,
          .growths = growths_};
}

Frames Zone::frames() {
  os::Locked held(lock_);
  Frames frames = now();
  frames.live += frames.kept;
  return frames;
}

size_t Zone::free_blocks(Order order) {
  os::Locked held(lock_);
  return buddy_.blocks(order);
}

int Zone::fragmentation(Order order) {
  os::Locked held(lock_);
  return buddy_.fragmentation(order);
}

void Zone::audit() {
  os::Locked held(lock_);
  if (window_ == nullptr) return;
  buddy_.audit();
  size_t frames = window_size() / kFrameSize;
  ASHLAR_CHECK(frames == live_ + buddy_.free_frames() + waiting_ + isolated_ + holes_);
  // While blocks are isolated, what of them is dirty is about to go.
  ASHLAR_CHECK(isolated_ != 0 || told_ == live_ - hollow_ + dirty_frames());
}

}  // namespace ashlar::page
