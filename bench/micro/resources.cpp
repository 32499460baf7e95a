// resources.cpp -- what nodes of containers cost by where their memory comes from.
//
// Each container holds some thousand elements; a step takes one out and puts another in, or all are
// built and ended. The memory comes from
//   malloc                 operator new: whatever malloc the program was started with
//   std_new_delete         std::pmr::new_delete_resource(): that malloc, by a resource
//   std_unsynchronized     std::pmr::unsynchronized_pool_resource, one for each thread
//   std_synchronized       std::pmr::synchronized_pool_resource, one for all threads
//   ashlar_shared          ashlar::shared_resource()
//   ashlar_caches          ashlar::cache_resource, one for all threads
//   ashlar_allocator       ashlar::allocator: the same container without std::pmr
// The program's own malloc is not Ashlar's, so the first four may stand on any allocator:
// bench/micro/underneath runs it on all of them. Times are for a step, of each thread.

#include <benchmark/benchmark.h>

#include <list>
#include <map>
#include <memory_resource>
#include <unordered_map>
#include <vector>

#include "ashlar/ashlar.hpp"

namespace {

constexpr uint64_t kElements = 4096;

// Element i of a shuffled order that is the same in every run: a full period modulo 2^16.
uint64_t key(uint64_t i) {
  return (i * 40503 + 12829) & 0xffff;
}

struct Keyed {
  template <class Container>
  static void put(Container& container, uint64_t i) {
    container.emplace(key(i), i);
  }
  template <class Container>
  static void take(Container& container, uint64_t i) {
    container.erase(key(i));
  }
};

struct Map : Keyed {
  template <class Allocator>
  using Of = std::map<uint64_t, uint64_t, std::less<>, Allocator>;
};

struct HashMap : Keyed {
  template <class Allocator>
  using Of =
      std::unordered_map<uint64_t, uint64_t, std::hash<uint64_t>, std::equal_to<>, Allocator>;
};

struct List {
  template <class Allocator>
  using Of = std::list<std::pair<const uint64_t, uint64_t>, Allocator>;
  template <class Container>
  static void put(Container& container, uint64_t i) {
    container.emplace_back(key(i), i);
  }
  template <class Container>
  static void take(Container& container, uint64_t) {
    container.pop_front();
  }
};

using Element = std::pair<const uint64_t, uint64_t>;

// Makes a container over each kind of memory, which is named by a type.
struct Malloc {
  template <class Kind>
  static auto make() {
    return typename Kind::template Of<std::allocator<Element>>();
  }
};
struct AshlarAllocator {
  template <class Kind>
  static auto make() {
    return typename Kind::template Of<ashlar::allocator<Element>>();
  }
};
template <std::pmr::memory_resource* resource()>
struct Pmr {
  template <class Kind>
  static auto make() {
    return typename Kind::template Of<std::pmr::polymorphic_allocator<Element>>(resource());
  }
};
std::pmr::memory_resource* new_delete() {
  return std::pmr::new_delete_resource();
}
std::pmr::memory_resource* unsynchronized() {
  static thread_local std::pmr::unsynchronized_pool_resource resource;
  return &resource;
}
std::pmr::memory_resource* synchronized() {
  static std::pmr::synchronized_pool_resource resource;
  return &resource;
}
std::pmr::memory_resource* shared() {
  return ashlar::shared_resource();
}
std::pmr::memory_resource* caches() {
  static ashlar::cache_resource resource("micro");
  return &resource;
}

// One out, one in, among 4,096.
template <class Kind, class Memory>
void churn(benchmark::State& state) {
  auto container = Memory::template make<Kind>();
  uint64_t next = 0;
  while (next < kElements) Kind::put(container, next++);
  for (auto _ : state) {
    Kind::take(container, next - kElements);
    Kind::put(container, next++);
  }
  benchmark::DoNotOptimize(container);
  state.SetItemsProcessed(state.iterations());
}

// 4,096 in, then the container ends. An item is one element.
template <class Kind, class Memory>
void build(benchmark::State& state) {
  for (auto _ : state) {
    auto container = Memory::template make<Kind>();
    for (uint64_t i = 0; i < kElements; ++i) Kind::put(container, i);
    benchmark::DoNotOptimize(container);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kElements));
}

template <class Kind, class Memory>
void add(const std::string& container, const std::string& memory) {
  auto on_threads = [](auto* row) { row->Threads(1)->Threads(2)->Threads(8)->UseRealTime(); };
  on_threads(
      benchmark::RegisterBenchmark((container + "/churn/" + memory).c_str(), churn<Kind, Memory>));
  on_threads(
      benchmark::RegisterBenchmark((container + "/build/" + memory).c_str(), build<Kind, Memory>));
}

template <class Kind>
bool add_all(const std::string& container) {
  add<Kind, Malloc>(container, "malloc");
  add<Kind, Pmr<new_delete>>(container, "std_new_delete");
  add<Kind, Pmr<unsynchronized>>(container, "std_unsynchronized");
  add<Kind, Pmr<synchronized>>(container, "std_synchronized");
  add<Kind, Pmr<shared>>(container, "ashlar_shared");
  add<Kind, Pmr<caches>>(container, "ashlar_caches");
  add<Kind, AshlarAllocator>(container, "ashlar_allocator");
  return true;
}
const bool g_is_added =
    add_all<Map>("map") && add_all<HashMap>("unordered_map") && add_all<List>("list");

}  // namespace
