// os/thread.h -- the sixteen bytes that each thread has of us, and its end.
//
// Idea
//   With restartable sequences the fast path needs no thread-local memory at all. The slow path
//   keeps sixteen bytes, reached through initial-exec TLS, so that dlopen of the library does not
//   exhaust the static TLS block and no access can allocate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/attributes.h"

extern "C" {
// glibc 2.32 and later; absent elsewhere, and then every process counts as threaded. Headers of
// libstdc++ declare it, too, but not as weak.
// NOLINTNEXTLINE(readability-redundant-declaration)
extern char __libc_single_threaded ASHLAR_WEAK;
}

namespace ashlar::os {

struct ThreadState {
  void* fallback;       ///< cache/: the thread's own magazines where there is no rseq
  uint32_t gate_depth;  ///< front/: how often this thread is inside the slow path
  uint16_t held_ranks;  ///< debug builds: ranks of the locks held; kEnding in all
  bool has_exited : 1;  ///< the exit hook has run; what follows goes without magazines
  uint8_t
      shrinking : 7;  ///< front/: the number of the program's shrinker that it is inside, from 1 on
  uint8_t last_closing;  ///< front/: the closing of the gate at which it has waited last
};
static_assert(sizeof(ThreadState) <= 16, "the promise made to dlopen");

/// In held_ranks, where no rank is: this thread ends the process (os/lock.h).
inline constexpr uint16_t kEnding = 1u << 15;

ASHLAR_HIDDEN extern ASHLAR_THREAD_LOCAL ThreadState t_state;

inline ThreadState& this_thread() {
  return t_state;
}

/// One of so many places, for what threads that are alive shall not meet at. Their states lie
/// multiples of a stack apart.
constexpr size_t place_of(uintptr_t thread, size_t places) {
  return static_cast<size_t>((thread * 0x9e3779b97f4a7c15 >> 32) * places >> 32);
}
inline size_t my_place(size_t places) {
  return place_of(reinterpret_cast<uintptr_t>(&this_thread()), places);
}

/// Chooses what runs when a thread ends that asked for it. Called once, early: the first of a
/// process's keys need no memory in any thread. False where there are too many keys.
bool start_thread_exit(void (*hook)(void*));

/// Has hook(object) run when this thread ends, after the destructors of C++'s thread-local objects.
/// False, and no more than that, where it cannot be had. (libc's list of such destructors would end
/// the process where memory is out.)
bool at_thread_exit(void* object);

/// Whether the thread that the process began with has ended, by pthread_exit, and others go on.
/// False where libc does not have it told.
bool has_first_thread_ended();

/// Starts a detached thread under this name, with a small stack and all signals blocked but
/// libc's own. False where it cannot be had, or the program has been linked without threads.
/// Allocates.
bool start_thread(void (*run)(), const char* name);

/// Registers the three fork handlers. With libc's dozens of handlers it may allocate.
void at_fork(void (*prepare)(), void (*parent)(), void (*child)());

/// False only where it is certain that this thread is the only one.
inline bool has_other_threads() {
  return &__libc_single_threaded == nullptr || __libc_single_threaded == 0;
}

/// The number of this process: another one in the child of a fork. One system call.
uint32_t process_id();

/// More CPUs than Linux can be built for (NR_CPUS is at most 8192 on every machine).
inline constexpr unsigned kMaxCpus = 8192;

/// No CPU of this machine will ever have this number or a larger one. One system call.
unsigned cpu_bound();

/// Lets the other hardware thread, or another thread, go ahead.
inline void pause_cpu() {
#if defined(__x86_64__)
  asm volatile("pause");
#else
  asm volatile("yield");
#endif
}
void yield_cpu();

}  // namespace ashlar::os
