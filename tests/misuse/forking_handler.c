/* misuse/forking_handler.c -- a handler of SIGABRT has another thread fork, so that the child
 * reports the crash, and waits for it, while the heap tells of a block freed twice. */
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

#include "say.h"

static sem_t asked, done;

static void* fork_when_asked(void* none) {
  while (sem_wait(&asked) != 0) {
  }
  pid_t child = fork();
  if (child == 0) {
    char* block = malloc(100);
    if (block != NULL) free(block);
    _exit(block == NULL);
  }
  int status = 1;
  waitpid(child, &status, 0);
  if (status == 0) sem_post(&done);
  return none;
}

static void report(int signal) {
  (void)signal;
  sem_post(&asked);
  while (sem_wait(&done) != 0) {
  }
  _exit(42);
}

int main(void) {
  sem_init(&asked, 0, 0);
  sem_init(&done, 0, 0);
  signal(SIGABRT, report);
  pthread_t thread;
  if (pthread_create(&thread, NULL, fork_when_asked, NULL) != 0) return 2;
  char* block = malloc(1 << 20);
  free(block);
  free(hidden(block));
  return 0;
}
