// os/topology.h -- the machine's memory nodes: which CPU is on which, and how far apart they are.
//
// Idea
//   On a machine with several memory controllers (NUMA) each CPU is near to some of the memory and
//   farther from the rest. The kernel tells it in files: which nodes there are, the CPUs of each,
//   and a table of distances. They are read once. Nodes that are plugged in later are not known; a
//   CPU that no node claims counts to the first.
//
//   Nodes are numbered here without gaps, and node 0 is the one on which the thread runs that
//   asked: where a heap has grown so far, most of its memory lies. The kernel's numbers are at the
//   edge only: number_of(), index_of().
//
//   What does not read as it should makes one node, and so does a memory policy that the process
//   has been started with: who spreads or binds memory by hand (numactl) wants no help.
//
// Invariants
//   1. nearest(n, 0) is n, and nearest(n, 0 .. count - 1) are all nodes, none farther than the
//   next.
//
// Locking
//   None: one thread finds the nodes, any may ask afterwards.
//
// Source
//   The order in which other nodes are asked: the zone lists of Linux's page allocator.
#pragma once

#include <cstddef>
#include <cstdint>

#include "os/text_file.h"
#include "os/thread.h"

namespace ashlar::os {

class Topology {
 public:
  /// More nodes are not told apart: then there is one.
  static constexpr unsigned kMaxNodes = 32;
  static constexpr unsigned kNone = UINT32_MAX;

  constexpr Topology() = default;
  /// Reads the nodes from the file system below `root`: "" but for tests. Whether there are
  /// several. Three system calls, and six for each node.
  bool find(const char* root);
  /// As if there were so many nodes, up to kMaxNodes, as far from each other as any two, and CPUs
  /// had been dealt out to them in turn.
  void imitate(unsigned nodes);

  unsigned count() const { return count_ == 0 ? 1 : count_; }
  /// The node of the CPU that we run on, for now.
  unsigned here() const;
  /// Counted by nearness to `node`, the `rank`-th node: itself, the nearest other one, and so on.
  unsigned nearest(unsigned node, unsigned rank) const { return order_[node][rank]; }

  /// The kernel's number of a node, and the node with that number, or kNone.
  unsigned number_of(unsigned node) const { return numbers_[node]; }
  unsigned index_of(unsigned number) const;
  /// Whether the kernel knows these nodes.
  bool is_real() const { return is_real_; }

 private:
  using Distances = uint8_t[kMaxNodes][kMaxNodes];
  bool read_cpus(const char* root, unsigned node);
  void read_distances(const char* root, unsigned node, Distances& distances);
  void put_first(unsigned node, Distances& distances);
  void sort_by(const Distances& distances);

  unsigned count_ = 0;  // all zero until nodes are found
  bool is_real_ = false;
  uint16_t numbers_[kMaxNodes]{};
  uint8_t order_[kMaxNodes][kMaxNodes]{};
  uint8_t node_of_[kMaxCpus]{};
  char text_[kMostText]{};  // of the file that is read; a thread's stack may be small
};

/// Bytes of memory that the machine has; 0 where the kernel does not tell.
size_t machine_memory();

}  // namespace ashlar::os
