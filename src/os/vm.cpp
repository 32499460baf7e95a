#include "os/vm.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/attributes.h"
#include "base/bits.h"
#include "base/config.h"
#include "base/text.h"
#include "os/env.h"
#include "os/syscall.h"
#include "os/text_file.h"

namespace ashlar::os {
namespace {

// Linux values that older headers lack.
constexpr int kNoReplace = 0x100000;  // MAP_FIXED_NOREPLACE, 4.17
constexpr int kDontUnmap = 4;         // MREMAP_DONTUNMAP, 5.7
constexpr int kSetVma = 0x53564d41;   // PR_SET_VMA, 5.17
constexpr int kAnonName = 0;          // PR_SET_VMA_ANON_NAME
constexpr int kCold = 20;             // MADV_COLD, 5.4
constexpr int kPopulateWrite = 23;    // MADV_POPULATE_WRITE, 5.14

constexpr size_t kGiB = size_t{1} << 30;
constexpr size_t kTiB = kGiB << 10;

// Not counted as promised, unless the kernel counts strictly (vm.overcommit_memory 2). Judging by
// itself (0) it lets no process fork that has a counted mapping longer than all memory, and ours
// are as long as what has been in use once, and merge.
long map(char* at, size_t size, int protection, int flags) {
  flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return call(SYS_mmap, at, size, protection, flags, -1, 0);
}

void unmap(long at, size_t size) {
  call(SYS_munmap, at, size);
}

// Maps exactly at `at`, or nowhere. Kernels that do not know the flag take the address as a hint.
bool map_if_free(char* at, size_t size, int protection) {
  long answer = map(at, size, protection, kNoReplace);
  if (is_error(answer)) return false;
  if (answer == word(at)) return true;
  unmap(answer, size);
  return false;
}

// 48 to 80 TiB: above the base of bottom-up layouts (a third of 128 TiB), below programs, stacks
// and top-down mappings, and outside the ranges that sanitizers, Go and Java are known to take.
constexpr size_t kQuietFirst = 48 * kTiB;
constexpr size_t kQuietSize = 32 * kTiB;

// Where the last place ended: the next one follows it, from the range's start again where it must,
// so that no two overlap until 32 TiB are given out. (What is taken is then met when it is
// committed.)
ASHLAR_START_DATA std::atomic<size_t> g_last_end{0};

Place find_quiet(size_t size) {
  for (uint64_t attempt = 0; attempt < 5; ++attempt) {
    size_t slots = (kQuietSize - size) / kGiB;
    // Copies of the library in one process, as plugins may bring them, begin apart.
    size_t start =
        kQuietFirst + entropy(attempt + reinterpret_cast<size_t>(&g_last_end)) % slots * kGiB;
    size_t last = g_last_end.load(std::memory_order_relaxed);
    size_t next = base::round_up(last, std::min(size, kGiB));
    if (attempt < 2 && last != 0)
      start = next + size <= kQuietFirst + kQuietSize ? next : kQuietFirst;
    // Another thread may be looking for one.
    if (!g_last_end.compare_exchange_strong(last, start + size, std::memory_order_relaxed))
      continue;
    // Its last page tells whether the address space reaches so far; for the first place a stack
    // that lies beyond does. What else may stand in the range is met when it is committed.
    char* base = reinterpret_cast<char*>(start);
    char* end = base + size;
    bool is_first = base::kHasCaches && last == 0;
    if (!is_first || static_cast<char*>(__builtin_frame_address(0)) < end) {
      if (!map_if_free(end - page_size(), page_size(), PROT_NONE)) continue;
      unmap(word(end - page_size()), page_size());
    }
    return {base, size, false};
  }
  return {};
}

Place vm_reserve(size_t size, size_t least) {
  if (Place quiet = find_quiet(size); quiet.base != nullptr) return quiet;
  for (; size >= least; size /= 2) {
    size_t align = size < kGiB ? size : kGiB;
    long answer = map(nullptr, size + align, PROT_NONE, 0);
    if (is_error(answer)) continue;
    char* raw = reinterpret_cast<char*>(answer);
    size_t head = base::round_up(static_cast<size_t>(answer), align) - static_cast<size_t>(answer);
    if (head != 0) unmap(answer, head);
    if (align != head) unmap(answer + static_cast<long>(head + size), align - head);
    return {raw + head, size, true};
  }
  return {};
}

void vm_release(const Place& place) {
  unmap(word(place.base), place.size);
}

// What is obviously too much, more than all memory, the kernel refuses only where it counts. Of
// shared memory it counts also what nobody may touch, so that nothing is fetched for this question,
// not even where all that is mapped is locked (mlockall). Such memory takes a file, and may be
// refused for want of that.
bool is_promised(size_t size) {
  constexpr size_t kAsked = size_t{64} << 20;  // no machine of interest has less
  if (size < kAsked) return true;
  long answer = call(SYS_mmap, 0, size, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!is_error(answer)) unmap(answer, size);
  return answer != -ENOMEM && answer != -EAGAIN;
}

bool vm_commit(const Place& place, char* at, size_t size) {
  if (!is_promised(size)) return false;
  if (!place.is_reserved) return map_if_free(at, size, PROT_READ | PROT_WRITE);
  return !is_error(map(at, size, PROT_READ | PROT_WRITE, MAP_FIXED));
}

// A page may be missing though the kernel has promised it: other bounds (hugetlb.*.max of a group,
// a set of memory nodes) are looked at when it is fetched. Kernels that cannot fetch it now are
// taken by their word.
bool vm_commit_hugetlb(const Place& place, char* at, size_t size, unsigned page_shift) {
  if (place.is_reserved) return false;
  int kind = MAP_HUGETLB | static_cast<int>(page_shift << MAP_HUGE_SHIFT);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | kNoReplace | kind;
  long answer = call(SYS_mmap, at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (is_error(answer)) return false;
  long fetched = call(SYS_madvise, answer, size, kPopulateWrite);
  if (answer == word(at) && (!is_error(fetched) || fetched == -EINVAL)) return true;
  unmap(answer, size);
  return false;
}

bool vm_purge(char* at, size_t size) {
  return !is_error(call(SYS_madvise, at, size, MADV_DONTNEED));
}

bool is_zero_page(const char* at) {
  uint64_t bits = 0, words[8];
  for (const char* end = at + page_size(); at < end; at += sizeof words) {
    std::memcpy(words, at, sizeof words);
    for (uint64_t word : words) bits |= word;
  }
  return bits == 0;
}

// What reads as zero is not written to: it may never have been fetched, and would be, for good
// (MCL_ONFAULT).
void clear(char* at, size_t size) {
  for (char* end = at + size; at < end; at += page_size())
    if (!is_zero_page(at)) std::memset(at, 0, page_size());
}

// Locked pages are found by halving, and so many questions are worth it: two for each halving of a
// large range, and some for each locked page, of which there may be one in 32. Where all is locked
// (mlockall) they take less time than the clearing.
constexpr size_t kMostHalvings = 500;
constexpr size_t kPagesOfHalving = 4;

// Purges what is not locked of a range that was refused, and clears the rest. How many bytes.
size_t purge_around(char* at, size_t size, size_t& halvings) {
  if (size <= page_size() || halvings == 0) {
    clear(at, size);
    return size;
  }
  --halvings;
  size_t half = base::round_up(size / 2, page_size()), locked = 0;
  if (!vm_purge(at, half)) locked += purge_around(at, half, halvings);
  if (!vm_purge(at + half, size - half)) locked += purge_around(at + half, size - half, halvings);
  return locked;
}

// The same; 0 where it was refused for another reason.
ASHLAR_COLD size_t purge_if_locked(char* at, size_t size, size_t& halvings) {
  long answer = call(SYS_madvise, at, size, MADV_DONTNEED);
  halvings += size / page_size() / kPagesOfHalving;
  return answer == -EINVAL ? purge_around(at, size, halvings) : 0;
}

Purged vm_purge_each(const Range* ranges, size_t count) {
  size_t done = 0, locked = 0;
  size_t halvings = kMostHalvings;
  for (; done < count; ++done) {
    auto [at, size] = ranges[done];
    if (vm_purge(at, size)) continue;
    size_t stays = base::kHasCaches ? purge_if_locked(at, size, halvings) : 0;
    if (stays == 0) break;
    locked += stays;
  }
  return {done, locked};
}

// The target may be unmapped by now: the kernel does that first, and says no later where what is to
// be moved consists of several mappings (before 6.17) or memory or address space is short.
Moved refused_at(char* to, size_t size) {
  long answer = map(to, size, PROT_READ | PROT_WRITE, kNoReplace);
  if (answer == word(to) || answer == -EEXIST) return Moved::kNo;
  if (!is_error(answer)) unmap(answer, size);
  return Moved::kTargetLost;
}

// The new mapping joins its neighbours, as the kernel sees to when it is made.
Moved vm_renew(char* at, size_t size) {
  if (!is_error(map(at, size, PROT_READ | PROT_WRITE, MAP_FIXED))) return Moved::kYes;
  return refused_at(at, size);
}

// How much of [at, at + size) lies in front of the first page that is not mapped.
size_t mapped_at(char* at, size_t size) {
  size_t mapped = 0;
  for (size_t end = size; mapped < end;) {
    size_t half = base::round_up((end - mapped) / 2, page_size());
    if (call(SYS_madvise, at + mapped, half, MADV_NORMAL) != -ENOMEM)
      mapped += half;
    else
      end = half == page_size() ? mapped : mapped + half;
  }
  return mapped;
}

// Maps what is not mapped from `at` on, as far as the first page that is.
Moved fill_hole(char* at, size_t size) {
  for (size_t part = size; part != 0 && size != 0;) {
    long answer = map(at, part, PROT_READ | PROT_WRITE, kNoReplace);
    if (answer == -EEXIST) {
      part = base::round_down(part / 2, page_size());
      continue;
    }
    if (answer != word(at)) {
      if (!is_error(answer)) unmap(answer, part);
      return Moved::kTargetLost;
    }
    at += part;
    part = size -= part;
  }
  return Moved::kNo;
}

// From 6.17 on several mappings are moved one after the other, each to where the target has just
// been unmapped, and the first ones stay moved where a later one is refused: by then the process
// may have all the mappings that it is allowed. As the target was zero, what is in it goes back.
// Where the source's first page is still there, nothing has been moved.
ASHLAR_COLD Moved take_back(char* from, char* to, size_t size) {
  bool is_there = mapped_at(from, page_size()) != 0;
  if (!is_there || !is_zero_page(from)) return refused_at(to, size);
  size_t mapped = mapped_at(to, size);
  for (size_t at = 0; at < mapped; at += page_size())
    if (!is_zero_page(to + at)) std::memcpy(from + at, to + at, page_size());
  if (fill_hole(to + mapped, size - mapped) == Moved::kTargetLost) {
    vm_purge(to, mapped);
    return Moved::kTargetLost;
  }
  // The mappings that were moved would stay as many, and those are short.
  bool is_lost = vm_renew(to, size) == Moved::kTargetLost;
  return is_lost ? Moved::kTargetLost : Moved::kNo;
}

// The small library moves one mapping only: no room for take_back(). A mapping cannot grow in place
// to where we stand, but what is asked for first is whether all of it is one.
bool is_one_mapping(char* from, size_t size) {
  auto reach = static_cast<size_t>(static_cast<char*>(__builtin_frame_address(0)) - from);
  return call(SYS_mremap, from, size, reach, 0, 0) == -ENOMEM;
}

// How a kernel answers that lacks a call or one of its flags, or a filter of system calls.
bool is_refusal(long answer) {
  return answer == -EINVAL || answer == -EPERM || answer == -ENOSYS;
}

// With DONTUNMAP the source stays mapped and empty: there is no moment in which another thread's
// mmap could take the hole.
constexpr int kMoves = MREMAP_MAYMOVE | kDontUnmap;

std::atomic<bool> g_cannot_move{false};

// Such an answer may also be due to what was to be moved (mseal), when some of it was. Then the
// kernel only finds nothing where it is asked for what cannot be there.
bool cannot_move(long answer) {
  if (!is_refusal(answer)) return false;
  size_t last_page = size_t{0} - page_size();
  if (!is_refusal(call(SYS_mremap, last_page, page_size(), page_size(), kMoves, 0))) return false;
  g_cannot_move.store(true, std::memory_order_relaxed);
  return true;
}

Moved vm_move(char* from, char* to, size_t size) {
  if (base::kHasCaches && g_cannot_move.load(std::memory_order_relaxed)) return Moved::kNo;
  // Where something is locked, what was moved could not be told from what was there.
  if (base::kHasCaches ? !vm_purge(to, size) : !is_one_mapping(from, size)) return Moved::kNo;
  long answer = call(SYS_mremap, from, size, size, kMoves | MREMAP_FIXED, to);
  if (!is_error(answer)) return Moved::kYes;
  if (!base::kHasCaches) return refused_at(to, size);
  return cannot_move(answer) ? Moved::kNo : take_back(from, to, size);
}

void vm_advise_huge(char* at, size_t size, bool huge) {
  call(SYS_madvise, at, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

bool vm_decommit(const Place& place, char* at, size_t size) {
  if (!place.is_reserved) return !is_error(call(SYS_munmap, at, size));
  return !is_error(map(at, size, PROT_NONE, MAP_FIXED));
}

// From the top down: programs that are not relocatable, and what they grow by, stand at the bottom.
Place vm_reserve_low(size_t size, size_t least) {
  constexpr size_t kStep = kGiB / 4;
  for (; size >= least; size /= 2) {
    if (size > 2 * kGiB) continue;
    size_t step = size < kStep ? size : kStep;
    for (size_t start = 4 * kGiB - size; start >= kStep; start -= step) {
      char* base = reinterpret_cast<char*>(start);
      if (!map_if_free(base, size, PROT_NONE)) continue;
      unmap(word(base), size);
      return {base, size, false};
    }
  }
  return {};
}

bool vm_lock(char* at, size_t size) {
  return !is_error(call(SYS_mlock, at, size));
}

bool vm_gives_huge_pages() {
  constexpr char kAlways[] = "[always]";
  char text[sizeof kAlways];
  TextFile setting = read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text);
  return setting.size != 0 && base::after(setting.text, kAlways) != nullptr;
}

ASHLAR_START_DATA std::atomic<bool> g_cannot_fetch{false};

void vm_fetch(char* at, size_t size) {
  if (g_cannot_fetch.load(std::memory_order_relaxed)) return;
  long answer = call(SYS_madvise, at, size, kPopulateWrite);
  if (is_refusal(answer)) g_cannot_fetch.store(true, std::memory_order_relaxed);
}

std::atomic<bool> g_cannot_tell{false};

// What the process has the kernel tells of each of its threads, but not of one that has ended, as
// the first may have. Before Linux 3.17 only that one is to be had by a name.
long open_pagemap() {
  long file = call(SYS_openat, AT_FDCWD, "/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC, 0);
  if (!is_error(file)) return file;
  return call(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
}

// mincore would tell with one call, but filters of system calls that let madvise pass, systemd's
// for services among them, may end the process for it.
size_t vm_resident(char* at, size_t size, Owner owner) {
  constexpr uint64_t kPresent = uint64_t{1} << 63, kExclusive = uint64_t{1} << 56;  // Linux 4.2
  uint64_t wanted = owner == Owner::kAny ? kPresent : kPresent | kExclusive;
  constexpr size_t kPages = 64;  // threads may have small stacks
  if (g_cannot_tell.load(std::memory_order_relaxed)) return 0;
  long file = open_pagemap();
  if (is_error(file)) {
    // Descriptors, or memory, may be had again later.
    bool is_passing = file == -EMFILE || file == -ENFILE || file == -ENOMEM || file == -EINTR;
    if (!is_passing) g_cannot_tell.store(true, std::memory_order_relaxed);
    return 0;
  }
  size_t pages = 0, count = size / page_size();
  auto first = reinterpret_cast<size_t>(at) / page_size();
  for (size_t done = 0; done < count; done += kPages) {
    uint64_t of_pages[kPages] = {};
    size_t here = count - done < kPages ? count - done : kPages, bytes = here * sizeof(uint64_t);
    size_t from = (first + done) * sizeof(uint64_t);
    if (call(SYS_pread64, file, of_pages, bytes, from) != word(bytes)) {
      pages = 0;
      break;
    }
    for (size_t i = 0; i < here; ++i) pages += (of_pages[i] & wanted) == wanted;
  }
  call(SYS_close, file);
  return pages * page_size();
}

// To make one page of a huge page cold, the kernel must first have pages.
void vm_break_up(char* at) {
  call(SYS_madvise, at, page_size(), kCold);
}

bool vm_name(char* at, size_t size, const char* name) {
  return !is_error(call(SYS_prctl, kSetVma, kAnonName, at, size, name));
}

void vm_bind(char* at, size_t size, unsigned node) {
  constexpr int kPreferred = 1;          // MPOL_PREFERRED of <linux/mempolicy.h>
  constexpr unsigned kMostNodes = 1024;  // that Linux can be built for
  constexpr unsigned kWordBits = 64;
  unsigned long nodes[kMostNodes / kWordBits] = {};
  if (node >= kMostNodes) return;
  nodes[node / kWordBits] = 1ul << (node % kWordBits);
  call(SYS_mbind, at, size, kPreferred, nodes, kMostNodes + 1, 0);
}

uint64_t vm_now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // answered by the vDSO, without a system call
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

constexpr Vm all_verbs() {
  Vm vm{};
  vm.reserve = vm_reserve;
  vm.release = vm_release;
  vm.commit = vm_commit;
  vm.decommit = vm_decommit;
  vm.purge = vm_purge;
  vm.purge_each = vm_purge_each;
  vm.move = vm_move;
  vm.now_ms = vm_now_ms;
  if (base::kHasCaches) {
    vm.advise_huge = vm_advise_huge;
    vm.break_up = vm_break_up;
    vm.gives_huge_pages = vm_gives_huge_pages;
    vm.name = vm_name;
    vm.reserve_low = vm_reserve_low;
    vm.lock = vm_lock;
    vm.bind = vm_bind;
    vm.commit_hugetlb = vm_commit_hugetlb;
    vm.fetch = vm_fetch;
    vm.resident = vm_resident;
    vm.renew = vm_renew;
  }
  return vm;
}

}  // namespace

constinit const Vm kVm = all_verbs();

}  // namespace ashlar::os
