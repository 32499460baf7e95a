// conform/late_cxx_aligned_plugin.cpp -- a library for late_cxx.c that knows one form of operator
// new: of a runtime that is linked into it, there is no other.

#include <cstddef>
#include <cstdint>
#include <new>

extern "C" [[gnu::visibility("default")]] const char* check() {
  volatile size_t impossible = size_t{PTRDIFF_MAX} - 4096;  // the compiler must not judge it
  try {
    (void)::operator new (impossible, std::align_val_t{64});
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return "no bad_alloc";
}
