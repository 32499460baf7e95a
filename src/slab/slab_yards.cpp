// slab/slab_yards.cpp -- where the slabs of a stock stand, and which one serves whom. The rest of
// slab/slab_stock.h is in slab_stock.cpp and slab_frames.cpp.
#include <utility>

#include "os/thread.h"
#include "slab/slab_stock.h"

namespace ashlar::slab {

unsigned SlabStock::yard_here(unsigned of_seat) const {
  const page::Nodes& nodes = heap_->nodes();
  if (nodes.are_several()) return nodes.here();
  return layout_->shares_lines() && os::has_other_threads() ? of_seat : 0;
}

// The yard with this number, which is made if need be; null where memory is out.
SlabStock::Yard* SlabStock::yard_at(unsigned number) {
  if (number == 0) return &first_;
  page::MetaArena& meta = heap_->meta();
  if (further_ == nullptr)
    further_ = static_cast<Yards*>(meta.alloc(sizeof(Yards), alignof(Yards)));
  if (further_ == nullptr) return nullptr;
  Yard*& yard = (*further_)[number];
  if (yard == nullptr) yard = static_cast<Yard*>(meta.alloc(sizeof(Yard), base::kCacheLine));
  if (yard != nullptr) has_yards_.store(true, std::memory_order_relaxed);
  return yard;
}

SlabStock::Yard& SlabStock::yard_of(const Slab& slab) {
  return slab.yard == 0 ? first_ : *(*further_)[slab.yard];
}

// Whom a slab serves. In the frames' records it is a hint for those who have no lock.
void SlabStock::set_yard(Slab& slab, unsigned number) {
  slab.yard = static_cast<uint8_t>(number);
  page::Zone& zone = zone_of(slab);
  for (unsigned i = 0; i < slab.frames; ++i)
    __atomic_store_n(&zone.frame_at(slab.first + i).yard, slab.yard, __ATOMIC_RELAXED);
}

uint8_t SlabStock::bucket_for(const Slab& slab) const {
  if (slab.free_count == 0) return kNoBucket;
  if (slab.is_empty()) return kEmptyBucket;
  unsigned fours = unsigned{slab.free_count} * kQuarters, count = slab.count;
  unsigned quarter = (fours >= count) + (fours >= 2 * count) + (fours >= 3 * count);
  return static_cast<uint8_t>(2 * quarter + (slab.vacant != 0));
}

// Moves a slab to the list that fits what is free in it.
void SlabStock::file(Slab& slab) {
  move_to(slab, bucket_for(slab));
}

void SlabStock::move_to(Slab& slab, uint8_t bucket) {
  if (bucket == slab.bucket) return;
  Yard& yard = yard_of(slab);
  if (slab.bucket != kNoBucket) yard.buckets[slab.bucket].remove(slab);
  empties_ -= slab.bucket == kEmptyBucket;
  empties_ += bucket == kEmptyBucket;
  if (is_sparse(slab.bucket)) sparse_ -= slab.frames;
  if (is_sparse(bucket)) sparse_ += slab.frames;
  slab.bucket = bucket & 15;
  if (bucket != kNoBucket) yard.buckets[bucket].push_front(slab);
}

// A slab leaves its yard.
void SlabStock::forget(const Slab& slab) {
  Yard& yard = yard_of(slab);
  if (yard.idle == &slab) yard.idle = nullptr;
  if (yard.current == &slab) yard.current = nullptr;
}

// A second empty slab of a yard is one too many.
void SlabStock::file_or_retire(Slab& slab) {
  if (heap_->nodes().are_several()) send_home(slab);
  bool has_another = !yard_of(slab).buckets[kEmptyBucket].is_empty();
  if (slab.is_empty() && has_another && empties_are_ == Empties::kRetire)
    retire(slab);
  else
    file(slab);
}

Slab* SlabStock::pick(const Yard& yard) {
  for (unsigned bucket = 0; bucket <= kEmptyBucket; ++bucket)
    if (Slab* slab = yard.buckets[bucket].front()) return slab;
  return nullptr;
}

// A slab with room of any yard.
Slab* SlabStock::pick_any() {
  Slab* found = nullptr;
  for_each_yard([&](const Yard& yard, unsigned)
                    ASHLAR_UNCHECKED { found = found != nullptr ? found : pick(yard); });
  return found;
}

// The emptiest slab of the other yards, if half of it or more is free: it is this one's now.
Slab* SlabStock::take_over(unsigned number) {
  Slab* emptiest = nullptr;
  for_each_yard([&](const Yard& yard, unsigned at) ASHLAR_UNCHECKED {
    unsigned least = emptiest == nullptr ? kHalfFree : emptiest->bucket + 1u;
    for (unsigned bucket = kEmptyBucket; at != number && bucket >= least; --bucket) {
      Slab* slab = yard.buckets[bucket].front();
      if (slab != nullptr && slab == yard.current) slab = slab->next;
      if (slab == nullptr) continue;
      emptiest = slab;
      break;
    }
  });
  if (emptiest == nullptr) return nullptr;
  forget(*emptiest);
  uint8_t bucket = emptiest->bucket;
  move_to(*emptiest, kNoBucket);
  set_yard(*emptiest, number);
  move_to(*emptiest, bucket);
  return emptiest;
}

// A slab with room: of this yard, one that another can spare, a new one, or any. A caller that has
// objects already is served by its own yard only.
Slab* SlabStock::find(unsigned number, unsigned has_objects, Growth growth) {
  if (heap_->nodes().are_several()) return find_near(number, has_objects);
  Yard* yard = yard_at(number);
  if (yard == nullptr) {  // no memory for its record: the first serves
    yard = &first_;
    number = 0;
  }
  Slab* slab = pick(*yard);
  if (slab != nullptr || has_objects > 0) return slab;
  slab = take_over(number);
  if (slab != nullptr || growth == Growth::kNot) return slab;
  slab = carve(0, number);
  return slab != nullptr ? slab : pick_any();
}

// Before the nodes were known, a slab may have served a CPU: now it goes to its own node's yard,
// and is in none of its lists yet.
void SlabStock::send_home(Slab& slab) {
  if (slab.yard == slab.node || yard_at(slab.node) == nullptr) return;
  forget(slab);
  move_to(slab, kNoBucket);
  set_yard(slab, slab.node);
}

// Full ones follow when something in them comes free.
void SlabStock::send_all_home() {
  if (std::exchange(are_home_, true)) return;
  for_each_yard([&](Yard& yard, unsigned number) ASHLAR_UNCHECKED {
    for (unsigned bucket = 0; bucket <= kEmptyBucket; ++bucket)
      for (Slab *slab = yard.buckets[bucket].front(), *next; slab != nullptr; slab = next) {
        next = slab->next;
        if (slab->node == number) continue;
        send_home(*slab);
        file_or_retire(*slab);
      }
  });
}

// The same on several memory nodes: of this node, a new one of it, or the same of the others, from
// the nearest on.
Slab* SlabStock::find_near(unsigned here, unsigned has_objects) {
  const page::Nodes& nodes = heap_->nodes();
  send_all_home();
  for (unsigned rank = 0; rank < nodes.count(); ++rank) {
    unsigned node = nodes.nearest(here, rank);
    Yard* yard = yard_at(node);
    if (yard == nullptr) continue;
    Slab* slab = pick(*yard);
    if (slab != nullptr || has_objects > 0) return slab;
    slab = carve(node, node);
    if (slab != nullptr) return slab;
  }
  return pick_any();
}

// One without hollow pages, among the first of each list: for when no more may be held.
Slab* SlabStock::pick_whole() {
  constexpr unsigned kLooks = 32;
  Slab* whole = nullptr;
  for_each_yard([&](const Yard& yard, unsigned) {
    for (unsigned bucket = 0; whole == nullptr && bucket <= kEmptyBucket; ++bucket) {
      Slab* slab = yard.buckets[bucket].front();
      for (unsigned looks = 0; slab != nullptr && looks < kLooks; ++looks, slab = slab->next)
        if (whole == nullptr && slab->hollow == 0) whole = slab;
    }
  });
  return whole;
}

}  // namespace ashlar::slab
