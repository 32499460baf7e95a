#include "slob/slob.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "harden/misuse.h"

// What is kept out of line here is so for the sake of size: preload/start.ld has few pages.
namespace ashlar::slob {

using page::Frame;
using page::FrameKind;

// The lock is held, unless there is one thread. `start` is null where the block is free.
ASHLAR_NOINLINE void Slob::tell_misuse(const void* p, const void* start) {
  if (!base::kHasCaches || lock_.is_mine()) lock_.release();
  if (start == nullptr) misuse::double_free_small(p);
  misuse::interior_free(p, start);
}

void Slob::start(page::Zone& zone, page::MetaArena& meta, unsigned most_ready, Kept* kept,
                 Row* rows) {
  kept_ = kept;
  if (base::kHasCaches) rows_ = rows;
  lock_.set_rank(os::LockRank::kSlob);
  most_ready_ = most_ready;
  zone_ = &zone;
  meta_ = &meta;
}

unsigned Slob::most_ready() const {
  return std::min(pages_.load(std::memory_order_relaxed) / kPagesPerReady, most_ready_);
}

// A page behind so many frames of a long block, in no list.
ASHLAR_NOINLINE SlobPage* Slob::new_page(unsigned in_front) {
  SlobPage* page = unused_.front();
  if (page != nullptr)
    unused_.remove(*page);
  else
    page = static_cast<SlobPage*>(
        page::alloc_record(*zone_, *meta_, sizeof(SlobPage), kSlobPageAlign));
  if (page == nullptr) return nullptr;
  Frame* first = zone_->alloc(base::Pages(in_front + 1), base::Order(0), FrameKind::kSlob);
  if (first == nullptr) {
    unused_.push_front(*page);
    return nullptr;
  }
  Frame& last = first[in_front];
  first->tenant = page;
  last = {.kind = FrameKind::kSlob, .order = 0, .is_new = 0, .yard = 0, .count = 1, .tenant = page};
  page->start(last);
  page->in_front = static_cast<uint8_t>(in_front);
  return page;
}

// One that was ready. Where none was, the page heap is asked for those that shall be, too.
SlobPage* Slob::take_ready() {
  if (!base::kHasCaches) return new_page(0);  // the small library asks the page heap each time
  if (SlobPage* page = ready_.front(); page != nullptr) {
    ready_.remove(*page);
    --ready_count_;
    return page;
  }
  SlobPage* page = new_page(0);
  SlobPage* last = page;
  while (last != nullptr && ready_count_ < most_ready()) {
    SlobPage* next = new_page(0);
    if (next == nullptr) break;
    if (last == page)
      ready_.push_front(*next);
    else
      ready_.push_behind(*last, *next);
    last = next;
    ++ready_count_;
  }
  return page;
}

ASHLAR_NOINLINE SlobPage* Slob::add_page(Shelf on, unsigned in_front) {
  SlobPage* page = in_front == 0 ? take_ready() : new_page(in_front);
  if (page == nullptr) return nullptr;
  page->shelf = on;
  set_own(*page);
  count_pages(in_front + 1);
  shelve(*page);
  shelf(on).newest = page;
  apart_ -= apart_ > 0;
  return page;
}

void Slob::give_back(SlobPage& page) {
  page.frame->become(FrameKind::kInside);
  zone_->free(zone_->number_of(*page.frame), base::Pages(1));
  unused_.push_front(page);
}

// An empty page is no more in use.
void Slob::retire(SlobPage& page) {
  unshelve(page);
  count_pages(size_t{0} - 1);
  if (!base::kHasCaches) return give_back(page);
  apart_ += apart_ > 0 && page.age == age_;
  if (ready_count_ >= most_ready() || is_apart_from(page)) return give_back(page);
  ready_.push_front(page);
  ++ready_count_;
}

// The frames in front of a page, of a long block that came free, go back. How many grains.
unsigned Slob::give_front(SlobPage& page) {
  unsigned frames = std::exchange(page.in_front, uint8_t{0});
  if (frames == 0) return 0;
  Frame& first = *(page.frame - frames);
  first.become(FrameKind::kInside);
  zone_->free(zone_->number_of(first), base::Pages(frames));
  count_pages(size_t{0} - frames);
  return frames * kGrains;
}

ASHLAR_NOINLINE void* Slob::take(SlobPage& page, unsigned count, unsigned align) {
  unsigned grain = page.take(count, align);
  if (grain == kNoGrain) return nullptr;
  live_ += count;
  set_own(page);
  if (&page == empty_) empty_ = nullptr;
  if (page.free_grains() == 0) unshelve(page);
  return zone_->address_of(*page.frame) + size_t{grain} * base::kGrain;
}

// The first page of the list that has room, from the front; in a long one also one that is further
// behind, or the one that was begun last: its place may come to be looked at much later.
ASHLAR_NOINLINE void* Slob::take_from_list(Pages& pages, unsigned count, unsigned align) {
  if (base::kHasCaches && count > pages.longest) return nullptr;
  SlobPage* page = pages.list.front();
  unsigned looks = 0;
  for (; page != nullptr && looks < 2 * kLooks; ++looks) {
    if (looks == kLooks && pages.cursor != nullptr) page = pages.cursor;
    SlobPage& here = *page;
    page = here.next;
    if (looks >= kLooks) pages.cursor = page;
    if (count > here.longest()) continue;
    if (is_apart_from(here)) return nullptr;
    if (void* block = take(here, count, align)) return block;
  }
  // All were looked at, and none had such a run; where one must be aligned some may have.
  if (base::kHasCaches && looks <= kLooks && page == nullptr && align == 1)
    pages.longest = count - 1;
  bool has_room = pages.newest != nullptr && count <= pages.newest->longest();
  return has_room ? take(*pages.newest, count, align) : nullptr;
}

// The same, in the row first: of its own shelf, then of the others, beginning with the one above.
ASHLAR_NOINLINE void* Slob::take_from_shelves(Shelf first, unsigned count, unsigned align) {
  bool has_rows = base::kHasCaches && uses_rows();
  if (has_rows && are_rows_old_) update_rows();
  unsigned on = static_cast<unsigned>(first);
  for (unsigned i = 0; i < kShelves; ++i, on = on + 1 == kShelves ? 0 : on + 1) {
    Row* row = has_rows ? &rows_[on] : nullptr;
    for (unsigned place = 0; has_rows && (place = row->find(place, count)) < row->count();
         ++place) {
      SlobPage& page = page_at(row->at(place));
      if (count > page.longest())
        row->set_room(place, page.longest());  // less than was told
      else if (void* block = take(page, count, align))
        return block;
    }
    if (shelves_[on].list.front() != nullptr)
      if (void* block = take_from_list(shelves_[on], count, align)) return block;
  }
  return nullptr;
}

void* Slob::alloc_long(unsigned count) {
  unsigned in_front = (count - 1) / kGrains;
  SlobPage* page = add_page(Shelf::kLarge, in_front);
  if (page == nullptr) return nullptr;
  live_ += size_t{in_front} * kGrains;
  char* end = static_cast<char*>(take(*page, count - in_front * kGrains, 1));
  return end - base::Pages(in_front).bytes();
}

void* Slob::alloc(size_t size, size_t align) {
  unsigned count = grains_for(size);
  unsigned step = align <= base::kGrain ? 1 : static_cast<unsigned>(align / base::kGrain);
  os::Locked held(lock_);
  if (count > kGrains) return alloc_long(count);
  if (void* block = take_from_shelves(shelf_for(size), count, step)) return block;
  if (empty_ != nullptr && is_apart_from(*empty_)) retire(*std::exchange(empty_, nullptr));
  // In a long list the empty page may not have been looked at.
  SlobPage* page = empty_ != nullptr ? empty_ : add_page(shelf_for(size), 0);
  if (page != nullptr) return take(*page, count, step);
  if (!base::kHasCaches || apart_ == 0) return nullptr;
  apart_ = 0;  // where no page is to be had, copies of inherited ones are better than none
  return take_from_shelves(shelf_for(size), count, step);
}

void* Slob::alloc_in_room(size_t size) {
  os::Locked held(lock_);
  return take_from_shelves(shelf_for(size), grains_for(size), 1);
}

// No block begins at `grain` of the frame at `start`, which is the page or a frame of a long block.
// Where the block that contains it begins; null where it is free.
static char* start_around(const SlobPage& page, bool is_page, unsigned grain, char* start) {
  if (!is_page) return start;
  if (!page.is_taken(grain)) return nullptr;
  unsigned first = page.block_around(grain);
  return start + (size_t{first} - page.in_front_of(first)) * base::kGrain;
}

// Of a block that may be one that is kept.
ASHLAR_INLINE Slob::Place Slob::place_of_any(const Frame& frame, const void* p) {
  SlobPage* page = static_cast<SlobPage*>(frame.tenant);
  size_t offset = reinterpret_cast<size_t>(p) % base::kFrameSize;
  unsigned grain = static_cast<unsigned>(offset / base::kGrain);
  bool is_page = page->frame == &frame;
  bool is_start = page->begins(grain) && (grain != 0 || page->in_front == 0);
  // In another frame stands the beginning of a long block.
  if (is_page ? !is_start || offset % base::kGrain != 0 : offset != 0)
    tell_misuse(p, start_around(*page, is_page, grain, zone_->address_of(frame)));
  return {page, grain, page->length_at(grain)};
}

ASHLAR_NOINLINE Slob::Place Slob::place_of(const Frame& frame, const void* p) {
  Place place = place_of_any(frame, p);
  if (base::kHasCaches && kept_ != nullptr && kept_->has(place.count, number_of(p)))
    tell_misuse(p, nullptr);
  return place;
}

// After grains of a page came free: it may have been in no list, or be empty now.
void Slob::note_free(SlobPage& page, bool was_full, unsigned longest) {
  if (was_full)
    shelve(page);
  else if (base::kHasCaches && page.longest() > longest)  // the small library walks anyway
    note_room(page);
  if (!page.is_empty()) return;
  // Of two empty pages the one stays that stands in front of the other.
  SlobPage* other = empty_;
  empty_ = other == nullptr || is_behind(*other, page) ? &page : other;
  if (other != nullptr) retire(empty_ == &page ? *other : page);
}

// The bytes of the block, which is free from now on.
ASHLAR_NOINLINE size_t Slob::give(Place place) {
  bool was_full = place.page->free_grains() == 0;
  unsigned longest = base::kHasCaches ? place.page->longest() : 0;
  place.page->put(place.grain, place.count);
  if (place.grain == 0) place.count += give_front(*place.page);
  live_ -= place.count;
  note_free(*place.page, was_full, longest);
  return size_t{place.count} * base::kGrain;
}

size_t Slob::free(const Frame& frame, void* p) {
  os::Locked held(lock_);
  return give(place_of(frame, p));
}

size_t Slob::free_alone(const Frame& frame, void* p, Keep keep) ASHLAR_UNCHECKED {
  if (!base::kHasCaches) return 0;
  Place place = place_of_any(frame, p);
  if (kept_->has(place.count, number_of(p))) misuse::double_free_small(p);
  if (try_keep(place, p, keep)) return size_t{place.count} * base::kGrain;
  os::Locked held(lock_);
  return give(place);
}

bool Slob::try_keep(const Place& place, void* p, Keep keep) {
  // What inherited pages hold is not to be written to, and the pages of larger blocks, or of the
  // ends of long ones, hold few short ones.
  Shelf last = keep == Keep::kMany ? Shelf::kMedium : Shelf::kSmall;
  if (apart_ > 0 || place.page->shelf > last) return false;
  return kept_->put(place.count, number_of(p), keep);
}

void Slob::drop_kept() {
  os::Locked held(lock_);
  if (kept_->count() == 0) return;
  for (unsigned length = kMostKept; length > 0;) {
    uint32_t block = kept_->take(length);
    if (block == Kept::kNone) {
      --length;
    } else {
      void* p = block_at(block);
      give(place_of(zone_->frame_of(p), p));
    }
  }
}

size_t Slob::usable_size(const Frame& frame, const void* p) {
  os::Locked held(lock_);
  Place place = place_of(frame, p);
  const SlobPage& page = *place.page;
  return size_t{place.count + page.in_front_of(place.grain)} * base::kGrain;
}

bool Slob::try_resize(const Frame& frame, void* p, size_t size, size_t* had) {
  os::Locked held(lock_);
  Place place = place_of(frame, p);
  SlobPage& page = *place.page;
  unsigned before = page.free_grains();
  unsigned count = grains_for(size), in_front = page.in_front_of(place.grain);
  if (base::kHasCaches && had != nullptr) *had = size_t{place.count + in_front} * base::kGrain;
  if (count <= in_front || !page.try_resize(place.grain, count - in_front)) return false;
  live_ += before;
  live_ -= page.free_grains();
  if (before != 0 && page.free_grains() == 0) unshelve(page);
  if (before == 0 && page.free_grains() != 0) shelve(page);
  if (base::kHasCaches && page.free_grains() != 0) note_room(page);
  return true;
}

// Nobody else can be inside. Where the fork has interrupted this very thread inside, all stays as
// it is.
void Slob::restart() ASHLAR_UNCHECKED {
  if (!lock_.is_free()) return;
  size_t grains = size_t{pages_.load(std::memory_order_relaxed)} * kGrains;
  apart_ = live_ < grains / 2 ? 0 : kMostApart;
  ++age_;
  are_rows_old_ |= apart_ > 0 && rows_ != nullptr;
  for (Pages& pages : shelves_) pages.cursor = pages.newest = nullptr;
}

bool Slob::reap() {
  os::Locked held(lock_);
  bool has_any = empty_ != nullptr || ready_count_ > 0;
  if (empty_ != nullptr) retire(*std::exchange(empty_, nullptr));
  if (!base::kHasCaches) return has_any;
  for (SlobPage* page = ready_.front(); page != nullptr; page = ready_.front()) {
    ready_.remove(*page);
    give_back(*page);
  }
  ready_count_ = 0;
  return has_any;
}

SlobStats Slob::stats() {
  os::Locked held(lock_);
  size_t kept = 0;
  if (base::kHasCaches && kept_ != nullptr)
    kept_->for_each([&](unsigned length, uint32_t) { kept += length * base::kGrain; });
  return {.pages = pages_.load(std::memory_order_relaxed),
          .live_bytes = live_ * base::kGrain - kept};
}

void Slob::audit() {
  os::Locked held(lock_);
  size_t free = 0, listed = 0, empty = 0;
  for (Pages& pages : shelves_) {
    pages.list.audit();
    const Shelf on = static_cast<Shelf>(&pages - shelves_);
    auto audit_page = [&](const SlobPage& page) {
      page.audit();
      for (const Frame* frame : {page.frame, page.frame - page.in_front})
        ASHLAR_CHECK(frame->kind == FrameKind::kSlob && frame->tenant == &page);
      ASHLAR_CHECK(page.free_grains() > 0 && page.shelf == on);
      free += page.free_grains();
      empty += page.is_empty();
      ++listed;
    };
    bool is_any_beyond = false;
    pages.list.for_each([&](const SlobPage& page) {
      audit_page(page);
      is_any_beyond |= frame_number(page) > Row::kLast;
      ASHLAR_CHECK(!base::kHasCaches ||
                   (page.longest() <= pages.longest && page.place == SlobPage::kNoPlace));
    });
    if (!base::kHasCaches || rows_ == nullptr) continue;
    const Row& row = row_of(on);
    row.audit();
    ASHLAR_CHECK(are_rows_old_ || row.count() == Row::kMost || pages.list.front() == nullptr ||
                 is_any_beyond);
    for (unsigned place = 0; place < row.count(); ++place) {
      const SlobPage& page = page_at(row.at(place));
      audit_page(page);
      ASHLAR_CHECK(page.place < Row::kMost && (place == 0 || row.at(place - 1) < row.at(place)));
      ASHLAR_CHECK(are_rows_old_ || row.may_have(place, page.longest()));
    }
  }
  unsigned ready = 0;
  ready_.for_each([&](const SlobPage& page) {
    page.audit();
    ASHLAR_CHECK(page.is_empty() && page.in_front == 0);
    ASHLAR_CHECK(page.frame->kind == FrameKind::kSlob && page.frame->tenant == &page);
    ++ready;
  });
  ASHLAR_CHECK(ready == ready_count_ && ready <= most_ready_);
  size_t pages = pages_.load(std::memory_order_relaxed);
  ASHLAR_CHECK(listed <= pages);
  ASHLAR_CHECK(live_ == pages * kGrains - free);
  ASHLAR_CHECK(empty == (empty_ == nullptr ? 0 : 1));
  if (!base::kHasCaches || kept_ == nullptr) return;
  kept_->audit();
  kept_->for_each([&](unsigned length, uint32_t block) ASHLAR_UNCHECKED {
    const char* p = block_at(block);
    const SlobPage& page = *static_cast<SlobPage*>(zone_->frame_of(p).tenant);
    size_t offset = reinterpret_cast<size_t>(p) % base::kFrameSize;
    unsigned grain = static_cast<unsigned>(offset / base::kGrain);
    ASHLAR_CHECK(page.begins(grain) && page.length_at(grain) == length);
  });
}

}  // namespace ashlar::slob
