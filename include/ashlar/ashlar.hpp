// ashlar/ashlar.hpp -- all of Ashlar for C++17 and later.
//
//   object_cache.hpp     object_cache<T>: objects of one type; make, destroy, make_unique, bulk
//   reuse_cache.hpp      reuse_cache<T>: objects that stay constructed while they are free
//   pool.hpp             pool<T>: a reserve, so that some requests do not fail
//   allocator.hpp        allocator<T>: for the standard containers
//   memory_resource.hpp  shared_resource(), cache_resource, monotonic_resource: for std::pmr
//   general.hpp          bytes of any size and alignment
//
// Header-only over the C interface, whose pages tell what things are and cost. They need neither
// exceptions nor run-time type information.
#ifndef ASHLAR_ASHLAR_HPP
#define ASHLAR_ASHLAR_HPP

#include "ashlar/allocator.hpp"
#include "ashlar/ashlar.h"
#include "ashlar/general.hpp"
#include "ashlar/heap.h"
#include "ashlar/inspect.h"
#include "ashlar/limits.h"
#include "ashlar/memory_resource.hpp"
#include "ashlar/object_cache.hpp"
#include "ashlar/pool.hpp"
#include "ashlar/reuse_cache.hpp"

#endif
