// model/slob_model.h -- a SLOB on a page heap whose kernel may say no: blocks of all sizes stay
// apart, keep their content, and come back.

#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <ostream>

#include "slob/slob.h"
#include "support/fake_vm.h"
#include "support/model.h"

namespace test {
using namespace ashlar;

struct SlobModel {
  struct Alloc {
    size_t size, align;
  };
  struct Free {
    size_t pick;
    unsigned how;  ///< 0: as any thread; else as the only one
  };
  struct Resize {
    size_t pick, size;
  };
  struct Drop {};
  struct Reap {};
  struct FailCommits {
    unsigned count;
  };
  using Step = std::variant<Alloc, Free, Resize, Drop, Reap, FailCommits>;

  // Every other one of the larger sizes may be long.
  static size_t sizes_of(Word word) { return word.a % 8 == 0 ? slob::kEnd : base::kFrameSize; }
  static Step decode(Word word) {
    // Three quarters of all sizes are small.
    size_t size = word.a % 4 == 0 ? word.b % sizes_of(word) : word.b % 300u;
    switch (word.op % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: return Alloc{size, 1};
      case 6: return Alloc{size, size_t{1} << (word.a % 13u)};
      case 7:
      case 8: return Resize{word.a * 7u, size};
      case 13: return word.a % 4 == 0 ? Step{Drop{}} : Step{Free{word.b, 2}};
      case 14: return Reap{};
      case 15: return FailCommits{word.a % 4u + 1};
      default: return Free{word.b, word.a % 3u};
    }
  }
  static void print(const Step& step, std::ostream& out) {
    std::visit(Match{[&](Alloc s) { out << "alloc " << s.size << " at " << s.align; },
                     [&](Free s) { out << "free " << s.pick << " by way " << s.how; },
                     [&](Resize s) { out << "resize " << s.pick << " to " << s.size; },
                     [&](Drop) { out << "drop what is kept"; }, [&](Reap) { out << "reap"; },
                     [&](FailCommits s) { out << "fail " << s.count << " commits"; }},
               step);
  }

  struct Held {
    unsigned char* at;
    size_t size;
    unsigned char name;
  };
  FakeVm vm{size_t{64} << 20};
  page::PageHeap heap;
  slob::Kept kept;
  slob::Row rows[slob::kShelves];
  slob::Slob slob;
  std::vector<Held> held;
  std::map<unsigned char*, size_t> ranges;  // by start: usable sizes of what is live
  unsigned char names = 0;

  SlobModel() {
    MODEL_REQUIRE(
        heap.start(vm.vm(), {.percent = 1000, .least_bytes = 1u << 30, .interval_ms = 1}));
    slob.start(heap.slabs(), heap.meta(), 2, &kept, rows);
  }
  page::Frame& frame_of(const void* p) { return heap.slabs().frame_of(p); }

  void enter(unsigned char* at) {
    size_t usable = slob.usable_size(frame_of(at), at);
    auto next = ranges.lower_bound(at);
    MODEL_REQUIRE(next == ranges.end() || at + usable <= next->first);
    MODEL_REQUIRE(next == ranges.begin() || std::prev(next)->first + std::prev(next)->second <= at);
    ranges[at] = usable;
  }
  static void require_filled(const Held& one, size_t size) {
    for (size_t i = 0; i < size; ++i) MODEL_REQUIRE(one.at[i] == one.name);
  }

  void act(Alloc s) {
    void* block = s.align == 1 ? slob.take_kept(s.size) : nullptr;
    if (block == nullptr) block = slob.alloc(s.size, s.align);
    auto* at = static_cast<unsigned char*>(block);
    if (at == nullptr) return;
    MODEL_REQUIRE(base::is_aligned(at, std::max(s.align, base::kGrain)));
    enter(at);
    held.push_back({at, s.size, ++names});
    std::memset(at, names, s.size);
  }
  void act(Free s) {
    if (held.empty()) return;
    Held& one = held[s.pick % held.size()];
    require_filled(one, one.size);
    page::Frame& frame = frame_of(one.at);
    slob::Keep keep = s.how == 1 ? slob::Keep::kFew : slob::Keep::kMany;
    size_t bytes = s.how == 0 ? slob.free(frame, one.at) : slob.free_alone(frame, one.at, keep);
    MODEL_REQUIRE(bytes == ranges[one.at]);
    ranges.erase(one.at);
    one = held.back();
    held.pop_back();
  }
  void act(Resize s) {
    if (held.empty()) return;
    Held& one = held[s.pick % held.size()];
    if (slob.try_resize(frame_of(one.at), one.at, s.size)) {
      ranges.erase(one.at);
      enter(one.at);
      require_filled(one, std::min(one.size, s.size));
      one.size = s.size;
      std::memset(one.at, one.name, s.size);
    } else {
      auto last_frame = [](size_t size) {
        return (std::max<size_t>(size, 1) - 1) / base::kFrameSize;
      };
      MODEL_REQUIRE(s.size > one.size || last_frame(s.size) != last_frame(one.size));
    }
    require_filled(one, one.size);
  }
  void act(Drop) {
    slob.drop_kept();
    MODEL_REQUIRE(kept.count() == 0);
  }
  void act(Reap) { slob.reap(); }
  void act(FailCommits s) { vm.failing_commits = s.count; }

  static void run(const std::vector<Step>& steps) {
    SlobModel model;
    for (const Step& step : steps) {
      std::visit([&](auto s) { model.act(s); }, step);
      model.slob.audit();
      model.heap.audit();
      size_t live = 0;
      for (auto [at, size] : model.ranges) live += size;
      MODEL_REQUIRE(model.slob.stats().live_bytes == live);
    }
    while (!model.held.empty()) model.act(Free{0, 2});
    model.act(Drop{});
    model.slob.reap();
    model.slob.audit();
    MODEL_REQUIRE(model.slob.stats().pages == 0);
  }
};

}  // namespace test
