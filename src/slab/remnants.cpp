#include "slab/remnants.h"

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"
#include "harden/misuse.h"

namespace ashlar::slab {

using base::kGrain;
using base::kGrains;
using base::kNoGrain;
using page::Frame;
using page::FrameKind;

namespace {

// What slabs of which little is in use, and remnants, must hold before it is worth it: so much, and
// such a share of the live memory.
constexpr size_t kLeastFrames = (size_t{4} << 20) / base::kFrameSize;
constexpr size_t kShare = 8;
// The most pages of a list that are looked at, since they may have room.
constexpr unsigned kLooks = 8;
// How often a page that is just changing is looked at.
constexpr unsigned kPeeks = 16;

// While it stands, a page's map may be changed.
class Change {
 public:
  explicit Change(Remnant& of) : of_(of) { of_.begin_change(); }
  ~Change() { of_.end_change(); }

 private:
  Remnant& of_;
};

}  // namespace

void Remnants::start(page::PageHeap& heap) {
  lock_.set_rank(os::LockRank::kRemnants);
  heap_ = &heap;
}

bool Remnants::are_worth_it() const {
  if (heap_->nodes().are_several()) return false;
  size_t frames = heap_->vacancy().sparse() + free_.load(std::memory_order_relaxed) / kGrains;
  return frames > kLeastFrames && frames * kShare > heap_->live_bytes() / base::kFrameSize;
}

// To the list that its longest run belongs to.
void Remnants::refile(Remnant& remnant) {
  uint8_t bucket = remnant.free_grains() == 0 ? Remnant::kNoBucket
                                              : static_cast<uint8_t>(bucket_for(remnant.longest()));
  if (bucket == remnant.bucket) return;
  if (remnant.bucket != Remnant::kNoBucket) buckets_[remnant.bucket].remove(remnant);
  remnant.bucket = bucket;
  if (bucket != Remnant::kNoBucket) buckets_[bucket].push_front(remnant);
}

// An empty page is none any more.
void Remnants::retire(Remnant& remnant) {
  buckets_[remnant.bucket].remove(remnant);
  free_.store(free_.load(std::memory_order_relaxed) - kGrains, std::memory_order_relaxed);
  --pages_;
  page::Zone& zone = heap_->slabs();
  remnant.frame->become(FrameKind::kInside);
  zone.free(zone.number_of(*remnant.frame), base::Pages(1));
  unused_.push_front(remnant);
  ++unused_count_;
}

bool Remnants::make_room(unsigned pages) {
  while (unused_count_ < pages) {
    auto* record = static_cast<Remnant*>(
        page::alloc_record(heap_->slabs(), heap_->meta(), sizeof(Remnant), 32));
    if (record == nullptr) return false;
    unused_.push_front(*record);
    ++unused_count_;
  }
  return true;
}

// Nothing is taken of it yet, and it is in no list.
Remnant& Remnants::adopt(Frame& frame) {
  Remnant& remnant = *unused_.front();
  unused_.remove(remnant);
  --unused_count_;
  ++pages_;
  remnant.clear();
  remnant.frame = &frame;
  remnant.bucket = Remnant::kNoBucket;
  remnant.begin_change();
  __atomic_store_n(&frame.yard, uint8_t{0}, __ATOMIC_RELAXED);
  frame.tenant = &remnant;
  frame.become(FrameKind::kRemnant);
  return remnant;
}

void Remnants::file(Remnant& remnant) {
  size_t free = free_.load(std::memory_order_relaxed);
  free_.store(free + remnant.free_grains(), std::memory_order_relaxed);
  remnant.end_change();
  refile(remnant);
}

// A frame that is free by itself is none that a slab could use.
Remnant* Remnants::add_scrap() {
  if (!make_room(1)) return nullptr;
  Frame* frame = heap_->slabs().alloc_scrap(FrameKind::kInside);
  if (frame == nullptr) return nullptr;
  Remnant& remnant = adopt(*frame);
  file(remnant);
  return &remnant;
}

unsigned Remnants::take_from(Remnant& remnant, unsigned count, unsigned align, void** out,
                             unsigned most) {
  char* start = heap_->slabs().address_of(*remnant.frame);
  unsigned taken = 0;
  {
    Change change(remnant);
    for (unsigned grain; taken < most && (grain = remnant.take(count, align)) != kNoGrain;)
      out[taken++] = start + size_t{grain} * kGrain;
  }
  free_.store(free_.load(std::memory_order_relaxed) - size_t{taken} * count,
              std::memory_order_relaxed);
  refile(remnant);
  return taken;
}

unsigned Remnants::take(const SlabLayout& layout, void** out, unsigned most) {
  unsigned count = static_cast<unsigned>(layout.object_size / kGrain), taken = 0;
  size_t lowest = layout.object_size & (~size_t{layout.object_size} + 1);
  unsigned align = static_cast<unsigned>(std::min(lowest, base::kFrameSize) / kGrain);
  if (count > kGrains) {  // nothing here ever fits
    if (!has_wish()) wish_.store(true, std::memory_order_relaxed);
    return 0;
  }
  os::Locked held(lock_);
  for (unsigned bucket = bucket_for(count); bucket <= kBuckets && taken < most; ++bucket) {
    Remnant* remnant = buckets_[bucket].front();
    for (unsigned looks = 0; remnant != nullptr && taken < most && looks < kLooks; ++looks) {
      Remnant* next = remnant->next;
      unsigned got = count > remnant->longest()
                         ? 0
                         : take_from(*remnant, count, align, out + taken, most - taken);
      if (got != 0) looks = 0;
      taken += got;
      remnant = next;
    }
  }
  while (taken < most)
    if (Remnant* scrap = add_scrap())
      taken += take_from(*scrap, count, align, out + taken, most - taken);
    else
      break;
  if (taken < most) wish_.store(true, std::memory_order_relaxed);
  return taken;
}

// The remnant that an address lies in, and the grain. The frame may have been given back meanwhile:
// then the remnant is null.
Remnants::Place Remnants::find(const void* address) const {
  page::Zone& zone = heap_->slabs();
  const Frame& frame = zone.frame_of(address);
  if (frame.kind_now() != FrameKind::kRemnant) return {nullptr, 0};
  auto offset = static_cast<size_t>(static_cast<const char*>(address) - zone.address_of(frame));
  return {static_cast<Remnant*>(frame.tenant), static_cast<unsigned>(offset / kGrain)};
}

Remnants::Place Remnants::place_of(const void* object) {
  Place place = find(object);
  if (place.remnant == nullptr || !place.remnant->is_taken(place.grain)) {
    lock_.release();
    misuse::double_free_small(object);
  }
  if (!place.remnant->begins(place.grain) || !base::is_aligned(object, kGrain)) {
    char* start = heap_->slabs().address_of(*place.remnant->frame);
    start += size_t{place.remnant->block_around(place.grain)} * kGrain;
    lock_.release();
    misuse::interior_free(object, start);
  }
  return place;
}

size_t Remnants::size_at(const void* address) {
  os::Locked held(lock_);
  Place place = find(address);
  bool begins = place.remnant != nullptr && place.remnant->begins(place.grain) &&
                base::is_aligned(address, kGrain);
  return begins ? size_t{place.remnant->length_at(place.grain)} * kGrain : 0;
}

void Remnants::put(const Place& place) {
  unsigned before = place.remnant->free_grains();
  {
    Change change(*place.remnant);
    place.remnant->put(place.grain);
  }
  size_t more = place.remnant->free_grains() - before;
  free_.store(free_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  refile(*place.remnant);
  if (place.remnant->is_empty()) retire(*place.remnant);
}

void Remnants::put(void* const* objects, unsigned count) {
  if (count == 0) return;
  os::Locked held(lock_);
  for (unsigned i = 0; i < count; ++i) put(place_of(objects[i]));
}

size_t Remnants::peek_size(const void* object) const {
  Place place = find(object);
  if (place.remnant == nullptr || !base::is_aligned(object, kGrain)) return 0;
  for (unsigned looks = 0; looks < kPeeks; ++looks) {
    uint16_t version = place.remnant->version.load(std::memory_order_acquire);
    unsigned length = place.remnant->peek_length(place.grain);
    bool is_whole = version % 2 == 0 && place.remnant->version.load() == version;
    if (is_whole) return size_t{length} * kGrain;
  }
  return 0;
}

size_t Remnants::usable_size(const void* object) {
  os::Locked held(lock_);
  Place place = place_of(object);
  return size_t{place.remnant->length_at(place.grain)} * kGrain;
}

Remnants::Adoption::Adoption(Remnants& to) ASHLAR_UNCHECKED : to_(to) {
  to_.lock_.acquire();
}

Remnants::Adoption::~Adoption() ASHLAR_UNCHECKED {
  to_.lock_.release();
}

bool Remnants::Adoption::make_room(unsigned pages) ASHLAR_UNCHECKED {
  return to_.make_room(pages);
}

Remnant& Remnants::Adoption::adopt(Frame& frame) ASHLAR_UNCHECKED {
  return to_.adopt(frame);
}

void Remnants::Adoption::file(Remnant& remnant) ASHLAR_UNCHECKED {
  to_.file(remnant);
}

RemnantStats Remnants::stats() {
  os::Locked held(lock_);
  size_t free = free_.load(std::memory_order_relaxed);
  return {.pages = pages_, .live_bytes = (pages_ * kGrains - free) * kGrain};
}

void Remnants::audit() {
  os::Locked held(lock_);
  size_t free = 0, listed = 0, unused = 0;
  for (unsigned bucket = 0; bucket <= kBuckets; ++bucket) {
    buckets_[bucket].audit();
    buckets_[bucket].for_each([&](const Remnant& remnant) {
      remnant.audit();
      ASHLAR_CHECK(remnant.bucket == bucket && bucket_for(remnant.longest()) == bucket);
      ASHLAR_CHECK(remnant.free_grains() > 0 && !remnant.is_empty());
      ASHLAR_CHECK(remnant.frame->kind == FrameKind::kRemnant);
      ASHLAR_CHECK(remnant.frame->tenant == &remnant);
      free += remnant.free_grains();
      ++listed;
    });
  }
  unused_.for_each([&](const Remnant&) { ++unused; });
  ASHLAR_CHECK(listed <= pages_ && free == free_.load(std::memory_order_relaxed));
  ASHLAR_CHECK(unused == unused_count_);
}

}  // namespace ashlar::slab
