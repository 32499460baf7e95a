// page/zone_layout.cpp -- what of a zone is address space: places, tables and bounds. The rest of
// zone.h is in zone.cpp, zone_huge.cpp and zone_moved.cpp.
#include "page/zone.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/bits.h"

namespace ashlar::page {

using base::kFrameSize;
using base::Pages;

namespace {

// Tables are committed for this many frames at once (64 MiB of memory), so that growth of a heap
// costs few system calls; untouched table pages hold no memory.
constexpr size_t kTableStep = 16384;
// A zone grows by an eighth of itself, within these bounds: small processes stay small in address
// space, large ones make few calls.
constexpr size_t kLeastGrowth = (size_t{1} << 20) / kFrameSize;
constexpr size_t kMostGrowth = (size_t{64} << 20) / kFrameSize;
// Somebody else may already be where a place was found: so many are tried.
constexpr unsigned kPlaces = 4;
constexpr size_t kLeastWindow = size_t{16} << 20;
// Somebody else's mapping in the window's way is gone around by one of these distances.
constexpr size_t kSkips[] = {0, (size_t{64} << 20) / kFrameSize, (size_t{1} << 30) / kFrameSize};
// The class map does not begin with a page: a processor takes a load for dependent on an older
// store when their addresses agree in the lowest twelve bits, and objects that programs use closely
// together tend to lie at the starts of frames. (bench/micro/front: pairs)
constexpr size_t kMapOffset = 2560;
// A zone that is smaller is not worth the calls that name its mappings: small processes start with
// as few as may be.
constexpr size_t kNamedFrom = (size_t{16} << 20) / kFrameSize;
constexpr char kTablesName[] = "ashlar tables";
// The least that a part of a window may have: each of its tables begins with a page of its own
// then. But for their offsets; so the last frames of a part are not used, whose records would share
// one.
constexpr size_t kLeastPart = size_t{4} << 30;
constexpr size_t kPartGap = 2 * kTableStep * kFrameSize;

}  // namespace

// Calls visit(at, size) for what is ours of the frames [begin, end), from the upper end on. In a
// hole somebody else's mapping may stand.
template <class Visit>
void Zone::for_each_piece(size_t begin, size_t end, Visit visit) {
  for (uint32_t hole = last_hole_; end > begin;) {
    size_t first = hole == kNone ? begin : std::max(begin, hole + size_t{frames_[hole].count});
    if (first < end) visit(address_of(static_cast<uint32_t>(first)), (end - first) * kFrameSize);
    if (hole == kNone) break;
    end = std::min<size_t>(end, hole);
    hole = frames_[hole].link.next;
  }
}

bool Zone::start(const os::Vm& vm, const Retention& retention, size_t window_size,
                 const Zone* other) {
  other_ = other;
  for (unsigned attempt = 0; attempt < kPlaces; ++attempt) {
    size_t part = std::bit_ceil(std::max(window_size, kLeastWindow));
    bool is_low = where() == Manners::Where::kLow;
    os::Place place = (is_low ? vm.reserve_low : vm.reserve)(2 * part, 2 * kLeastWindow);
    if (place.base == nullptr) return false;
    lay_out(vm, place, 0);
    max_size_ = std::min(max_size_, base::round_up(window_size, kStep * kFrameSize));
    os::Locked held(lock_);
    if (cover(1)) {
      keeping_.set(retention);
      return true;
    }
    leave_place();
  }
  window_ = nullptr;
  return false;
}

bool Zone::start_within(char* memory, size_t size) {
  size_t start = base::round_up(reinterpret_cast<size_t>(memory), alignof(Frame));
  size_t end = reinterpret_cast<size_t>(memory) + size;
  // As many frames as fit behind their records and their dirty bits.
  size_t frames = size / kFrameSize, window = 0;
  for (;; --frames) {
    if (frames == 0) return false;
    size_t tables = frames * sizeof(Frame) + base::round_up(frames, 64) / 8;
    window = base::round_up(start + tables, kFrameSize);
    if (window + frames * kFrameSize <= end) break;
  }
  frames_ = reinterpret_cast<Frame*>(start);
  auto* dirty = reinterpret_cast<uint64_t*>(frames_ + frames);
  std::memset(static_cast<void*>(frames_), 0, frames * sizeof(Frame));
  std::memset(dirty, 0, base::round_up(frames, 64) / 8);
  dirty_ = base::BitMap(dirty);
  window_ = reinterpret_cast<char*>(window);
  max_size_ = frames * kFrameSize;
  os::Locked held(lock_);
  buddy_ = Buddy(frames_, dirty_, window / kFrameSize);
  buddy_.extend(0, Pages(frames));
  set_window_size(frames);
  return true;
}

void Zone::stop() {
  os::Locked held(lock_);
  auto end = static_cast<uint32_t>(window_size() / kFrameSize);
  if (base::kHasCaches) has_advised_.store(false, std::memory_order_relaxed);
  set_window_size(0);
  for_each_piece(0, end, [&](char* at, size_t size) { vm_->decommit(place_, at, size); });
  leave_place();
  if (budget_ != nullptr) budget_->change(0 - std::exchange(told_, 0));
}

void Zone::abandon() {
  state_.store(State::kAbandoned, std::memory_order_relaxed);
  lock_.reset_in_child();
}

bool Zone::pin_again() {
  if (state_.load(std::memory_order_relaxed) != State::kUnpinned) return true;
  os::Locked held(lock_);
  auto end = static_cast<uint32_t>(window_size() / kFrameSize);
  bool is_locked = true;
  for_each_piece(0, end, [&](char* at, size_t size) { is_locked &= vm_->lock(at, size); });
  if (is_locked) state_.store(State::kWhole, std::memory_order_relaxed);
  return is_locked;
}

// A place that is of no use: what has been committed in it goes, and the place itself if it is
// held.
void Zone::leave_place() {
  for (Table& table : tables_)
    if (table.committed != 0) vm_->decommit(place_, table.first, table.committed);
  if (place_.is_reserved) vm_->release(place_);
}

// The tables and the window from `skip` bytes of the window on.
void Zone::lay_out(const os::Vm& vm, const os::Place& place, size_t skip) {
  vm_ = &vm;
  place_ = place;
  // The lower half in eighths: the records need 1/256 of a window, the two maps less.
  max_size_ = place.size / 2;
  size_t part = max_size_ / 8;
  meta_ = place.base + 4 * part;
  meta_size_ = 4 * part;
  window_ = place.base + max_size_ + skip;
  os::Locked held(lock_);
  tables_[kRecords] = {.bytes_per_512 = 512 * sizeof(Frame), .is_used = true};
  if constexpr (base::kHasCaches) {
    tables_[kClasses] = {.bytes_per_512 = 512, .offset = kMapOffset};
    tables_[kAdvised] = {.bytes_per_512 = 512 / 8};
  }
  tables_[kDirty] = {.bytes_per_512 = 512 / 8, .offset = kSpare, .is_used = true};
  for (unsigned i = 0; i < kTables; ++i)
    tables_[i].first = place.base + i * part + skip / kFrameSize / 512 * tables_[i].bytes_per_512;
  auto start_of = [&](unsigned table)
                      ASHLAR_UNCHECKED { return tables_[table].first + tables_[table].offset; };
  frames_ = reinterpret_cast<Frame*>(start_of(kRecords));
  dirty_ = base::BitMap(reinterpret_cast<uint64_t*>(start_of(kDirty)));
  if constexpr (base::kHasCaches) {
    class_map_ = reinterpret_cast<uint8_t*>(start_of(kClasses));
    advised_ = base::BitMap(reinterpret_cast<uint64_t*>(start_of(kAdvised)));
  }
  buddy_ = Buddy(frames_, dirty_, reinterpret_cast<size_t>(window_) / kFrameSize);
  part_shift_ = 63;
  last_hole_ = kNone;
}

// Makes a table long enough for `frames` frames.
bool Zone::cover(Table& table, size_t frames) {
  size_t wanted = base::round_up(frames, kTableStep) / 512;
  size_t size = base::round_up(wanted * table.bytes_per_512 + table.offset, size_t{64} << 10);
  if (size <= table.committed) return true;
  if (!vm_->commit(place_, table.first + table.committed, size - table.committed)) return false;
  table.committed = size;
  return true;
}

// The same for all tables that are used.
bool Zone::cover(size_t frames) {
  for (Table& table : tables_)
    if (table.is_used && !cover(table, frames)) return false;
  return true;
}

// Has a table from now on.
bool Zone::start_table(unsigned table) {
  bool was_used = std::exchange(tables_[table].is_used, true);
  if (was_used || cover(std::max(window_size() / kFrameSize, size_t{1}))) return true;
  tables_[table].is_used = false;
  return false;
}

bool Zone::cover_classes() {
  if (has_classes_.load(std::memory_order_acquire)) return true;
  os::Locked held(lock_);
  if (!start_table(kClasses)) return false;
  has_classes_.store(true, std::memory_order_release);
  return true;
}

Zone::SlabFrames Zone::slab_frames() {
  os::Locked held(lock_);
  SlabFrames slabs;
  for (uint32_t i = 0; i < window_size() / kFrameSize; ++i) {
    bool is_slab = frames_[i].kind == FrameKind::kSlab;
    slabs.marked += is_slab;
    slabs.strays += !is_slab && class_at(address_of(i)) != 0;
  }
  return slabs;
}

// The class map's parts are one table, the whole zone's, since free() may be asked for any address.
bool Zone::divide(unsigned parts, size_t wanted) {
  os::Locked held(lock_);
  size_t part =
      std::min(std::bit_ceil(std::max(wanted, kLeastPart)), std::bit_floor(max_size_ / parts));
  if (part < kLeastPart || window_size() > part / 2) return false;
  if (!cover(tables_[kClasses], part * parts / kFrameSize)) return false;
  tables_[kClasses].is_used = true;
  has_classes_.store(true, std::memory_order_release);
  part_shift_ = base::log2_ceil(part);
  max_size_ = part - kPartGap;
  span_.store(part * parts, std::memory_order_relaxed);
  if (published_size_ != nullptr) publish_size();
  return true;
}

void Zone::start_part(const Zone& whole, unsigned index, const Retention& retention) {
  lay_out(*whole.vm_, whole.place_, index * whole.part_size());
  max_size_ = whole.max_size_;
  has_classes_.store(true, std::memory_order_release);
  os::Locked held(lock_);
  keeping_.set(retention);
}

void Zone::settle(unsigned node_number) {
  os::Locked held(lock_);
  manners_.node_number = static_cast<int>(node_number);
  for_each_piece(0, window_size() / kFrameSize,
                 [&](char* at, size_t size) { vm_->bind(at, size, node_number); });
}

// Says to the kernel what is to be said of `count` frames that are new, behind the others as a
// rule.
void Zone::introduce(size_t first, size_t count) {
  if (!base::kHasCaches) return;
  char* at = address_of(static_cast<uint32_t>(first));
  bool has_ended = unasked_.load(std::memory_order_relaxed) == Unasked::kEnded;
  if (manners_.huge_pages != Manners::HugePages::kAuto || has_ended)
    vm_->advise_huge(at, count * kFrameSize,
                     manners_.huge_pages == Manners::HugePages::kAlways && !has_ended);
  if (manners_.name != nullptr && (is_named_ || first + count >= kNamedFrom)) name(first, count);
}

// What is there by now, the first time; and the tables, of all parts, each time that they may have
// grown.
void Zone::name(size_t first, size_t count) {
  size_t begin = std::exchange(is_named_, true) ? first : 0;
  for_each_piece(begin, first + count, [&](char* at, size_t size) {
    if (manners_.name != nullptr && !vm_->name(at, size, manners_.name))
      manners_.name = nullptr;  // not asked again
  });
  if (manners_.name != nullptr && first * kFrameSize >= window_size())
    vm_->name(place_.base, place_.size / 2, kTablesName);
}

void Zone::forbid_huge() {
  size_t frames = window_size() / kFrameSize;
  for_each_piece(0, frames, [&](char* at, size_t size) { vm_->advise_huge(at, size, false); });
  if (has_advised()) advised_.clear(0, frames);
}

void Zone::pause(uint64_t& until_ms) {
  until_ms = vm_->now_ms() + kAskAgainMs;
}

bool Zone::commit_hugetlb(char* at, size_t count) {
  uint64_t now_ms = vm_->now_ms();
  if (refused_ != 0 && count >= refused_ && !has_come(refused_until_ms_, now_ms, kAskAgainMs))
    return false;
  if (vm_->commit_hugetlb(place_, at, count * kFrameSize, hugetlb_shift(where()))) return true;
  refused_ = count;
  pause(refused_until_ms_);
  return false;
}

size_t Zone::step_of_rigid() const {
  if (is_pinned()) return os::page_size() / kFrameSize;
  return size_t{1} << (hugetlb_shift(where()) - base::kFrameShift);
}

bool Zone::commit(char* at, size_t count) {
  return is_hugetlb() ? commit_hugetlb(at, count) : vm_->commit(place_, at, count * kFrameSize);
}

// Commits `count` frames at `first` and gives them to the buddy heap. What is refused is refused
// before there are tables for it: those stay.
bool Zone::add(size_t first, size_t count) {
  if (first + count > max_size_ / kFrameSize) return false;
  char* at = address_of(static_cast<uint32_t>(first));
  if (!commit(at, count)) return false;
  if (base::kHasCaches && manners_.node_number != Manners::kNoNumber)
    vm_->bind(at, count * kFrameSize, static_cast<unsigned>(manners_.node_number));
  if (!cover(first + count) || (is_pinned() && !vm_->lock(at, count * kFrameSize))) {
    vm_->decommit(place_, at, count * kFrameSize);
    return false;
  }
  if (size_t have = window_size() / kFrameSize; first > have)
    note_hole(static_cast<uint32_t>(have), first - have);
  introduce(first, count);
  buddy_.extend(static_cast<uint32_t>(first), Pages(count));
  ++growths_;
  // Published last: from now on free() may look these frames up.
  set_window_size(first + count);
  return true;
}

// Lengthens the window by `more` frames at least. Where somebody else's mapping is in the way, it
// goes on behind it, with the `alone` frames that are needed if nothing in front counts (0: not).
bool Zone::grow(size_t more, size_t alone) {
  size_t have = window_size() / kFrameSize;
  // What is pinned or was set apart is never more than was asked for.
  size_t generous = is_rigid() ? 0 : std::clamp(have / 8, kLeastGrowth, kMostGrowth);
  // From the first refusal of a moderate amount on, no address space is wasted on alignment.
  bool was_short = std::exchange(is_short_, is_short_ || std::max(more, alone) <= kMostGrowth);
  for (size_t skip : kSkips) {
    size_t need = skip == 0 ? more : alone;
    if (skip != 0 && (alone == 0 || place_.is_reserved || is_hugetlb())) break;
    for (size_t count : {std::max(need, generous), need}) {
      if (!add(have + skip, base::round_up(count, step()))) continue;
      is_short_ = was_short;
      return true;
    }
  }
  return false;
}

// The first record of what is not ours leads to the hole in front.
void Zone::note_hole(uint32_t first, size_t count) {
  holes_ += count;
  frames_[first].count = static_cast<uint32_t>(count);
  frames_[first].link.next = std::exchange(last_hole_, first);
}

void Zone::set_window_size(size_t frames) {
  window_size_.store(frames * kFrameSize, std::memory_order_release);
  if (published_size_ != nullptr) publish_size();
}

size_t Zone::retract() {
  os::Locked held(lock_);
  if (is_pinned() || is_abandoned()) return 0;
  end_waiting();
  size_t end = window_size() / kFrameSize;
  uint32_t first = buddy_.retract(Pages(step()));
  if (first == kNone) return 0;
  set_window_size(first);
  size_t count = end - first;
  bool is_gone = vm_->decommit(place_, address_of(first), count * kFrameSize);
  if (!is_gone) {
    buddy_.unretract(first, Pages(count));
    set_window_size(end);
  } else if (has_advised()) {
    // The advice has gone with the mapping, and that of a huge page of which a part has.
    size_t from = base::round_down(first, base::kHugeSize / kFrameSize);
    advised_.clear(from, end - from);
    shared_[0].ask_from = 0;
  }
  tell_budget();
  return is_gone ? count : 0;
}

}  // namespace ashlar::page
