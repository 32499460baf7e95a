// include/hidden_part.h -- a part of a program whose names are hidden, but for what is told here.
#pragma once

#include "ashlar/ashlar.hpp"

namespace part {

struct Thing {
  Thing();
};

/// A cache of that part's.
[[gnu::visibility("default")]] ashlar::reuse_cache<Thing>& things();
/// Has the next constructor throw 42.
[[gnu::visibility("default")]] void fail_next();
[[gnu::visibility("default")]] std::pmr::memory_resource* resource();

}  // namespace part
