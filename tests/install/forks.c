/* forks.c -- forks while other threads allocate. Each child allocates and ends.
 *
 * A program that is linked with libashlar.a must have its fork handlers although it names nothing
 * but malloc and free; without them a child waits for a lock whose holder does not exist there. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kThreads = 2, kForks = 200, kBlocks = 1000, kSize = 40000 };

static void churn(int rounds) {
  void* blocks[kBlocks];
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < kBlocks; ++i) blocks[i] = malloc(i % 8 == 0 ? kSize : (size_t)i);
    for (int i = 0; i < kBlocks; ++i) free(blocks[i]);
  }
}

static void* churn_for_ever(void* unused) {
  for (;;) churn(1);
  return unused;
}

int main(void) {
  pthread_t threads[kThreads];
  alarm(60); /* a child that hangs ends the test, not the patience of whoever runs it */
  for (int i = 0; i < kThreads; ++i)
    if (pthread_create(&threads[i], NULL, churn_for_ever, NULL) != 0) return 1;
  for (int i = 0; i < kForks; ++i) {
    pid_t child = fork();
    if (child == 0) {
      alarm(10);
      churn(1);
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
      printf("child %d of %d ended with status 0x%x\n", i, kForks, (unsigned)status);
      return 1;
    }
  }
  return 0;
}
