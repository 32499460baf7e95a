// model/buddy_model.h -- the buddy algorithm against an array that says of each frame whether it is
// free and whether it may hold memory.

#pragma once

#include <array>
#include <ostream>

#include "page/buddy.h"
#include "support/model.h"

namespace test {
using namespace ashlar;

struct BuddyModel {
  struct Take {
    size_t pages;
    unsigned align;
  };
  struct Give {
    size_t pick;
  };
  struct TakeRange {
    size_t pick, pages;
  };
  struct Extend {
    size_t hole, pages;
  };
  struct Isolate {
    unsigned least;
    size_t most;
  };
  struct PutBack {
    bool is_purged;
  };
  using Step = std::variant<Take, Give, TakeRange, Extend, Isolate, PutBack>;

  static Step decode(Word word) {
    switch (word.op % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: return Take{word.b % (word.a % 4 == 0 ? 200u : 9u) + 1, word.a / 32u % 7};
      case 6:
      case 7:
      case 8:
      case 9:
      case 10: return Give{word.b};
      case 11: return TakeRange{word.b, word.a % 40u + 1};
      case 12: return Extend{word.a % 8 == 0 ? word.a % 64u : 0u, word.b % 300u + 1};
      case 13:
      case 14: return Isolate{word.a % 5u, word.b % 128u + 1};
      default: return PutBack{word.a % 4 != 0};
    }
  }
  static void print(const Step& step, std::ostream& out) {
    std::visit(
        Match{[&](Take s) { out << "take " << s.pages << " at order " << s.align; },
              [&](Give s) { out << "give " << s.pick; },
              [&](TakeRange s) { out << "take range behind " << s.pick << ", " << s.pages; },
              [&](Extend s) { out << "extend by " << s.pages << " after " << s.hole; },
              [&](Isolate s) { out << "isolate from " << s.least << ", at most " << s.most; },
              [&](PutBack s) { out << (s.is_purged ? "put back clean" : "put back"); }},
        step);
  }

  static constexpr size_t kFrames = 4096;
  enum class Is : uint8_t { kNobodys, kFree, kHeld, kIsolated };

  std::vector<page::Frame> frames = std::vector<page::Frame>(kFrames + 1);
  std::vector<uint64_t> words = std::vector<uint64_t>(kFrames / 64 + 1);
  base::BitMap map{words.data()};
  page::Buddy buddy{frames.data(), map};
  std::array<Is, kFrames> is{};
  std::array<bool, kFrames> is_dirty{};
  size_t end = 0;
  struct Held {
    uint32_t first;
    size_t pages;
  };
  std::vector<Held> held, isolated;

  bool are(size_t first, size_t count, Is what) const {
    for (size_t i = first; i < first + count; ++i)
      if (i >= kFrames || is[i] != what) return false;
    return true;
  }
  void mark(size_t first, size_t count, Is what) {
    for (size_t i = first; i < first + count; ++i) is[i] = what;
  }
  size_t dirty_in(size_t first, size_t count) const {
    size_t sum = 0;
    for (size_t i = first; i < first + count; ++i) sum += is_dirty[i];
    return sum;
  }
  void hold(size_t first, size_t pages) {
    mark(first, pages, Is::kHeld);
    for (size_t i = first; i < first + pages; ++i) is_dirty[i] = true;
  }
  // Whether an aligned block is free that a request could be taken from.
  bool has_block(size_t size) const {
    for (size_t at = 0; at + size <= end; at += size)
      if (are(at, size, Is::kFree)) return true;
    return false;
  }

  void act(Take s) {
    size_t size = size_t{1} << std::max(base::log2_ceil(s.pages), s.align);
    uint32_t first =
        buddy.take(base::Pages(s.pages), base::Order(s.align), page::FrameKind::kLarge);
    // A count that is no power of two may also follow on the last one, over several blocks.
    MODEL_REQUIRE(first != page::kNone || !has_block(size));
    if (first == page::kNone) return;
    MODEL_REQUIRE(has_block(size) || (s.align == 0 && !std::has_single_bit(size_t{s.pages})));
    MODEL_REQUIRE(first % (1u << s.align) == 0);
    MODEL_REQUIRE(are(first, s.pages, Is::kFree));
    MODEL_REQUIRE(frames[first].kind == page::FrameKind::kLarge && frames[first].count == s.pages);
    MODEL_REQUIRE((frames[first].is_new != 0) == (dirty_in(first, s.pages) == 0));
    hold(first, s.pages);
    held.push_back({first, s.pages});
  }
  void act(Give s) {
    if (held.empty()) return;
    size_t pick = s.pick % held.size();
    Held block = held[pick];
    held[pick] = held.back();
    held.pop_back();
    buddy.give(block.first, base::Pages(block.pages));
    mark(block.first, block.pages, Is::kFree);
  }
  void act(TakeRange s) {
    if (held.empty()) return;
    Held& block = held[s.pick % held.size()];
    size_t first = block.first + block.pages;
    bool is_free = are(first, s.pages, Is::kFree);
    MODEL_REQUIRE(buddy.try_take_range(static_cast<uint32_t>(first), base::Pages(s.pages)) ==
                  is_free);
    if (!is_free) return;
    hold(first, s.pages);
    block.pages += s.pages;
  }
  void act(Extend s) {
    if (end + s.hole + s.pages > kFrames) return;
    buddy.extend(static_cast<uint32_t>(end + s.hole), base::Pages(s.pages));
    mark(end + s.hole, s.pages, Is::kFree);
    end += s.hole + s.pages;
  }
  void act(Isolate s) {
    if (isolated.size() >= 4) return;
    uint32_t first = buddy.isolate(base::Order(s.least), base::Pages(s.most));
    if (first == page::kNone) return;
    size_t pages = base::Order(frames[first].order).pages().n;
    MODEL_REQUIRE(frames[first].order >= s.least);
    MODEL_REQUIRE(are(first, pages, Is::kFree) && dirty_in(first, pages) > 0);
    mark(first, pages, Is::kIsolated);
    isolated.push_back({first, pages});
  }
  void act(PutBack s) {
    if (isolated.empty()) return;
    Held block = isolated.back();
    isolated.pop_back();
    if (s.is_purged) {
      map.clear(block.first, block.pages);
      for (size_t i = 0; i < block.pages; ++i) is_dirty[block.first + i] = false;
    }
    buddy.put_back(block.first);
    mark(block.first, block.pages, Is::kFree);
  }

  static void run(const std::vector<Step>& steps) {
    BuddyModel model;
    model.act(Extend{0, 512});
    for (const Step& step : steps) {
      std::visit([&](auto s) { model.act(s); }, step);
      model.buddy.audit();
      size_t free = 0, dirty = 0;
      for (size_t i = 0; i < model.end; ++i) {
        free += model.is[i] == Is::kFree;
        dirty += model.is[i] == Is::kFree && model.is_dirty[i];
      }
      MODEL_REQUIRE(free == model.buddy.free_frames());
      MODEL_REQUIRE(dirty == model.buddy.dirty_frames());
    }
  }
};

}  // namespace test
