// preload/new_shim.cpp -- every form of operator new and operator delete.
//
// Idea
//   As malloc, but a failure calls the program's new_handler and tries again, for as long as there
//   is one, and then throws bad_alloc or returns null. (C++ [new.delete])
#include <new>

#include "front/heap.h"
#include "preload/cxx_runtime.h"

#define ASHLAR_EXPORT [[gnu::visibility("default")]]

namespace {

void* allocate(size_t size, size_t align) {
  return front::alloc_aligned(size, align);
}

ASHLAR_NOINLINE void* new_slow(size_t size, size_t align = base::kGrain) {
  for (;;) {
    if (void* p = allocate(size, align)) return p;
    if (!cxx::run_new_handler()) cxx::throw_bad_alloc();
  }
}

ASHLAR_NOINLINE void* new_slow_nothrow(size_t size, size_t align = base::kGrain) noexcept {
  for (;;) {
    if (void* p = allocate(size, align)) return p;
    if (!cxx::run_new_handler_nothrow()) return nullptr;
  }
}

constexpr size_t number(std::align_val_t align) {
  return static_cast<size_t>(align);
}

}  // namespace

ASHLAR_EXPORT void* operator new(size_t size) {
  if (void* p = front::try_alloc(size)) [[likely]]
    return p;
  return new_slow(size);
}
ASHLAR_EXPORT void* operator new[](size_t size) {
  if (void* p = front::try_alloc(size)) [[likely]]
    return p;
  return new_slow(size);
}
ASHLAR_EXPORT void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return new_slow_nothrow(size);
}
ASHLAR_EXPORT void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return new_slow_nothrow(size);
}
ASHLAR_EXPORT void* operator new(size_t size, std::align_val_t align) {
  return new_slow(size, number(align));
}
ASHLAR_EXPORT void* operator new[](size_t size, std::align_val_t align) {
  return new_slow(size, number(align));
}
ASHLAR_EXPORT void* operator new(size_t size, std::align_val_t align,
                                 const std::nothrow_t&) noexcept {
  return new_slow_nothrow(size, number(align));
}
ASHLAR_EXPORT void* operator new[](size_t size, std::align_val_t align,
                                   const std::nothrow_t&) noexcept {
  return new_slow_nothrow(size, number(align));
}

ASHLAR_EXPORT void operator delete(void* p) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete[](void* p) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete(void* p, const std::nothrow_t&) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete[](void* p, const std::nothrow_t&) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete(void* p, size_t size) noexcept {
  front::free_sized(p, size);
}
ASHLAR_EXPORT void operator delete[](void* p, size_t size) noexcept {
  front::free_sized(p, size);
}
ASHLAR_EXPORT void operator delete(void* p, std::align_val_t) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete[](void* p, std::align_val_t) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete(void* p, size_t size, std::align_val_t align) noexcept {
  front::free_aligned_sized(p, number(align), size);
}
ASHLAR_EXPORT void operator delete[](void* p, size_t size, std::align_val_t align) noexcept {
  front::free_aligned_sized(p, number(align), size);
}
ASHLAR_EXPORT void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  front::free(p);
}
ASHLAR_EXPORT void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  front::free(p);
}
