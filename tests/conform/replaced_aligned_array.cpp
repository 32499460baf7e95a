// conform/replaced_aligned_array.cpp -- a program that defines new and delete for aligned arrays.
//
// A user would notice: arrays of over-aligned objects end the program when they are deleted.

#include "replaced.h"

void* operator new[](size_t size, std::align_val_t align) {
  return replaced::give(size, static_cast<size_t>(align));
}
void operator delete[](void* p, std::align_val_t align) noexcept {
  replaced::take(p, static_cast<size_t>(align));
}

int main() {
  replaced::expect_plain(false);
  replaced::expect_array(false);
  replaced::expect_aligned(false);
  replaced::expect_aligned_array(true);
}
