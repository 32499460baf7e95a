#include "page/meta_arena.h"

#include "base/bits.h"
#include "base/check.h"

namespace page {
namespace {

// A multiple of every system's page. Only touched pages cost memory, so this bounds system calls.
constexpr size_t kStep = size_t{256} << 10;

}  // namespace

void MetaArena::start(const os::Vm& vm, const os::Place& place, char* first, size_t size) {
  vm_ = &vm;
  place_ = place;
  first_ = next_ = committed_ = first;
  end_ = first + size;
}

void* MetaArena::alloc(size_t size, size_t align) {
  os::Locked held(lock_);
  size_t start = base::round_up(reinterpret_cast<size_t>(next_), align);
  char* object = reinterpret_cast<char*>(start);
  if (size > static_cast<size_t>(end_ - object)) return nullptr;
  if (object + size > committed_) {
    size_t need = base::round_up(static_cast<size_t>(object + size - committed_), kStep);
    if (!vm_->commit(place_, committed_, need)) return nullptr;
    committed_ += need;
  }
  next_ = object + size;
  return object;
}

}  // namespace page
