// bench/trace/plan.h -- a trace made ready to be replayed.
//
// Idea
//   The trace is cut into *epochs*: about 200 of the same length, fewer in a short trace, and one
//   more wherever a thread begins and where the live bytes peak. Within an epoch each thread makes
//   its operations as fast as it can; all have finished it before the next begins. So no thread
//   runs far ahead of what it did in the program, live memory at the end of each epoch is what it
//   was there, and memory can be sampled while nothing is timed.
//
//   Objects have *slots*, by which threads find them. A slot is empty until its object has been
//   allocated, and whoever is to free it waits for that. A slot that was emptied is used again in
//   a later epoch only; hence a full slot always holds the right object. A reallocated object moves
//   to another slot.
//
//   Threads have *seats*: the number of seats is that of the threads that are there at once. The
//   thread of seat 0 is there from the beginning to the end.

#pragma once

#include <cstddef>
#include <cstdint>

#include "format.h"
#include "mapped.h"
#include "summary.h"

namespace trace {

struct Op {
  uint64_t size : 48;  // At least 1: the smallest that every allocator serves alike.
  uint64_t kind : 8;
  uint64_t align_log2 : 8;
  uint32_t slot;
  uint32_t to;  // The new slot of what is reallocated.
};
static_assert(sizeof(Op) == 16);

/// What one thread does in one epoch: plan.ops[first] to plan.ops[last - 1].
struct Segment {
  size_t first, last;
  uint32_t seat;
  bool starts_thread, ends_thread;
};

struct Epoch {
  size_t first_segment, last_segment;
  uint64_t operations;  // Made when it ends, from the beginning on.
  uint64_t live_bytes;  // When it ends.
  bool is_sampled;
};

struct Plan {
  MappedArray<Op> ops;
  MappedArray<Segment> segments;
  MappedArray<Epoch> epochs;
  uint32_t slots = 0, seats = 1;
};

void make_plan(const char* path, const MappedArray<uint8_t>& bytes, const Summary& summary,
               Plan& plan);

}  // namespace trace
