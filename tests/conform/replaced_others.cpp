// conform/replaced_others.cpp -- a program that defines forms which no other form is defined by.
//
// A user would notice: it cannot be linked with libashlar.a; or plain forms are served by those.

#include "replaced.h"

namespace {
int quiet_news = 0;
int sized_deletes = 0;
}  // namespace

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++quiet_news;
  return malloc(size);
}
void operator delete(void* p, size_t) noexcept {
  ++sized_deletes;
  free(p);
}

int main() {
  replaced::expect_plain(false);
  replaced::expect_array(false);
  replaced::expect_aligned(false);
  replaced::expect_aligned_array(false);
  if (quiet_news == 1 && sized_deletes == 2) return 0;
  printf("%d calls of the program's nothrow new (1), %d of its sized delete (2)\n", quiet_news,
         sized_deletes);
  return 1;
}
