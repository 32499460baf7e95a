// support/caches.h -- object caches as tests want them: ended by themselves, and counting.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "ashlar/cache.h"

namespace test {

struct CacheEnd {
  void operator()(ashlar_cache* cache) const { ashlar_cache_destroy(cache); }
};
using Cache = std::unique_ptr<ashlar_cache, CacheEnd>;

struct Args {
  size_t align = 0;
  unsigned flags = 0;
  ashlar_constructor* construct = nullptr;
  ashlar_destructor* destruct = nullptr;
  void* data = nullptr;
};

inline Cache make_cache(const char* name, size_t size, Args args = {}) {
  ashlar_cache_args all{args.align, args.flags, args.construct, args.destruct, args.data};
  return Cache(ashlar_cache_create(name, size, &all));
}

inline ashlar_cache_info info_of(const Cache& cache) {
  ashlar_cache_info info;
  ashlar_cache_get_info(cache.get(), &info);
  return info;
}

// What a constructor leaves, and a free object must still hold.
struct Session {
  std::mutex lock;
  std::vector<int> requests;
  uint64_t uses = 0;
  char pad[100];
};

struct Tally {
  std::atomic<size_t> made{0}, ended{0}, fails_from{SIZE_MAX};
};

inline int make_session(void* object, void* data) {
  Tally& tally = *static_cast<Tally*>(data);
  if (tally.made.load() >= tally.fails_from.load()) return -1;
  ++tally.made;
  (new (object) Session)->requests.reserve(16);
  return 0;
}

inline void end_session(void* object, void* data) {
  ++static_cast<Tally*>(data)->ended;
  static_cast<Session*>(object)->~Session();
}

inline Cache session_cache(Tally& tally, unsigned flags = 0) {
  return make_cache(
      "session", sizeof(Session),
      {.flags = flags, .construct = make_session, .destruct = end_session, .data = &tally});
}

inline Session* new_session(const Cache& cache) {
  return static_cast<Session*>(ashlar_cache_alloc(cache.get(), 0));
}

// Caches with slabs of their own, until there is no place for one more: as many, if no place has
// been lost. Two or three may still be taken by objects that have outlived their cache.
constexpr size_t kLeastPlaces = 50;

inline std::vector<Cache> take_all_places() {
  std::vector<Cache> caches;
  for (Cache cache; (cache = make_cache("place", 72, {.flags = ASHLAR_CACHE_NO_MERGE})) != nullptr;)
    caches.push_back(std::move(cache));
  return caches;
}

}  // namespace test
