// ashlar/cache_handle.hpp -- an object cache that is made when it is first used.
//
// What object_cache, reuse_cache and the nodes of allocator have in common. A handle is initialised
// at compile time and its end does nothing: a static one may be used before main() and by the
// destructors of other static objects, costs no guard variable, and the objects that are live when
// the program ends do no harm. The cache itself lives from the first use as long as the process,
// unless the handle is one of those that end it (scoped_object_cache, scoped_reuse_cache).
#ifndef ASHLAR_CACHE_HANDLE_HPP
#define ASHLAR_CACHE_HANDLE_HPP

#include <atomic>
#include <cstddef>

#include "ashlar/cache.h"

namespace ashlar {

/// The base of the typed caches. Neither copied nor moved: the cache knows where it stands.
class cache_handle {
 public:
  /// name, which must stay, size in bytes and args as for ashlar_cache_create(); args.data becomes
  /// the handle.
  constexpr cache_handle(const char* name, std::size_t size, const ashlar_cache_args& args) noexcept
      : name_(name), size_(size), args_(args) {}
  cache_handle(const cache_handle&) = delete;
  cache_handle& operator=(const cache_handle&) = delete;

  /// The cache, for the functions of ashlar/cache.h; made if it is not yet there. Null and errno
  /// where that cannot be, which may be tried again. Every thread; no lock. One load and a test.
  [[nodiscard]] ashlar_cache* native_handle() noexcept {
    ashlar_cache* cache = existing();
    return __builtin_expect(cache != nullptr, 1) ? cache : create();
  }

  /// The cache, null if it has not been used yet. Every thread; one load.
  [[nodiscard]] ashlar_cache* existing() const noexcept {
    return cache_.load(std::memory_order_acquire);
  }

  /// Gives back the slabs in which nothing is live: the bytes that went to the heap. Costs a fence
  /// over all CPUs.
  std::size_t shrink() noexcept {
    ashlar_cache* cache = existing();
    return cache == nullptr ? 0 : ashlar_cache_shrink(cache);
  }

  /// What is known of the cache; all zero but for name and size before its first use. `live` is
  /// known of caches with a constructor or with ASHLAR_CACHE_NO_MERGE or ASHLAR_CACHE_COUNT. Costs
  /// a fence over all CPUs.
  [[nodiscard]] ashlar_cache_info info() const noexcept {
    ashlar_cache_info info{};
    info.name = name_;
    info.size = size_;
    if (ashlar_cache* cache = existing()) ashlar_cache_get_info(cache, &info);
    return info;
  }

 protected:
  /// Ends the cache, which must be its last use. With live objects that is misuse.
  void end() noexcept { ashlar_cache_destroy(existing()); }

 private:
  // Two threads may both make one; then the first is kept.
  [[gnu::noinline, gnu::cold]] ashlar_cache* create() noexcept {
    ashlar_cache_args args = args_;
    args.data = this;
    ashlar_cache* made = ashlar_cache_create(name_, size_, &args);
    if (made == nullptr) return existing();
    ashlar_cache* first = nullptr;
    if (cache_.compare_exchange_strong(first, made, std::memory_order_acq_rel)) return made;
    ashlar_cache_destroy(made);
    return first;
  }

  std::atomic<ashlar_cache*> cache_{nullptr};
  const char* name_;
  std::size_t size_;
  ashlar_cache_args args_;
};

}  // namespace ashlar

#endif
