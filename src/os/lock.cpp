#include "os/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/check.h"
#include "os/syscall.h"
#include "os/thread.h"

namespace ashlar::os {
namespace {

constexpr unsigned kSpins = 64;  // about as long as a slab refill holds its lock

// Even, not 0, and different for each thread that lives: their states are 16 bytes apart at least.
uint32_t my_name() {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&this_thread()) >> 3 & ~uintptr_t{1});
}

[[maybe_unused]] constexpr uint32_t bit_of(LockRank rank) {
  return 1u << static_cast<unsigned>(rank);
}
static_assert(bit_of(LockRank::kMetaArena) < kEnding, "the last rank of all");

std::atomic<uint32_t> g_endless_stays{0};

bool is_ending() {
  return (this_thread().held_ranks & kEnding) != 0;
}

}  // namespace

void Lock::acquire() {
  if constexpr (base::kAsserts) {
    // Nothing held at this rank or further down, but by what a fork in a handler has interrupted.
    ASHLAR_ASSERT(this_thread().held_ranks < bit_of(rank_) || rank_ == LockRank::kFork ||
                  is_ending());
    this_thread().held_ranks |= static_cast<uint16_t>(bit_of(rank_));
  }
  uint32_t free = 0, me = my_name();
  // The only thread needs no atomic operation. (Nor does it start another one with a lock held.)
  if (!has_other_threads()) {
    word_.store(me, std::memory_order_relaxed);
    return;
  }
  if (!word_.compare_exchange_strong(free, me, std::memory_order_acquire,
                                     std::memory_order_relaxed)) [[unlikely]]
    acquire_slow(me);
}

void Lock::release() {
  if constexpr (base::kAsserts) this_thread().held_ranks &= static_cast<uint16_t>(~bit_of(rank_));
  if (!has_other_threads()) {
    word_.store(0, std::memory_order_relaxed);
    return;
  }
  if ((word_.exchange(0, std::memory_order_release) & kWaiting) != 0) [[unlikely]]
    call(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1);
}

bool Lock::is_mine() const {
  return (word_.load(std::memory_order_relaxed) & ~kWaiting) == my_name();
}

void Lock::acquire_slow(uint32_t me) {
  if (base::kHasCaches && is_ending() && is_mine()) return;
  for (unsigned spin = 0;; ++spin) {
    uint32_t seen = word_.load(std::memory_order_relaxed);
    // Whoever has slept cannot know whether others still do, and keeps the bit.
    uint32_t mine = spin > kSpins ? me | kWaiting : me;
    if (seen == 0) {
      if (word_.compare_exchange_weak(seen, mine, std::memory_order_acquire,
                                      std::memory_order_relaxed))
        return;
    } else if (spin < kSpins) {
      pause_cpu();
    } else if ((seen & kWaiting) != 0 ||
               word_.compare_exchange_weak(seen, seen | kWaiting, std::memory_order_relaxed)) {
      futex_wait(word_, seen | kWaiting, 0);
    }
  }
}

void ignore_held_locks() {
  ThreadState& me = this_thread();
  if (!is_ending()) g_endless_stays.fetch_add(me.gate_depth, std::memory_order_relaxed);
  me.held_ranks |= kEnding;
}

uint32_t endless_stays() {
  return g_endless_stays.load(std::memory_order_relaxed);
}

void forget_endless_stays() {
  uint32_t mine = is_ending() ? this_thread().gate_depth : 0;
  g_endless_stays.store(mine, std::memory_order_relaxed);
}

void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, unsigned microseconds) {
  timespec limit{microseconds / 1000000, static_cast<long>(microseconds % 1000000) * 1000};
  call(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, microseconds == 0 ? nullptr : &limit);
}

void futex_wake_all(const std::atomic<uint32_t>& word) {
  call(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

}  // namespace ashlar::os
