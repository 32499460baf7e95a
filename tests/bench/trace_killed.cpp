// tests/bench/trace_killed.cpp -- is killed while it writes a record, for test_trace.py.
//
// Use
//   ASHLAR_CAPTURE=FILE trace_killed N     killed before it writes the Nth number, from 0 on
//
// The name's length is number 0. Then come an allocation, an aligned one, a realloc and a free.

#include <csignal>
#include <cstdlib>

#include "format.h"

namespace {

int numbers_left;

void count_number() {
  if (numbers_left-- == 0) raise(SIGKILL);
}

}  // namespace

#define put_varint(out, value) (count_number(), put_varint(out, value))
#include "recording.cpp"

int main(int, char** argv) {
  numbers_left = atoi(argv[1]);
  trace::Recording* recording = trace::Recording::begin();
  char blocks[2];
  recording->allocated(trace::Kind::kMalloc, &blocks[0], 300);
  recording->allocated(trace::Kind::kAligned, &blocks[1], 500, 64);
  recording->reallocated(*recording->take(&blocks[0]), &blocks[0], 700);
  recording->freed(&blocks[1]);
  recording->end();
  return 0;
}
