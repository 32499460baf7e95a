#include "preload/cxx_runtime.h"

namespace ashlar::cxx {

bool run_new_handler(const void* caller) {
  std::new_handler handler = new_handler(caller);
  if (handler == nullptr) return false;
  handler();
  return true;
}

// What catches must not use the exception, nor be noexcept: see cxx_late.cpp.
bool run_new_handler_nothrow(const void* caller) {
  try {
    return run_new_handler(caller);
  } catch (...) {
    return false;
  }
}

void* call_nothrow(New* form, size_t size) {
  try {
    return form(size);
  } catch (...) {
    return nullptr;
  }
}

void* call_nothrow(AlignedNew* form, size_t size, std::align_val_t align) {
  try {
    return form(size, align);
  } catch (...) {
    return nullptr;
  }
}

}  // namespace ashlar::cxx
