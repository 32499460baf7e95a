// preload/cxx_runtime.h -- what operator new needs of the C++ runtime.
//
// Idea
//   What throws, catches and knows the new_handler is the runtime's. libashlar.a is linked together
//   with it (cxx_linked.cpp). libashlar.so serves C programs, too, and must not drag a C++ runtime
//   into them: there it is looked for when it is needed (cxx_late.cpp), which is when memory is
//   out. To catch looks the same in both (cxx_runtime.cpp).
//
//   `caller` is an address in the code that called operator new: a process may have several
//   runtimes.
#pragma once

#include <cstddef>
#include <new>

namespace ashlar::cxx {

using New = void*(size_t size);
using AlignedNew = void*(size_t size, std::align_val_t align);

/// The program's new_handler; null where there is none, or no runtime that could have one.
std::new_handler new_handler(const void* caller);

/// Throws std::bad_alloc. Ends the process where there is no runtime.
[[noreturn]] void throw_bad_alloc(const void* caller);

/// Calls the program's new_handler. False where there is none.
bool run_new_handler(const void* caller);

/// As run_new_handler; false also where the handler throws.
bool run_new_handler_nothrow(const void* caller);

/// What `form`, which the program defines, gives. Null where it throws.
void* call_nothrow(New* form, size_t size);
void* call_nothrow(AlignedNew* form, size_t size, std::align_val_t align);

}  // namespace ashlar::cxx
