// page/nodes.h -- which zones belong to which memory node.
//
// Idea
//   On a machine of several nodes (os/topology.h) each node has a set of zones of its own. The heap
//   starts with one set, whatever the machine: it becomes that of the node on which the heap has
//   grown. A further node gets its set when a CPU of it, or a request that names it, first asks; so
//   a process that stays on one node never has a second set.
//
//   The zones in which slabs lie must share one window, where free()'s fast path looks an address
//   up: they are parts of the first node's window, which is divided (page/zone.h). Which node an
//   object belongs to is told by its slab.
//
//   A zone's memory is bound to its node, so free memory that it keeps is the node's, too. Who asks
//   is served by the zones of the node that it runs on, and where these have no more, by those of
//   the other nodes, the nearest first.
//
// Invariants
//   1. The set of node 0 is the page heap's own; find(0) is null.
//
// Locking
//   None: sets are made under the page heap's lock, and never go.
#pragma once

#include <atomic>

#include "os/topology.h"
#include "page/zone.h"

namespace ashlar::page {

/// The zones of a node but the first.
struct Node {
  Zone slabs{};
  Zone giants{};
  std::atomic<bool> has_giants{false};
  std::atomic<Zone*> pinned{nullptr};  ///< made when needed
};

class Nodes {
 public:
  /// The node of the CPU that the caller runs on.
  static constexpr unsigned kHere = UINT32_MAX;

  constexpr Nodes() = default;
  using Table = std::atomic<Node*>[os::Topology::kMaxNodes];
  /// From now on there are those of `topology`, several; `table` is zeroed.
  void start(const os::Topology& topology, Table& table) {
    table_ = &table;
    topology_.store(&topology, std::memory_order_release);
  }

  bool are_several() const { return topology() != nullptr; }
  unsigned count() const { return are_several() ? topology()->count() : 1; }
  unsigned here() const { return are_several() ? topology()->here() : 0; }
  /// As os::Topology's; `node` may be kHere.
  unsigned nearest(unsigned node, unsigned rank) const {
    if (!are_several()) return 0;
    return topology()->nearest(node == kHere ? here() : node, rank);
  }
  /// null where there is one node.
  const os::Topology* topology() const {
    // The small library knows no nodes.
    return base::kHasCaches ? topology_.load(std::memory_order_acquire) : nullptr;
  }

  /// The set of a node, null where it has none yet; and gives it one.
  Node* find(unsigned node) const {
    return are_several() ? (*table_)[node].load(std::memory_order_acquire) : nullptr;
  }
  void put(unsigned node, Node& zones) const {
    (*table_)[node].store(&zones, std::memory_order_release);
  }

  /// Calls visit(Zone&) for each zone of the sets that are there.
  template <class Visit>
  void for_each_zone(Visit visit) const {
    for (unsigned node = 1; node < count(); ++node)
      if (Node* zones = find(node)) {
        visit(zones->slabs);
        if (zones->has_giants.load(std::memory_order_acquire)) visit(zones->giants);
        if (Zone* pinned = zones->pinned.load(std::memory_order_acquire)) visit(*pinned);
      }
  }
  /// The zone among them, or null, whose window an address lies in.
  Zone* zone_of(const void* p) const;

 private:
  std::atomic<const os::Topology*> topology_{nullptr};
  Table* table_ = nullptr;
};

}  // namespace ashlar::page
