// include/hidden_part.cpp -- a part of a program whose names are hidden.
#include "hidden_part.h"

namespace part {
namespace {

bool g_fails = false;

}  // namespace

Thing::Thing() {
  if (g_fails) throw 42;
}

ashlar::reuse_cache<Thing>& things() {
  static ashlar::reuse_cache<Thing> cache("things");
  return cache;
}

void fail_next() {
  g_fails = true;
}

std::pmr::memory_resource* resource() {
  return ashlar::shared_resource();
}

}  // namespace part
