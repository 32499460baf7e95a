// support/cache_ground.h -- one page heap and one set of seats for a test process.
//
// Where a thread's magazines are is decided once for a process, so the tests of cache/ share what
// follows and each takes caches with ids of its own. ASHLAR_CONF=rseq:0 in the environment asks for
// magazines per thread; else they are per CPU where the machine has it.
#pragma once

#include <cstdlib>
#include <cstring>

#include "cache/registry.h"
#include "support/fake_vm.h"

namespace test {
using namespace ashlar;

struct CacheGround {
  FakeVm vm{size_t{64} << 30};
  page::PageHeap heap;
  os::RseqMode mode;
  uint8_t next_id = 1;

  CacheGround() {
    page::Retention keep_all{.percent = 1000, .least_bytes = size_t{1} << 40, .interval_ms = 1000};
    if (!heap.start(vm.vm(), keep_all)) abort();
    const char* wish = getenv("ASHLAR_CONF");
    mode = cache::g_registry.start(heap, wish == nullptr || std::strstr(wish, "rseq:0") == nullptr,
                                   [](void* area) {
                                     cache::leave_seat();
                                     cache::g_registry.end_seat(*static_cast<cache::Area*>(area));
                                   });
  }
};

/// Never destroyed: threads that end late still put their magazines back.
inline CacheGround& cache_ground() {
  static CacheGround& ground = *new CacheGround;
  return ground;
}

inline bool has_rseq() {
  return cache_ground().mode != os::RseqMode::kNone;
}

/// A cache that no other test has used.
inline cache::ObjectCache& new_cache(const slab::SlabLayout& layout, const char* name) {
  CacheGround& ground = cache_ground();
  if (ground.next_id == base::kMaxCaches) abort();
  return cache::g_registry.create(ground.next_id++, layout, name);
}

/// What the front does: the section first, where sections may run at all.
/// Static: a section in a function that several parts of a program share could not be linked.
static inline void* cache_alloc(cache::ObjectCache& cache) {
  void* object = has_rseq() ? os::rseq_pop(cache.id()) : nullptr;
  if (object == nullptr) object = cache.alloc_slow();
  if (object != nullptr) static_cast<cache::FreeObject*>(object)->key = 0;
  return object;
}
static inline void cache_free(cache::ObjectCache& cache, void* object) {
  if (!has_rseq() || !os::rseq_push(cache.id(), object)) cache.free_slow(object);
}

}  // namespace test
