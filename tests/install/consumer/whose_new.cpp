// whose_new.cpp -- a C++ program that is linked with Ashlar finds operator new replaced.
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "whose_malloc.h"

int main() {
  size_t before = live_bytes();
  auto bytes = std::make_unique<std::vector<char>>(3 << 20);
  expect_ours("operator new", before, 3 << 20);
  before = live_bytes();
  struct alignas(256) Wide {
    char bytes[100000];
  };
  auto wide = std::make_unique<Wide>();
  expect_ours("aligned operator new", before, sizeof(Wide));
  bool has_thrown = false;
  try {
    std::string impossible(PTRDIFF_MAX / 2, 'x');
    std::puts(impossible.c_str());
  } catch (const std::bad_alloc&) {
    has_thrown = true;
  }
  if (!has_thrown) {
    std::fprintf(stderr, "operator new throws no bad_alloc\n");
    return 1;
  }
  malloc_stats();
  std::puts(ashlar_version());
}
