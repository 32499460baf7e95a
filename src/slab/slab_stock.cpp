#include "slab/slab_stock.h"

#include "base/check.h"
#include "harden/misuse.h"

namespace slab {

using page::Frame;
using page::FrameKind;

void SlabStock::start(page::PageHeap& heap, const SlabLayout& layout, uint8_t cache_id,
                      const char* name) {
  lock_.set_rank(os::LockRank::kStock);
  heap_ = &heap;
  layout_ = &layout;
  cache_id_ = cache_id;
  name_ = name;
}

uint8_t SlabStock::bucket_for(const Slab& slab) const {
  if (slab.free_count == 0) return kNoBucket;
  if (slab.is_empty()) return kEmptyBucket;
  return static_cast<uint8_t>(slab.free_count * kPartialBuckets / slab.count);
}

// Moves a slab to the list that fits what is free in it.
void SlabStock::file(Slab& slab) {
  uint8_t bucket = bucket_for(slab);
  if (bucket == slab.bucket) return;
  if (slab.bucket != kNoBucket) buckets_[slab.bucket].remove(slab);
  slab.bucket = bucket;
  if (bucket != kNoBucket) buckets_[bucket].push_front(slab);
}

Slab* SlabStock::pick() {
  for (base::List<Slab>& bucket : buckets_)
    if (Slab* slab = bucket.front()) return slab;
  return nullptr;
}

Slab* SlabStock::carve() {
  page::Zone& zone = heap_->slabs();
  Slab* slab = static_cast<Slab*>(
      page::alloc_record(zone, heap_->meta(), descriptor_bytes(), base::kCacheLine));
  if (slab == nullptr) return nullptr;
  Frame* frame = zone.alloc(base::Pages(layout_->frames), base::Order(0), FrameKind::kSlab);
  if (frame == nullptr) {
    heap_->meta().free(slab, descriptor_bytes());
    return nullptr;
  }
  slab->stock = this;
  slab->frame = frame;
  slab->bucket = kNoBucket;
  // Successive slabs start one cache line apart, so that the hot first fields of their objects do
  // not all fall into the same cache sets.
  char* start = zone.address_of(*frame);
  slab->start(*layout_, start + size_t{colour_} * layout_->colour_step);
  colour_ = static_cast<uint16_t>(colour_ + 1 == layout_->colours ? 0 : colour_ + 1);
  zone.mark_slab(*frame, slab, cache_id_);
  ++slabs_;
  ++carved_;
  file(*slab);
  return slab;
}

void SlabStock::retire(Slab& slab) {
  if (&slab == idle_) idle_ = nullptr;
  if (slab.bucket != kNoBucket) buckets_[slab.bucket].remove(slab);
  heap_->slabs().unmark_slab(*slab.frame);
  page::Zone& zone = heap_->slabs();
  zone.free(zone.number_of(*slab.frame), base::Pages(layout_->frames));
  heap_->meta().free(&slab, descriptor_bytes());
  --slabs_;
}

unsigned SlabStock::refill(void** out, unsigned most) {
  os::Locked held(lock_);
  unsigned count = 0;
  while (count < most) {
    Slab* slab = pick();
    if (slab == nullptr && count > 0) break;  // what is there will do; grow only when it is not
    if (slab == nullptr) slab = carve();
    if (slab == nullptr) break;
    if (slab == idle_) idle_ = nullptr;
    count += slab->take(*layout_, out + count, most - count);
    file(*slab);
  }
  live_ += count;
  return count;
}

void SlabStock::put(void* object) {
  Frame& frame = heap_->slabs().frame_of(object);
  if (frame.kind != FrameKind::kSlab) misuse::corrupted(object, "a magazine holds no object");
  Slab& slab = *static_cast<Slab*>(frame.tenant);
  if (slab.stock != this) misuse::corrupted(object, "a magazine holds another cache's object");
  switch (slab.put(*layout_, object)) {
    case Slab::Put::kDone: break;
    case Slab::Put::kWasFree: misuse::double_free(object, name_, layout_->object_size);
    case Slab::Put::kNoObject: misuse::interior_free(object, slab.object_around(*layout_, object));
  }
  if (slab.is_empty() && !buckets_[kEmptyBucket].is_empty())
    retire(slab);
  else
    file(slab);
}

void SlabStock::flush(void* const* objects, unsigned count) {
  os::Locked held(lock_);
  constexpr unsigned kAhead = 8;
  for (unsigned i = 0; i < count; ++i) {
    if (i + kAhead < count) __builtin_prefetch(heap_->slabs().frame_of(objects[i + kAhead]).tenant);
    put(objects[i]);
  }
  live_ -= count;
}

void SlabStock::reap(bool now) {
  os::Locked held(lock_);
  Slab* slab = buckets_[kEmptyBucket].front();
  bool is_idle = slab != nullptr && slab == idle_;
  idle_ = slab;
  if (slab != nullptr && (now || is_idle)) retire(*slab);
}

bool SlabStock::holds(const Slab& slab, const void* object) {
  os::Locked held(lock_);
  size_t offset = static_cast<size_t>(static_cast<const char*>(object) - slab.objects);
  return slab.is_free(layout_->index_of(offset));
}

StockStats SlabStock::stats() {
  os::Locked held(lock_);
  size_t held_objects = layout_ == nullptr ? 0 : size_t{slabs_} * layout_->count;
  return {.slabs = slabs_,
          .carved = carved_,
          .retired = carved_ - slabs_,
          .held = held_objects,
          .live = live_};
}

void SlabStock::audit() {
  os::Locked held(lock_);
  size_t listed = 0, free = 0, empty = 0;
  for (uint8_t bucket = 0; bucket <= kEmptyBucket; ++bucket) {
    buckets_[bucket].audit();
    buckets_[bucket].for_each([&](const Slab& slab) {
      slab.audit(*layout_);
      ASHLAR_CHECK(slab.stock == this && slab.bucket == bucket && bucket_for(slab) == bucket);
      ++listed;
      free += slab.free_count;
      empty += slab.is_empty();
    });
  }
  ASHLAR_CHECK(listed <= slabs_ && empty <= 1);
  ASHLAR_CHECK(slabs_ == 0 || live_ == size_t{slabs_} * layout_->count - free);
}

}  // namespace slab
