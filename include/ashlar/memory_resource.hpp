// ashlar/memory_resource.hpp -- memory resources for the containers of std::pmr.
//
//   std::pmr::unordered_map<int, Session> sessions(ashlar::shared_resource());
//
//   ashlar::cache_resource memory("index");           // knows what it holds
//   std::pmr::map<int, std::pmr::string> index(&memory);
//   memory.info().live_bytes;
//
//   ashlar::monotonic_resource request;               // ends with everything in it
//   std::pmr::vector<std::pmr::string> words(&request);
//
// Which one
//   shared_resource()   the general caches: the memory that malloc has, by the size that is known.
//                       One for the whole program, for every thread, and for ever.
//   cache_resource      object caches of its own, by size: what lives in it is counted, shares no
//                       slab with anything else, and its slabs go back when it ends. For every
//                       thread. Blocks must be given back before it ends.
//   monotonic_resource  takes pages and gives parts of them, one behind the other; nothing goes
//                       back before all does. For one thread at a time.
//
// Exceptions: std::bad_alloc by allocate(), where memory is out and the program's new_handler knows
// no more.
#ifndef ASHLAR_MEMORY_RESOURCE_HPP
#define ASHLAR_MEMORY_RESOURCE_HPP

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>

#include "ashlar/cache.h"
#include "ashlar/general.hpp"
#include "ashlar/pages.h"

namespace ashlar {

// One for all parts of the program, also where what these define is hidden.
#pragma GCC visibility push(default)
namespace detail {

class general_resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t align) override {
    return allocate_bytes(bytes, align);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t align) override {
    free_bytes(p, bytes, align);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

}  // namespace detail
#pragma GCC visibility pop

/// The resource over the general caches. It is never destructed, so static containers may use it.
[[nodiscard, gnu::visibility("default")]] inline std::pmr::memory_resource*
shared_resource() noexcept {
  alignas(detail::general_resource) static unsigned char place[sizeof(detail::general_resource)];
  static std::pmr::memory_resource* const resource = ::new (place) detail::general_resource;
  return resource;
}

/// What a cache_resource holds.
struct resource_info {
  std::size_t live_blocks;  // count, of those in caches
  std::size_t live_bytes;   // of all blocks, those in caches as they were rounded
  std::size_t held_bytes;   // address space of slabs, and large blocks
  std::size_t caches;       // count
};

/// Blocks up to 1 KiB come from caches of its own, which are made as sizes are asked for: one for
/// 16 bytes each up to 128, then four to each power of two. What is larger, or aligned to more than
/// 16 bytes, comes from the general caches and is counted.
///
/// A process may have 54 caches with slabs of their own. A resource that finds none left takes its
/// blocks from slabs shared with malloc, and counts them all the same.
class cache_resource final : public std::pmr::memory_resource {
 public:
  /// The caches bear the name, of which 31 bytes are shown. Nothing is done yet, so nothing fails.
  explicit cache_resource(const char* name) noexcept : name_(name) {}
  /// Returns the slabs. Live blocks are misuse: those in slabs of its own are told with their
  /// number, and end the process.
  ~cache_resource() override {
    for (auto& cache : caches_) ashlar_cache_destroy(cache.load(std::memory_order_acquire));
  }
  cache_resource(const cache_resource&) = delete;
  cache_resource& operator=(const cache_resource&) = delete;

  /// What it holds now. Costs a fence over all CPUs for each size in use.
  [[nodiscard]] resource_info info() const noexcept {
    resource_info sum{};
    for (std::size_t i = 0; i < kClasses; ++i) {
      ashlar_cache* cache = caches_[i].load(std::memory_order_acquire);
      if (cache == nullptr) continue;
      ashlar_cache_info info;
      ashlar_cache_get_info(cache, &info);
      sum.live_blocks += info.live;
      sum.live_bytes += info.live * size_of(i);
      sum.held_bytes += info.held * info.stride;
      ++sum.caches;
    }
    std::size_t large = large_bytes_.load(std::memory_order_relaxed);
    sum.live_bytes += large;
    sum.held_bytes += large;
    return sum;
  }

  /// Gives free slabs back: the bytes that went to the heap.
  std::size_t shrink() noexcept {
    std::size_t bytes = 0;
    for (auto& slot : caches_) {
      ashlar_cache* cache = slot.load(std::memory_order_acquire);
      if (cache != nullptr) bytes += ashlar_cache_shrink(cache);
    }
    return bytes;
  }

 private:
  static constexpr std::size_t kLargest = 1024;
  static constexpr std::size_t kClasses = 20;

  static constexpr std::size_t class_of(std::size_t bytes) noexcept {
    std::size_t last = bytes == 0 ? 0 : bytes - 1;
    if (last < 128) return last / 16;
    // The power of two below, and which of the four steps above it.
    auto log = static_cast<std::size_t>(63 - __builtin_clzll(last));
    return 4 + (log - 7) * 4 + (last >> (log - 2));
  }
  static constexpr std::size_t size_of(std::size_t index) noexcept {
    return index < 8 ? (index + 1) * 16 : (5 + index % 4) << (3 + index / 4);
  }
  static constexpr bool every_size_fits() noexcept {
    for (std::size_t bytes = 1; bytes <= kLargest; ++bytes) {
      std::size_t index = class_of(bytes);
      if (size_of(index) < bytes || (index > 0 && size_of(index - 1) >= bytes)) return false;
    }
    return class_of(kLargest) == kClasses - 1;
  }
  static constexpr bool is_small(std::size_t bytes, std::size_t align) noexcept {
    return bytes <= kLargest && align <= kBlockAlign;
  }

  void* do_allocate(std::size_t bytes, std::size_t align) override {
    static_assert(every_size_fits());
    if (!is_small(bytes, align)) {
      void* p = allocate_bytes(bytes, align);
      large_bytes_.fetch_add(bytes, std::memory_order_relaxed);
      return p;
    }
    std::size_t index = class_of(bytes);
    ashlar_cache* cache = caches_[index].load(std::memory_order_acquire);
    void* p = cache == nullptr ? nullptr : ashlar_cache_alloc(cache, 0);
    return __builtin_expect(p != nullptr, 1) ? p : allocate_slow(index);
  }

  void do_deallocate(void* p, std::size_t bytes, std::size_t align) override {
    if (!is_small(bytes, align)) {
      large_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
      return free_bytes(p, bytes, align);
    }
    ashlar_cache_free(caches_[class_of(bytes)].load(std::memory_order_acquire), p);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  // The first block of a size, or memory is out.
  [[gnu::noinline, gnu::cold]] void* allocate_slow(std::size_t index) {
    auto attempt = [this, index] {
      ashlar_cache* cache = made_cache(index);
      return cache == nullptr ? nullptr : ashlar_cache_alloc(cache, 0);
    };
    if (void* p = attempt()) return p;
    return detail::insist(attempt);
  }

  // Two threads may both make one; then the first is kept.
  ashlar_cache* made_cache(std::size_t index) noexcept {
    ashlar_cache* first = caches_[index].load(std::memory_order_acquire);
    if (first != nullptr) return first;
    ashlar_cache_args args{0, ASHLAR_CACHE_NO_MERGE, nullptr, nullptr, nullptr};
    ashlar_cache* made = ashlar_cache_create(name_, size_of(index), &args);
    if (made == nullptr && errno == ENOSPC) {
      args.flags = ASHLAR_CACHE_COUNT;
      made = ashlar_cache_create(name_, size_of(index), &args);
    }
    if (made == nullptr) return caches_[index].load(std::memory_order_acquire);
    if (caches_[index].compare_exchange_strong(first, made, std::memory_order_acq_rel)) return made;
    ashlar_cache_destroy(made);
    return first;
  }

  const char* name_;
  std::atomic<ashlar_cache*> caches_[kClasses] = {};
  std::atomic<std::size_t> large_bytes_{0};
};

/// Memory that is given once and ends as a whole: deallocate() does nothing. Blocks of pages are
/// taken as needed, each twice as large as the one before, up to 4 MiB or what the first one has; a
/// request above half of the next one's size has a block of its own. An allocation costs an
/// addition and a comparison.
class monotonic_resource final : public std::pmr::memory_resource {
 public:
  /// The first block has so many bytes, rounded up to 4 KiB, and is taken when it is needed.
  explicit monotonic_resource(std::size_t first_bytes = 16384) noexcept
      : first_bytes_(std::min(std::max(first_bytes, kPage), kMostBytes)),
        next_bytes_(first_bytes_) {}
  ~monotonic_resource() override { release(); }
  monotonic_resource(const monotonic_resource&) = delete;
  monotonic_resource& operator=(const monotonic_resource&) = delete;

  /// Gives all memory back and begins anew. Containers in it must have ended.
  void release() noexcept {
    while (blocks_ != nullptr) {
      block* next = blocks_->next;
      ashlar_pages_free(blocks_);
      blocks_ = next;
    }
    free_ = nullptr;
    left_ = held_bytes_ = 0;
    next_bytes_ = first_bytes_;
  }

  /// The bytes of all its blocks.
  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_bytes_; }

 private:
  // At the start of each block.
  struct block {
    block* next;
  };
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kLargestBlock = std::size_t{4} << 20;

  void* do_allocate(std::size_t bytes, std::size_t align) override {
    if (bytes == 0) bytes = 1;
    if (void* p = cut(free_, left_, bytes, align)) return p;
    return allocate_slow(bytes, align);
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  // The first part of what is left, if it is enough.
  static void* cut(void*& from, std::size_t& left, std::size_t bytes, std::size_t align) noexcept {
    void* p = std::align(align, bytes, from, left);
    if (p == nullptr) return nullptr;
    from = static_cast<char*>(p) + bytes;
    left -= bytes;
    return p;
  }

  [[gnu::noinline]] void* allocate_slow(std::size_t bytes, std::size_t align) {
    std::size_t least = sizeof(block) + align + bytes;
    if (least < bytes || least > kMostBytes) detail::throw_bad_alloc();
    std::size_t usual = next_bytes_;
    next_bytes_ = std::min(2 * next_bytes_, std::max(first_bytes_, kLargestBlock));
    bool is_alone = least > usual / 2;
    std::size_t size = ((is_alone ? least : usual) + kPage - 1) & ~(kPage - 1);
    if (is_alone) {
      // What is left of the current block serves the small requests that follow.
      void* start = take_block(size);
      return cut(start, size, bytes, align);
    }
    free_ = take_block(size);
    left_ = size;
    return cut(free_, left_, bytes, align);
  }

  // A block of `size` bytes; where its room starts, and in `size` how much that is.
  void* take_block(std::size_t& size) {
    void* memory = ashlar_pages_get_exact(size, 0);
    if (memory == nullptr) {
      memory = detail::insist([size] { return ashlar_pages_get_exact(size, 0); });
    }
    blocks_ = ::new (memory) block{blocks_};
    held_bytes_ += size;
    size -= sizeof(block);
    return blocks_ + 1;
  }

  static constexpr std::size_t kMostBytes = ~std::size_t{0} >> 1;

  block* blocks_ = nullptr;
  void* free_ = nullptr;
  std::size_t left_ = 0;
  std::size_t held_bytes_ = 0;
  std::size_t first_bytes_;
  std::size_t next_bytes_;
};

}  // namespace ashlar

#endif
