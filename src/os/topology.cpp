#include "os/topology.h"

#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "os/rseq.h"
#include "os/syscall.h"
#include "os/text_file.h"

namespace ashlar::os {
namespace {

constexpr char kFolder[] = "/sys/devices/system/node/";
// What the kernel says where it knows no better: of a node to itself 10, to any other 20.
constexpr uint8_t kFar = 20;
// Of <linux/mempolicy.h>: memory comes from the node of the CPU that touches it.
constexpr int kDefaultPolicy = 0, kLocalPolicy = 4;

using Path = base::Line<256>;

const char* find_end(const TextFile& file) {
  return std::find(file.text, file.end(), '\n');
}

// Calls visit(first, last) for each range of a list such as "0-3,8,10-11". False where it is none.
// A list that is cut ends with the last comma.
template <class Visit>
bool for_each_range(const TextFile& file, Visit visit) {
  const char* end = find_end(file);
  if (file.is_cut() && end == file.end())
    while (end > file.text && end[-1] != ',') --end;
  for (const char* at = file.text; at < end;) {
    const char* comma = std::find(at, end, ',');
    const char* dash = std::find(at, comma, '-');
    base::Number first = base::parse_decimal(at, dash);
    base::Number last = dash == comma ? first : base::parse_decimal(dash + 1, comma);
    if (!first.is_number || !last.is_number || first.value > last.value) return false;
    visit(first.value, last.value);
    at = comma == end ? end : comma + 1;
  }
  return true;
}

void add_file(Path& path, const char* root, unsigned number, const char* name) {
  path.add(root).add(kFolder).add("node").add_decimal(number).add(name);
}

// Whether memory has been bound or spread by whoever started the process.
bool has_policy() {
  int policy = kDefaultPolicy;
  long answer = call(SYS_get_mempolicy, &policy, 0, 0, 0, 0);
  return !is_error(answer) && policy != kDefaultPolicy && policy != kLocalPolicy;
}

}  // namespace

bool Topology::read_cpus(const char* root, unsigned node) {
  Path path;
  add_file(path, root, numbers_[node], "/cpulist");
  return for_each_range(read_file(path.data(), text_, sizeof text_),
                        [&](uint64_t first, uint64_t last) {
                          for (uint64_t cpu = first; cpu <= last && cpu < kMaxCpus; ++cpu)
                            node_of_[cpu] = static_cast<uint8_t>(node);
                        });
}

// A line of numbers, one for each node. What does not read as such is far.
void Topology::read_distances(const char* root, unsigned node, Distances& distances) {
  Path path;
  add_file(path, root, numbers_[node], "/distance");
  TextFile file = read_file(path.data(), text_, sizeof text_);
  const char* end = find_end(file);
  const char* at = file.text;
  for (unsigned other = 0; other < count_; ++other) {
    const char* space = std::find(at, end, ' ');
    base::Number number = base::parse_decimal(at, space);
    bool is_distance = number.is_number && number.value <= UINT8_MAX;
    distances[node][other] = is_distance ? static_cast<uint8_t>(number.value) : kFar;
    at = space == end ? end : space + 1;
  }
}

void Topology::put_first(unsigned node, Distances& distances) {
  std::swap(numbers_[0], numbers_[node]);
  std::swap(distances[0], distances[node]);
  for (unsigned i = 0; i < count_; ++i) std::swap(distances[i][0], distances[i][node]);
  for (uint8_t& of_cpu : node_of_)
    if (of_cpu == 0 || of_cpu == node) of_cpu = static_cast<uint8_t>(node - of_cpu);
}

// Of nodes as far as each other those that follow come first, so that not all turn to one.
void Topology::sort_by(const Distances& distances) {
  for (unsigned node = 0; node < count_; ++node) {
    uint8_t* order = order_[node];
    for (unsigned rank = 0; rank < count_; ++rank) {
      unsigned other = (node + rank) % count_, at = rank;
      for (; at > 1 && distances[node][order[at - 1]] > distances[node][other]; --at)
        order[at] = order[at - 1];
      order[at] = static_cast<uint8_t>(other);
    }
  }
}

bool Topology::find(const char* root) {
  Path path;
  path.add(root).add(kFolder).add("online");
  unsigned count = 0;
  bool is_list = for_each_range(
      read_file(path.data(), text_, sizeof text_), [&](uint64_t first, uint64_t last) {
        for (uint64_t number = first; number <= last && count <= kMaxNodes; ++number, ++count)
          if (count < kMaxNodes) numbers_[count] = static_cast<uint16_t>(number);
      });
  if (!is_list || count < 2 || count > kMaxNodes || has_policy()) return false;
  count_ = count;
  Distances distances;
  for (unsigned node = 0; node < count_; ++node) {
    is_list &= read_cpus(root, node);
    read_distances(root, node, distances);
  }
  if (is_list) {
    if (unsigned first = here(); first != 0) put_first(first, distances);
    sort_by(distances);
    is_real_ = true;
  } else {
    count_ = 0;
  }
  return is_list;
}

void Topology::imitate(unsigned nodes) {
  count_ = std::clamp(nodes, 1u, kMaxNodes);
  is_real_ = false;
  for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) node_of_[cpu] = static_cast<uint8_t>(cpu % count_);
  for (unsigned node = 0; node < count_; ++node) numbers_[node] = static_cast<uint16_t>(node);
  Distances distances;
  for (auto& row : distances) std::fill_n(row, kMaxNodes, kFar);
  sort_by(distances);
}

unsigned Topology::here() const {
  unsigned cpu = current_cpu();
  return cpu < kMaxCpus ? node_of_[cpu] : 0;
}

unsigned Topology::index_of(unsigned number) const {
  for (unsigned node = 0; node < count_; ++node)
    if (numbers_[node] == number) return node;
  return kNone;
}

size_t machine_memory() {
  struct sysinfo info {};
  return is_error(call(SYS_sysinfo, &info)) ? 0 : size_t{info.totalram} * info.mem_unit;
}

}  // namespace ashlar::os
