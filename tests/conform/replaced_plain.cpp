// conform/replaced_plain.cpp -- a program that defines the plain new and delete, and no other form.
//
// A user would notice: a program that counts what it has, or sets a size in front of each block,
// ends at the first sized delete, or does not see its arrays.

#include "replaced.h"

void* operator new(size_t size) {
  return replaced::give(size);
}
void operator delete(void* p) noexcept {
  replaced::take(p);
}

int main() {
  replaced::expect_plain(true);
  replaced::expect_array(true);
  replaced::expect_aligned(false);
  replaced::expect_aligned_array(false);
}
