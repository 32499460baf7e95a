// bench/workloads/workload.h -- what the workloads share: generator, clocks, stamps, report.
//
// Idea
//   A workload calls malloc and its family in the pattern of some kind of program. A fixed seed
//   decides everything it does, so each allocator is asked the same questions in the same order.
//   Every block is stamped when it is given out and checked before it goes back: two blocks that
//   overlap, or one that lost its content, end the program with a message and exit status 1. What
//   else keeps it from going on, a lack of memory say, ends it with status 3.
//
// Output
//   ns=<nanoseconds per operation>         the measurement of a workload with one row
//   ns.<row>=<nanoseconds per operation>   the same, of one among several rows
//   live=<bytes>                           the most that was live at once, as it was requested
//   kib=<KiB>                              memory, where the peak is not what is asked for;
//                                          live= is then what was live when it was read
//   lat.<row>=<ns>:<count>,...             how many calls took less than so long, and at least as
//                                          long as the bound before
//   slow.<row>=<entries per 1,000 calls>   of the slow path, if the allocator counts them
//   held.<row>=<KiB>                       free objects in its magazines and depots afterwards
//   answer=<sum of all stamps>             the same under every allocator, or somebody is wrong
//
// Clocks
//   cpu_ns() for workloads of one thread: what other processes take from us does not count.
//   wall_ns() where several threads work together: waiting for one another is part of the cost.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "ashlar/inspect.h"

// There under one allocator only: the others count nothing that could be asked for.
#pragma weak ashlar_get_stats

namespace workload {

[[noreturn]] inline void end(const char* why, int status) {
  std::fprintf(stderr, "workload: %s\n", why);
  std::exit(status);
}
/// The allocator has done what it must not.
[[noreturn]] inline void wrong(const char* what) {
  end(what, 1);
}
/// There is nothing wrong with any block, but the program cannot go on.
[[noreturn]] inline void fail(const char* what) {
  end(what, 3);
}

/// Pseudo-random numbers: Knuth's 64-bit linear congruence, of which only the good upper half is
/// shown. libc's rand() takes a lock, and a benchmark must not measure that one.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed * 2 + 1) { next(); }

  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  /// Evenly from 0 to bound - 1; bound is below 2^32.
  size_t below(size_t bound) { return (uint64_t{next()} * bound) >> 32; }
  /// Evenly from low to high, both included.
  size_t between(size_t low, size_t high) { return low + below(high - low + 1); }

 private:
  uint64_t state_;
};

/// A request size as programs make them: most are small, few are large. The mean is near 200 bytes.
inline size_t mixed_size(Rng& rng) {
  const size_t permille = rng.below(1000);
  if (permille < 600) return rng.between(16, 64);
  if (permille < 880) return rng.between(65, 256);
  if (permille < 980) return rng.between(257, 1024);
  if (permille < 999) return rng.between(1025, 4096);
  return rng.between(4097, 32768);
}

inline double clock_ns(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}
inline double cpu_ns() {
  return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
inline double wall_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

/// CPU time of the median of nine passes: one that was disturbed does not count.
template <class Pass>
double median_pass_ns(Pass pass) {
  std::array<double, 9> times;
  for (double& time : times) {
    const double start = cpu_ns();
    pass();
    time = cpu_ns() - start;
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

inline void* must(void* block) {
  if (block == nullptr) fail("out of memory");
  return block;
}

struct Block {
  void* memory = nullptr;
  size_t size = 0;
};

/// The bytes that a workload has asked for and not freed yet, and the most there ever were: what
/// its resident memory is compared with. An addition for each block, so that it is lost beside
/// malloc.
class Live {
 public:
  void add(size_t bytes) {
    now_ += bytes;
    most_ = std::max(most_, now_);
  }
  void remove(size_t bytes) { now_ -= bytes; }
  size_t now() const { return now_; }
  size_t most() const { return most_; }

 private:
  size_t now_ = 0;
  size_t most_ = 0;
};

/// The account of a workload that has containers, which use it too. One thread's.
inline Live live;

/// The account of several threads. Each books at once what many blocks have changed, since an
/// atomic operation for each block would be a cost that no allocator causes. The peak is therefore
/// right up to what the threads have not booked yet.
class SharedLive {
 public:
  void book(int64_t change) {
    const int64_t now = now_.fetch_add(change) + change;
    int64_t most = most_.load();
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
  }
  size_t most() const { return static_cast<size_t>(most_.load()); }

 private:
  std::atomic<int64_t> now_{0};
  std::atomic<int64_t> most_{0};
};

/// std::allocator, except that it keeps `live` up to date.
template <class T>
struct Counted {
  using value_type = T;

  Counted() = default;
  template <class U>
  Counted(const Counted<U>&) {}

  T* allocate(size_t count) {
    live.add(count * sizeof(T));
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* first, size_t count) {
    live.remove(count * sizeof(T));
    std::allocator<T>().deallocate(first, count);
  }
  bool operator==(const Counted&) const = default;
};

template <class T>
using Vector = std::vector<T, Counted<T>>;

/// Writes `key` into the first word of the block and its complement into the last, so that a
/// neighbour that overlaps either end is found. Blocks have at least 16 bytes.
inline void stamp(const Block& block, uint64_t key) {
  const uint64_t last = ~key;
  char* bytes = static_cast<char*>(block.memory);
  std::memcpy(bytes, &key, sizeof(key));
  std::memcpy(bytes + block.size - sizeof(last), &last, sizeof(last));
}

/// The key of a stamped block; ends the program if the stamp is damaged.
inline uint64_t checked(const Block& block) {
  uint64_t key, last;
  const char* bytes = static_cast<const char*>(block.memory);
  std::memcpy(&key, bytes, sizeof(key));
  std::memcpy(&last, bytes + block.size - sizeof(last), sizeof(last));
  if (last != ~key) wrong("a block has lost its content");
  return key;
}

inline Block new_block(size_t size, uint64_t key) {
  const Block block{must(std::malloc(size)), size};
  stamp(block, key);
  return block;
}

/// Frees a stamped block and returns its key.
inline uint64_t end_block(const Block& block) {
  const uint64_t key = checked(block);
  std::free(block.memory);
  return key;
}

/// The same, and counts the block in `live`.
inline Block new_block(Live& live, size_t size, uint64_t key) {
  live.add(size);
  return new_block(size, key);
}
inline uint64_t end_block(Live& live, const Block& block) {
  live.remove(block.size);
  return end_block(block);
}

/// What of this process is resident at this moment.
inline size_t resident_kib() {
  FILE* file = std::fopen("/proc/self/smaps_rollup", "r");
  if (file == nullptr) fail("no /proc/self/smaps_rollup");
  size_t kib = 0;
  for (char line[256]; std::fgets(line, sizeof(line), file) != nullptr;) {
    if (std::sscanf(line, "Rss: %zu", &kib) == 1) break;
  }
  std::fclose(file);
  return kib;
}

inline void nap(long milliseconds) {
  const timespec time{.tv_sec = 0, .tv_nsec = milliseconds * 1'000'000};
  nanosleep(&time, nullptr);
}

inline void report_ns(double ns) {
  std::printf("ns=%.3f\n", ns);
}
inline void report_ns(const char* row, double ns) {
  std::printf("ns.%s=%.3f\n", row, ns);
}
/// Makes one more pass of `calls` calls of malloc and free, and reports what the slow path had to
/// do in it. The pass is made under every allocator, so that it costs each of them its share.
template <class Pass>
void report_slow_path(const char* row, size_t calls, Pass pass) {
  const bool counts = ashlar_get_stats != nullptr;
  ashlar_stats before, after;
  if (counts) ashlar_get_stats(&before);
  pass();
  if (!counts) return;
  ashlar_get_stats(&after);
  const size_t entries =
      after.slow_allocs + after.slow_frees - before.slow_allocs - before.slow_frees;
  std::printf("slow.%s=%.2f\n", row,
              1000.0 * static_cast<double>(entries) / static_cast<double>(calls));
  std::printf("held.%s=%zu\n", row, after.ready / 1024);
}

inline void report_live(size_t bytes) {
  std::printf("live=%zu\n", bytes);
}
inline void report_kib(size_t kib) {
  std::printf("kib=%zu\n", kib);
}
inline void report_answer(uint64_t sum) {
  std::printf("answer=%016" PRIx64 "\n", sum);
}

/// The n-th argument as a number, or `otherwise` if it was not given.
inline size_t argument(int argc, char** argv, int n, size_t otherwise) {
  return n < argc ? std::strtoull(argv[n], nullptr, 10) : otherwise;
}

}  // namespace workload
