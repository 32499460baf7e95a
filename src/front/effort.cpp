#include "front/effort.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cache/registry.h"
#include "front/contract.h"

namespace ashlar::front {
namespace {

page::Manners::Where where_of(unsigned flags) {
  using Where = page::Manners::Where;
  if ((flags & ASHLAR_PINNED) != 0) return Where::kPinned;
  return (flags & ASHLAR_LOW32) != 0 ? Where::kLow : Where::kAnywhere;
}

constexpr size_t kLargest = base::kFrameSize << base::kMaxOrder;
constexpr size_t kLargestLow = size_t{1} << 30;  // all that the zone may have

// Without a system call or a lock.
void* take_ready(size_t size, size_t align) {
  uint8_t id = class_of_aligned(size, align);
  if (id == 0) return nullptr;
  if (os::g_fast_line.cached_end != 0)
    if (void* object = try_alloc_class(id)) return object;
  if (!is_heap_started() || !g_heap.is_promoted()) return nullptr;
  void* object = cache::g_registry.at(id).take_ready_here();
  if (object != nullptr) static_cast<cache::FreeObject*>(object)->key = 0;
  return object;
}

}  // namespace

void open_reserve() {
  if (start_heap()) g_heap.pages().budget().open_reserve();
}

bool may_be_had(size_t bytes, page::Manners::Where where) {
  bool is_low = where == page::Manners::Where::kLow;
  if (bytes > (is_low ? kLargestLow : kLargest)) return false;
  if (!is_heap_started()) return true;
  const page::Budget& budget = g_heap.pages().budget();
  size_t held_back = bytes > kMaxCached ? budget.reserve() : 0;
  return !budget.is_beyond(base::Pages::ceil(bytes).n + held_back);
}

void* alloc_flagged(size_t size, size_t align, unsigned flags, int& error) {
  bool is_zeroed = (flags & ASHLAR_ZERO) != 0;
  large::Memory memory;
  error = cannot_be(flags) ? EINVAL : ENOMEM;
  if (cannot_be(flags) || size > kMaxRequest) return nullptr;
  bool is_anywhere = where_of(flags) == page::Manners::Where::kAnywhere;
  if (is_anywhere) memory.address = take_ready(size, align);
  if ((flags & ASHLAR_NOWAIT) != 0) {
    error = EAGAIN;
  } else if (memory.address == nullptr) {
    if (align > kLargest) flags &= ~unsigned{ASHLAR_NOFAIL};
    Request request{.size = size,
                    .align = align,
                    .where = where_of(flags),
                    .fill = is_zeroed ? large::Fill::kSparse : large::Fill::kWhole,
                    .is_last = false,
                    .asks_nobody = (flags & ASHLAR_NORETRY) != 0};
    auto once = [&] {
      memory = alloc_memory(request);
      return memory.address;
    };
    memory.address = try_hard(flags, size, once, request.where);
  }
  bool has_to_be_cleared = memory.address != nullptr && is_zeroed && !memory.is_zero;
  if (!has_to_be_cleared) return memory.address;
  // All of it: who makes the block longer where it stands relies on that.
  return std::memset(memory.address, 0, usable_size(memory.address));
}

void* resize_flagged(void* p, size_t size, size_t align, unsigned flags, int& error) {
  const size_t had = usable_size(p);
  const page::Manners::Where where = where_of(flags), has = g_heap.pages().zone_of(p)->where();
  bool is_nowait = (flags & ASHLAR_NOWAIT) != 0;
  if (is_nowait && size <= had) return p;
  // In another zone than is wanted it may become shorter, but not longer: that may move it.
  bool may_stay =
      !is_nowait && (size <= had || where == page::Manners::Where::kAnywhere || where == has);
  flags &= ~unsigned{ASHLAR_ZERO};
  if (is_nowait || size <= had) flags |= ASHLAR_NORETRY;
  void *there = nullptr, *fresh = nullptr;
  auto once = [&] {
    there = may_stay ? resize_there(p, size) : nullptr;
    if (there == nullptr) fresh = alloc_flagged(size, align, flags | ASHLAR_NORETRY, error);
    return there != nullptr ? there : fresh;
  };
  try_hard(flags, size, once, where);
  if (there != nullptr) return there;
  if (fresh == nullptr) return size <= had ? p : nullptr;
  std::memcpy(fresh, p, std::min(had, size));
  free(p);
  return fresh;
}

}  // namespace ashlar::front
