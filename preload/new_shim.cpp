// preload/new_shim.cpp -- every form of operator new and operator delete.
//
// Idea
//   As malloc, but a failure calls the program's new_handler and tries again, for as long as there
//   is one, and then throws bad_alloc or returns null.
//
//   A program may define any of the forms itself, and what the standard has a form do is to call
//   another: each that does not throw, the one that does; each for arrays, the one for an object;
//   each that is told a size, the one that is not. (C++ [new.delete]) So a form looks first whether
//   the other one is Ashlar's own as the program sees it, which it nearly always is, and calls it
//   only where it is not.
//
//   All are weak, so that a program which defines some of them can be linked with libashlar.a. In
//   libashlar.so the dynamic linker says where the program's are (replaceable.list).
//
// Cost
//   Of that look: three instructions, or six, in each form but the four that call no other. At the
//   start of a process: a relocation for each of the eight that may be called.
#include <new>

#include "base/attributes.h"
#include "front/heap.h"
#include "preload/cxx_runtime.h"

using namespace ashlar;

// The eight that others call, declared as weak before any of them does: they may be the program's.
// NOLINTBEGIN(readability-redundant-declaration)
ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t);
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t);
ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t, std::align_val_t);
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t, std::align_val_t);
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void*) noexcept;
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void*) noexcept;
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void*, std::align_val_t) noexcept;
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void*, std::align_val_t) noexcept;
// NOLINTEND(readability-redundant-declaration)

// The same functions where they are Ashlar's own. The compiler does not know that, and so cannot
// hold that an address is always the same as the other.
extern "C" {
ASHLAR_HIDDEN void* ashlar_own_new(size_t);
ASHLAR_HIDDEN void* ashlar_own_new_array(size_t);
ASHLAR_HIDDEN void* ashlar_own_aligned_new(size_t, std::align_val_t);
ASHLAR_HIDDEN void* ashlar_own_aligned_new_array(size_t, std::align_val_t);
ASHLAR_HIDDEN void ashlar_own_delete(void*) noexcept;
ASHLAR_HIDDEN void ashlar_own_delete_array(void*) noexcept;
ASHLAR_HIDDEN void ashlar_own_aligned_delete(void*, std::align_val_t) noexcept;
ASHLAR_HIDDEN void ashlar_own_aligned_delete_array(void*, std::align_val_t) noexcept;
}
asm(".set ashlar_own_new, _Znwm\n"
    ".set ashlar_own_new_array, _Znam\n"
    ".set ashlar_own_aligned_new, _ZnwmSt11align_val_t\n"
    ".set ashlar_own_aligned_new_array, _ZnamSt11align_val_t\n"
    ".set ashlar_own_delete, _ZdlPv\n"
    ".set ashlar_own_delete_array, _ZdaPv\n"
    ".set ashlar_own_aligned_delete, _ZdlPvSt11align_val_t\n"
    ".set ashlar_own_aligned_delete_array, _ZdaPvSt11align_val_t\n");

namespace {

using cxx::AlignedNew;
using cxx::New;
using Delete = void(void*) noexcept;
using AlignedDelete = void(void*, std::align_val_t) noexcept;

void* allocate(size_t size, size_t align) {
  return front::alloc_aligned(size, align);
}

ASHLAR_NOINLINE void* new_slow(size_t size, size_t align, const void* caller) {
  for (;;) {
    if (void* p = allocate(size, align)) return p;
    if (!cxx::run_new_handler(caller)) cxx::throw_bad_alloc(caller);
  }
}

ASHLAR_NOINLINE void* new_slow_nothrow(size_t size, size_t align, const void* caller) {
  for (;;) {
    if (void* p = allocate(size, align)) return p;
    if (!cxx::run_new_handler_nothrow(caller)) return nullptr;
  }
}

constexpr size_t number(std::align_val_t align) {
  return static_cast<size_t>(align);
}

// Whether the program calls Ashlar's. An array form is that only if the form it calls is, too.
ASHLAR_INLINE bool is_new_ours() {
  return static_cast<New*>(&::operator new) == &ashlar_own_new;
}
ASHLAR_INLINE bool is_new_array_ours() {
  return static_cast<New*>(&::operator new[]) == &ashlar_own_new_array && is_new_ours();
}
ASHLAR_INLINE bool is_aligned_new_ours() {
  return static_cast<AlignedNew*>(&::operator new) == &ashlar_own_aligned_new;
}
ASHLAR_INLINE bool is_aligned_new_array_ours() {
  return static_cast<AlignedNew*>(&::operator new[]) == &ashlar_own_aligned_new_array &&
         is_aligned_new_ours();
}
ASHLAR_INLINE bool is_delete_ours() {
  return static_cast<Delete*>(&::operator delete) == &ashlar_own_delete;
}
ASHLAR_INLINE bool is_delete_array_ours() {
  return static_cast<Delete*>(&::operator delete[]) == &ashlar_own_delete_array && is_delete_ours();
}
ASHLAR_INLINE bool is_aligned_delete_ours() {
  return static_cast<AlignedDelete*>(&::operator delete) == &ashlar_own_aligned_delete;
}
ASHLAR_INLINE bool is_aligned_delete_array_ours() {
  return static_cast<AlignedDelete*>(&::operator delete[]) == &ashlar_own_aligned_delete_array &&
         is_aligned_delete_ours();
}

}  // namespace

ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t size) {
  if (void* p = front::try_alloc(size)) [[likely]]
    return p;
  return new_slow(size, base::kGrain, __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t size) {
  if (!is_new_ours()) [[unlikely]]
    return ::operator new(size);
  if (void* p = front::try_alloc(size)) [[likely]]
    return p;
  return new_slow(size, base::kGrain, __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (!is_new_ours()) [[unlikely]]
    return cxx::call_nothrow(&::operator new, size);
  return new_slow_nothrow(size, base::kGrain, __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  if (!is_new_array_ours()) [[unlikely]]
    return cxx::call_nothrow(&::operator new[], size);
  return new_slow_nothrow(size, base::kGrain, __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t size, std::align_val_t align) {
  return new_slow(size, number(align), __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t size, std::align_val_t align) {
  if (!is_aligned_new_ours()) [[unlikely]]
    return ::operator new(size, align);
  return new_slow(size, number(align), __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new(size_t size, std::align_val_t align,
                                             const std::nothrow_t&) noexcept {
  if (!is_aligned_new_ours()) [[unlikely]]
    return cxx::call_nothrow(&::operator new, size, align);
  return new_slow_nothrow(size, number(align), __builtin_return_address(0));
}
ASHLAR_EXPORT ASHLAR_WEAK void* operator new[](size_t size, std::align_val_t align,
                                               const std::nothrow_t&) noexcept {
  if (!is_aligned_new_array_ours()) [[unlikely]]
    return cxx::call_nothrow(&::operator new[], size, align);
  return new_slow_nothrow(size, number(align), __builtin_return_address(0));
}

ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p) noexcept {
  front::free(p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p) noexcept {
  if (!is_delete_ours()) [[unlikely]]
    return ::operator delete(p);
  front::free(p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p, const std::nothrow_t&) noexcept {
  ::operator delete(p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p, const std::nothrow_t&) noexcept {
  ::operator delete[](p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p, size_t size) noexcept {
  if (!is_delete_ours()) [[unlikely]]
    return ::operator delete(p);
  front::free_sized(p, size);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p, size_t size) noexcept {
  if (!is_delete_array_ours()) [[unlikely]]
    return ::operator delete[](p);
  front::free_sized(p, size);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p, std::align_val_t) noexcept {
  front::free(p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p, std::align_val_t align) noexcept {
  if (!is_aligned_delete_ours()) [[unlikely]]
    return ::operator delete(p, align);
  front::free(p);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p, size_t size,
                                               std::align_val_t align) noexcept {
  if (!is_aligned_delete_ours()) [[unlikely]]
    return ::operator delete(p, align);
  front::free_aligned_sized(p, number(align), size);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p, size_t size,
                                                 std::align_val_t align) noexcept {
  if (!is_aligned_delete_array_ours()) [[unlikely]]
    return ::operator delete[](p, align);
  front::free_aligned_sized(p, number(align), size);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete(void* p, std::align_val_t align,
                                               const std::nothrow_t&) noexcept {
  ::operator delete(p, align);
}
ASHLAR_EXPORT ASHLAR_WEAK void operator delete[](void* p, std::align_val_t align,
                                                 const std::nothrow_t&) noexcept {
  ::operator delete[](p, align);
}
