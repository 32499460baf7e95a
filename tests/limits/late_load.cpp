// limits/late_load.cpp -- the library is loaded by dlopen into a program that already runs.
//
// A user would notice: a plugin that brings the allocator along fails to load ("cannot allocate
// memory in static TLS block"), or disturbs the malloc that the program has used so far.
//
// usage: late_load libashlar.so [libraries that use up static TLS ...]

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void* (*their_malloc)(size_t);
void (*their_free)(void*);
void* (*their_realloc)(void*, size_t);

[[noreturn]] void fail(const char* what) {
  printf("late_load: %s: %s\n", what, dlerror());
  exit(1);
}

void use_both() {
  for (size_t i = 1; i < 3000; ++i) {
    void* ours = malloc(i * 7);
    auto* theirs = static_cast<char*>(their_malloc(i * 7));
    if (ours == nullptr || theirs == nullptr || ours == theirs) fail("allocation");
    memset(ours, 1, i * 7);
    memset(theirs, 2, i * 7);
    theirs = static_cast<char*>(their_realloc(theirs, i * 11));
    if (theirs[0] != 2 || theirs[i * 7 - 1] != 2) fail("content");
    their_free(theirs);
    free(ours);
  }
}

void* in_thread(void*) {
  use_both();
  return nullptr;
}

void in_threads() {
  pthread_t threads[8];
  for (pthread_t& thread : threads)
    if (pthread_create(&thread, nullptr, in_thread, nullptr) != 0) fail("a thread");
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
}

void fork_once(void (*body)()) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  int status = -1;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) fail("the child of a fork");
}

/// Loads libraries with static TLS until the loader refuses; the smallest come last.
int use_up_static_tls(int count, char** libraries) {
  int loaded = 0;
  for (int i = 0; i < count; ++i) loaded += dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL) != nullptr;
  if (count > 0 && loaded == count)
    fail("static TLS could not be used up: more libraries are needed");
  return loaded;
}

}  // namespace

int main(int argc, char** argv) {
  void* before = malloc(1000);
  const int loaded = use_up_static_tls(argc - 2, argv + 2);
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail("dlopen");
  their_malloc = reinterpret_cast<void* (*)(size_t)>(dlsym(library, "malloc"));
  their_free = reinterpret_cast<void (*)(void*)>(dlsym(library, "free"));
  their_realloc = reinterpret_cast<void* (*)(void*, size_t)>(dlsym(library, "realloc"));
  if (their_malloc == nullptr || their_free == nullptr || their_realloc == nullptr) fail("dlsym");
  if (their_malloc == malloc) fail("the library's malloc is the program's: was it preloaded?");
  use_both();
  in_threads();
  fork_once(use_both);
  if (dlclose(library) != 0) fail("dlclose");
  // Whether it was unloaded or not: threads end, forks happen, and the program's malloc works.
  pthread_t thread;
  const auto last = [](void*) -> void* { return malloc(10); };
  if (pthread_create(&thread, nullptr, last, nullptr) != 0) fail("a thread, after dlclose");
  pthread_join(thread, nullptr);
  fork_once([] { free(malloc(10)); });
  free(before);
  printf("loaded late, after %d libraries with static TLS\n", loaded);
  return 0;
}
