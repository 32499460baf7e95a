// bench/harness/launch.cpp -- starts a program under an allocator and reports what it used.
//
// Idea
//   The peak of resident memory that the kernel reports for a process begins with the image it had
//   before exec. Started from an interpreter, /bin/true would seem to need 30 MiB. This program is
//   small, and forks once more, so that what it reports belongs to the program alone.
//
// Use
//   launch REPORT LIBRARY TIMES PROGRAM [ARGUMENT...]
//     REPORT   the number of the file descriptor to report to
//     LIBRARY  what to preload; empty for nothing
//     TIMES    how often to run the program, one run after the other
//   Standard streams belong to the program. The report is one line:
//     <wall ns> <user + system ns, all runs> <peak KiB, largest run> <wait status, first failure>
//   Children that the program has waited for are included in its figures.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

struct Usage {
  long long cpu_ns = 0;
  long peak_kib = 0;
  int status = 0;
};

long long wall_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

long long ns_of(const timeval& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_usec * 1'000;
}

[[noreturn]] void become(const char* library, char** command) {
  if (*library != '\0') setenv("LD_PRELOAD", library, 1);
  execvp(command[0], command);
  perror(command[0]);
  _exit(127);
}

Usage run_once(const char* library, char** command) {
  const pid_t child = fork();
  if (child == 0) become(library, command);
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child) {
    perror("launch");
    std::exit(1);
  }
  return {ns_of(usage.ru_utime) + ns_of(usage.ru_stime), usage.ru_maxrss, status};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs("usage: launch REPORT LIBRARY TIMES PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const int report = std::atoi(argv[1]);
  fcntl(report, F_SETFD, FD_CLOEXEC);
  Usage total;
  const long long start = wall_ns();
  for (long left = std::atol(argv[3]); left > 0 && total.status == 0; --left) {
    const Usage usage = run_once(argv[2], argv + 4);
    total.cpu_ns += usage.cpu_ns;
    total.peak_kib = std::max(total.peak_kib, usage.peak_kib);
    total.status = usage.status;
  }
  dprintf(report, "%lld %lld %ld %d\n", wall_ns() - start, total.cpu_ns, total.peak_kib,
          total.status);
}
