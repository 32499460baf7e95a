// os/env.h -- what the kernel tells a new process: auxiliary vector, environment, entropy.
//
// Idea
//   malloc is called before libc has finished starting, so only what the kernel left on the stack
//   is used: the auxiliary vector (through getauxval, which reads ld.so's copy of it) and the
//   environment strings behind `environ`. In a setuid process the environment is somebody else's
//   and is not read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::os {

/// Reads the auxiliary vector. Called once, before the first of the functions below. Cheap, calls
/// no allocating function.
void start_env();

/// The system's page size in bytes: 4, 16 or 64 KiB. Known after start_env().
size_t page_size();

/// The value of an environment variable; null where it is not set or must not be trusted.
const char* trusted_environment(const char* name);

/// A number that differs between processes and between values of `salt`. From AT_RANDOM, mixed.
uint64_t entropy(uint64_t salt);

}  // namespace ashlar::os
