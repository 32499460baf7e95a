// support/child.h -- children that are always waited for, and never for ever.
//
// A user would notice a hang as a program that stands still; a test suite must notice it as a
// failure with a sentence. Everything here has a deadline in seconds, generous enough for a loaded
// machine, and kills what it started when the deadline has passed.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace test {

/// Ends a process, or tells of a child, in which the test cannot be made; ctest, too, takes it so.
constexpr int kNotRun = 77;

/// How often something is done: as often as the environment says, or as usual.
inline int how_often(const char* variable, int usual) {
  const char* text = getenv(variable);
  return text == nullptr ? usual : atoi(text);
}

/// How a child ended. Exactly one of exit_code >= 0, signal > 0 and timed_out holds.
struct Ending {
  int exit_code = -1;
  int signal = 0;
  bool timed_out = false;
  std::string out;
  std::string err;

  bool clean() const { return exit_code == 0; }

  std::string text() const {
    std::string how = timed_out    ? "was killed: it did not end in time"
                      : signal > 0 ? "was ended by signal " + std::to_string(signal)
                                   : "ended with code " + std::to_string(exit_code);
    return how + "\n--- stdout ---\n" + out + "--- stderr ---\n" + err;
  }
};

inline int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

/// Waits for `pid` at most `seconds`, then kills it. Fills in the three ways of ending; none where
/// there is no such process, because fork refused.
inline void wait_for(pid_t pid, int seconds, Ending& ending) {
  if (pid <= 0) {
    ending.err += "fork refused\n";
    return;
  }
  const int64_t deadline = now_ms() + int64_t{seconds} * 1000;
  int status = -1;
  for (useconds_t pause = 50;; pause = pause < 5000 ? pause * 2 : pause) {
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) break;
    if (got < 0 && errno != EINTR) return;
    if (now_ms() > deadline) {
      ending.timed_out = true;
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return;
    }
    usleep(pause);
  }
  if (WIFEXITED(status)) ending.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
}

[[nodiscard]] inline Ending wait_for(pid_t pid, int seconds = 60) {
  Ending ending;
  wait_for(pid, seconds, ending);
  return ending;
}

/// Reads both pipes until they close or the deadline passes.
inline void drain_pipes(int out, int err, int seconds, Ending& ending) {
  const int64_t deadline = now_ms() + int64_t{seconds} * 1000;
  pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&ending.out, &ending.err};
  while ((fds[0].fd >= 0 || fds[1].fd >= 0) && now_ms() < deadline) {
    if (poll(fds, 2, 200) <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t got = read(fds[i].fd, buffer, sizeof buffer);
      if (got > 0) texts[i]->append(buffer, static_cast<size_t>(got));
      if (got == 0) fds[i].fd = -1;
    }
  }
}

/// Forks, joins stdout and stderr to pipes, runs `body` in the child (its result is the exit
/// code, of which a process keeps eight bits), and waits. Only for tests whose process has one
/// thread.
[[nodiscard]] inline Ending in_child(const std::function<int()>& body, int seconds = 60) {
  int out[2];
  int err[2];
  Ending ending;
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return ending;
  fflush(stdout);
  fflush(stderr);
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    const int code = body();
    fflush(stdout);
    fflush(stderr);
    _exit(code);
  }
  close(out[1]);
  close(err[1]);
  drain_pipes(out[0], err[0], seconds, ending);
  wait_for(pid, 2, ending);
  if (ending.timed_out) kill(-pid, SIGKILL);
  close(out[0]);
  close(err[0]);
  return ending;
}

/// Runs a program to its end. `environment` entries are "NAME=value"; "NAME" alone removes.
/// `before` runs in the child between fork and exec: limits, credentials.
[[nodiscard]] inline Ending run(const std::vector<std::string>& words,
                                const std::vector<std::string>& environment = {}, int seconds = 60,
                                const std::function<void()>& before = {}) {
  return in_child(
      [&]() -> int {
        for (const std::string& entry : environment) {
          const size_t equals = entry.find('=');
          if (equals == std::string::npos) {
            unsetenv(entry.c_str());
          } else {
            setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
          }
        }
        std::vector<char*> argv;
        for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        if (before) before();
        execvp(argv[0], argv.data());
        dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
        return 127;
      },
      seconds);
}

/// Runs <suite>.DISABLED_<name> of this program in a process of its own. It is no success where it
/// did not run to its end, as with a name that nothing has; where it was skipped, it is kNotRun.
[[nodiscard]] inline Ending run_disabled(const std::string& suite, const std::string& name,
                                         const std::vector<std::string>& environment = {},
                                         const std::function<void()>& before = {}) {
  Ending ending = run({"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
                       "--gtest_filter=" + suite + ".DISABLED_" + name},
                      environment, 100, before);
  if (ending.clean() && ending.out.find("1 test from 1 test suite ran.") == std::string::npos) {
    ending.exit_code = 1;
    ending.err += "no test ran to its end: " + suite + ".DISABLED_" + name + "\n";
  }
  return ending;
}

/// Ends the whole process with a sentence when the test has not finished in time. Its thread has
/// begun when it is made: a sanitizer's locks, as that takes some, would stay locked in a child.
class Watchdog {
 public:
  Watchdog(int seconds, const char* what)
      : thread_([this, seconds, what] {
          has_begun_ = true;
          for (int64_t end = now_ms() + int64_t{seconds} * 1000; now_ms() < end; usleep(20000)) {
            if (done_) return;
          }
          dprintf(2, "hang: %s did not finish within %d seconds\n", what, seconds);
          _exit(3);
        }) {
    while (!has_begun_) usleep(100);
  }
  ~Watchdog() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false}, has_begun_{false};
  std::thread thread_;
};

}  // namespace test
