/* threads/many_handlers.c -- more fork handlers than libc has room for, in a program of one
 * thread.
 *
 * A user would notice: a program that hangs in pthread_atfork(). libc asks for memory there with
 * the list of handlers locked, and the heap registers handlers of its own where it goes over to
 * object caches, which happens in any of so many requests. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void handler(void) {}

static void add(int count) {
  for (int i = 0; i < count; ++i)
    if (pthread_atfork(handler, handler, handler) != 0) _exit(3);
}

/* Nothing is asked for but by pthread_atfork itself, behind so many blocks. */
static void grow_behind(int blocks) {
  add(48);
  for (int i = 0; i < blocks; ++i) {
    void* volatile block = malloc(1000);
    if (block == NULL) _exit(4);
  }
  add(200);
  _exit(0);
}

int main(void) {
  for (int blocks = 0; blocks < 700; blocks += blocks < 480 ? 480 : 2) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
      alarm(10);
      grow_behind(blocks);
    }
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
  }
  return 0;
}
