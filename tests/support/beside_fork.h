// support/beside_fork.h -- what a thread does while another one forks, the heap's gate closed.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "front/process.h"
#include "support/child.h"

namespace test {
using namespace ashlar;

/// One at a time.
class Fork {
 public:
  /// Has the other thread fork. From its return until what() returns the gate is closed.
  void begin() {
    is_wanted_ = true;
    while (!is_closed_) usleep(100);
  }

 private:
  template <class What, class Child>
  friend Ending beside_fork(What what, Child in_child);

  static void hold() {
    Fork* fork = current_;
    if (fork == nullptr) return;
    fork->is_closed_ = true;
    while (!fork->is_over_) usleep(100);
  }

  static inline std::atomic<Fork*> current_{nullptr};
  // Registered before the heap's own handlers, so that it runs after their prepare handler.
  static inline const int registered_ = pthread_atfork(hold, nullptr, nullptr);
  std::atomic<bool> is_wanted_{false}, is_closed_{false}, is_over_{false};
};

/// Runs what(Fork&) in a thread of its own, which tells when this one shall fork. How the child has
/// ended, whose exit code is in_child().
template <class What, class Child>
[[nodiscard]] Ending beside_fork(What what, Child in_child) {
  Fork gate;
  front::start_process();
  std::thread other([&] {
    what(gate);
    gate.is_over_ = true;
  });
  while (!gate.is_wanted_) usleep(100);
  Fork::current_ = &gate;
  pid_t child = fork();
  Fork::current_ = nullptr;
  if (child == 0) _exit(in_child());
  Ending ending = wait_for(child);
  other.join();
  return ending;
}

}  // namespace test
