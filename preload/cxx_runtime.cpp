#include "preload/cxx_runtime.h"

#include <new>

namespace std {
[[noreturn]] void __throw_bad_alloc();  // libstdc++'s and libc++'s way to throw without a type
}

namespace cxx {
namespace {

// Through a volatile pointer, since the compiler holds that no function's address is null.
template <class F>
F* if_present(F* function) {
  F* volatile present = function;
  return present;
}

}  // namespace

bool run_new_handler() {
  auto* get_handler = if_present(&std::get_new_handler);
  std::new_handler handler = get_handler == nullptr ? nullptr : get_handler();
  if (handler == nullptr) return false;
  handler();
  return true;
}

bool run_new_handler_nothrow() noexcept {
  try {
    return run_new_handler();
  } catch (...) {
    return false;
  }
}

void throw_bad_alloc() {
  if (auto* thrower = if_present(&std::__throw_bad_alloc)) thrower();
  __builtin_trap();  // operator new without a C++ runtime: nobody could catch
}

}  // namespace cxx
