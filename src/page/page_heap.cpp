#include "page/page_heap.h"

#include <cstring>
#include <new>

#include "base/bits.h"

namespace ashlar::page {

using base::Order;
using base::Pages;

namespace {

// Larger than most machines' memory, of the giants than any's; with their tables twice as much of
// what is looked at for a quiet place (os/vm.cpp).
constexpr size_t kWindow = size_t{1} << 40;
constexpr size_t kGiantWindow = kWindow * 4;

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

// Of a zone that requests name.
Retention retention_in(Manners::Where where, Retention retention) {
  return hugetlb_shift(where) != 0 ? giant_retention(retention) : retention;
}

// In the table of zones that requests name.
constexpr unsigned index_of(Manners::Where where) {
  return static_cast<unsigned>(where) - static_cast<unsigned>(Manners::Where::kLow);
}

}  // namespace

bool PageHeap::start(const os::Vm& vm, const Retention& retention, const Manners& manners) {
  manners_ = manners;
  vm_ = &vm;
  retention_ = retention;
  slabs_.join(budget_);
  if (base::kHasCaches) {
    vacancy_.set(retention);
    slabs_.set_vacancy(vacancy_);
    slabs_.set_manners(manners);
  }
  if (!slabs_.start(vm, retention, kWindow)) return false;
  meta_.start(vm, slabs_.place(), slabs_.meta_first(), slabs_.meta_size());
  meta_.donate(slabs_.spare(), Zone::kSpare);
  return true;
}

// What a node's zone says to the kernel.
Manners PageHeap::manners_for(unsigned node, const char* name) const {
  Manners manners{.huge_pages = manners_.huge_pages,
                  .node = node,
                  .name = manners_.name == nullptr ? nullptr : name};
  if (nodes_.are_several() && nodes_.topology()->is_real())
    manners.node_number = static_cast<int>(nodes_.topology()->number_of(node));
  return manners;
}

bool PageHeap::set_nodes(const os::Topology& topology) {
  if (!base::kHasCaches || topology.count() < 2 || nodes_.are_several()) return false;
  void* table = meta_.alloc(sizeof(Nodes::Table), alignof(Nodes::Table));
  size_t wanted = os::machine_memory() / topology.count();
  if (table == nullptr || !slabs_.divide(topology.count(), wanted)) return false;
  if (topology.is_real()) {
    slabs_.settle(topology.number_of(0));
    if (has_giants()) giants_.settle(topology.number_of(0));
  }
  nodes_.start(topology, *static_cast<Nodes::Table*>(table));
  return true;
}

Node* PageHeap::start_node(unsigned node) {
  if (!base::kHasCaches) return nullptr;
  if (Node* zones = nodes_.find(node)) return zones;
  os::Locked held(start_lock_);
  if (Node* zones = nodes_.find(node)) return zones;
  void* memory = meta_.alloc(sizeof(Node), alignof(Node));
  if (memory == nullptr) return nullptr;
  Node* zones = new (memory) Node;
  zones->slabs.join(budget_);
  zones->slabs.set_slabs();
  zones->slabs.set_manners(manners_for(node, manners_.name));
  zones->slabs.start_part(slabs_, node, retention_);
  nodes_.put(node, *zones);
  return zones;
}

Zone* PageHeap::start_giants(unsigned node) {
  if (!base::kHasCaches) return nullptr;
  Node* zones = node == 0 ? nullptr : start_node(node);
  if (zones == nullptr && node != 0) return nullptr;
  Zone& giants = node == 0 ? giants_ : zones->giants;
  std::atomic<bool>& has_giants = node == 0 ? has_giants_ : zones->has_giants;
  if (has_giants.load(std::memory_order_acquire)) return &giants;
  os::Locked held(start_lock_);
  if (has_giants.load(std::memory_order_relaxed)) return &giants;
  giants.join(budget_);
  giants.set_manners(manners_for(node, kGiantsName));
  const Zone& other = node == 0 ? slabs_ : zones->slabs;
  size_t window = node == 0 ? kGiantWindow : slabs_.part_size();
  if (!giants.start(*vm_, giant_retention(retention_), window, &other)) return nullptr;
  has_giants.store(true, std::memory_order_release);
  return &giants;
}

// Which of a node's zones requests of this size are for, by how large these are.
bool PageHeap::is_for_giants(Pages pages, unsigned node) const {
  if (!base::kHasCaches || pages.bytes() < base::kBesideGiants) return false;
  if (pages.bytes() >= base::kGiantSize) return true;
  const Node* zones = node == 0 ? nullptr : nodes_.find(node);
  if (node != 0 && zones == nullptr) return false;
  size_t giants = (node == 0 ? giants_ : zones->giants).window_size();
  size_t live = (node == 0 ? slabs_ : zones->slabs).live_bytes();
  if (pages.bytes() < base::kApartFrom) return giants >= base::kManyGiants;
  return giants > 0 || live + pages.bytes() > base::kSmallHeap;
}

PageHeap::Block PageHeap::alloc_near(Pages pages, Order align, unsigned node, Pages moved) {
  auto alloc_from = [&](Zone* zone) {
    Frame* frame = zone == nullptr ? nullptr : zone->alloc(pages, align, FrameKind::kLarge, moved);
    return Block{zone, frame};
  };
  bool is_giant = is_for_giants(pages, node);
  Zone* slabs = slabs_for(node);
  Block block;
  if (is_giant) block = alloc_from(start_giants(node));
  // Half of the slabs' window is for what is smaller: nothing else can be had once it is full.
  size_t half = (nodes_.are_several() ? slabs_.part_size() : kWindow) / 2;
  bool is_theirs = base::kHasCaches && slabs != nullptr && slabs->window_size() >= half;
  bool may_be_there = !is_theirs || pages.bytes() < base::kGiantSize;
  if (block.frame == nullptr && may_be_there) block = alloc_from(slabs);
  bool may_be_giant = base::kHasCaches && !is_giant && pages.bytes() >= base::kApartFrom;
  if (block.frame == nullptr && may_be_giant) block = alloc_from(start_giants(node));
  return block;
}

PageHeap::Block PageHeap::alloc_large(Pages pages, Order align, unsigned node, Pages moved) {
  Block block;
  for (unsigned rank = 0; block.frame == nullptr && rank < nodes_.count(); ++rank)
    block = alloc_near(pages, align, nodes_.nearest(node, rank), moved);
  return block;
}

PageHeap::Block PageHeap::alloc_clean(Pages pages) {
  unsigned node = nodes_.here();
  Zone* zone = is_for_giants(pages, node) ? start_giants(node) : slabs_for(node);
  return {zone, zone == nullptr ? nullptr : zone->alloc_clean(pages)};
}

// Laid out when first asked for; without address space for it, each time.
Zone* PageHeap::start_named(Manners::Where where, unsigned node) {
  Node* zones = node == 0 ? nullptr : start_node(node);
  if (zones == nullptr && node != 0) return nullptr;
  std::atomic<Zone*>& named = node == 0 ? named_[index_of(where)] : zones->pinned;
  if (Zone* zone = named.load(std::memory_order_acquire)) return zone;
  os::Locked held(start_lock_);
  if (Zone* zone = named.load(std::memory_order_relaxed)) return zone;
  if (unstarted_ == nullptr) unstarted_ = meta_.alloc(sizeof(Zone), alignof(Zone));
  if (unstarted_ == nullptr) return nullptr;
  Zone* zone = new (unstarted_) Zone;
  zone->join(budget_, hugetlb_shift(where) != 0 ? Budget::kHugetlb : Budget::kHeap);
  bool is_pinned = where == Manners::Where::kPinned;
  Manners manners = manners_for(node, is_pinned ? "ashlar pinned" : "ashlar low");
  manners.where = where;
  if (!is_pinned) manners.node_number = Manners::kNoNumber;
  if (hugetlb_shift(where) != 0) manners.name = nullptr;  // the kernel has one for it
  zone->set_manners(manners);
  if (!zone->start(*vm_, retention_in(where, retention_), kWindow)) return nullptr;
  unstarted_ = nullptr;
  named.store(zone, std::memory_order_release);
  has_named_.store(true, std::memory_order_relaxed);
  return zone;
}

PageHeap::Block PageHeap::alloc_in(Manners::Where where, Pages pages, Order align, unsigned node,
                                   Pages moved) {
  if (!base::kHasCaches || where == Manners::Where::kAnywhere)
    return alloc_large(pages, align, node, moved);
  bool is_pinned = where == Manners::Where::kPinned;
  for (unsigned rank = 0; rank < (is_pinned ? nodes_.count() : 1); ++rank) {
    Zone* zone = start_named(where, is_pinned ? nodes_.nearest(node, rank) : 0);
    if (zone == nullptr || !zone->pin_again()) continue;
    Frame* frame = zone->alloc(pages, align, FrameKind::kLarge, moved);
    if (frame != nullptr) return {zone, frame};
  }
  return {};
}

// Of what all zones share the first one knows.
Frames PageHeap::slab_frames() {
  Frames sum = slabs_.frames();
  for (unsigned node = 1; node < nodes_.count(); ++node)
    if (Node* zones = nodes_.find(node)) {
      Frames frames = zones->slabs.frames();
      sum.live += frames.live;
      sum.dirty += frames.dirty;
    }
  return sum;
}

bool PageHeap::retract() {
  bool is_any = false;
  for_each_zone([&](Zone& zone) { is_any |= zone.retract() > 0; });
  return is_any;
}

void PageHeap::start_beside() {
  if (has_beside_.load(std::memory_order_relaxed)) return;
  Beside* beside = besides_.load(std::memory_order_relaxed);
  if (beside == nullptr || beside->zone.is_abandoned()) {
    void* memory = meta_.alloc(sizeof(Beside), alignof(Beside));
    if (memory == nullptr) return;
    beside = new (memory) Beside{.zone = {}, .next = beside};
    if constexpr (base::kHasCaches) {
      beside->zone.join(budget_, Budget::kBeside);
      Manners manners = manners_for(0, "ashlar beside");
      manners.node_number = Manners::kNoNumber;  // threads of all nodes come here
      beside->zone.set_manners(manners);
    }
    besides_.store(beside, std::memory_order_release);
  }
  has_beside_.store(beside->zone.start(*vm_, {}, kWindow), std::memory_order_release);
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

// Named zones, and those of other nodes.
bool PageHeap::others_want_trim() const {
  bool wants = false;
  for (const std::atomic<Zone*>& named : named_)
    if (const Zone* zone = named.load(std::memory_order_acquire)) wants |= zone->wants_trim();
  nodes_.for_each_zone([&](const Zone& zone) { wants |= zone.wants_trim(); });
  return wants;
}

void PageHeap::set_retention(const Retention& retention) {
  retention_ = retention;
  slabs_.set_retention(retention);
  if (!base::kHasCaches) return;
  vacancy_.set(retention);
  giants_.set_retention(giant_retention(retention));
  for (std::atomic<Zone*>& named : named_)
    if (Zone* zone = named.load(std::memory_order_acquire))
      zone->set_retention(retention_in(zone->where(), retention));
  for (unsigned node = 1; node < nodes_.count(); ++node)
    if (Node* zones = nodes_.find(node)) {
      zones->slabs.set_retention(retention);
      zones->giants.set_retention(giant_retention(retention));
    }
}

void PageHeap::audit() {
  for_each_zone([](Zone& zone) { zone.audit(); });
}

Zone* PageHeap::other_zone_of(const void* p) {
  if (base::kHasCaches && giants_.contains(p))
    return &giants_;  // a window is empty until it is laid out
  for (std::atomic<Zone*>& named : named_) {
    if (!base::kHasCaches) break;
    if (Zone* zone = named.load(std::memory_order_acquire); zone != nullptr && zone->contains(p))
        [[unlikely]]
      return zone;
  }
  if (nodes_.are_several())
    if (Zone* zone = nodes_.zone_of(p)) return zone;
  Zone* found = nullptr;
  for_each_beside([&](Zone& zone) {
    if (zone.contains(p)) found = &zone;
  });
  return found;
}

Zone* PageHeap::zone_with(const Frame* frame) {
  Zone* found = nullptr;
  for_each_zone([&](Zone& zone) {
    if (found == nullptr && zone.has(frame)) found = &zone;
  });
  for_each_beside([&](Zone& zone) {
    if (zone.has(frame)) found = &zone;
  });
  return found;
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

}  // namespace ashlar::page
