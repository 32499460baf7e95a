// threads/shared_lines_test.cpp -- whether the objects of two threads come to lie in one cache
// line.
//
// A user would notice: two threads, each with a tree of its own, take five times as long as one,
// since every write of the one takes the line away from the other. Fresh memory shows nothing of
// it; what was freed and is taken again does.

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include "../support/rng.h"

namespace {

constexpr size_t kObjects = 4096, kSize = 40, kLine = 64;

std::vector<int> two_cpus() {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 2; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  return cpus;
}

void stay_on(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

std::set<uintptr_t> lines_of(const std::vector<void*>& objects) {
  std::set<uintptr_t> lines;
  for (const void* object : objects) {
    auto address = reinterpret_cast<uintptr_t>(object);
    lines.insert(address / kLine);
    lines.insert((address + kSize - 1) / kLine);
  }
  return lines;
}

// Two threads take objects, lose them in another order, and take as many again.
TEST(SharedLines, WhatTwoThreadsTakeAgainLiesApart) {
  std::vector<int> cpus = two_cpus();
  if (cpus.size() < 2) GTEST_SKIP() << "not run: one CPU";
  std::vector<void*> objects[2] = {std::vector<void*>(kObjects), std::vector<void*>(kObjects)};
  std::barrier step(2);
  auto work = [&](unsigned number) {
    stay_on(cpus[number]);
    test::Rng rng(number + 1);
    std::vector<void*>& mine = objects[number];
    for (int round = 0; round < 4; ++round) {
      step.arrive_and_wait();
      for (void*& object : mine) object = malloc(kSize);
      step.arrive_and_wait();
      if (round == 3) return;
      for (size_t i = mine.size() - 1; i > 0; --i) std::swap(mine[i], mine[rng.below(i + 1)]);
      for (void* object : mine) free(object);
    }
  };
  std::thread first(work, 0), second(work, 1);
  first.join();
  second.join();
  std::set<uintptr_t> lines = lines_of(objects[0]), others = lines_of(objects[1]);
  std::vector<uintptr_t> shared;
  std::set_intersection(lines.begin(), lines.end(), others.begin(), others.end(),
                        std::back_inserter(shared));
  for (std::vector<void*>& mine : objects)
    for (void* object : mine) free(object);
  // What a magazine held when a thread began may be anybody's.
  EXPECT_LT(shared.size(), lines.size() / 8) << "of " << lines.size() << " lines";
}

}  // namespace
