#include "front/blocks.h"

#include "front/heap.h"
#include "front/upkeep.h"
#include "os/thread.h"

namespace ashlar::front {
namespace {

// How much of SLOB's pages must be free before objects are served there. Smaller objects are left
// out: there are many, and each takes as much longer than by a magazine as a large one.
constexpr size_t kMuchRoom = size_t{64} << 10;
constexpr size_t kLeastInRoom = 256;

// Who asks the program's own caches comes by the slow path.
ASHLAR_INLINE bool is_alone() {
  return !os::has_other_threads() && !g_heap.has_wish() && g_heap.promotion().is_alone();
}

// Whether SLOB may go on alone depends on how much it holds. (The small library need not know.)
size_t bytes_held() {
  return base::kHasCaches ? g_heap.slob().bytes() : 0;
}

}  // namespace

ASHLAR_NOINLINE void note_bytes() {
  if (base::kHasCaches) g_heap.promotion().note_bytes(bytes_held());
}

large::Memory alloc_by_slob(size_t size, size_t align) {
  size_t bytes = bytes_held();
  void* block = g_heap.slob().alloc(size, align);
  if (block == nullptr) return {};
  if (base::kHasCaches) {
    if (bytes_held() != bytes) note_bytes();
    g_heap.promotion().note_live(class_of(size), whole_grains(size));
  }
  return {block, g_heap.pages().slabs().frame_of(block).is_new != 0};
}

bool has_room(size_t size) {
  bool is_of_use = size >= kLeastInRoom && size < base::kFrameSize;
  return is_of_use && !os::has_other_threads() && g_heap.slob().room() > kMuchRoom;
}

void* alloc_in_room(size_t size) {
  void* block = g_heap.slob().alloc_in_room(size);
  if (block != nullptr) g_heap.promotion().note_live(class_of(size), whole_grains(size));
  return block;
}

void free_by_slob(const page::Frame& frame, void* p) {
  size_t bytes = bytes_held();
  size_t size = g_heap.slob().free(frame, p);
  if (!base::kHasCaches) return;
  if (bytes_held() != bytes) note_bytes();
  g_heap.promotion().note_free(class_of(size), size);
}

void* resize_by_slob(const page::Frame& frame, void* p, size_t* had, size_t size) {
  if (!g_heap.slob().try_resize(frame, p, size, had)) return nullptr;
  if (!base::kHasCaches) return p;
  g_heap.promotion().note_free(class_of(*had), *had);
  g_heap.promotion().note_live(class_of(size), whole_grains(size));
  return p;
}

void* alloc_alone(size_t size) {
  if (size >= base::kFrameSize || !is_alone()) return nullptr;
  void* block = g_heap.slob().take_kept(size);
  if (block == nullptr) {
    if (!g_heap.try_count_call()) return nullptr;
    size_t bytes = bytes_held();
    block = g_heap.slob().alloc(size, kGrain);
    if (block == nullptr) return nullptr;
    if (bytes_held() != bytes) note_bytes();
  }
  g_heap.promotion().note_live(class_of(size), whole_grains(size));
  g_heap.promotion().note_call(class_of(size));
  return block;
}

bool free_alone(const page::Zone& zone, void* p) {
  if (!is_alone()) return false;
  const page::Frame& frame = zone.frame_of(p);
  if (frame.kind != page::FrameKind::kSlob || !g_heap.try_count_call()) return false;
  size_t bytes = bytes_held();
  slob::Keep keep = g_heap.promotion().drops_often() ? slob::Keep::kMany : slob::Keep::kFew;
  size_t size = g_heap.slob().free_alone(frame, p, keep);
  g_heap.promotion().note_free(class_of(size), size);
  g_heap.promotion().note_drop();
  if (bytes_held() == bytes) return true;
  note_bytes();
  if (g_heap.pages().wants_trim()) g_heap.pages().trim();
  return true;
}

}  // namespace ashlar::front
