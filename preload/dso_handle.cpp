// preload/dso_handle.cpp -- what the shared library needs of the compiler's start files.
//
// Idea
//   libashlar.so is linked without them: it has no constructors, and what they bring, the dynamic
//   linker looks for in every library of every process. Only pthread_atfork asks for a name of
//   theirs, the handle by which dlclose() finds a library's fork handlers. This library is never
//   unloaded, and null says so.
#include "base/attributes.h"

extern "C" {
ASHLAR_HIDDEN extern void* __dso_handle;
void* __dso_handle = nullptr;
}
