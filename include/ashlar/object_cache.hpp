// ashlar/object_cache.hpp -- an object cache that knows the type of its objects.
//
//   static ashlar::object_cache<Session> sessions{"session"};
//
//   if (Session* session = sessions.make(7)) {  // null when memory is out
//     ...
//     sessions.destroy(session);
//   }
//   auto session = sessions.make_unique(7);     // goes back by itself
//
// make() constructs, destroy() destructs. For objects that stay constructed while they are free
// there is ashlar/reuse_cache.hpp; what a cache is and costs is told in ashlar/cache.h.
//
// Which one
//   object_cache         for static objects, of a namespace or a function. Initialised at compile
//                        time, made at the first use, never ended: whatever is live when the
//                        program ends, and whoever uses it then, is right.
//   scoped_object_cache  for all others. Its end gives the memory back, and must find no live
//                        object: with ASHLAR_CACHE_NO_MERGE one would be told and end the process.
//
// Exceptions: none of its own; null where memory is out. What a constructor of T throws passes
// through, and the memory is back in the cache by then.
// Threads: every function may be called from every thread. Signals: as ashlar/cache.h.
#ifndef ASHLAR_OBJECT_CACHE_HPP
#define ASHLAR_OBJECT_CACHE_HPP

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "ashlar/cache_handle.hpp"

namespace ashlar {

namespace detail {

/// A T of these arguments in memory: by its constructor, or, where it has none, by its members.
template <class T, class... Args>
T* construct(void* memory, Args&&... args) {
  if constexpr (std::is_constructible_v<T, Args...>) {
    return ::new (memory) T(std::forward<Args>(args)...);
  } else {
    return ::new (memory) T{std::forward<Args>(args)...};
  }
}

/// What a cache of T's needs to be told.
template <class T>
constexpr ashlar_cache_args cache_args(unsigned flags, ashlar_constructor* construct = nullptr,
                                       ashlar_destructor* destruct = nullptr) noexcept {
  static_assert(
      std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>,
      "a cache is of plain objects");
  // 16 bytes are the least that a cache gives.
  return {alignof(T) > 16 ? alignof(T) : 0, flags, construct, destruct, nullptr};
}

/// So many objects pass through the C interface of bulk calls at once, by way of the stack.
inline constexpr std::size_t kBulk = 32;

/// Calls visit(count, pointers) for the objects, some at a time, as pointers to void.
template <class T, class Visit>
void in_chunks(T* const* objects, std::size_t count, Visit visit) {
  while (count > 0) {
    void* chunk[kBulk];
    std::size_t some = count < kBulk ? count : kBulk;
    for (std::size_t i = 0; i < some; ++i) chunk[i] = objects[i];
    visit(some, chunk);
    objects += some;
    count -= some;
  }
}

}  // namespace detail

template <class T>
class object_cache : public cache_handle {
 public:
  /// Gives an object back; what std::unique_ptr needs to know.
  struct deleter {
    object_cache* cache;
    void operator()(T* object) const noexcept { cache->destroy(object); }
  };
  using unique_ptr = std::unique_ptr<T, deleter>;

  /// name, of which 31 bytes are shown, must stay; flags are those of ashlar_cache_create(), and 0
  /// shares slabs with all caches of this layout. Nothing is done yet, so nothing fails.
  constexpr explicit object_cache(const char* name, unsigned flags = 0) noexcept
      : cache_handle(name, sizeof(T), detail::cache_args<T>(flags)) {}

  /// A new T(args...). Null and errno (ENOMEM) where memory is out. A few nanoseconds and T's
  /// constructor.
  template <class... Args>
  [[nodiscard]] T* make(Args&&... args) {
    return make_with(0, std::forward<Args>(args)...);
  }

  /// The same with flags of ashlar/flags.h, e.g. ASHLAR_NOWAIT: null and EAGAIN where nothing lies
  /// ready.
  template <class... Args>
  [[nodiscard]] T* make_with(unsigned flags, Args&&... args) {
    ashlar_cache* cache = native_handle();
    if (cache == nullptr) return nullptr;
    unfinished made{cache, ashlar_cache_alloc(cache, flags)};
    if (made.memory == nullptr) return nullptr;
    T* object = detail::construct<T>(made.memory, std::forward<Args>(args)...);
    made.memory = nullptr;
    return object;
  }

  /// As make(); empty where memory is out.
  template <class... Args>
  [[nodiscard]] unique_ptr make_unique(Args&&... args) {
    return unique_ptr(make(std::forward<Args>(args)...), deleter{this});
  }

  /// Destructs an object of this cache and takes its memory back; null does nothing.
  void destroy(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    ashlar_cache_free(existing(), object);
  }

  /// `count` new T(args...) into `objects`: all of them, or none. False and errno (ENOMEM) where
  /// memory is out; where a constructor throws, those before it are destructed, and it passes
  /// through. What `objects` holds is then of no meaning. Many at once cost
  /// less than one by one: see ashlar_cache_alloc_bulk().
  template <class... Args>
  [[nodiscard]] bool make_bulk(T** objects, std::size_t count, const Args&... args) {
    ashlar_cache* cache = native_handle();
    unfinished_bulk bulk(*this, objects);
    while (cache != nullptr && bulk.made < count) {
      std::size_t some = std::min(count - bulk.made, detail::kBulk);
      bulk.begin = 0;
      bulk.end = ashlar_cache_alloc_bulk(cache, 0, some, bulk.memory);
      if (bulk.end == 0) return false;
      for (; bulk.begin < bulk.end; ++bulk.begin) {
        objects[bulk.made] = detail::construct<T>(bulk.memory[bulk.begin], args...);
        ++bulk.made;
      }
    }
    bulk.made = 0;
    return cache != nullptr;
  }

  /// Destructs `count` objects of this cache and takes their memory back.
  void destroy_bulk(T* const* objects, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) objects[i]->~T();
    detail::in_chunks(objects, count, [this](std::size_t some, void* const* memory) {
      ashlar_cache_free_bulk(existing(), some, memory);
    });
  }

  /// Memory for `count` objects into `memory`, all or none, for who constructs them otherwise.
  /// False and errno (ENOMEM) where memory is out.
  [[nodiscard]] bool alloc_bulk(void** memory, std::size_t count) noexcept {
    ashlar_cache* cache = native_handle();
    return cache != nullptr && ashlar_cache_alloc_bulk(cache, 0, count, memory) == count;
  }

  /// Takes back the memory of `count` objects that have been destructed.
  void free_bulk(void* const* memory, std::size_t count) noexcept {
    if (count > 0) ashlar_cache_free_bulk(existing(), count, memory);
  }

 private:
  // What goes back if a constructor throws.
  struct unfinished {
    ashlar_cache* cache;
    void* memory;
    ~unfinished() {
      if (memory != nullptr) ashlar_cache_free(cache, memory);
    }
  };
  // The objects that are made, and of the last piece of memory what is not yet one.
  struct unfinished_bulk {
    unfinished_bulk(object_cache& from, T** into) : cache(from), objects(into) {}
    object_cache& cache;
    T** objects;
    std::size_t made = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    void* memory[detail::kBulk];
    ~unfinished_bulk() {
      cache.destroy_bulk(objects, made);
      cache.free_bulk(memory + begin, end - begin);
    }
  };
};

/// An object cache for anything that is not static: its end is the cache's end, too.
template <class T>
class scoped_object_cache : public object_cache<T> {
 public:
  using object_cache<T>::object_cache;
  ~scoped_object_cache() { this->end(); }
};

/// A deleter without state, for objects of a static cache: std::unique_ptr<T, delete_to<sessions>>
/// is as large as a pointer.
template <auto& cache>
struct delete_to {
  template <class T>
  void operator()(T* object) const noexcept {
    cache.destroy(object);
  }
};

}  // namespace ashlar

#endif
