// model/page_heap_model.h -- both zones with a kernel that may refuse anything: blocks keep their
// content through growth, shrinking and purges, and no frame is lost.

#pragma once

#include <algorithm>
#include <cstring>
#include <ostream>

#include "page/page_heap.h"
#include "support/fake_vm.h"
#include "support/model.h"

namespace test {
using namespace ashlar;

struct PageHeapModel {
  struct Alloc {
    size_t pages;
    unsigned align;
  };
  struct Free {
    size_t pick;
  };
  struct Grow {
    size_t pick, pages;
  };
  struct Shrink {
    size_t pick, pages;
  };
  struct Purge {
    size_t keep;
  };
  struct Trim {
    uint64_t later_ms;
  };
  struct Fail {
    unsigned commits, purges;
  };
  struct Occupy {};
  using Step = std::variant<Alloc, Free, Grow, Shrink, Purge, Trim, Fail, Occupy>;

  static Step decode(Word word) {
    switch (word.op % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: return Alloc{word.b % (word.a % 8 == 0 ? 1500u : 40u) + 1, word.a / 16u % 4 * 2};
      case 5:
      case 6:
      case 7:
      case 8: return Free{word.b};
      case 9: return Grow{word.b, word.a % 64u + 1};
      case 10: return Shrink{word.b, word.a % 64u};
      case 11: return Purge{word.b % 512u};
      case 12:
      case 13: return Trim{word.b % 2000u};
      case 14: return Fail{word.a % 6u, word.b % 3u};
      default: return Occupy{};
    }
  }
  static void print(const Step& step, std::ostream& out) {
    std::visit(
        Match{[&](Alloc s) { out << "alloc " << s.pages << " at order " << s.align; },
              [&](Free s) { out << "free " << s.pick; },
              [&](Grow s) { out << "grow " << s.pick << " by " << s.pages; },
              [&](Shrink s) { out << "shrink " << s.pick << " by " << s.pages; },
              [&](Purge s) { out << "purge to " << s.keep; },
              [&](Trim s) { out << "trim " << s.later_ms << " ms later"; },
              [&](Fail s) { out << "fail " << s.commits << " commits, " << s.purges << " purges"; },
              [&](Occupy) { out << "somebody maps behind the window"; }},
        step);
  }

  using Block = page::PageHeap::Block;
  FakeVm vm{size_t{256} << 20};
  page::PageHeap heap;
  struct Held {
    Block block;
    uint64_t name;
  };
  std::vector<Held> held;
  uint64_t names = 0;

  PageHeapModel() {
    MODEL_REQUIRE(
        heap.start(vm.vm(), {.percent = 20, .least_bytes = 1 << 20, .interval_ms = 1000}));
  }
  static uint64_t* word_of(const Block& block, size_t frame) {
    return reinterpret_cast<uint64_t*>(block.zone->address_of(*block.frame) + frame * 4096);
  }
  static void stamp(const Held& held, size_t first, size_t end) {
    for (size_t i = first; i < end; ++i) {
      word_of(held.block, i)[0] = held.name + i;
      word_of(held.block, i)[511] = held.name + i;
    }
  }
  static void require_stamped(const Held& held, size_t end) {
    for (size_t i = 0; i < end; ++i) {
      MODEL_REQUIRE(word_of(held.block, i)[0] == held.name + i);
      MODEL_REQUIRE(word_of(held.block, i)[511] == held.name + i);
    }
  }

  void act(Alloc s) {
    Block block = heap.alloc_large(base::Pages(s.pages), base::Order(s.align));
    if (block.frame == nullptr) return;
    char* at = block.zone->address_of(*block.frame);
    MODEL_REQUIRE(heap.zone_of(at) == block.zone && block.frame->count == s.pages);
    MODEL_REQUIRE(base::is_aligned(at, base::Order(s.align).pages().bytes()));
    if (block.frame->is_new)
      for (size_t i = 0; i < s.pages; ++i)
        MODEL_REQUIRE(word_of(block, i)[0] == 0 && word_of(block, i)[511] == 0);
    held.push_back({block, names += 1 << 20});
    stamp(held.back(), 0, s.pages);
  }
  void act(Free s) {
    if (held.empty()) return;
    size_t pick = s.pick % held.size();
    require_stamped(held[pick], held[pick].block.frame->count);
    heap.free_large(held[pick].block);
    held[pick] = held.back();
    held.pop_back();
  }
  void act(Grow s) {
    if (held.empty()) return;
    Held& one = held[s.pick % held.size()];
    size_t before = one.block.frame->count;
    bool is_grown = one.block.zone->try_grow(*one.block.frame, base::Pages(before + s.pages));
    MODEL_REQUIRE(one.block.frame->count == before + (is_grown ? s.pages : 0));
    require_stamped(one, before);
    stamp(one, before, one.block.frame->count);
  }
  void act(Shrink s) {
    if (held.empty()) return;
    Held& one = held[s.pick % held.size()];
    size_t before = one.block.frame->count;
    if (s.pages == 0 || before <= s.pages) return;
    one.block.zone->shrink(*one.block.frame, base::Pages(before - s.pages));
    MODEL_REQUIRE(one.block.frame->count == before - s.pages);
  }
  void act(Purge s) { heap.purge(s.keep); }
  void act(Trim s) {
    vm.now_ms += s.later_ms;
    heap.trim();
  }
  void act(Fail s) {
    vm.failing_commits = s.commits;
    vm.failing_purges = s.purges;
  }
  void act(Occupy) {
    if (vm.occupied.size() < 2)
      vm.occupied.push_back(
          {heap.slabs().window() + heap.slabs().window_size() + (1 << 20), 65536});
  }

  static void run(const std::vector<Step>& steps) {
    PageHeapModel model;
    for (const Step& step : steps) {
      std::visit([&](auto s) { model.act(s); }, step);
      model.heap.audit();
      size_t frames = 0;
      for (const Held& one : model.held) frames += one.block.frame->count;
      page::ZoneStats slabs = model.heap.slabs().stats(), giants = model.heap.giants().stats();
      MODEL_REQUIRE(slabs.live + giants.live == frames);
      MODEL_REQUIRE(slabs.large + giants.large == frames);
      MODEL_REQUIRE(slabs.large_blocks + giants.large_blocks == model.held.size());
      MODEL_REQUIRE(slabs.committed == slabs.live + slabs.free);
      MODEL_REQUIRE(giants.committed == giants.live + giants.free);
    }
    for (const Held& one : model.held) require_stamped(one, one.block.frame->count);
  }
};

}  // namespace test
