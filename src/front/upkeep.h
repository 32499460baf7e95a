// front/upkeep.h -- what is done now and then, beside serving requests.
//
// Idea
//   Whoever comes by in the slow path does it (and front/reaper.h's thread, where the user wants
//   one): gives back what need not be kept, each so many calls looks at the clock, ends intervals,
//   and sees whether memory is short. What a user may ask for at any time, the return of all that
//   can be and other bounds, is here, too, and what the options mean to the heap (Heap::start,
//   configure and their like).
//
//   The machine's memory nodes are looked for when the heap has come to 16 MiB, as the container
//   is: for less it is not worth to open files, and a process that comes so far has shown which
//   node it runs on. Who names a node before that has them looked for at once.
//
// Locking
//   None of its own. Called with no lock held, and inside the gate but where it is said.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/text.h"
#include "front/process.h"
#include "os/topology.h"
#include "page/budget.h"
#include "page/manners.h"

namespace ashlar::front {

/// What the slow path does on its way out: gives back what need not be kept.
void maintain();

/// The same outside the gate: a thread of our own is woken, or started if that is allowed, where
/// there is to be one. (libc frees with locks held that the start of a thread takes.)
enum class Start : uint8_t { kNot, kAllowed };
void attend(Start start);

/// Sleeps about a millisecond.
void sleep_a_moment();

/// Asks the program's own caches for what has been wished for (Heap::has_wish) if memory is short
/// still. Not inside the gate; from within the slow path it does nothing.
void answer_wish();

/// Work that a fork keeps from being done, in memory of whoever wants it done: the next slow path
/// does it, inside the gate, or the next fork before it copies the memory. The child of the fork
/// that is under way forgets it. Not in the small library.
struct PutOff {
  PutOff* next;
  void (*run)(PutOff& work);
};
void put_off(PutOff& work);

/// Does what has been put off, unless a fork is under way. Inside the gate with no lock held.
void catch_up();
/// The fork itself does it, while nobody else is inside.
void catch_up_in_fork();

/// In the child of a fork.
void reset_upkeep_in_child();

/// Calls of the slow path so far, about, modulo 2^32.
uint32_t slow_calls();

/// Empties magazines, depots and slabs. Where memory is out their objects may make up whole frames.
void reap_caches();

/// The same, and returns all that can be to the kernel. What another thread is just returning is
/// waited for. Whether anything went.
bool give_back();
/// Others may take what has just gone, or free what can go as well: so often a request that was
/// refused is tried again, as long as something goes.
inline constexpr unsigned kReturnTries = 8;

/// As give_back, of the process's heap, if it has started; and address space that is free at its
/// windows' ends. Where another thread forks it waits so long. Not inside the gate, like all that
/// follows.
bool reap(GateWait wait = GateWait::kNot);

/// Asks the program's own caches to make room for a request of `bytes`, where that may help it, and
/// returns what they free; in each further round for twice as much, since what they free need not
/// be whole frames. Whether they freed any.
bool ask_program(size_t bytes, page::Manners::Where where, unsigned round);
/// The same, one round after the other, until `is_enough()`. Whether it is.
template <class Enough>
bool ask_program_until(size_t bytes, page::Manners::Where where, Enough is_enough) {
  for (unsigned round = 0; round < kReturnTries && ask_program(bytes, where, round); ++round)
    if (is_enough()) return true;
  return false;
}

/// Returns what age and bounds say, as the slow path does now and then.
void reap_by_age();

/// The memory nodes, looked for if that has not been done; null where there is one.
const os::Topology* nodes();

/// Sets what is kept of free memory, in percent of live memory and in bytes at least.
void set_retention(size_t percent, size_t least_bytes);

/// As Heap::configure, of the process's heap, which is started if need be.
bool configure(const char* text, base::Text& faults);

/// Sets what the heap may hold. False where the kernel gives no address space for it at all.
bool set_limits(page::Budget::Bounds bounds);

}  // namespace ashlar::front
