// harden/poison.h -- the pattern that free memory holds where writes to it are to be found.
//
// Idea
//   A free object is filled with one byte. Whoever gives the object out looks whether it still is:
//   the first byte that is not was written by somebody who had freed the object. As a pointer the
//   pattern leads nowhere, as a number it is neither small nor a round one.
//
// Source
//   Linux, include/linux/poison.h.
#pragma once

#include <cstddef>

namespace ashlar::harden {

/// Fills `size` bytes with the pattern.
void poison(void* memory, size_t size);

/// The offset of the first byte that does not hold it; `size` where all do.
size_t find_damage(const void* memory, size_t size);

}  // namespace ashlar::harden
