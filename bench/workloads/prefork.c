// bench/workloads/prefork.c -- a server that has forked its workers, which now wait.
//
// Models
//   Apache's prefork, PostgreSQL, Gunicorn: the parent reads its configuration and forks 64
//   workers. Each has served some requests and holds little. The heap of the parent is shared until
//   somebody writes to it; an allocator whose notes lie all over it, or that sets up much for each
//   process, pays 64 times.
//
// Measurement
//   The sum of Private_Dirty over the parent and all workers while they wait.
//
// Verification
//   Each worker checks its own blocks and all that it has inherited, and sends the sum of their
//   keys. One that is killed by a signal takes the parent with it.

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "small.h"

enum { kWorkers = 64, kStateNodes = 4000, kRequests = 50, kRequestNodes = 20 };

static uint64_t check_chain(const Node* chain) {
  uint64_t sum = 0;
  for (; chain != NULL; chain = chain->next) sum += check_node(chain);
  return sum;
}

// Serves some requests, tells the sum of all keys, and waits with a request half done until the
// parent has closed its end of the pipe.
static _Noreturn void work(Node* state, int tell, int wait) {
  uint64_t sum = 0;
  for (int i = 0; i < kRequests; ++i) sum += end_chain(new_chain(kRequestNodes));
  Node* held = new_chain(kRequestNodes);
  sum += check_chain(state);
  if (write(tell, &sum, sizeof sum) != sizeof sum) fail("a worker cannot tell its sum");
  close(tell);
  char end;
  if (read(wait, &end, 1) != 0) fail("a worker was told to go on");
  end_chain(held);
  end_chain(state);
  _exit(0);
}

static void await_end(pid_t worker) {
  int status = 0;
  if (waitpid(worker, &status, 0) != worker) fail("lost a worker");
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
  if (status != 0) end("a worker has failed", WEXITSTATUS(status));
}

int main(void) {
  static pid_t workers[kWorkers];
  int sums[2], wait[2];
  if (pipe(sums) != 0 || pipe(wait) != 0) fail("no pipe");
  Node* state = new_chain(kStateNodes);
  for (int i = 0; i < kWorkers; ++i) {
    workers[i] = fork();
    if (workers[i] < 0) fail("cannot fork");
    if (workers[i] == 0) {
      close(wait[1]);
      work(state, sums[1], wait[0]);
    }
    next_random();  // Each worker has requests of its own.
  }
  close(sums[1]);
  uint64_t total = 0, sum;
  int told = 0;
  for (; read(sums[0], &sum, sizeof sum) == sizeof sum; ++told) total += sum;
  long kib = private_dirty_kib(getpid());
  // Where one has not told its sum, its end will say why.
  for (int i = 0; told == kWorkers && i < kWorkers; ++i) kib += private_dirty_kib(workers[i]);
  close(wait[1]);
  for (int i = 0; i < kWorkers; ++i) await_end(workers[i]);
  printf("kib=%ld\nanswer=%016" PRIx64 "\n", kib, total + end_chain(state));
  return 0;
}
