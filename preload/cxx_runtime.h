// preload/cxx_runtime.h -- what operator new needs of the C++ runtime.
//
// Idea
//   libashlar.so serves C programs, too, and must not drag a C++ runtime into them: it refers to
//   the runtime by weak names (weak_cxx.h), which are there whenever somebody can call operator
//   new. In libashlar.a the same code refers to it as usual.
#pragma once

#include <cstddef>

namespace cxx {

/// Calls the program's new_handler. False where there is none.
bool run_new_handler();

/// As run_new_handler; false also where the handler throws.
bool run_new_handler_nothrow() noexcept;

/// Throws std::bad_alloc.
[[noreturn]] void throw_bad_alloc();

}  // namespace cxx
