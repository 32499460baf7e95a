// model/slab_model.h -- three stocks on one page heap whose kernel may say no: every object has one
// owner, keeps its content, and comes back where it belongs.

#pragma once

#include <algorithm>
#include <ostream>

#include "slab/slab_stock.h"
#include "support/fake_vm.h"
#include "support/model.h"

namespace test {
using namespace ashlar;

struct SlabModel {
  struct Refill {
    unsigned stock, most;
  };
  struct Flush {
    unsigned stock;
    size_t pick;
    unsigned count;
  };
  struct Reap {
    unsigned stock;
  };
  struct Trim {
    unsigned stock, share;
    size_t most;
  };
  struct Purge {};
  struct FailCommits {
    unsigned count;
  };
  struct FailPurges {
    unsigned count;
  };
  using Step = std::variant<Refill, Flush, Reap, Trim, Purge, FailCommits, FailPurges>;

  static Step decode(Word word) {
    switch (word.op % 20) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
      case 6: return Refill{word.a % 3u, word.b % 128u + 1};
      case 7:
      case 8:
      case 9:
      case 10:
      case 11: return Flush{word.a % 3u, word.b, word.a / 4u * 2 + 1};
      case 12:
      case 13: return Reap{word.a % 3u};
      case 14: return Purge{};
      case 15:
      case 16:
      case 17: return Trim{word.a % 3u, word.a / 4u % 5u, word.b};
      case 18: return FailPurges{word.a % 4u + 1};
      default: return FailCommits{word.a % 4u + 1};
    }
  }
  static void print(const Step& step, std::ostream& out) {
    std::visit(Match{[&](Refill s) { out << "refill " << s.most << " of stock " << s.stock; },
                     [&](Flush s) {
                       out << "flush " << s.count << " of stock " << s.stock << " from " << s.pick;
                     },
                     [&](Reap s) { out << "reap stock " << s.stock; },
                     [&](Trim s) {
                       out << "trim stock " << s.stock << ", share " << s.share << ", " << s.most;
                     },
                     [&](Purge) { out << "purge"; },
                     [&](FailCommits s) { out << "fail " << s.count << " commits"; },
                     [&](FailPurges s) { out << "fail " << s.count << " purges"; }},
               step);
  }

  struct Stock {
    slab::SlabLayout layout;
    slab::SlabStock stock{};
    std::vector<uint64_t*> held{};
  };
  FakeVm vm{size_t{128} << 20};
  page::PageHeap heap;
  Stock stocks[3] = {
      {slab::layout_for(16, 16)}, {slab::layout_for(1040, 16)}, {slab::layout_for(8192, 4096)}};

  SlabModel() {
    MODEL_REQUIRE(
        heap.start(vm.vm(), {.percent = 1000, .least_bytes = 1u << 30, .interval_ms = 1}));
    const char* names[] = {"small", "odd", "page"};
    for (uint8_t i = 0; i < 3; ++i)
      stocks[i].stock.start(heap, stocks[i].layout, static_cast<uint8_t>(i + 1), names[i]);
  }
  // The first and the last word tell whose it is.
  static void stamp(const Stock& stock, uint64_t* object) {
    object[0] = reinterpret_cast<uint64_t>(object) * 3;
    object[stock.layout.object_size / 8 - 1] = reinterpret_cast<uint64_t>(object) * 3;
  }
  static bool is_stamped(const Stock& stock, const uint64_t* object) {
    uint64_t expected = reinterpret_cast<uint64_t>(object) * 3;
    return object[0] == expected && object[stock.layout.object_size / 8 - 1] == expected;
  }

  void act(Refill s) {
    Stock& stock = stocks[s.stock];
    void* out[128];
    unsigned count = stock.stock.refill(out, s.most);
    MODEL_REQUIRE(count <= s.most);
    for (unsigned i = 0; i < count; ++i) {
      stock.held.push_back(static_cast<uint64_t*>(out[i]));
      stamp(stock, stock.held.back());
    }
  }
  void act(Flush s) {
    Stock& stock = stocks[s.stock];
    std::vector<void*> gone;
    for (size_t at = s.pick; gone.size() < s.count && !stock.held.empty(); at += 7) {
      size_t pick = at % stock.held.size();
      MODEL_REQUIRE(is_stamped(stock, stock.held[pick]));
      gone.push_back(stock.held[pick]);
      stock.held[pick] = stock.held.back();
      stock.held.pop_back();
    }
    stock.stock.flush(gone.data(), static_cast<unsigned>(gone.size()));
  }
  void act(Reap s) { stocks[s.stock].stock.reap(true); }
  void act(Trim s) { stocks[s.stock].stock.purge(s.share, s.most); }
  void act(FailPurges s) { vm.failing_purges = s.count; }
  void act(Purge) { heap.purge(0); }
  void act(FailCommits s) { vm.failing_commits = s.count; }

  static void run(const std::vector<Step>& steps) {
    SlabModel model;
    for (const Step& step : steps) {
      std::visit([&](auto s) { model.act(s); }, step);
      model.heap.audit();
      size_t frames = 0, vacant = 0, hollow = 0;
      for (Stock& stock : model.stocks) {
        stock.stock.audit();
        slab::StockStats stats = stock.stock.stats();
        MODEL_REQUIRE(stats.live == stock.held.size());
        frames += stats.frames;
        vacant += stats.vacant;
        hollow += stats.hollow;
      }
      MODEL_REQUIRE(model.heap.vacancy().frames() == vacant);
      MODEL_REQUIRE(model.heap.slabs().stats().hollow == hollow);
      // A frame may have been donated to the metadata arena where the kernel gave it none.
      size_t live = model.heap.slabs().stats().live;
      MODEL_REQUIRE(frames <= live && live - frames <= 16);
    }
    for (Stock& stock : model.stocks) {
      std::vector<uint64_t*> all = stock.held;
      std::sort(all.begin(), all.end());
      MODEL_REQUIRE(std::adjacent_find(all.begin(), all.end()) == all.end());
      for (uint64_t* object : all) MODEL_REQUIRE(is_stamped(stock, object));
    }
  }
};

}  // namespace test
