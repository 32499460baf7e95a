#include "slab/slab_stock.h"

#include <algorithm>

#include "base/check.h"
#include "harden/misuse.h"

namespace ashlar::slab {

using page::Frame;
using page::FrameKind;

void SlabStock::start(page::PageHeap& heap, const SlabLayout& layout, uint8_t cache_id,
                      const char* name, Empties empties) {
  lock_.set_rank(os::LockRank::kStock);
  heap_ = &heap;
  layout_ = &layout;
  cache_id_ = cache_id;
  name_ = name;
  empties_are_ = empties;
  colour_ = 0;  // of another layout's, where caches come and go
}

// Counts a slab's vacant frames, of which `hollow` hold no memory.
void SlabStock::recount(Slab& slab, unsigned hollow) {
  unsigned vacant = slab.count_vacant(*layout_) - hollow;
  vacant_ += vacant - slab.vacant;
  hollow_ += hollow - slab.hollow;
  slab.vacant = static_cast<uint8_t>(vacant);
  slab.hollow = static_cast<uint8_t>(hollow);
}

// The objects have been taken from a slab that had vacant pages. All hollow ones between the first
// and the last of them are in use now: whatever was free there has been taken.
void SlabStock::note_taken(Slab& slab, void* const* objects, unsigned count, Unfetched& pages) {
  size_t touched = 0;
  if (slab.hollow != 0) {
    page::Zone& zone = zone_of(slab);
    char* last = static_cast<char*>(objects[count - 1]);
    Slab::Pages used = slab.pages_of(objects[0], last + layout_->object_size - 1);
    touched = zone.touch(zone.number_of(used.first), base::Pages(used.frames));
    if (!slab.is_fresh) heap_->vacancy().note_wanted(touched);
    // Of the pages only the first may have been in use, by the object in front of the batch. Then
    // each begins another of its objects, which whoever has it now writes a link into.
    size_t page = os::page_size() / base::kFrameSize;
    size_t shared = objects[0] == used.first || objects[0] == slab.objects ? 0 : page;
    Slab::Pages begun = slab.pages_of(objects[0], last);
    bool are_new = touched + shared == used.frames && layout_->object_size <= base::kFrameSize;
    if (are_new && touched > page && begun.frames > page) pages.add(begun);
  }
  unsigned hollow = slab.hollow - static_cast<unsigned>(touched);
  if (slab.vacant != 0) return recount(slab, hollow);
  slab.hollow = static_cast<uint8_t>(hollow);
  hollow_ -= static_cast<uint32_t>(touched);
}

// Once for each batch: other stocks tell it, too.
void SlabStock::tell_vacancy() {
  page::Vacancy& vacancy = heap_->vacancy();
  size_t sparse = sparse_;
  sparse -= std::min<size_t>(sparse, hollow_);
  size_t told_sparse = told_sparse_.load(std::memory_order_relaxed);
  if (sparse != told_sparse) {
    vacancy.add_sparse(sparse - told_sparse);
    told_sparse_.store(static_cast<uint32_t>(sparse), std::memory_order_relaxed);
  }
  if (vacant_ > told_) vacancy.add(vacant_ - told_);
  if (vacant_ < told_) vacancy.remove(told_ - vacant_);
  told_ = vacant_;
}

unsigned SlabStock::refill(void** out, unsigned most, unsigned yard, Growth growth) {
  Unfetched pages;
  unsigned count = gather(out, most, yard, growth, pages);
  for (unsigned i = 0; i < pages.count; ++i)
    heap_->slabs().vm().fetch(pages.ranges[i].at, pages.ranges[i].size);
  return count;
}

unsigned SlabStock::gather(void** out, unsigned most, unsigned yard, Growth growth,
                           Unfetched& pages) {
  os::Locked held(lock_);
  unsigned count = 0;
  while (count < most) {
    Slab* slab = find(yard, count, growth);
    if (slab == nullptr) break;  // what is there will do; grow only when it is not
    if (slab->hollow != 0 && !zone_of(*slab).may_touch(slab->hollow)) slab = pick_whole();
    if (slab == nullptr) break;
    forget(*slab);
    yard_of(*slab).current = slab;
    unsigned taken = slab->take(*layout_, out + count, most - count);
    if (slab->vacant != 0 || slab->hollow != 0) note_taken(*slab, out + count, taken, pages);
    file(*slab);
    count += taken;
  }
  live_ += count;
  tell_vacancy();
  return count;
}

void SlabStock::tell_misuse(const Slab& slab, Slab::Put finding, const char* object) {
  const char* told = object - layout_->lead;  // as the program knows it
  const char* found = slab.object_around(*layout_, object);
  lock_.release();
  if (finding == Slab::Put::kWasFree) misuse::double_free(told, name_, layout_->object_size);
  misuse::interior_free(told, found == nullptr ? found : found - layout_->lead);
}

void SlabStock::tell_stray(const void* object, const char* finding) {
  lock_.release();
  misuse::corrupted(object, finding);
}

// Puts objects back as far as they are of the slab that the first one is of: how many. 0 where that
// has been dissolved. (No descriptor may be read without the lock.)
unsigned SlabStock::put(void* const* objects, unsigned count) {
  constexpr unsigned kAhead = 8;
  Frame& frame = heap_->slabs().frame_of(objects[0]);
  if (frame.kind == FrameKind::kRemnant) return 0;
  if (frame.kind != FrameKind::kSlab) tell_stray(objects[0], "a magazine holds no object");
  Slab& slab = *static_cast<Slab*>(frame.tenant);
  if (slab.stock != this) tell_stray(objects[0], "a magazine holds another cache's object");
  unsigned vacant = slab.vacant, done = 0;
  for (bool is_last = false; !is_last;) {
    void* object = objects[done++];
    if (done + kAhead <= count)
      __builtin_prefetch(heap_->slabs().frame_of(objects[done + kAhead - 1]).tenant);
    is_last = done == count || !slab.spans(objects[done]);
    Slab::Put finding = slab.put(*layout_, object, is_last ? nullptr : objects[done]);
    if (finding != Slab::Put::kDone) [[unlikely]] {
      vacant_ += slab.vacant - vacant;
      tell_misuse(slab, finding, static_cast<const char*>(object));
    }
  }
  vacant_ += slab.vacant - vacant;
  if (slab.bucket != kIsolated) file_or_retire(slab);
  return done;
}

unsigned SlabStock::flush(void** objects, unsigned count) {
  os::Locked held(lock_);
  unsigned strangers = 0;
  for (unsigned i = 0; i < count;) {
    unsigned done = put(objects + i, count - i);
    if (done == 0) objects[strangers++] = objects[i++];
    i += done;
  }
  live_ -= count - strangers;
  tell_vacancy();
  return strangers;
}

Slab* SlabStock::take_empty(size_t spared) {
  os::Locked held(lock_);
  if (empties_ <= spared) return nullptr;
  Slab* empty = nullptr;
  for_each_yard([&](Yard& yard, unsigned) {
    if (Slab* slab = yard.buckets[kEmptyBucket].front()) empty = slab;
  });
  if (empty != nullptr) move_to(*empty, kIsolated);
  return empty;
}

void SlabStock::retire_taken(Slab& slab) {
  os::Locked held(lock_);
  retire(slab);
}

void SlabStock::reap(bool now) {
  os::Locked held(lock_);
  if (empties_are_ == Empties::kKeep) return;
  for_each_yard([&](Yard& yard, unsigned) ASHLAR_UNCHECKED {
    Slab* slab = yard.buckets[kEmptyBucket].front();
    bool is_idle = slab != nullptr && slab == yard.idle;
    yard.idle = slab;
    if (slab != nullptr && (now || is_idle)) retire(*slab);
  });
  tell_vacancy();
}

unsigned SlabStock::hollow_in(const Slab& slab) {
  return static_cast<unsigned>(zone_of(slab).count_hollow(slab.first, base::Pages(slab.frames)));
}

// From now on nothing is taken from the slab, and its vacant pages stay so.
void SlabStock::isolate(Slab& slab, Batch& batch) {
  page::Zone& zone = zone_of(slab);
  move_to(slab, kIsolated);
  Slab::Pages run = slab.next_vacant(*layout_, slab.objects - slab.colour);
  for (; run.frames > 0; run = slab.next_vacant(*layout_, run.end())) {
    base::Pages pages(run.frames);
    if (slab.hollow != 0 && zone.count_hollow(zone.number_of(run.first), pages) == pages.n)
      continue;
    batch.ranges[batch.count++] = {run.first, pages.bytes()};
    batch.frames += pages.n;
  }
}

void SlabStock::put_back(Slab& slab) {
  move_to(slab, kNoBucket);
  slab.is_fresh = false;
  recount(slab, hollow_in(slab));
  file_or_retire(slab);
}

void SlabStock::put_back_all() {
  for_each_yard([&](Yard& yard, unsigned) ASHLAR_UNCHECKED {
    while (Slab* slab = yard.buckets[kIsolated].front()) put_back(*slab);
  });
  tell_vacancy();
}

// What purge() does, of one yard's slabs. The lock is free while the kernel works.
void SlabStock::purge_yard(Yard& yard, unsigned share, size_t most, Purged& purged) {
  if (Slab* slab = yard.buckets[kEmptyBucket].front(); slab != nullptr && share == kQuarters) {
    purged.frames += slab->vacant;
    retire(*slab);
    tell_vacancy();
  }
  while (share < kQuarters && purged.frames < most && !purged.is_refused) {
    Batch batch;
    page::Zone* zone = nullptr;
    Slab* slab;
    while (batch.has_room() && purged.frames + batch.frames < most &&
           (slab = yard.buckets[2 * share + 1].front()) != nullptr &&
           (zone == nullptr || zone == &zone_of(*slab))) {
      zone = &zone_of(*slab);
      isolate(*slab, batch);
    }
    if (batch.count == 0) break;
    lock_.release();
    size_t frames = zone->purge_let(batch.ranges, batch.count);
    heap_->vacancy().note_purged(frames);
    lock_.acquire();
    put_back_all();
    purged.is_refused = frames == 0;
    purged.frames += frames;
  }
}

SlabStock::Purged SlabStock::purge(unsigned share, size_t most) {
  Purged purged;
  // Asked with the lock held: while we waited for that, this may have become another cache's, whose
  // isolated slabs are being ended.
  os::Locked held(lock_);
  if (empties_are_ == Empties::kKeep) return purged;  // and no page of theirs is vacant
  put_back_all();  // whom a fork has interrupted at this does not exist in the child
  for_each_yard([&](Yard& yard, unsigned)
                    ASHLAR_UNCHECKED { purge_yard(yard, share, most, purged); });
  return purged;
}

// The slab of this stock that an address lies in; null where that has been dissolved.
Slab* SlabStock::slab_of(const void* address) {
  const Frame& frame = heap_->slabs().frame_of(address);
  if (frame.kind != FrameKind::kSlab) return nullptr;
  Slab* slab = static_cast<Slab*>(frame.tenant);
  return slab->stock == this ? slab : nullptr;
}

bool SlabStock::holds(const void* object) {
  os::Locked held(lock_);
  const Slab* slab = slab_of(object);
  if (slab == nullptr) return false;
  size_t offset = static_cast<size_t>(static_cast<const char*>(object) - slab->objects);
  return slab->is_free(layout_->index_of(offset));
}

SlabStock::Around SlabStock::object_around(const void* address) {
  os::Locked held(lock_);
  const Slab* slab = slab_of(address);
  return slab == nullptr ? Around{} : Around{true, slab->object_around(*layout_, address)};
}

StockStats SlabStock::stats() {
  os::Locked held(lock_);
  return {.slabs = slabs_,
          .carved = carved_,
          .retired = carved_ - slabs_,
          .held = held_,
          .live = live_,
          .frames = frames_,
          .vacant = vacant_,
          .hollow = hollow_};
}

void SlabStock::audit() {
  os::Locked held(lock_);
  size_t listed = 0, free = 0, empties = 0, vacant = 0, hollow = 0;
  for_each_yard([&](const Yard& yard, unsigned number) ASHLAR_UNCHECKED {
    size_t empty = 0;
    auto count = [&](const Slab& slab) {
      slab.audit(*layout_);
      ASHLAR_CHECK(slab.stock == this && slab.yard == number);
      ASHLAR_CHECK(zone_of(slab).address_of(slab.first) == slab.objects - slab.colour);
      ++listed;
      free += slab.free_count;
      vacant += slab.vacant;
      hollow += slab.hollow;
    };
    for (uint8_t bucket = 0; bucket <= kEmptyBucket; ++bucket) {
      yard.buckets[bucket].audit();
      yard.buckets[bucket].for_each([&](const Slab& slab) {
        count(slab);
        ASHLAR_CHECK(slab.bucket == bucket && bucket_for(slab) == bucket);
        ASHLAR_CHECK(hollow_in(slab) == slab.hollow);
        empty += slab.is_empty();
      });
    }
    yard.buckets[kIsolated].audit();
    yard.buckets[kIsolated].for_each(count);
    ASHLAR_CHECK(empty <= 1 || empties_are_ == Empties::kKeep);
    empties += empty;
  });
  ASHLAR_CHECK(vacant == vacant_ && vacant == told_ && hollow == hollow_);
  ASHLAR_CHECK(listed <= slabs_ && empties == empties_);
  ASHLAR_CHECK(slabs_ == 0 || live_ == held_ - free);
}

}  // namespace ashlar::slab
