// support/nodes_ground.h -- CPUs that pass for memory nodes: each of two CPUs is one.
#pragma once

#include "page/page_heap.h"
#include "support/sysfs.h"

namespace test {
using namespace ashlar;

class TwoNodes {
 public:
  /// False where this process may run on one CPU only: then nothing can be seen.
  bool find() {
    if (cpus.size() < 2) return false;
    sysfs.set_online("0-1");
    sysfs.add_node(0, std::to_string(cpus[0]), "10 20");
    sysfs.add_node(1, std::to_string(cpus[1]), "20 10");
    OnCpu first(cpus[0]);
    return topology.find(sysfs.root());
  }

  std::vector<int> cpus = allowed_cpus();
  Sysfs sysfs;
  os::Topology topology;
};

}  // namespace test
