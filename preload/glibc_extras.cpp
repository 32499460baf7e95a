// preload/glibc_extras.cpp -- the names that glibc adds to the family.
//
// Idea
//   Programs ask these for tuning and statistics. What Ashlar does, it does and says so; what it
//   has no counterpart of is refused, not pretended.
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/attributes.h"
#include "base/check.h"
#include "base/text.h"
#include "front/heap.h"
#include "front/upkeep.h"
#include "inspect/format.h"
#include "inspect/stats.h"

using namespace ashlar;

namespace {

bool write_to_error(void*, const char* bytes, size_t count) {
  base::write_error(bytes, count);
  return true;
}

bool write_to_stream(void* stream, const char* bytes, size_t count) {
  return fwrite(bytes, 1, count, static_cast<FILE*>(stream)) == count;
}

// Piece by piece: there is a line for each cache, and threads may have small stacks. The small
// library's few lines fit. (It has nothing to be unwound by where a thread is cancelled in fwrite.)
bool write_text(void (*describe)(base::Text&), base::Text::Sink sink, void* to) {
  constexpr size_t kPiece = 512, kAll = 1024;
  char bytes[base::kHasCaches ? kPiece : kAll];
  if (!base::kHasCaches) {
    base::Text text(bytes, sizeof bytes);
    describe(text);
    return sink(to, text.data(), text.size());
  }
  base::Text text(bytes, sizeof bytes, sink, to);
  describe(text);
  text.flush();
  return !text.is_cut();
}

int as_int(size_t value) {
  return value > INT_MAX ? INT_MAX : static_cast<int>(value);
}

}  // namespace

extern "C" {

ASHLAR_EXPORT size_t malloc_usable_size(void* p) {
  return front::usable_size(p);
}

ASHLAR_EXPORT int malloc_trim(size_t) {
  return front::reap(front::GateWait::kSecond) ? 1 : 0;
}

ASHLAR_EXPORT int mallopt(int parameter, int value) {
  if (parameter != M_TRIM_THRESHOLD) return 0;  // nothing else has a counterpart
  size_t bytes = value < 0 ? SIZE_MAX : static_cast<size_t>(value);
  front::set_retention(0, bytes);
  return 1;
}

ASHLAR_EXPORT struct mallinfo2 mallinfo2() {
  inspect::Totals totals = inspect::totals();
  struct mallinfo2 info {};
  info.hblks = totals.large_blocks;
  info.hblkhd = totals.large_bytes;
  info.uordblks = totals.live - totals.large_bytes;
  // Read a moment apart: never let the difference wrap.
  info.fordblks = totals.committed > totals.live ? totals.committed - totals.live : 0;
  info.arena = info.uordblks + info.fordblks;  // what stands in hblkhd is no part of it
  info.keepcost = totals.dirty;
  return info;
}

ASHLAR_EXPORT struct mallinfo mallinfo() {
  struct mallinfo2 wide = mallinfo2();
  struct mallinfo info {};
  info.arena = as_int(wide.arena);
  info.hblks = as_int(wide.hblks);
  info.hblkhd = as_int(wide.hblkhd);
  info.uordblks = as_int(wide.uordblks);
  info.fordblks = as_int(wide.fordblks);
  info.keepcost = as_int(wide.keepcost);
  return info;
}

ASHLAR_EXPORT void malloc_stats() {
  write_text(inspect::describe, write_to_error, nullptr);
}

ASHLAR_EXPORT int malloc_info(int options, FILE* stream) {
  if (options != 0) return EINVAL;
  if (write_text(inspect::describe_xml, write_to_stream, stream)) return 0;
  return errno != 0 ? errno : EIO;  // a stream of the program's own may fail without a word
}

}  // extern "C"
