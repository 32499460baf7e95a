#include "os/rseq.h"

#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <algorithm>
#include <atomic>

#include "base/text.h"
#include "os/env.h"
#include "os/syscall.h"

extern "C" {
// ld.so exports these at GLIBC_2.35; absent elsewhere.
extern const ptrdiff_t __rseq_offset ASHLAR_WEAK;
extern const unsigned int __rseq_size ASHLAR_WEAK;
}

namespace ashlar::os {
namespace {

// Linux values that older headers lack.
constexpr unsigned long kAuxFeatureSize = 27;  // AT_RSEQ_FEATURE_SIZE
constexpr long kCpuIdAt = 4, kMmCidAt = 24;    // in struct rseq
constexpr unsigned long kSizeWithMmCid = 28;

constexpr CpuArea closed_area() {
  CpuArea area{};
  for (uint64_t& word : area.words) word = kClosedWord;
  return area;
}

const char* thread_base() {
  return static_cast<const char*>(__builtin_thread_pointer());
}

int load_id(long offset) {
  return *reinterpret_cast<const volatile int*>(thread_base() + offset);
}

// 6.19 and 7.0 up to 7.0.13 do not abort sections on aarch64 when one thread preempts another on
// the same CPU (mended by "arm64/entry: Fix arm64-specific rseq brokenness").
bool is_kernel_broken() {
#if defined(__aarch64__)
  utsname name{};
  if (is_error(call(SYS_uname, &name))) return true;
  unsigned part[3] = {0, 0, 0};
  const char* at = name.release;
  for (unsigned& value : part) {
    for (; *at >= '0' && *at <= '9'; ++at) value = value * 10 + static_cast<unsigned>(*at - '0');
    if (*at != '.') break;
    ++at;
  }
  return (part[0] == 6 && part[1] >= 19) || (part[0] == 7 && part[1] == 0 && part[2] < 14);
#else
  return false;
#endif
}

}  // namespace

ASHLAR_START_DATA constinit FastLine g_fast_line{};
FastPage g_fast;
constinit const CpuArea kNullArea = closed_area();

RseqMode start_rseq(bool allowed) {
  if (!allowed || &__rseq_size == nullptr || __rseq_size == 0) return RseqMode::kNone;
  if (is_kernel_broken()) return RseqMode::kNone;
  if (load_id(__rseq_offset + kCpuIdAt) < 0) return RseqMode::kNone;
  if (is_error(call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0)))
    return RseqMode::kNone;

  bool has_mm_cid = getauxval(kAuxFeatureSize) >= kSizeWithMmCid;
  // No id reaches the bound, so no section needs to look.
  std::fill_n(g_fast.areas, cpu_bound(), const_cast<CpuArea*>(&kNullArea));
  g_fast_line.rseq_offset = __rseq_offset;
  g_fast_line.id_offset = __rseq_offset + (has_mm_cid ? kMmCidAt : kCpuIdAt);
  return has_mm_cid ? RseqMode::kMmCid : RseqMode::kCpuId;
}

bool is_rseq_registered() {
  return load_id(g_fast_line.rseq_offset + kCpuIdAt) >= 0;
}

CpuArea* rseq_area() {
  int id = rseq_cpu();
  return id < 0 ? const_cast<CpuArea*>(&kNullArea)
                : __atomic_load_n(&g_fast.areas[id], __ATOMIC_ACQUIRE);
}

int rseq_cpu() {
  return is_rseq_registered() ? load_id(g_fast_line.id_offset) : -1;
}

unsigned current_cpu() {
  if (g_fast_line.rseq_offset != 0 && is_rseq_registered())
    return static_cast<unsigned>(load_id(g_fast_line.rseq_offset + kCpuIdAt));
  unsigned cpu = 0;
  call(SYS_getcpu, &cpu, 0, 0);
  return cpu;
}

bool rseq_fence() {
  return !is_error(call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
}

}  // namespace ashlar::os
