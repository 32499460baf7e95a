// preload/cxx_linked.cpp -- the C++ runtime as libashlar.a has it: linked into the same program.
#include "preload/cxx_runtime.h"

namespace std {
[[noreturn]] void __throw_bad_alloc();  // libstdc++'s and libc++'s way to throw without a type
}

namespace ashlar::cxx {

std::new_handler new_handler(const void*) {
  return std::get_new_handler();
}

void throw_bad_alloc(const void*) {
  std::__throw_bad_alloc();
}

}  // namespace ashlar::cxx
