// front/api_limits.cpp -- the C entry points of ashlar/limits.h. The small library goes without
// them.
//
// Idea
//   What the functions add to the front are C's rules: bytes for frames, and errno.
#include <cerrno>

#include "ashlar/limits.h"
#include "base/attributes.h"
#include "front/contract.h"
#include "front/heap.h"
#include "front/shrinkers.h"
#include "front/upkeep.h"

using namespace ashlar;

namespace {

// A C function's result: 0, or -1 and errno.
int zero_or_errno(bool is_done, int error) {
  if (!is_done) errno = error;
  return is_done ? 0 : -1;
}

size_t frames_within(size_t bytes) {
  if (bytes == ASHLAR_UNLIMITED) return page::Budget::kUnlimited;
  return bytes < base::kFrameSize ? 1 : bytes / base::kFrameSize;
}

size_t bytes_of(size_t frames) {
  return frames == page::Budget::kUnlimited ? ASHLAR_UNLIMITED : frames * base::kFrameSize;
}

}  // namespace

extern "C" {

ASHLAR_EXPORT int ashlar_set_limits(size_t soft, size_t hard) {
  return zero_or_errno(
      front::set_limits({.soft = frames_within(soft), .hard = frames_within(hard)}), ENOMEM);
}

ASHLAR_EXPORT void ashlar_get_limits(ashlar_limits* limits) {
  front::start_heap();  // which reads the options
  const page::Budget& budget = front::g_heap.pages().budget();
  *limits = {.soft = bytes_of(budget.bounds().soft),
             .hard = bytes_of(budget.bounds().hard),
             .container = bytes_of(budget.outer()),
             .held = budget.held() * base::kFrameSize,
             .reserve = budget.reserve() * base::kFrameSize};
}

ASHLAR_EXPORT int ashlar_shrinker_register(ashlar_shrink* shrink, void* data) {
  if (shrink == nullptr) return zero_or_errno(false, EINVAL);
  unsigned slot = front::g_shrinkers.add(shrink, data);
  if (slot == front::Shrinkers::kNone) return zero_or_errno(false, ENOMEM);
  return static_cast<int>(slot - front::Shrinkers::kCaches);
}

// The slots of caches have no number that a program could name.
ASHLAR_EXPORT int ashlar_shrinker_unregister(int shrinker) {
  unsigned slot = static_cast<unsigned>(shrinker) + front::Shrinkers::kCaches;
  return zero_or_errno(shrinker >= 0 && front::g_shrinkers.remove(slot), EINVAL);
}

ASHLAR_EXPORT int ashlar_configure(const char* options) {
  base::Line<256> faults;
  return zero_or_errno(front::configure(options, faults), EINVAL);
}

}  // extern "C"
