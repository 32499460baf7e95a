// model/heap_model.h -- the whole heap, as a program of one thread sees it, with magazines per
// thread: whatever the order of calls, blocks are aligned, apart, and keep their content.

#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <ostream>

#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/audit.h"
#include "support/model.h"

namespace test {
using namespace ashlar;

struct HeapModel {
  struct Alloc {
    size_t size;
  };
  struct AllocAligned {
    size_t size, align;
  };
  struct AllocZeroed {
    size_t size;
  };
  struct Resize {
    size_t pick, size;
  };
  struct Free {
    size_t pick;
    bool is_sized;
  };
  struct Reap {};
  using Step = std::variant<Alloc, AllocAligned, AllocZeroed, Resize, Free, Reap>;

  // Half of all sizes are small; some are giants.
  static size_t size_of(Word word) {
    switch (word.a % 8) {
      case 0: return word.b * 64u;
      case 1: return word.b % 40000u;
      case 2: return word.b % 5000u;
      case 3: return word.a % 16u == 3 ? word.b % 6000u * 1024 : word.b % 100000u;
      default: return word.b % 600u;
    }
  }
  static Step decode(Word word) {
    switch (word.op % 16) {
      case 0:
      case 1:
      case 2:
      case 3: return Alloc{size_of(word)};
      case 4: return AllocAligned{size_of(word), size_t{1} << (word.op / 16 % 14u)};
      case 5:
      case 6: return AllocZeroed{size_of(word)};
      case 7:
      case 8: return Resize{word.b * 31u, size_of(word) + 1};
      case 9: return word.a % 8 == 0 ? Step(Reap{}) : Step(Free{word.b, false});
      default: return Free{word.b, word.op / 16 % 2 == 0};
    }
  }
  static void print(const Step& step, std::ostream& out) {
    std::visit(Match{[&](Alloc s) { out << "alloc " << s.size; },
                     [&](AllocAligned s) { out << "alloc " << s.size << " at " << s.align; },
                     [&](AllocZeroed s) { out << "alloc " << s.size << " zeroed"; },
                     [&](Resize s) { out << "resize " << s.pick << " to " << s.size; },
                     [&](Free s) { out << (s.is_sized ? "free sized " : "free ") << s.pick; },
                     [&](Reap) { out << "reap"; }},
               step);
  }

  struct Held {
    unsigned char* at;
    size_t size, align;
    unsigned char name;
    bool is_resized;
  };
  std::vector<Held> held;
  std::map<unsigned char*, size_t> ranges;  // by start: usable sizes of what is live
  unsigned char names = 0;

  void add(void* p, size_t size, size_t align) {
    // Memory may be out: a model has no more of it than its machine.
    if (p == nullptr) return;
    auto* at = static_cast<unsigned char*>(p);
    size_t usable = front::usable_size(p);
    MODEL_REQUIRE(usable >= size && base::is_aligned(p, std::max(align, base::kGrain)));
    auto next = ranges.lower_bound(at);
    MODEL_REQUIRE(next == ranges.end() || at + usable <= next->first);
    MODEL_REQUIRE(next == ranges.begin() || std::prev(next)->first + std::prev(next)->second <= at);
    ranges[at] = usable;
    held.push_back({at, size, align, ++names, false});
    fill(held.back(), 0);
  }
  static void fill(const Held& one, size_t first) {
    if (one.size > first) std::memset(one.at + first, one.name, one.size - first);
  }
  static void require_filled(const Held& one, size_t size) {
    for (size_t i = 0; i < size; i += i + 64 < size ? 17 : 1) MODEL_REQUIRE(one.at[i] == one.name);
  }

  void act(Alloc s) { add(front::alloc(s.size), s.size, 1); }
  void act(AllocAligned s) { add(front::alloc_aligned(s.size, s.align), s.size, s.align); }
  void act(AllocZeroed s) {
    auto* p = static_cast<unsigned char*>(front::alloc_zeroed(s.size));
    if (p != nullptr)
      MODEL_REQUIRE(std::all_of(p, p + s.size, [](auto byte) { return byte == 0; }));
    add(p, s.size, 1);
  }
  void act(Resize s) {
    if (held.empty()) return;
    Held& one = held[s.pick % held.size()];
    void* p = front::resize(one.at, s.size);
    require_filled({static_cast<unsigned char*>(p), 0, 0, one.name, false},
                   std::min(one.size, s.size));
    ranges.erase(one.at);
    size_t kept = std::min(one.size, s.size);
    one = {static_cast<unsigned char*>(p), s.size, 1, one.name, true};
    ranges[one.at] = front::usable_size(p);
    fill(one, kept);
  }
  void act(Free s) {
    if (held.empty()) return;
    size_t pick = s.pick % held.size();
    Held one = held[pick];
    require_filled(one, one.size);
    held[pick] = held.back();
    held.pop_back();
    ranges.erase(one.at);
    if (!s.is_sized)
      front::free(one.at);
    else
      front::free_aligned_sized(one.at, one.align, one.size);
  }
  void act(Reap) { front::reap(); }

  static void run(const std::vector<Step>& steps) {
    setenv("ASHLAR_CONF", "rseq:0", 1);
    HeapModel model;
    for (size_t i = 0; i < steps.size(); ++i) {
      std::visit([&](auto s) { model.act(s); }, steps[i]);
      if (i % 16 == 0) inspect::audit();
    }
    while (!model.held.empty()) model.act(Free{0, false});
    front::reap();
    inspect::audit();
    MODEL_REQUIRE(front::g_heap.pages().giants().stats().live == 0);
  }
};

}  // namespace test
