// bench/workloads/nodes.cpp -- containers that allocate one node for each element.
//
// Models
//   cache:  a cache that drops what was not used for longest: a std::map into a std::list.
//   timers: a simulation or an event loop: a std::set of which the first element is taken again
//           and again, and put back with a later time.
//   tree:   an immutable tree of std::shared_ptr of which several versions are in use. A change
//           makes a new path from the root to the leaf and shares all the rest.
//   Each visits many nodes for one that it allocates: where they lie counts as much as how long
//   malloc takes.
//
// Operation
//   cache: one look-up, with an insertion if it fails. timers: one event. tree: one change, that is
//   twelve nodes.

#include <list>
#include <map>
#include <set>

#include "workload.h"

namespace {

using workload::Counted;
using workload::Rng;

constexpr size_t kLookups = 300'000;
constexpr size_t kEvents = 300'000;
constexpr size_t kChanges = 40'000;

struct Entry {
  uint32_t key;
  std::array<uint32_t, 5> value;
};
using Recent = std::list<Entry, Counted<Entry>>;
using Places = std::map<uint32_t, Recent::iterator, std::less<>,
                        Counted<std::pair<const uint32_t, Recent::iterator>>>;

/// The number of look-ups that found something.
uint64_t use_cache(Rng& rng) {
  constexpr size_t kRoom = 20'000;
  Recent recent;
  Places places;
  uint64_t hits = 0;
  for (size_t i = 0; i < kLookups; ++i) {
    const auto key = static_cast<uint32_t>(rng.below(2 * kRoom));
    if (const auto found = places.find(key); found != places.end()) {
      recent.splice(recent.begin(), recent, found->second);
      if (recent.front().value.back() != ~key) workload::wrong("an entry has lost its content");
      ++hits;
      continue;
    }
    recent.push_front({key, {0, 0, 0, 0, ~key}});
    places[key] = recent.begin();
    if (places.size() <= kRoom) continue;
    places.erase(recent.back().key);
    recent.pop_back();
  }
  return hits;
}

/// The sum of the times of all events.
uint64_t run_timers(Rng& rng) {
  struct Timer {
    uint64_t time;
    uint32_t number;
    auto operator<=>(const Timer&) const = default;
  };
  std::set<Timer, std::less<>, Counted<Timer>> timers;
  for (uint32_t number = 0; number < 20'000; ++number) timers.insert({rng.next(), number});
  uint64_t sum = 0;
  for (size_t i = 0; i < kEvents; ++i) {
    const Timer first = *timers.begin();
    timers.erase(timers.begin());
    sum += first.time;
    timers.insert({first.time + rng.next(), first.number});
  }
  return sum;
}

struct Node;
using Tree = std::shared_ptr<const Node>;
struct Node {
  uint64_t value = 0;
  std::array<Tree, 2> children;
};
constexpr unsigned kDepth = 12;  // Of which the bits of a key choose the way.

Tree changed(const Tree& tree, size_t key, uint64_t value, unsigned depth) {
  if (depth == 0) return std::allocate_shared<Node>(Counted<Node>(), Node{value, {}});
  Node copy = tree == nullptr ? Node() : *tree;
  Tree& child = copy.children[key >> (depth - 1) & 1];
  child = changed(child, key, value, depth - 1);
  return std::allocate_shared<Node>(Counted<Node>(), std::move(copy));
}

uint64_t value_at(const Tree& tree, size_t key, unsigned depth) {
  if (tree == nullptr || depth == 0) return tree == nullptr ? 0 : tree->value;
  return value_at(tree->children[key >> (depth - 1) & 1], key, depth - 1);
}

/// The sum of all values that were replaced.
uint64_t change_trees(Rng& rng) {
  std::array<Tree, 16> versions;
  uint64_t sum = 0;
  for (size_t i = 0; i < kChanges; ++i) {
    const size_t key = rng.below(size_t{1} << kDepth);
    const Tree& from = versions[rng.below(versions.size())];
    sum += value_at(from, key, kDepth);
    versions[rng.below(versions.size())] = changed(from, key, rng.next(), kDepth);
  }
  return sum;
}

/// Runs it, reports the row, and returns what it computed.
template <class Run>
uint64_t measured(const char* row, size_t operations, Run run) {
  Rng rng(1);
  const double start = workload::cpu_ns();
  const uint64_t sum = run(rng);
  workload::report_ns(row, (workload::cpu_ns() - start) / static_cast<double>(operations));
  return sum;
}

}  // namespace

int main() {
  uint64_t sum = measured("cache", kLookups, use_cache);
  sum += measured("timers", kEvents, run_timers);
  sum += measured("tree", kChanges, change_trees);
  workload::report_live(workload::live.most());
  workload::report_answer(sum);
}
