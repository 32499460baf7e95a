/* limits/locked.c -- a small unprivileged program that locks all its memory, as gpg or ntpd do.
 *
 * A user would notice: mlockall fails with ENOMEM although next to nothing is in use, because
 * address space that was only reserved counts against RLIMIT_MEMLOCK. Ends with 77
 * where it may lock nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kNotRun = 77 };

int main(void) {
  char* early = malloc(100);
  if (geteuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534))) return kNotRun;
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    printf("mlockall: %s\n", strerror(errno));
    return system("grep -E 'VmSize|VmLck' /proc/$PPID/status") == 0 ? kNotRun : 2;
  }
  size_t total = 0;
  for (char* block; (block = malloc(5000)) != NULL && total < 100000000; total += 5000) {
    memset(block, 1, 5000);
  }
  if (errno != ENOMEM) return puts("no ENOMEM when the limit was reached"), 1;
  free(early);
  printf("%s\n", total > 1000000 && total < 100000000 ? "locked" : "the limit is not kept");
  return total <= 1000000;
}
