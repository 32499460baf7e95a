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

constexpr char kGiantsName[] = "ashlar giants";

Retention giant_retention(Retention retention) {
  retention.more = Retention::More::kToPeak;
  retention.least_bytes *= kGiantFactor;
  return retention;
}

}  // namespace

bool PageHeap::start(const os::Vm& vm, const Retention& retention, const Manners& manners) {
  manners_ = manners;
  vm_ = &vm;
  retention_ = retention;
  vacancy_.set(retention);
  slabs_.join(budget_);
  slabs_.set_vacancy(vacancy_);
  slabs_.set_manners(manners);
  if (!slabs_.start(vm, retention, kWindow)) return false;
  meta_.start(vm, slabs_.place(), slabs_.meta_first(), slabs_.meta_size());
  meta_.donate(slabs_.spare(), Zone::kSpare);
  return true;
}

bool PageHeap::start_giants() {
  if (has_giants()) return true;
  os::Locked held(start_);
  if (has_giants()) return true;
  giants_.join(budget_);
  giants_.set_manners({.huge_pages = manners_.huge_pages,
                       .name = manners_.name == nullptr ? nullptr : kGiantsName});
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

// Laid out when first asked for; without address space for it, each time.
Zone* PageHeap::start_named(Manners::Where where) {
  std::atomic<Zone*>& named = named_[where == Manners::Where::kLow ? 0 : 1];
  if (Zone* zone = named.load(std::memory_order_acquire)) return zone;
  os::Locked held(start_);
  if (Zone* zone = named.load(std::memory_order_relaxed)) return zone;
  if (unstarted_ == nullptr) unstarted_ = meta_.alloc(sizeof(Zone), alignof(Zone));
  if (unstarted_ == nullptr) return nullptr;
  Zone* zone = new (unstarted_) Zone;
  zone->join(budget_);
  zone->set_manners({.huge_pages = manners_.huge_pages,
                     .where = where,
                     .name = where == Manners::Where::kLow ? "ashlar low" : "ashlar pinned"});
  Retention retention = retention_;
  if (where == Manners::Where::kPinned) retention.least_bytes = SIZE_MAX / 2;
  if (!zone->start(*vm_, retention, kWindow)) return nullptr;
  unstarted_ = nullptr;
  named.store(zone, std::memory_order_release);
  return zone;
}

PageHeap::Block PageHeap::alloc_in(Manners::Where where, Pages pages, Order align) {
  // The small library has no named zones.
  if (!base::kHasCaches || where == Manners::Where::kAnywhere) return alloc_large(pages, align);
  Zone* zone = start_named(where);
  return {zone, zone == nullptr ? nullptr : zone->alloc(pages, align, FrameKind::kLarge)};
}

bool PageHeap::retract() {
  bool is_any = false;
  for_each_zone([&](Zone& zone) { is_any |= zone.retract(); });
  return is_any;
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
  for_each_zone([](Zone& zone) { zone.trim(); });
}

void PageHeap::set_retention(const Retention& retention) {
  retention_ = retention;
  slabs_.set_retention(retention);
  vacancy_.set(retention);
  giants_.set_retention(giant_retention(retention));
  if (Zone* low = named_[0].load(std::memory_order_acquire)) low->set_retention(retention);
}

void PageHeap::audit() {
  for_each_zone([](Zone& zone) { zone.audit(); });
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
