// bench/harness/launch.cpp -- starts a program under an allocator and reports what it used.
//
// Idea
//   The peak of resident memory that the kernel reports for a process begins with the image it had
//   before exec. Started from an interpreter, /bin/true would seem to need 30 MiB. This program is
//   small, and forks once more, so that what it reports belongs to the program alone.
//
//   While the program runs, this one reads every few milliseconds how much memory is resident.
//
// Use
//   launch REPORT LIBRARY TIMES INTERVAL WARM PROGRAM [ARGUMENT...]
//     REPORT    the number of the file descriptor to report to
//     LIBRARY   what to preload; empty for nothing
//     TIMES     how often to run the program, one run after the other
//     INTERVAL  milliseconds between two looks at its memory; 0 for none. It doubles whenever there
//               are too many of them to keep.
//     WARM      KiB of memory to write to, and to give back, in front of all that. The host of a
//               virtual machine may have to fetch what has been free for seconds, which takes up
//               to thirty times as long as to clear it.
//   Standard streams belong to the program. The report is one line of figures
//     <wall ns> <user + system ns> <system ns> <peak KiB, largest run> <page faults> <wait status,
//     first failure>
//   and one for each look: <milliseconds since the start> <KiB>. Children that the program has
//   waited for are included in the first. The others are of the memory that the program and its
//   descendants do not share with files.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace {

struct Usage {
  long long cpu_ns = 0, system_ns = 0;
  long peak_kib = 0;
  long faults = 0;
  int status = 0;
};

struct Look {
  long ms;
  long kib;
};

long long wall_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

long long ns_of(const timeval& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_usec * 1'000;
}

// In a process of its own, in as few faults as can be.
void warm_up(size_t bytes) {
  constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;
  if (bytes == 0) return;
  const pid_t child = fork();
  if (child == 0) {
    bytes += kHugePage;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(0);
    madvise(memory, bytes, MADV_HUGEPAGE);
    for (size_t at = 0; at < bytes; at += kPage) static_cast<volatile char*>(memory)[at] = 1;
    _exit(0);
  }
  if (child > 0) waitpid(child, nullptr, 0);
}

[[noreturn]] void become(const char* library, char** command) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGTERM, SIG_DFL);
  if (*library != '\0') setenv("LD_PRELOAD", library, 1);
  execvp(command[0], command);
  perror(command[0]);
  _exit(127);
}

// Anonymous memory of a process and all that descend from it. Those that end meanwhile count for
// nothing.
long resident_kib(pid_t process) {
  char path[64];
  long pages = 0, resident = 0, shared = 0;
  std::snprintf(path, sizeof path, "/proc/%d/statm", process);
  if (FILE* file = std::fopen(path, "re")) {
    if (std::fscanf(file, "%*d %ld %ld", &resident, &shared) == 2) pages = resident - shared;
    std::fclose(file);
  }
  long kib = pages * (sysconf(_SC_PAGESIZE) / 1024);
  std::snprintf(path, sizeof path, "/proc/%d/task/%d/children", process, process);
  if (FILE* file = std::fopen(path, "re")) {
    for (int child; std::fscanf(file, "%d", &child) == 1;) kib += resident_kib(child);
    std::fclose(file);
  }
  return kib;
}

class Looks {
 public:
  explicit Looks(long interval_ms) : interval_ms_(interval_ms) {}

  // Looks at the process until it has ended. SIGCHLD is blocked.
  void watch(pid_t process) {
    if (interval_ms_ == 0) return;
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    do {
      looks_.push_back(
          {static_cast<long>((wall_ns() - start_) / 1'000'000), resident_kib(process)});
      if (looks_.size() == kMost) thin_out();
      timespec interval{interval_ms_ / 1000, interval_ms_ % 1000 * 1'000'000};
      sigtimedwait(&ended, nullptr, &interval);
    } while (!has_ended(process));
  }
  void report(int file) const {
    for (const Look& look : looks_) dprintf(file, "%ld %ld\n", look.ms, look.kib);
  }

 private:
  static constexpr size_t kMost = 512;

  static bool has_ended(pid_t process) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == process;
  }
  void thin_out() {
    for (size_t i = 0; i < kMost / 2; ++i) looks_[i] = looks_[2 * i];
    looks_.resize(kMost / 2);
    interval_ms_ *= 2;
  }

  long interval_ms_;
  long long start_ = wall_ns();
  std::vector<Look> looks_;
};

Usage run_once(const char* library, char** command, Looks& looks) {
  const pid_t child = fork();
  if (child == 0) become(library, command);
  if (child > 0) looks.watch(child);
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child) {
    perror("launch");
    std::exit(1);
  }
  const long long system_ns = ns_of(usage.ru_stime);
  return {ns_of(usage.ru_utime) + system_ns, system_ns, usage.ru_maxrss,
          usage.ru_minflt + usage.ru_majflt, status};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("usage: launch REPORT LIBRARY TIMES INTERVAL WARM PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const int report = std::atoi(argv[1]);
  fcntl(report, F_SETFD, FD_CLOEXEC);
  sigset_t ended;
  sigemptyset(&ended);
  sigaddset(&ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &ended, nullptr);
  signal(SIGTERM, SIG_IGN);  // A server's whole session is told to end; its report is still due.
  warm_up(std::strtoul(argv[5], nullptr, 10) * 1024);
  Usage total;
  Looks looks(std::atol(argv[4]));
  const long long start = wall_ns();
  for (long left = std::atol(argv[3]); left > 0 && total.status == 0; --left) {
    const Usage usage = run_once(argv[2], argv + 6, looks);
    total.cpu_ns += usage.cpu_ns;
    total.system_ns += usage.system_ns;
    total.peak_kib = std::max(total.peak_kib, usage.peak_kib);
    total.faults += usage.faults;
    total.status = usage.status;
  }
  dprintf(report, "%lld %lld %lld %ld %ld %d\n", wall_ns() - start, total.cpu_ns, total.system_ns,
          total.peak_kib, total.faults, total.status);
  looks.report(report);
}
