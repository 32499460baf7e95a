// ashlar/reuse_cache.hpp -- a cache whose objects stay constructed while they are free.
//
//   static ashlar::reuse_cache parsers{"parser",
//                                      [] { return Parser(4096); },         // once per object
//                                      [](Parser& parser) { parser.clear(); }};  // at each release
//
//   if (auto parser = parsers.acquire_unique()) parser->parse(text);
//
// For what is costly to make and cheap to clean up: a mutex, a vector with capacity, the state of a
// parser. An object is constructed when its memory is first used and destructed when that goes
// back to the system; in between it is acquired and released as often as one likes, for the price
// of a free list. So it must be released as the constructor made it: unlocked, empty, its buffers
// there. What is to be done for that may be said once, as the third argument.
//
// Which one: reuse_cache for static objects, scoped_reuse_cache for all others, as told in
// ashlar/object_cache.hpp. At the end of a scoped one no object may be in use: that is misuse, and
// ends the process. Those of a static cache are not destructed when the program ends.
//
// Exceptions: none of its own; null where memory is out. What the constructor throws does not
// unwind through the library: it is caught where it leaves the constructor, kept for the thread,
// and thrown again by the acquire() that gets no object for it. (Some are made in advance: if one
// of those fails, nobody is told.) The memory stays in the cache and is constructed another time.
// With -fno-exceptions there is nothing to catch. A thread that is cancelled inside the constructor
// (pthread_cancel(), pthread_exit()) ends the process: it, too, would have to unwind from there.
//
// Threads: every function may be called from every thread, and so are the constructor (by the
// thread that acquires), the destructor (by any that frees memory; see ASHLAR_CACHE_KEEP) and the
// function for releases. The constructor may use this very cache. Signals: as ashlar/cache.h.
//
// Source: J. Bonwick, The Slab Allocator, USENIX 1994.
#ifndef ASHLAR_REUSE_CACHE_HPP
#define ASHLAR_REUSE_CACHE_HPP

#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "ashlar/object_cache.hpp"

namespace ashlar {

// One for all parts of the program, also where what these define is hidden.
#pragma GCC visibility push(default)
namespace detail {

/// What a constructor has thrown, on its way past the library. One for each thread; never
/// destructed, since other objects of the thread may acquire when they end.
struct thrown {
  alignas(std::exception_ptr) unsigned char bytes[sizeof(std::exception_ptr)];
  bool is_set;
};
inline thread_local thrown g_thrown{};

inline void keep_thrown() noexcept {
  auto* kept = reinterpret_cast<std::exception_ptr*>(g_thrown.bytes);
  if (!g_thrown.is_set) ::new (g_thrown.bytes) std::exception_ptr;
  g_thrown.is_set = true;
  *std::launder(kept) = std::current_exception();
}

/// Throws what the constructor has, if that is why there is no object.
[[gnu::noinline, gnu::cold]] inline void rethrow_thrown() {
  if (errno != ECANCELED || !g_thrown.is_set) return;
  auto* kept = std::launder(reinterpret_cast<std::exception_ptr*>(g_thrown.bytes));
  std::exception_ptr exception = std::move(*kept);
  kept->~exception_ptr();
  g_thrown.is_set = false;
  std::rethrow_exception(std::move(exception));
}

}  // namespace detail
#pragma GCC visibility pop

/// Makes a T by its default constructor.
template <class T>
struct construct_default {
  T operator()() const { return T(); }
};

/// Leaves an object as it is.
struct restore_nothing {
  template <class T>
  void operator()(T&) const noexcept {}
};

/// T         what is cached; it need not be movable.
/// Construct called without arguments, returns a T, may throw.
/// Restore   called with a T& when it is released; must not throw.
template <class T, class Construct = construct_default<T>, class Restore = restore_nothing>
class reuse_cache : public cache_handle {
  static_assert(std::is_trivially_destructible_v<Construct> &&
                    std::is_trivially_destructible_v<Restore>,
                "a static cache outlives what its functions would hold: have them hold pointers");

 public:
  /// Gives an object back; what std::unique_ptr needs to know.
  struct releaser {
    reuse_cache* cache;
    void operator()(T* object) const noexcept { cache->release(object); }
  };
  using unique_ptr = std::unique_ptr<T, releaser>;

  /// name, of which 31 bytes are shown, must stay; flags are those of ashlar_cache_create() that
  /// go with a constructor. Nothing is done yet, so nothing fails.
  constexpr explicit reuse_cache(const char* name, Construct construct = {}, Restore restore = {},
                                 unsigned flags = 0) noexcept
      : cache_handle(name, sizeof(T), detail::cache_args<T>(flags, run_construct, run_destruct)),
        construct_(construct),
        restore_(restore) {}

  /// A constructed object. Null and errno (ENOMEM; with ASHLAR_CACHE_NO_MERGE ENOSPC where there
  /// are too many caches) where memory is out; throws what the constructor throws. flags are those
  /// of ashlar/flags.h: with ASHLAR_NOWAIT null and EAGAIN where nothing lies ready. A few
  /// nanoseconds where one is ready.
  [[nodiscard]] T* acquire(unsigned flags = 0) {
    ashlar_cache* cache = native_handle();
    if (cache == nullptr) return nullptr;
    void* object = ashlar_cache_alloc(cache, flags);
    if (object == nullptr) detail::rethrow_thrown();
    return static_cast<T*>(object);
  }

  /// The same, given back by itself.
  [[nodiscard]] unique_ptr acquire_unique(unsigned flags = 0) {
    return unique_ptr(acquire(flags), releaser{this});
  }

  /// Takes an object of this cache back, after restore; null does nothing. A few nanoseconds.
  void release(T* object) noexcept {
    if (object == nullptr) return;
    restore_(*object);
    ashlar_cache_free(existing(), object);
  }

  /// `count` constructed objects into `objects`: all of them, or none. False and errno where memory
  /// is out; throws what a constructor throws. What `objects` holds is then of no meaning.
  [[nodiscard]] bool acquire_bulk(T** objects, std::size_t count) {
    ashlar_cache* cache = native_handle();
    std::size_t made = 0;
    while (cache != nullptr && made < count) {
      void* chunk[detail::kBulk];
      std::size_t some = std::min(count - made, detail::kBulk);
      if (ashlar_cache_alloc_bulk(cache, 0, some, chunk) == 0) {
        give_back(objects, made);  // leaves errno as it is
        detail::rethrow_thrown();
        return false;
      }
      for (std::size_t i = 0; i < some; ++i) objects[made++] = static_cast<T*>(chunk[i]);
    }
    return cache != nullptr;
  }

  /// Takes `count` objects of this cache back, each after restore.
  void release_bulk(T* const* objects, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) restore_(*objects[i]);
    give_back(objects, count);
  }

 private:
  // What the C cache calls to make an object.
  static int run_construct(void* memory, void* data) {
    auto* self = static_cast<reuse_cache*>(static_cast<cache_handle*>(data));
#if defined(__cpp_exceptions)
    try {
      ::new (memory) T(self->construct_());
      return 0;
    } catch (...) {
      detail::keep_thrown();
      return 1;
    }
#else
    ::new (memory) T(self->construct_());
    return 0;
#endif
  }
  static void run_destruct(void* object, void*) {
    static_cast<T*>(object)->~T();
  }

  void give_back(T* const* objects, std::size_t count) noexcept {
    detail::in_chunks(objects, count, [this](std::size_t some, void* const* chunk) {
      ashlar_cache_free_bulk(existing(), some, chunk);
    });
  }

  Construct construct_;
  Restore restore_;
};

// The type of the objects is what the first function returns.
template <class Construct>
reuse_cache(const char*, Construct)
    -> reuse_cache<std::decay_t<std::invoke_result_t<Construct&>>, Construct>;
template <class Construct, class Restore>
reuse_cache(const char*, Construct, Restore, unsigned = 0)
    -> reuse_cache<std::decay_t<std::invoke_result_t<Construct&>>, Construct, Restore>;

/// A reuse cache for anything that is not static: its end destructs what is free.
template <class T, class Construct = construct_default<T>, class Restore = restore_nothing>
class scoped_reuse_cache : public reuse_cache<T, Construct, Restore> {
 public:
  using reuse_cache<T, Construct, Restore>::reuse_cache;
  ~scoped_reuse_cache() { this->end(); }
};

template <class Construct>
scoped_reuse_cache(const char*, Construct)
    -> scoped_reuse_cache<std::decay_t<std::invoke_result_t<Construct&>>, Construct>;
template <class Construct, class Restore>
scoped_reuse_cache(const char*, Construct, Restore, unsigned = 0)
    -> scoped_reuse_cache<std::decay_t<std::invoke_result_t<Construct&>>, Construct, Restore>;

}  // namespace ashlar

#endif
