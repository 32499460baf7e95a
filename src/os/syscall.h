// os/syscall.h -- system calls without libc.
//
// Idea
//   libc's wrappers write errno, may be interposed by the program, and some may allocate. An
//   allocator below libc speaks to the kernel itself. A call returns the kernel's own answer: a
//   value, or -errno.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include "os/syscall_x86_64.h"
#elif defined(__aarch64__)
#include "os/syscall_aarch64.h"
#else
#error "Ashlar speaks to Linux on x86-64 and aarch64; add os/syscall_<machine>.h"
#endif

namespace ashlar::os {

/// Whether a system call's answer is an error, -errno.
constexpr bool is_error(long answer) {
  return static_cast<unsigned long>(answer) > static_cast<unsigned long>(-4096);
}

template <class T>
long word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}
template <class T>
constexpr long word(T number) {
  return static_cast<long>(number);
}

template <class A = long, class B = long, class C = long, class D = long, class E = long,
          class F = long>
long call(long number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0, F f = 0) {
  return raw_call(number, word(a), word(b), word(c), word(d), word(e), word(f));
}

}  // namespace ashlar::os
