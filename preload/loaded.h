// preload/loaded.h -- functions of the libraries that are loaded, by name.
//
// Idea
//   What dlopen and dlsym tell, but where memory is out: those allocate. So the tables that the
//   dynamic linker works with are read here.
//
// Locking
//   Each call takes a lock of the dynamic linker, as unwinding does. What was found stays as long
//   as whoever asks keeps its object loaded: one that it runs in, or needs.
//
// Cost
//   A walk over all loaded objects, or two.
#pragma once

namespace ashlar::loaded {

/// The function `name` of the object (the program, or a library) that has `user` in its code; null
/// where it exports none.
void* find_in(const void* user, const char* name);

/// As find_in, or of an object that this one names as needed.
void* find_for(const void* user, const char* name);

/// Of the first object that has one.
void* find_any(const char* name);

}  // namespace ashlar::loaded
