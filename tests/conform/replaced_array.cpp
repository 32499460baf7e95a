// conform/replaced_array.cpp -- a program that defines new and delete for arrays alone.
//
// A user would notice: blocks of the program's own at a delete that does not know them, where an
// array has a destructor, and so a size.

#include "replaced.h"

void* operator new[](size_t size) {
  return replaced::give(size);
}
void operator delete[](void* p) noexcept {
  replaced::take(p);
}

int main() {
  replaced::expect_plain(false);
  replaced::expect_array(true);
  replaced::expect_aligned(false);
  replaced::expect_aligned_array(false);
}
