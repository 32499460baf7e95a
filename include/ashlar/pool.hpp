// ashlar/pool.hpp -- a reserve of objects of one type, so that some requests do not fail.
//
//   ashlar::pool<Packet> packets(64, "packet");   // 64 of them always come through
//
//   Packet* packet = packets.make(source);        // waits for one to be destroyed, if it must
//   packets.destroy(packet);
//   if (auto reply = packets.try_make_unique_for(10ms, source)) ...
//
// What a pool promises is told in ashlar/pool.h. It is over a cache of its own, or in front of an
// object_cache, which must outlive it. The names are those of std::timed_mutex: make() waits as
// long as it takes, try_make() not at all, try_make_for() so long.
//
// Lifetime: at the end of a pool with a cache of its own all objects must be back; those of a pool
// over an object_cache belong to that from then on. A static pool ends with the program, and
// before static objects that were made earlier.
//
// Exceptions: std::bad_alloc by the constructors, where the reserve cannot be filled, but for those
// that take std::nothrow. The others throw none of their own; null where there is no object. What a
// constructor of T throws passes through, and the memory is back in the pool by then.
// Threads: every function may be called from every thread. Signals: not from a handler.
#ifndef ASHLAR_POOL_HPP
#define ASHLAR_POOL_HPP

#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "ashlar/general.hpp"
#include "ashlar/object_cache.hpp"
#include "ashlar/pool.h"

namespace ashlar {

template <class T>
class pool {
 public:
  /// Gives an object back; what std::unique_ptr needs to know.
  struct deleter {
    pool* owner;
    void operator()(T* object) const noexcept { owner->destroy(object); }
  };
  using unique_ptr = std::unique_ptr<T, deleter>;

  /// A reserve of `least` objects, from 1 to 1,048,576, over a cache of its own by this name, which
  /// must stay. Throws std::bad_alloc where memory is out or least is not allowed.
  explicit pool(std::size_t least, const char* name = "pool") : pool(std::nothrow, least, name) {
    if (pool_ == nullptr) detail::throw_bad_alloc();
  }
  /// The same over a cache that outlives the pool.
  pool(std::size_t least, object_cache<T>& cache) : pool(std::nothrow, least, cache) {
    if (pool_ == nullptr) detail::throw_bad_alloc();
  }
  /// The same two without the exception: then the pool is false, and errno tells (ENOMEM, EINVAL).
  pool(std::nothrow_t, std::size_t least, const char* name = "pool") noexcept
      : own_(name), pool_(over(own_, least)) {}
  pool(std::nothrow_t, std::size_t least, object_cache<T>& cache) noexcept
      : own_("pool"), pool_(over(cache, least)) {}
  /// Gives the reserve back.
  ~pool() { ashlar_pool_destroy(pool_); }
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// Whether there is a reserve. Only a pool made with std::nothrow is ever without, and must then
  /// not be used.
  explicit operator bool() const noexcept { return pool_ != nullptr; }
  /// For the functions of ashlar/pool.h.
  [[nodiscard]] ashlar_pool* native_handle() const noexcept { return pool_; }

  /// A new T(args...), of the cache or of the reserve; where both are empty it waits until an
  /// object is destroyed, behind those who wait already. Never null.
  template <class... Args>
  [[nodiscard]] T* make(Args&&... args) {
    return make_within(ASHLAR_POOL_FOREVER, std::forward<Args>(args)...);
  }
  /// Does not wait: null and ENOMEM instead.
  template <class... Args>
  [[nodiscard]] T* try_make(Args&&... args) {
    return make_within(0, std::forward<Args>(args)...);
  }
  /// Waits up to `patience`, rounded up to milliseconds; then null and ETIMEDOUT. Without any
  /// patience as try_make().
  template <class Rep, class Period, class... Args>
  [[nodiscard]] T* try_make_for(std::chrono::duration<Rep, Period> patience, Args&&... args) {
    return make_within(milliseconds(patience), std::forward<Args>(args)...);
  }

  /// The same three, given back by themselves.
  template <class... Args>
  [[nodiscard]] unique_ptr make_unique(Args&&... args) {
    return unique_ptr(make(std::forward<Args>(args)...), deleter{this});
  }
  template <class... Args>
  [[nodiscard]] unique_ptr try_make_unique(Args&&... args) {
    return unique_ptr(try_make(std::forward<Args>(args)...), deleter{this});
  }
  template <class Rep, class Period, class... Args>
  [[nodiscard]] unique_ptr try_make_unique_for(std::chrono::duration<Rep, Period> patience,
                                               Args&&... args) {
    return unique_ptr(try_make_for(patience, std::forward<Args>(args)...), deleter{this});
  }

  /// Destructs an object of this pool and gives its memory to whoever waits longest, else to the
  /// reserve, else to the cache. Null does nothing.
  void destroy(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    ashlar_pool_free(pool_, object);
  }

  /// Makes the reserve so many objects large. False and errno (ENOMEM, EINVAL) where that cannot
  /// be; then it is as it was.
  [[nodiscard]] bool resize(std::size_t least) noexcept {
    return ashlar_pool_resize(pool_, least) == 0;
  }
  /// Objects in the reserve now, and when it is full.
  [[nodiscard]] std::size_t ready() const noexcept { return ashlar_pool_ready(pool_); }
  [[nodiscard]] std::size_t least() const noexcept { return ashlar_pool_least(pool_); }

 private:
  // What goes back if a constructor throws.
  struct unfinished {
    ashlar_pool* pool;
    void* memory;
    ~unfinished() {
      if (memory != nullptr) ashlar_pool_free(pool, memory);
    }
  };

  template <class... Args>
  T* make_within(long wait_ms, Args&&... args) {
    unfinished made{pool_, ashlar_pool_alloc(pool_, 0, wait_ms)};
    if (made.memory == nullptr) return nullptr;
    T* object = detail::construct<T>(made.memory, std::forward<Args>(args)...);
    made.memory = nullptr;
    return object;
  }

  // A duration may be of any type and size: what no long holds is for ever.
  template <class Rep, class Period>
  static long milliseconds(std::chrono::duration<Rep, Period> patience) {
    std::chrono::duration<double, std::milli> wish = patience;
    if (!(wish.count() > 0)) return 0;
    if (wish.count() >= static_cast<double>(std::numeric_limits<long>::max())) {
      return ASHLAR_POOL_FOREVER;
    }
    return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(patience).count());
  }

  static ashlar_pool* over(object_cache<T>& cache, std::size_t least) noexcept {
    ashlar_cache* source = cache.native_handle();
    return source == nullptr ? nullptr : ashlar_pool_create_cache(least, source);
  }

  // Not made where the pool is over another's.
  scoped_object_cache<T> own_;
  ashlar_pool* pool_;
};

}  // namespace ashlar

#endif
