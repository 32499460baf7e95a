#include "front/effort.h"

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

void* alloc_flagged(size_t size, size_t align, unsigned flags, int& error) {
  bool is_zeroed = (flags & ASHLAR_ZERO) != 0;
  large::Memory memory;
  error = has_unknown(flags) ? EINVAL : ENOMEM;
  if (has_unknown(flags) || size > kMaxRequest) return nullptr;
  bool is_anywhere = where_of(flags) == page::Manners::Where::kAnywhere;
  if (is_anywhere) memory.address = take_ready(size, align);
  if ((flags & ASHLAR_NOWAIT) != 0) {
    error = EAGAIN;
  } else if (memory.address == nullptr) {
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

}  // namespace ashlar::front
