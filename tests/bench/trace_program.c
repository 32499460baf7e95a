// tests/bench/trace_program.c -- makes known calls of malloc in two threads, for test_trace.py.
//
// Use
//   trace_program [fork | vfork | exit | kill | closed]
//     fork    a child allocates and frees at the same time
//     vfork   a child does nothing but end
//     exit    it ends by _exit
//     kill    it ends by a signal that nothing can catch
//     closed  it first closes every file, then works long enough to need more of the trace's file

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kBlocks = 1000, kSize = 5000, kRounds = 300 };

static void* blocks[kBlocks];

static void* free_all(void* unused) {
  for (int i = 0; i < kBlocks; ++i) free(blocks[i]);
  return unused;
}

static void use(void) {
  for (int i = 0; i < kBlocks; ++i) blocks[i] = malloc(kSize);
  pthread_t thread;
  pthread_create(&thread, NULL, free_all, NULL);
  pthread_join(thread, NULL);
}

// Each kind of call that is not in use(), once.
static void use_others(void) {
  void* aligned = NULL;
  void* grown = realloc(realloc(NULL, 10), 70000);
  free(calloc(3, 7));
  free(aligned_alloc(64, 128));
  free(memalign(256, 100));
  if (posix_memalign(&aligned, 4096, 50) == 0) free(aligned);
  free(reallocarray(grown, 10, 10));
  free(NULL);
  free(valloc(1));
}

static pid_t use_in_child(void) {
  const pid_t child = fork();
  if (child == 0) {
    for (int round = 0; round < kRounds; ++round) use();
    exit(0);
  }
  return child;
}

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "";
  const pid_t child = strcmp(how, "fork") == 0 ? use_in_child() : 0;
  if (strcmp(how, "vfork") == 0 && vfork() == 0) _exit(0);
  if (strcmp(how, "closed") == 0) {
    for (int file = 3; file < 1024; ++file) close(file);
    for (int round = 0; round < kRounds; ++round) use();
  }
  use();
  if (child != 0) waitpid(child, NULL, 0);
  use_others();
  if (strcmp(how, "exit") == 0) _exit(0);
  if (strcmp(how, "kill") == 0) raise(SIGKILL);
  return 0;
}
