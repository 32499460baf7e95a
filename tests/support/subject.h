// support/subject.h -- which malloc the test is running on.
//
// The black-box tests are linked against nothing of ours, so a mistyped LD_PRELOAD would let them
// pass on the system's malloc. Here a test asks whose malloc it calls, and whether it is the one
// that the build meant (ASHLAR_TEST_SUBJECT = glibc, preload, fallback, slabs, slob, fallback_slabs
// or static).
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace test {

/// The file that holds the malloc this program calls: "/.../libc.so.6", "/.../libashlar.so", ...
inline std::string malloc_home() {
  Dl_info info{};
  void* address = reinterpret_cast<void*>(&malloc);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "(statically linked)";
  return info.dli_fname;
}

inline bool on_system_malloc() {
  return malloc_home().find("/libc.so") != std::string::npos;
}

inline std::string subject() {
  const char* name = getenv("ASHLAR_TEST_SUBJECT");
  return name == nullptr ? "unstated" : name;
}

/// True where rseq is switched off for the whole process: magazines then belong to threads.
inline bool in_fallback() {
  return subject().rfind("fallback", 0) == 0;
}

/// Whether blocks of a page's size and less come from SLOB, from object caches, or, as the process
/// grows, from one and then the other.
enum class Small { kSlob, kSlabs, kBoth };
inline Small small_blocks() {
  if (subject() == "slob") return Small::kSlob;
  return subject().find("slabs") != std::string::npos ? Small::kSlabs : Small::kBoth;
}

/// Ends the program when the malloc in use is not the one that was meant.
inline void require_subject() {
  const bool wants_ours = subject() != "glibc" && subject() != "unstated";
  if (wants_ours == !on_system_malloc() || subject() == "unstated") return;
  fprintf(stderr, "this run was meant for '%s', but malloc comes from %s\n", subject().c_str(),
          malloc_home().c_str());
  _exit(2);
}

/// The resident memory of this process in bytes, as the kernel counts it now.
inline size_t resident_bytes() {
  FILE* file = fopen("/proc/self/smaps_rollup", "r");
  char line[256];
  size_t kib = 0;
  while (file != nullptr && fgets(line, sizeof line, file) != nullptr) {
    if (sscanf(line, "Rss: %zu kB", &kib) == 1) break;
  }
  if (file != nullptr) fclose(file);
  return kib * 1024;
}

}  // namespace test
