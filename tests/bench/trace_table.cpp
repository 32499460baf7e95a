// tests/bench/trace_table.cpp -- AddressTable against std::map, for test_trace.py.
//
// Idea
//   Few addresses and a table that is nearly half full all the time: most searches pass by other
//   entries, and most that are taken leave a gap in the middle of a run. Exit status 1 at the first
//   difference.

#include <cstdint>
#include <map>
#include <optional>
#include <random>

#include "address_table.h"

int main() {
  constinit static trace::AddressTable table{};
  std::map<uintptr_t, uint64_t> expected;
  std::mt19937_64 random(1);
  for (uint64_t number = 0; number < 2'000'000; ++number) {
    const uintptr_t address = (random() % 16'000 + 1) << (4 + random() % 2 * 20);
    void* block = reinterpret_cast<void*>(address);
    if (random() % 2 == 0 && expected.size() < 8'000) {
      table.put(block, {number, number + 1});
      expected[address] = number;
    } else {
      const auto known = expected.find(address);
      const std::optional<trace::Object> found = table.take(block);
      if (found.has_value() != (known != expected.end())) return 1;
      if (found && (found->number != known->second || found->size != found->number + 1)) return 1;
      if (found) expected.erase(known);
    }
    if (table.count() != expected.size()) return 1;
  }
}
