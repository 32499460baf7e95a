// os/topology_test.cpp -- proves that nodes, their CPUs and their distances are read as the kernel
// writes them, that the order of nodes follows from the distances, and that nonsense makes one
// node.

#include "os/topology.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support/child.h"
#include "support/sysfs.h"

namespace {
using namespace ashlar;

using os::Topology;

std::vector<unsigned> order_of(const Topology& nodes, unsigned node) {
  std::vector<unsigned> order;
  for (unsigned rank = 0; rank < nodes.count(); ++rank) order.push_back(nodes.nearest(node, rank));
  return order;
}

// Which of the nodes claims the CPU that this test is kept on.
class TopologyTest : public testing::Test {
 protected:
  void add_two() {
    sysfs.set_online("0-1");
    sysfs.add_node(0, std::to_string(mine), "10 21");
    sysfs.add_node(1, std::to_string(mine + 1) + "-" + std::to_string(mine + 40), "21 10");
  }
  bool find() { return nodes.find(sysfs.root()); }

  std::vector<int> cpus = test::allowed_cpus();
  int mine = cpus.at(0);
  test::OnCpu on{mine};
  test::Sysfs sysfs;
  Topology nodes;
};

TEST_F(TopologyTest, WithoutFilesThereIsOneNode) {
  EXPECT_FALSE(find());
  EXPECT_EQ(nodes.count(), 1u);
  EXPECT_FALSE(nodes.is_real());
}

TEST_F(TopologyTest, OneNodeIsOne) {
  sysfs.set_online("0");
  sysfs.add_node(0, "0-63", "10");
  EXPECT_FALSE(find());
  EXPECT_EQ(nodes.count(), 1u);
}

TEST_F(TopologyTest, TwoNodesAreFound) {
  add_two();
  ASSERT_TRUE(find());
  EXPECT_EQ(nodes.count(), 2u);
  EXPECT_TRUE(nodes.is_real());
  EXPECT_EQ(nodes.here(), 0u);
  EXPECT_EQ(nodes.number_of(nodes.here()), 0u);
  EXPECT_EQ(order_of(nodes, 0), (std::vector<unsigned>{0, 1}));
  EXPECT_EQ(order_of(nodes, 1), (std::vector<unsigned>{1, 0}));
}

TEST_F(TopologyTest, TheNodeThatAsksIsTheFirst) {
  sysfs.set_online("0,3,5");
  sysfs.add_node(0, "", "10 12 40");
  sysfs.add_node(3, "4000-4001", "12 10 30");
  sysfs.add_node(5, "0-100", "40 30 10");
  ASSERT_TRUE(find());
  ASSERT_EQ(nodes.count(), 3u);
  EXPECT_EQ(nodes.here(), 0u);
  EXPECT_EQ(nodes.number_of(0), 5u);
  EXPECT_EQ(nodes.index_of(5), 0u);
  EXPECT_EQ(nodes.index_of(3), 1u);
  EXPECT_EQ(nodes.index_of(0), 2u);
  EXPECT_EQ(nodes.index_of(1), Topology::kNone);
  EXPECT_EQ(order_of(nodes, 0), (std::vector<unsigned>{0, 1, 2})) << "from 5: 30 to 3, 40 to 0";
  EXPECT_EQ(order_of(nodes, 2), (std::vector<unsigned>{2, 1, 0})) << "from 0: 12 to 3, 40 to 5";
}

TEST_F(TopologyTest, DistancesMakeTheOrder) {
  sysfs.set_online("0-3");
  sysfs.add_node(0, "0-100", "10 30 20 40");
  sysfs.add_node(1, "", "30 10 40 20");
  sysfs.add_node(2, "", "20 40 10 30");
  sysfs.add_node(3, "", "40 20 30 10");
  ASSERT_TRUE(find());
  EXPECT_EQ(order_of(nodes, 0), (std::vector<unsigned>{0, 2, 1, 3}));
  EXPECT_EQ(order_of(nodes, 1), (std::vector<unsigned>{1, 3, 0, 2}));
  EXPECT_EQ(order_of(nodes, 3), (std::vector<unsigned>{3, 1, 2, 0}));
}

TEST_F(TopologyTest, WithoutDistancesAllAreAsFarAndNotAllTurnToOne) {
  sysfs.set_online("0-3");
  ASSERT_TRUE(find());
  EXPECT_EQ(order_of(nodes, 0), (std::vector<unsigned>{0, 1, 2, 3}));
  EXPECT_EQ(order_of(nodes, 2), (std::vector<unsigned>{2, 3, 0, 1}));
  EXPECT_EQ(nodes.here(), 0u) << "a CPU that no node claims";
}

TEST_F(TopologyTest, ADistanceThatIsNoneIsFar) {
  sysfs.set_online("0-2");
  sysfs.add_node(0, "0-100", "10 x 19");
  sysfs.add_node(1, "", "9999999999999999999999 10");
  sysfs.add_node(2, "", "");
  ASSERT_TRUE(find());
  EXPECT_EQ(order_of(nodes, 0), (std::vector<unsigned>{0, 2, 1}));
  EXPECT_EQ(order_of(nodes, 1).size(), 3u);
  EXPECT_EQ(order_of(nodes, 2).at(0), 2u) << "a node is nearest to itself whatever is said";
}

TEST_F(TopologyTest, NonsenseIsOneNode) {
  for (const char* online : {"", "x", "0-", "-1", "1-0", "0,,1", "0 1", "0-99999999999", "0-32",
                             "18446744073709551616", "0-1x"}) {
    sysfs.set_online(online);
    Topology none;
    EXPECT_FALSE(none.find(sysfs.root())) << online;
    EXPECT_EQ(none.count(), 1u);
  }
  add_two();
  sysfs.add_node(1, "3-1", "21 10");
  EXPECT_FALSE(find()) << "of the CPUs, too";
  EXPECT_EQ(nodes.count(), 1u);
}

TEST_F(TopologyTest, CpusBeyondAllAndListsBeyondAPageDoNoHarm) {
  sysfs.set_online("0-1");
  sysfs.add_node(0, "0-18446744073709551615", "10 20");
  std::string list;
  for (int cpu = 0; cpu < 4000; cpu += 2) list += std::to_string(cpu) + ",";
  sysfs.add_node(1, list + "4000", "20 10");
  ASSERT_TRUE(find());
  EXPECT_EQ(nodes.number_of(nodes.here()), mine % 2 == 0 ? 1u : 0u);
}

TEST_F(TopologyTest, AMostOfNodes) {
  sysfs.set_online("0-31");
  ASSERT_TRUE(find());
  EXPECT_EQ(nodes.count(), Topology::kMaxNodes);
  for (unsigned node = 0; node < nodes.count(); ++node) {
    std::vector<bool> is_there(nodes.count());
    for (unsigned other : order_of(nodes, node)) is_there.at(other) = true;
    EXPECT_EQ(is_there, std::vector<bool>(nodes.count(), true));
  }
}

TEST_F(TopologyTest, NothingIsLeftOpenAndErrnoIsAsItWas) {
  add_two();
  int before = open("/dev/null", O_RDONLY);
  close(before);
  errno = 77;
  ASSERT_TRUE(find());
  EXPECT_EQ(errno, 77);
  int after = open("/dev/null", O_RDONLY);
  close(after);
  EXPECT_EQ(after, before);
}

TEST_F(TopologyTest, WhoSpreadsMemoryByHandWantsNoHelp) {
  add_two();
  pid_t pid = fork();
  if (pid == 0) {
    const unsigned long node_0 = 1;
    constexpr int kInterleave = 3;
    if (syscall(SYS_set_mempolicy, kInterleave, &node_0, 8 * sizeof node_0) != 0)
      _exit(test::kNotRun);
    _exit(find() ? 1 : 0);
  }
  const test::Ending ending = test::wait_for(pid);
  if (ending.exit_code == test::kNotRun) GTEST_SKIP() << "not run: no memory policies here";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

TEST_F(TopologyTest, ImitatedNodesAreDealtOut) {
  for (unsigned count : {1u, 2u, 3u, 32u}) {
    nodes.imitate(count);
    EXPECT_EQ(nodes.count(), count);
    EXPECT_EQ(nodes.here(), static_cast<unsigned>(mine) % count);
    EXPECT_EQ(nodes.number_of(count - 1), count - 1);
    EXPECT_FALSE(nodes.is_real());
  }
  if (cpus.size() < 2) GTEST_SKIP() << "not run: one CPU";
  test::OnCpu other(cpus[1]);
  EXPECT_EQ(nodes.here(), static_cast<unsigned>(cpus[1]) % 32);
}

TEST_F(TopologyTest, TheMachineHasMemory) {
  EXPECT_GE(os::machine_memory(), size_t{64} << 20);
}

}  // namespace
