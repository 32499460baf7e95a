#include "os/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "os/syscall.h"

namespace os {

ASHLAR_THREAD_LOCAL ThreadState t_state{};

namespace {
pthread_key_t g_exit_key;
}

bool start_thread_exit(void (*hook)(void*)) {
  return pthread_key_create(&g_exit_key, hook) == 0;
}

bool at_thread_exit(void* object) {
  return pthread_setspecific(g_exit_key, object) == 0;
}

void at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
  pthread_atfork(prepare, parent, child);
}

unsigned cpu_bound() {
  // The answer is the size of the kernel's own mask in bytes, whatever is set in it.
  unsigned long mask[kMaxCpus / (8 * sizeof(unsigned long))];
  long bytes = call(SYS_sched_getaffinity, 0, sizeof mask, mask);
  return is_error(bytes) ? kMaxCpus : static_cast<unsigned>(bytes) * 8;
}

void yield_cpu() {
  call(SYS_sched_yield);
}

}  // namespace os
