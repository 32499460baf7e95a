// slab/slab_frames.cpp -- where the frames of a stock's slabs come from, and how those go back in
// which nothing is in use. The rest of slab/slab_stock.h is in slab_stock.cpp and slab_yards.cpp.
#include <bit>

#include "slab/slab_stock.h"

namespace ashlar::slab {

using page::Frame;
using page::FrameKind;

namespace {

// The most slabs that are looked at in vain: they cannot be dissolved.
constexpr unsigned kMostInVain = 64;

}  // namespace

// Frames for a slab, and fewer than its layout says where those would hold memory already.
Frame* SlabStock::alloc_frames(page::Zone& zone) const {
  page::Choices choices;
  choices.add(base::Pages(layout_->frames));
  for (unsigned most = std::bit_floor(layout_->frames - 1u); most > 1; most /= 2)
    if (unsigned frames = layout_->frames_within(most)) choices.add(base::Pages(frames));
  return zone.alloc_any(choices, FrameKind::kSlab);
}

// A new slab of a node, for a yard that is there.
Slab* SlabStock::carve(unsigned node, unsigned number) {
  page::Zone* zones = heap_->slabs_for(node);
  if (zones == nullptr) return nullptr;
  page::Zone& zone = *zones;
  Slab* slab = static_cast<Slab*>(
      page::alloc_record(zone, heap_->meta(), descriptor_bytes(), base::kCacheLine));
  if (slab == nullptr) return nullptr;
  Frame* frame = alloc_frames(zone);
  if (frame == nullptr) {
    heap_->meta().free(slab, descriptor_bytes());
    return nullptr;
  }
  slab->stock = this;
  slab->node = node & 127;
  slab->first = zone.number_of(*frame);
  slab->bucket = kNoBucket;
  // Successive slabs start one cache line apart, so that the hot first fields of their objects do
  // not all fall into the same cache sets.
  slab->start(*layout_, zone.address_of(*frame), frame->count, colour_);
  colour_ = static_cast<uint16_t>(colour_ + 1 == layout_->colours ? 0 : colour_ + 1);
  zone.mark_slab(*frame, slab, cache_id_);
  set_yard(*slab, number);
  ++slabs_;
  held_ += slab->count;
  frames_ += slab->frames;
  ++carved_;
  vacant_ += slab->vacant;
  if (frame->is_new != 0 && slab->vacant != 0) {
    Slab::Pages all = slab->next_vacant(*layout_, zone.address_of(*frame));
    zone.hollow_out(zone.number_of(all.first), base::Pages(all.frames));
    slab->is_fresh = true;
    recount(*slab, all.frames);
  }
  file(*slab);
  return slab;
}

// Frames of a slab are none of it any more.
void SlabStock::give_frames(page::Zone& zone, uint32_t first, uint32_t end) {
  if (first == end) return;
  zone.unmark_slab(zone.frame_at(first), base::Pages(end - first));
  zone.free(first, base::Pages(end - first));
}

void SlabStock::retire(Slab& slab) {
  forget(slab);
  move_to(slab, kNoBucket);
  give_frames(zone_of(slab), slab.first, slab.first + slab.frames);
  drop(slab);
}

// What is known of a slab that is none any more.
void SlabStock::drop(Slab& slab) {
  vacant_ -= slab.vacant;
  hollow_ -= slab.hollow;
  held_ -= slab.count;
  frames_ -= slab.frames;
  heap_->meta().free(&slab, descriptor_bytes());
  --slabs_;
}

// Whether an object in use lies in two frames: it would be in two remnants.
bool SlabStock::is_straddled(const Slab& slab) const {
  for (unsigned i = 1; i < slab.frames; ++i)
    if (slab.is_frame_straddled(*layout_, i)) return true;
  return false;
}

// Each frame in which something is in use becomes a remnant, the others go back. Whoever reads the
// class map and finds nothing there has to find the remnant.
void SlabStock::give_to(Remnants::Adoption& adoption, Slab& slab) {
  page::Zone& zone = zone_of(slab);
  unsigned count = static_cast<unsigned>(layout_->object_size / base::kGrain);
  for (unsigned i = 0; i < slab.frames; ++i) {
    if (slab.is_frame_vacant(*layout_, i)) continue;
    Frame& frame = zone.frame_at(slab.first + i);
    Remnant& remnant = adoption.adopt(frame);
    const char* start = zone.address_of(frame);
    slab.for_each_taken_in(*layout_, i, [&](const char* object) {
      remnant.place(static_cast<unsigned>(static_cast<size_t>(object - start) / base::kGrain),
                    count);
    });
    adoption.file(remnant);
  }
  zone.unmark_slab(zone.frame_at(slab.first), base::Pages(slab.frames));
  for (unsigned i = 0, end; i < slab.frames; i = end + 1) {
    for (end = i; end < slab.frames && slab.is_frame_vacant(*layout_, end);) ++end;
    if (end > i) zone.free(slab.first + i, base::Pages(end - i));
  }
}

// The frames in front of the first object in use and behind the last one go back. How many.
size_t SlabStock::shorten(Slab& slab) {
  page::Zone& zone = zone_of(slab);
  uint32_t first = slab.first, end = first + slab.frames;
  move_to(slab, kNoBucket);
  held_ -= slab.count;
  slab.shorten(*layout_, slab.span_in_use(*layout_));
  held_ += slab.count;
  size_t gone = end - first - slab.frames;
  frames_ -= gone;
  give_frames(zone, first, slab.first);
  give_frames(zone, slab.first + slab.frames, end);
  recount(slab, hollow_in(slab));
  file(slab);
  return gone;
}

// How many frames went, or became remnants: none where there is no memory for their records, or all
// are in use.
size_t SlabStock::dissolve(Slab& slab, Remnants& remnants) {
  if (is_straddled(slab)) {
    bool has_ends = slab.count <= 64 && slab.span_in_use(*layout_).frames < slab.frames;
    return has_ends ? shorten(slab) : 0;
  }
  size_t frames = slab.frames;
  Remnants::Adoption adoption(remnants);
  if (!adoption.make_room(slab.frames)) return 0;
  forget(slab);
  move_to(slab, kNoBucket);
  give_to(adoption, slab);
  live_ -= size_t{slab.count} - slab.free_count;
  drop(slab);
  return frames;
}

size_t SlabStock::dissolve(Remnants& remnants, size_t most) {
  os::Locked held(lock_);
  size_t frames = 0;
  unsigned in_vain = 0;
  for_each_yard([&](Yard& yard, unsigned) ASHLAR_UNCHECKED {
    for (uint8_t bucket = 2 * kQuarters; bucket-- > 2 * (kQuarters - 1);)
      for (Slab *slab = yard.buckets[bucket].front(), *next; slab != nullptr; slab = next) {
        if (frames >= most || in_vain >= kMostInVain) return;
        next = slab->next;
        size_t gone = slab == yard.current ? 0 : dissolve(*slab, remnants);
        in_vain += gone == 0;
        frames += gone;
      }
  });
  tell_vacancy();
  return frames;
}

}  // namespace ashlar::slab
