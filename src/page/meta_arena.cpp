#include "page/meta_arena.h"

#include <cstring>
#include <new>

#include "base/bits.h"
#include "base/check.h"

namespace ashlar::page {
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
  if (size <= kMostFreed && align <= base::kCacheLine) {
    size_t lines = (size + base::kCacheLine - 1) / base::kCacheLine;
    if (Free* record = free_[lines]; record != nullptr) {
      free_[lines] = record->next;
      return std::memset(static_cast<void*>(record), 0, size);
    }
  }
  if (void* record = alloc_donated(size, align)) return record;
  char* object = reinterpret_cast<char*>(base::round_up(reinterpret_cast<size_t>(next_), align));
  if (size > static_cast<size_t>(end_ - object)) return nullptr;
  if (object + size > committed_) {
    size_t need = base::round_up(static_cast<size_t>(object + size - committed_), kStep);
    if (!vm_->commit(place_, committed_, need)) return nullptr;
    committed_ += need;
  }
  next_ = object + size;
  return object;
}

void* MetaArena::alloc_donated(size_t size, size_t align) {
  size_t start = base::round_up(reinterpret_cast<size_t>(donated_), align);
  char* object = reinterpret_cast<char*>(start);
  if (object == nullptr || object + size > donated_end_) return nullptr;
  used_of_donated_ += static_cast<size_t>(object + size - donated_);
  donated_ = object + size;
  return object;
}

void MetaArena::free(void* record, size_t size) {
  ASHLAR_CHECK(size <= kMostFreed);
  os::Locked held(lock_);
  Free*& list = free_[(size + base::kCacheLine - 1) / base::kCacheLine];
  list = new (record) Free{list};
}

void MetaArena::donate(char* memory, size_t size) {
  os::Locked held(lock_);
  donated_ = memory;
  donated_end_ = memory + size;
}

}  // namespace ashlar::page
