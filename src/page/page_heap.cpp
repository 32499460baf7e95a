#include "page/page_heap.h"

#include <cstring>
#include <new>

#include "base/bits.h"

namespace page {

using base::Order;
using base::Pages;

namespace {

// Larger than any machine's memory, and one eighth of what is looked at for a quiet place.
constexpr size_t kWindow = size_t{1} << 40;

// Giant blocks differ in size, so what is kept of them seldom fits the next; and a regret would be
// as large as they are. But one block of up to 32 MiB that comes and goes shall not cost a system
// call each time, nor shall a few that replace one another (bench/workloads/large_blocks).
constexpr size_t kGiantFactor = 128;

Retention giant_retention(Retention retention) {
  retention.more = Retention::More::kToPeak;
  retention.least_bytes *= kGiantFactor;
  return retention;
}

}  // namespace

bool PageHeap::start(const os::Vm& vm, const Retention& retention, bool use_huge_pages) {
  uses_huge_pages_ = use_huge_pages;
  vm_ = &vm;
  retention_ = retention;
  vacancy_.set(retention);
  if (!slabs_.start(vm, retention, kWindow)) return false;
  meta_.start(vm, slabs_.place(), slabs_.meta_first(), slabs_.meta_size());
  meta_.donate(slabs_.spare(), Zone::kSpare);
  return true;
}

bool PageHeap::start_giants() {
  if (has_giants()) return true;
  os::Locked held(start_);
  if (has_giants()) return true;
  if (!giants_.start(*vm_, giant_retention(retention_), kWindow, &slabs_)) return false;
  has_giants_.store(true, std::memory_order_release);
  return true;
}

PageHeap::Block PageHeap::alloc_large(Pages pages, Order align) {
  if (pages.bytes() >= base::kGiantSize && start_giants())
    if (Frame* frame = giants_.alloc(pages, align, FrameKind::kLarge)) return {&giants_, frame};
  return {&slabs_, slabs_.alloc(pages, align, FrameKind::kLarge)};
}

PageHeap::Block PageHeap::alloc_clean(Pages pages) {
  return {&giants_, start_giants() ? giants_.alloc_clean(pages) : nullptr};
}

bool PageHeap::retract() {
  bool of_slabs = slabs_.retract();
  bool of_giants = has_giants() && giants_.retract();
  return of_slabs || of_giants;
}

void PageHeap::start_beside() {
  unsigned index = beside_.load(std::memory_order_relaxed);
  if (has_beside_.load(std::memory_order_relaxed) || index == kBesides) return;
  if (besides_[index] == nullptr) {
    void* memory = meta_.alloc(sizeof(Zone), alignof(Zone));
    if (memory == nullptr) return;
    besides_[index] = new (memory) Zone;
  }
  has_beside_.store(besides_[index]->start(*vm_, {}, kWindow), std::memory_order_release);
}

PageHeap::Block PageHeap::alloc_beside(Pages pages, Order align) {
  Zone* zone = beside();
  if (zone == nullptr) return {};
  return {zone, zone->alloc(pages, align, FrameKind::kLarge)};
}

bool PageHeap::try_free_beside(const void* p) {
  Zone* zone = beside();
  if (zone == nullptr || !zone->contains(p)) return false;
  Frame& frame = zone->frame_of(p);
  if (frame.kind != FrameKind::kLarge || zone->address_of(frame) != p) return false;
  zone->free_large(frame);
  return true;
}

void PageHeap::trim() {
  slabs_.trim();
  if (has_giants()) giants_.trim();
}

void PageHeap::set_retention(const Retention& retention) {
  retention_ = retention;
  slabs_.set_retention(retention);
  vacancy_.set(retention);
  giants_.set_retention(giant_retention(retention));
}

void PageHeap::audit() {
  slabs_.audit();
  giants_.audit();
}

void* alloc_record(Zone& zone, MetaArena& meta, size_t size, size_t align) {
  size = base::round_up(size, align);
  if (void* record = meta.alloc(size, align)) return record;
  Frame* frame = zone.alloc(Pages(1), Order(0), FrameKind::kMeta);
  if (frame == nullptr) return nullptr;
  std::memset(zone.address_of(*frame), 0, base::kFrameSize);
  meta.donate(zone.address_of(*frame), base::kFrameSize);
  return meta.alloc(size, align);
}

}  // namespace page
