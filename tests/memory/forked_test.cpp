// memory/forked_test.cpp -- a worker that has been forked writes to few of its parent's pages.
//
// A user would notice: a server with a hundred workers, each of which pays for a copy of every page
// in which its allocator puts a small block or a note.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "../support/subject.h"

namespace {

void* (*volatile const ask)(size_t) = ::malloc;
void (*volatile const give_back)(void*) = ::free;

struct Node {
  Node* next;
  char content[];
};

uint32_t next_random() {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 32);
}

// Mostly below 128 bytes, up to 512.
Node* new_chain(int nodes) {
  Node* chain = nullptr;
  for (int i = 0; i < nodes; ++i) {
    size_t size = next_random() % 5 != 0 ? 16 + next_random() % 112 : 128 + next_random() % 385;
    auto* node = static_cast<Node*>(ask(size));
    memset(static_cast<void*>(node), 1, size);
    node->next = chain;
    chain = node;
  }
  return chain;
}

void end_chain(Node* chain) {
  while (chain != nullptr) {
    Node* next = chain->next;
    give_back(chain);
    chain = next;
  }
}

/// Pages that the process has written to and shares with no other.
long private_pages(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/smaps_rollup");
  long dirty = 0, anonymous = 0;
  for (std::string line; std::getline(file, line);) {
    sscanf(line.c_str(), "Private_Dirty: %ld", &dirty);
    sscanf(line.c_str(), "Anonymous: %ld", &anonymous);
  }
  return std::min(dirty, anonymous) * 1024 / sysconf(_SC_PAGESIZE);
}

/// How many pages requests of so many nodes each cost a worker, which holds the last one.
long cost_of_requests(int nodes) {
  int told[2], go[2];
  if (pipe(told) != 0 || pipe(go) != 0) return -1;
  const pid_t worker = fork();
  if (worker == 0) {
    char byte = 0;
    bool is_well = write(told[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
    for (int i = 0; i < 50; ++i) end_chain(new_chain(nodes));
    Node* held = new_chain(nodes);
    is_well &= write(told[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
    end_chain(held);
    _exit(is_well ? 0 : 1);
  }
  char byte = 0;
  EXPECT_EQ(read(told[0], &byte, 1), 1);
  const long before = private_pages(worker);
  EXPECT_EQ(write(go[1], &byte, 1), 1);
  EXPECT_EQ(read(told[0], &byte, 1), 1);
  const long after = private_pages(worker);
  EXPECT_EQ(write(go[1], &byte, 1), 1);
  int status = 0;
  EXPECT_EQ(waitpid(worker, &status, 0), worker);
  EXPECT_EQ(status, 0);
  for (int end : {told[0], told[1], go[0], go[1]}) close(end);
  EXPECT_GT(before, 0);
  return after - before;
}

// Blocks, stacks, and one page each of the heap's own and of its notes: 7 and 15. The system's
// malloc takes 6 and 11.
constexpr long kMostSmall = 9, kMostLarge = 18;

class Forked : public testing::TestWithParam<int> {};

TEST_P(Forked, AWorkerWritesToFewPages) {
  Node* state = new_chain(GetParam());
  EXPECT_LE(cost_of_requests(20), kMostSmall);
  EXPECT_LE(cost_of_requests(100), kMostLarge);
  end_chain(state);
}

// From a parent that is hardly larger than its workers to one with object caches.
INSTANTIATE_TEST_SUITE_P(Parents, Forked, testing::Values(500, 4000, 7000, 20000, 50000));

}  // namespace
