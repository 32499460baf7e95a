// threads/no_rseq_threads_test.cpp -- threads that the kernel does not know as restartable.
//
// A user would notice: in a sandbox whose seccomp filter refuses rseq(2), or where a library
// unregisters a thread, such a thread reads "CPU 0" from its area. If it used CPU 0's magazine,
// blocks would be given out twice. Registered and unregistered threads share blocks here.

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <mutex>
#include <thread>

#include "../support/child.h"
#include "stamped.h"

extern "C" {
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));
}

namespace {

volatile struct rseq* own_area() {
  return reinterpret_cast<volatile struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) +
                                                 __rseq_offset);
}

bool glibc_registers() {
  return &__rseq_size != nullptr && __rseq_size > 0;
}

bool refuse_rseq() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rseq, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOSYS & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof program[0], program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool unregister_this_thread() {
  constexpr unsigned kSignature = 0x53053053;  // glibc's, on x86-64
  auto* area = const_cast<struct rseq*>(own_area());
  for (unsigned size : {32u, __rseq_size, 28u, 20u}) {
    if (syscall(SYS_rseq, area, size, RSEQ_FLAG_UNREGISTER, kSignature) == 0) return true;
  }
  return false;
}

struct Exchange {
  std::mutex mutex;
  std::vector<test::Stamped> blocks;
};

/// Allocates, frees, and swaps blocks with the other threads.
void trade(uint64_t seed, size_t steps, Exchange& exchange) {
  test::Rng rng(seed);
  std::vector<test::Stamped> live(300);
  for (size_t i = 0; i < steps; ++i) {
    test::Stamped& slot = live[rng.below(live.size())];
    test::free_stamped(slot);
    slot = test::make_stamped(rng.size(20000), rng.next());
    if (i % 50 != 0) continue;
    const std::lock_guard held(exchange.mutex);
    if (exchange.blocks.size() < 100) {
      exchange.blocks.push_back(test::make_stamped(rng.size(20000), rng.next()));
    } else {
      std::swap(exchange.blocks[rng.below(100)], slot);
    }
  }
  for (const test::Stamped& block : live) test::free_stamped(block);
}

enum class Threads { kAsTheyAre, kHalfUnregistered };

/// Six threads trade. Returns how many of them the kernel did not know while they did.
int trade_in_threads(Threads kind, size_t steps) {
  Exchange exchange;
  std::atomic<int> unknown{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      if (kind == Threads::kHalfUnregistered && t >= 3) {
        trade(t + 50, 20000, exchange);  // first as an ordinary thread
        unregister_this_thread();
      }
      unknown += static_cast<int32_t>(own_area()->cpu_id) < 0;
      trade(t, steps, exchange);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const test::Stamped& block : exchange.blocks) test::free_stamped(block);
  return unknown;
}

TEST(NoRseqThreads, UnregisteredInMidLife) {
  if (!glibc_registers()) GTEST_SKIP() << "not run: rseq is off in this process";
  test::Watchdog dog(110, "threads with and without rseq");
  EXPECT_EQ(trade_in_threads(Threads::kHalfUnregistered, 300000), 3)
      << "the threads were not unregistered: nothing was tested";
}

TEST(NoRseqThreads, UnregisteredMainThread) {
  if (!glibc_registers()) GTEST_SKIP() << "not run: rseq is off in this process";
  const test::Ending ending = test::in_child([] {
    test::churn(1, 20000, 200, 20000);
    if (!unregister_this_thread()) return 78;
    test::churn(2, 20000, 200, 20000);
    std::thread other([] { test::churn(3, 200000, 200, 20000); });
    test::churn(4, 200000, 200, 20000);
    other.join();
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// Under a filter from the start glibc registers nobody; a filter that comes later makes glibc
// itself abort in pthread_create ("rseq registration failed"), so there is no third case.
TEST(NoRseqThreads, StartedUnderASeccompFilter) {
  const test::Ending ending = test::run_disabled("NoRseqThreads", "AllOfThem", {}, [] {
    if (!refuse_rseq()) _exit(test::kNotRun);
  });
  if (ending.exit_code == test::kNotRun)
    GTEST_SKIP() << "not run: seccomp filters are refused here";
  EXPECT_TRUE(ending.clean()) << ending.text();
}

/// Run by the test above, in a process that was never registered.
TEST(NoRseqThreads, DISABLED_AllOfThem) {
  EXPECT_FALSE(glibc_registers()) << "the filter did not work: nothing was tested";
  EXPECT_EQ(trade_in_threads(Threads::kAsTheyAre, 200000), 6);
}

}  // namespace
