// bench/harness/peak.cpp -- runs a program and tells its peak of resident memory to the page.
//
// Idea
//   The kernel counts resident pages per CPU and sums them up now and then: what it reports of a
//   process that has ended may lack some dozens of pages, for /bin/true a quarter of all. The
//   page tables know better. So this program traces the other one, which stops on its way to exit
//   while its memory is still there. What was unmapped before is seen only by the kernel's count.
//
// Use
//   peak PROGRAM [ARGUMENT...]
//     Behind what the program prints stands kib=<KiB>. Its own children are not looked at. The exit
//     status is the program's; where a signal killed it, this one dies of the same.

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

/// The figure of a line of /proc/PROCESS/FILE.
long kib_of(pid_t process, const char* file, const char* field) {
  char path[64], line[256];
  std::snprintf(path, sizeof path, "/proc/%d/%s", process, file);
  FILE* lines = std::fopen(path, "re");
  long kib = 0;
  while (lines != nullptr && std::fgets(line, sizeof line, lines) != nullptr) {
    if (std::strncmp(line, field, std::strlen(field)) == 0) {
      kib = std::strtol(line + std::strlen(field), nullptr, 10);
    }
  }
  if (lines != nullptr) std::fclose(lines);
  return kib;
}

long peak_kib(pid_t process) {
  return std::max(kib_of(process, "status", "VmHWM:"), kib_of(process, "smaps_rollup", "Rss:"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: peak PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  long kib = 0;
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    int signal = WSTOPSIG(status);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) kib = peak_kib(child);
    if (signal == SIGTRAP) {
      ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT);
      signal = 0;  // It was for us, not for the program.
    }
    ptrace(PTRACE_CONT, child, nullptr, signal);
  }
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
  std::printf("\nkib=%ld\n", kib);
  return WEXITSTATUS(status);
}
