// conform/replaced_aligned.cpp -- a program that defines new and delete with an alignment alone.
//
// A user would notice: over-aligned objects come from the program's own memory, and arrays of them
// do not; or they end it when they are deleted.

#include "replaced.h"

void* operator new(size_t size, std::align_val_t align) {
  return replaced::give(size, static_cast<size_t>(align));
}
void operator delete(void* p, std::align_val_t align) noexcept {
  replaced::take(p, static_cast<size_t>(align));
}

int main() {
  replaced::expect_plain(false);
  replaced::expect_array(false);
  replaced::expect_aligned(true);
  replaced::expect_aligned_array(true);
}
