// front/reaper.h -- a thread that gives memory back while the program sleeps.
//
// Idea
//   What is kept for reuse goes back by age in calls of malloc and free. A program that sleeps
//   makes none. Where the user has asked for it (the option reaper:auto) and the process has
//   threads anyhow, a thread of our own ends the intervals in their place. It *parks* when some
//   intervals have brought no call of the slow path, which have then given back all that age does,
//   and the slow path wakes it: a process that does nothing has no thread that does something.
//
//   A process that never had a second thread gets none, nor does a child that has none yet:
//   unshare() and setns() refuse a process that has two. Where main() has ended by pthread_exit()
//   it ends, too: a process ends with its last thread.
//
// Invariants
//   1. There is one reaper at most. The child of a fork begins without.
//
// Locking
//   None: one word says what it does. It is started with no lock held and outside the gate, for
//   pthread_create allocates.
#pragma once

#include <cstdint>

namespace ashlar::front {

/// Wakes the reaper where it has parked, and starts it where there is none yet and that is allowed.
/// Where it cannot be started it is not tried again.
void wake_reaper(bool may_start);

/// In the child of a fork.
void forget_reaper();

}  // namespace ashlar::front
