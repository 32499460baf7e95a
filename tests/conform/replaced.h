// conform/replaced.h -- what the programs share that define some forms of operator new themselves.
//
// Idea
//   A program's own form puts a mark in front of each block, so that its blocks begin inside of
//   malloc's, and whoever else is given one back will not take it. It counts what is live.
//
//   Forms come in four groups: for an object and for an array, without and with an alignment. In
//   each group one form of new and one of delete is what the others are defined by.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <new>

// As <new> has them, which clang shows to no program that does not ask for them.
void operator delete(void*, size_t) noexcept;
void operator delete[](void*, size_t) noexcept;
void operator delete(void*, size_t, std::align_val_t) noexcept;
void operator delete[](void*, size_t, std::align_val_t) noexcept;

namespace replaced {

inline long live = 0;
inline bool refuses = false;  // the program's forms throw
constexpr unsigned long kMark = 0x5ca1ab1e0ddba11;
constexpr std::align_val_t kAlign{64};
constexpr size_t kSize = 100;

inline void* give(size_t size, size_t align = 16) {
  if (refuses) throw std::bad_alloc();
  char* block = static_cast<char*>(aligned_alloc(align, (size + 2 * align - 1) & ~(align - 1)));
  if (block == nullptr) throw std::bad_alloc();
  *reinterpret_cast<unsigned long*>(block) = kMark;
  ++live;
  return block + align;
}

inline void take(void* p, size_t align = 16) noexcept {
  if (p == nullptr) return;
  char* block = static_cast<char*>(p) - align;
  if (*reinterpret_cast<unsigned long*>(block) != kMark) {
    puts("the program's delete is given a block that is not its own");
    _Exit(1);
  }
  *reinterpret_cast<unsigned long*>(block) = 0;
  --live;
  free(block);
}

/// Ends the program unless `make` comes to a form of the program's, if `is_ours`, and `unmake` too.
template <class Make, class Unmake>
void expect(const char* form, bool is_ours, Make make, Unmake unmake) {
  void* p = make();
  const long made = live;
  if (p != nullptr) unmake(p);
  if (p != nullptr && made == (is_ours ? 1 : 0) && live == 0) return;
  printf("%s: block at %p, %ld live after new, %ld after delete\n", form, p, made, live);
  fflush(stdout);
  _Exit(1);
}

/// Ends the program unless `make` gives null where the program's forms throw.
template <class Make>
void expect_null(const char* form, Make make) {
  refuses = true;
  void* p = make();
  refuses = false;
  if (p == nullptr) return;
  printf("%s: a block where the program's own throws\n", form);
  fflush(stdout);
  _Exit(1);
}

inline void expect_plain(bool is_ours) {
  const auto make = [] { return ::operator new(kSize); };
  const auto quiet = [] { return ::operator new(kSize, std::nothrow); };
  expect("new, delete", is_ours, make, [](void* p) { ::operator delete(p); });
  expect("new, sized", is_ours, make, [](void* p) { ::operator delete(p, kSize); });
  expect("new, nothrow delete", is_ours, make, [](void* p) { ::operator delete(p, std::nothrow); });
  expect("nothrow new", is_ours, quiet, [](void* p) { ::operator delete(p, kSize); });
  if (is_ours) expect_null("nothrow new", quiet);
}

inline void expect_array(bool is_ours) {
  const auto make = [] { return ::operator new[](kSize); };
  const auto quiet = [] { return ::operator new[](kSize, std::nothrow); };
  expect("new[], delete[]", is_ours, make, [](void* p) { ::operator delete[](p); });
  expect("new[], sized", is_ours, make, [](void* p) { ::operator delete[](p, kSize); });
  expect("new[], nothrow delete[]", is_ours, make,
         [](void* p) { ::operator delete[](p, std::nothrow); });
  expect("nothrow new[]", is_ours, quiet, [](void* p) { ::operator delete[](p, kSize); });
  if (is_ours) expect_null("nothrow new[]", quiet);
}

inline void expect_aligned(bool is_ours) {
  const auto make = [] { return ::operator new(kSize, kAlign); };
  const auto quiet = [] { return ::operator new(kSize, kAlign, std::nothrow); };
  expect("aligned new, delete", is_ours, make, [](void* p) { ::operator delete(p, kAlign); });
  expect("aligned new, sized", is_ours, make, [](void* p) { ::operator delete(p, kSize, kAlign); });
  expect("aligned new, nothrow delete", is_ours, make,
         [](void* p) { ::operator delete(p, kAlign, std::nothrow); });
  expect("aligned nothrow new", is_ours, quiet,
         [](void* p) { ::operator delete(p, kSize, kAlign); });
  if (is_ours) expect_null("aligned nothrow new", quiet);
}

inline void expect_aligned_array(bool is_ours) {
  const auto make = [] { return ::operator new[](kSize, kAlign); };
  const auto quiet = [] { return ::operator new[](kSize, kAlign, std::nothrow); };
  expect("aligned new[], delete[]", is_ours, make, [](void* p) { ::operator delete[](p, kAlign); });
  expect("aligned new[], sized", is_ours, make,
         [](void* p) { ::operator delete[](p, kSize, kAlign); });
  expect("aligned new[], nothrow delete[]", is_ours, make,
         [](void* p) { ::operator delete[](p, kAlign, std::nothrow); });
  expect("aligned nothrow new[]", is_ours, quiet,
         [](void* p) { ::operator delete[](p, kSize, kAlign); });
  if (is_ours) expect_null("aligned nothrow new[]", quiet);
}

}  // namespace replaced
