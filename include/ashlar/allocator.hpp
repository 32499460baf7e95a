// ashlar/allocator.hpp -- an allocator for the standard containers, without state.
//
//   std::map<Key, Value, std::less<>, ashlar::allocator<std::pair<const Key, Value>>> index;
//   auto session = std::allocate_shared<Session>(ashlar::allocator<Session>{}, 7);
//
// Nodes, which containers ask for one by one, come from object caches, one for each size and
// alignment, which are the same for the whole program. Arrays come from the general caches and go
// back with their size. What a block has beyond what was asked for is told by allocate_at_least(),
// in C++17 already; containers use it from C++23 on.
//
// All allocators are equal, so containers of equal type may swap, move and splice as with
// std::allocator; and memory may be freed at any time, also while the program ends.
//
// Exceptions: as operator new: the new_handler is asked, then std::bad_alloc; and
// std::bad_array_new_length where the number is too large for any address space.
// Threads: every thread. Cost: as malloc and free, without their look at what size it is.
#ifndef ASHLAR_ALLOCATOR_HPP
#define ASHLAR_ALLOCATOR_HPP

#include <cstddef>
#include <limits>
#include <memory>
#include <type_traits>

#include "ashlar/cache_handle.hpp"
#include "ashlar/general.hpp"

namespace ashlar {

namespace detail {

/// Beyond this a node comes from the general caches: it is no small object any more.
inline constexpr std::size_t kLargestNode = 32768;

/// The cache of the nodes of a size and alignment, initialised at compile time. One for the whole
/// program, whatever else the program hides: nodes pass between its parts.
template <std::size_t size, std::size_t align>
[[gnu::visibility("default")]] inline cache_handle node_cache{
    "ashlar::allocator", size, {align, 0, nullptr, nullptr, nullptr}};

}  // namespace detail

/// What allocate_at_least() returns: the standard's type where there is one.
#if defined(__cpp_lib_allocate_at_least)
template <class Pointer>
using allocation_result = std::allocation_result<Pointer>;
#else
template <class Pointer>
struct allocation_result {
  Pointer ptr;
  std::size_t count;
};
#endif

template <class T>
class allocator {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using propagate_on_container_move_assignment = std::true_type;
  using is_always_equal = std::true_type;

  constexpr allocator() noexcept = default;
  template <class U>
  constexpr allocator(const allocator<U>&) noexcept {}

  /// Room for n T's, aligned for them.
  [[nodiscard]] T* allocate(std::size_t n) {
    if (kIsNode && n == 1) return static_cast<T*>(allocate_node());
    if (n > kMost) detail::throw_bad_length();
    return static_cast<T*>(allocate_bytes(n * sizeof(T), alignof(T)));
  }

  /// Takes back what allocate(n), or allocate_at_least() of n up to its count, gave.
  void deallocate(T* p, std::size_t n) noexcept {
    if (kIsNode && n == 1) {
      ashlar_cache_free(nodes().existing(), p);
    } else {
      free_bytes(p, n * sizeof(T), alignof(T));
    }
  }

  /// Room for n T's or as many more as fit into the block that n of them take.
  [[nodiscard]] allocation_result<T*> allocate_at_least(std::size_t n) {
    std::size_t count = n;
    if ((!kIsNode || n > 1) && alignof(T) <= kBlockAlign && n <= kMost) {
      std::size_t room = ashlar_kmalloc_size(n * sizeof(T)) / sizeof(T);
      if (room > n && room <= kMost) count = room;
    }
    return {allocate(count), count};
  }

 private:
  static constexpr std::size_t kMost = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T);
  static constexpr std::size_t kAlign = alignof(T) > kBlockAlign ? alignof(T) : kBlockAlign;
  // Types whose nodes take the same memory share a cache.
  static constexpr std::size_t kNodeSize = (sizeof(T) + kBlockAlign - 1) & ~(kBlockAlign - 1);
  static constexpr bool kIsNode = sizeof(T) <= detail::kLargestNode;

  static cache_handle& nodes() noexcept { return detail::node_cache<kNodeSize, kAlign>; }

  static void* allocate_node() {
    if (ashlar_cache* cache = nodes().existing()) {
      void* node = ashlar_cache_alloc(cache, 0);
      if (__builtin_expect(node != nullptr, 1)) return node;
    }
    return allocate_node_slow();
  }
  // The first node of this size, or memory is out.
  [[gnu::noinline, gnu::cold]] static void* allocate_node_slow() {
    auto attempt = [] {
      ashlar_cache* cache = nodes().native_handle();
      return cache == nullptr ? nullptr : ashlar_cache_alloc(cache, 0);
    };
    if (void* node = attempt()) return node;
    return detail::insist(attempt);
  }
};

template <class T, class U>
constexpr bool operator==(const allocator<T>&, const allocator<U>&) noexcept {
  return true;
}
template <class T, class U>
constexpr bool operator!=(const allocator<T>&, const allocator<U>&) noexcept {
  return false;
}

}  // namespace ashlar

#endif
