#include "os/thread.h"

#include <linux/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>

#include "os/syscall.h"

// A program that is linked statically and has no threads must not get them from us.
// NOLINTBEGIN(readability-redundant-declaration): it is what makes them weak
extern "C" {
extern decltype(pthread_create) pthread_create ASHLAR_WEAK;
extern decltype(pthread_attr_init) pthread_attr_init ASHLAR_WEAK;
extern decltype(pthread_attr_setdetachstate) pthread_attr_setdetachstate ASHLAR_WEAK;
extern decltype(pthread_attr_setstacksize) pthread_attr_setstacksize ASHLAR_WEAK;
}
// NOLINTEND(readability-redundant-declaration)

namespace ashlar::os {

ASHLAR_THREAD_LOCAL ThreadState t_state{};

namespace {

pthread_key_t g_exit_key;

// Beside the program's thread-local variables, which lie in it, too.
constexpr size_t kStack = size_t{256} << 10;
const char* g_thread_name = nullptr;

void* run_thread(void* run) {
  call(SYS_prctl, PR_SET_NAME, g_thread_name);
  reinterpret_cast<void (*)()>(run)();
  return nullptr;
}

}  // namespace

bool start_thread_exit(void (*hook)(void*)) {
  return pthread_key_create(&g_exit_key, hook) == 0;
}

bool at_thread_exit(void* object) {
  return pthread_setspecific(g_exit_key, object) == 0;
}

void at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
  pthread_atfork(prepare, parent, child);
}

// The kernel forgets where a thread's list of robust locks is when the thread ends. Where we have
// none, libc registers none.
bool has_first_thread_ended() {
  auto has_list = [](uint32_t thread) {
    void* list = nullptr;
    size_t size = 0;
    return is_error(call(SYS_get_robust_list, thread, &list, &size)) || list != nullptr;
  };
  return has_list(0) && !has_list(process_id());
}

bool start_thread(void (*run)(), const char* name) {
  if (pthread_create == nullptr || pthread_attr_init == nullptr ||
      pthread_attr_setdetachstate == nullptr || pthread_attr_setstacksize == nullptr)
    return false;
  g_thread_name = name;
  int error = errno;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStack);
  // A thread inherits what is blocked. The kernel's mask is a word, whatever libc's is. Not libc's
  // own signals, 32 to 34: setuid() waits until every thread has answered one of them.
  uint64_t all = ~(uint64_t{7} << 31), before = 0;
  call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  pthread_t thread;
  int answer = pthread_create(&thread, &attributes, run_thread, reinterpret_cast<void*>(run));
  call(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
  errno = error;
  return answer == 0;
}

unsigned cpu_bound() {
  // The answer is the size of the kernel's own mask in bytes, whatever is set in it.
  unsigned long mask[kMaxCpus / (8 * sizeof(unsigned long))];
  long bytes = call(SYS_sched_getaffinity, 0, sizeof mask, mask);
  return is_error(bytes) ? kMaxCpus : static_cast<unsigned>(bytes) * 8;
}

uint32_t process_id() {
  return static_cast<uint32_t>(call(SYS_getpid));
}

void yield_cpu() {
  call(SYS_sched_yield);
}

}  // namespace ashlar::os
