// include/instances.cpp -- every member of the templates in include/ashlar, for warnings and errors
// that come only where they are used. Compiled by tests/style/headers after ashlar/ashlar.hpp,
// never linked.

#include <chrono>
#include <list>
#include <string>
#include <vector>

#include "ashlar/ashlar.hpp"

namespace {

struct Thing {
  Thing() = default;
  explicit Thing(int number) : number(number) {}
  int number = 0;
};

}  // namespace

template class ashlar::object_cache<Thing>;
template class ashlar::scoped_object_cache<std::string>;
template class ashlar::reuse_cache<Thing>;
template class ashlar::scoped_reuse_cache<std::string>;
template class ashlar::pool<Thing>;
template class ashlar::allocator<Thing>;
template class std::vector<Thing, ashlar::allocator<Thing>>;
template class std::list<std::string, ashlar::allocator<std::string>>;

int use_members();
int use_members() {
  static ashlar::object_cache<Thing> cache{"thing"};
  Thing* things[40];
  if (!cache.make_bulk(things, 40, 1)) return 1;
  cache.destroy_bulk(things, 40);
  auto thing = cache.make_unique(2);
  static ashlar::reuse_cache reuse{"reuse", [] { return Thing(3); },
                                   [](Thing& it) { it.number = 3; }};
  ashlar::scoped_reuse_cache scoped{"scoped", [] { return std::string("text"); }};
  ashlar::pool<Thing> pool(4, cache);
  auto pooled = pool.try_make_unique_for(std::chrono::milliseconds(1), 4);
  auto room = ashlar::allocator<int>().allocate_at_least(5);
  ashlar::allocator<int>().deallocate(room.ptr, room.count);
  ashlar::cache_resource memory("memory");
  ashlar::monotonic_resource pages;
  std::pmr::vector<int> numbers(10, 1, &pages);
  std::pmr::string text("text", ashlar::shared_resource());
  if (memory.info().live_bytes + scoped.acquire_unique()->size() + numbers.size() == 0) return 2;
  return reuse.acquire_unique()->number + thing->number + pooled->number;
}
