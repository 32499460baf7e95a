// support/pools.h -- pools that end by themselves, and a source for them.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "ashlar/pool.h"
#include "front/pool.h"

namespace test {
using namespace ashlar;

struct PoolEnd {
  void operator()(ashlar_pool* pool) const { ashlar_pool_destroy(pool); }
};
using Pool = std::unique_ptr<ashlar_pool, PoolEnd>;

inline void audit(const Pool& pool) {
  reinterpret_cast<front::Pool*>(pool.get())->audit();
}

// A source of so many objects.
struct Source {
  std::atomic<long> left;
  std::atomic<size_t> calls{0};

  static void* take(void* data, unsigned) {
    Source& source = *static_cast<Source*>(data);
    ++source.calls;
    if (source.left.fetch_sub(1) > 0) return new int(7);
    ++source.left;
    return nullptr;
  }
  static void put(void* data, void* object) {
    delete static_cast<int*>(object);
    ++static_cast<Source*>(data)->left;
  }
};

inline Pool pool_over(Source& source, size_t least) {
  return Pool(ashlar_pool_create(least, Source::take, Source::put, &source));
}

}  // namespace test
