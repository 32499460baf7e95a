// support/remnants.h -- brings about that objects lie in what dissolved slabs have left.
//
// Each test has its own copy: a restartable section in a function that several parts of a program
// share could not be linked.
#pragma once

#include <vector>

#include "front/heap.h"

namespace test {
using namespace ashlar;
namespace {

inline bool is_in_remnant(const void* object) {
  page::Zone* zone = front::g_heap.pages().zone_of(object);
  return zone != nullptr && zone->frame_of(object).kind == page::FrameKind::kRemnant;
}

/// Many objects of one size of which a few live on, and then many of another. The ones that lie in
/// remnants are to be had; the others are freed when this ends.
class Remnants {
 public:
  explicit Remnants(size_t first = 64, size_t second = 96) {
    constexpr size_t kBytes = size_t{24} << 20;
    std::vector<void*> all(kBytes / first);
    for (void*& object : all) object = front::alloc(first);
    for (size_t i = 0; i < all.size(); ++i)
      i % 64 == 0 ? survivors_.push_back(all[i]) : front::free(all[i]);
    later_.resize(kBytes / 2 / second);
    for (void*& object : later_) object = front::alloc(second);
  }
  ~Remnants() {
    for (std::vector<void*>* of : {&survivors_, &later_})
      for (void* object : *of) front::free(object);
  }
  /// Objects of the first or the second size that lie in remnants. They are the caller's.
  std::vector<void*> take_first() { return take(survivors_); }
  std::vector<void*> take_second() { return take(later_); }

 private:
  static std::vector<void*> take(std::vector<void*>& from) {
    std::vector<void*> taken, left;
    for (void* object : from) (is_in_remnant(object) ? taken : left).push_back(object);
    from = left;
    return taken;
  }
  std::vector<void*> survivors_, later_;
};

}  // namespace
}  // namespace test
