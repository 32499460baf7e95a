// harden/misuse.h -- the whole vocabulary of fatal findings.
//
// Idea
//   A misuse that has been seen is told in one line on standard error and ends the process with
//   SIGABRT: a heap that goes on after it has been seen corrupted hides the fault and helps an
//   attacker. Each finding is one function here, so that its text is exact and its test can assert
//   it. Nothing is allocated; every function is async-signal-safe and takes no lock.
//
// Locking
//   A program's handler of SIGABRT may well allocate: reports of crashes do. So whoever finds a
//   misuse releases its own lock before it tells, with what that guards fit for use. What callers
//   hold, while magazines are emptied, is from then on not in this thread's way (os/lock.h).
#pragma once

#include <cstddef>

#include "base/attributes.h"

namespace ashlar::misuse {

/// An object was freed that is already free. `cache` names its object cache.
[[noreturn]] ASHLAR_COLD void double_free(const void* object, const char* cache, size_t size);
/// A block of a page of small blocks was freed that is already free.
[[noreturn]] ASHLAR_COLD void double_free_small(const void* block);
/// A block of frames was freed that is already free.
[[noreturn]] ASHLAR_COLD void double_free_large(const void* block);
/// An address was freed that lies outside every block this heap has given out.
[[noreturn]] ASHLAR_COLD void foreign_free(const void* address);
/// An address was freed that lies inside a block, not at its start.
[[noreturn]] ASHLAR_COLD void interior_free(const void* address, const void* block);
/// The size given with a free belongs to another class than the block.
[[noreturn]] ASHLAR_COLD void wrong_size(const void* object, size_t told, size_t real);
/// An object was given to a cache that is not its own; `real` is its own, or null where it is of no
/// cache.
[[noreturn]] ASHLAR_COLD void wrong_cache(const void* object, const char* told, const char* real);
/// A cache was ended while the program holds `live` of its objects.
[[noreturn]] ASHLAR_COLD void live_objects(const char* cache, size_t live);
/// A free object of a cache was written to, `offset` bytes behind its start.
[[noreturn]] ASHLAR_COLD void written_when_free(const void* object, const char* cache,
                                                size_t offset);
/// A link inside a free object leads nowhere: somebody wrote into freed memory.
[[noreturn]] ASHLAR_COLD void corrupted(const void* object, const char* finding);

}  // namespace ashlar::misuse
