// os/rseq_none.h -- the machine without restartable sequences: every section leaves by its slow
// exit, and start_rseq() says kNone.
#pragma once

namespace os {

inline constexpr bool kHasRseq = false;

inline void* rseq_pop(size_t) {
  return nullptr;
}
inline size_t rseq_pop_some(size_t, void**, size_t) {
  return 0;
}
inline bool rseq_push(size_t, void*) {
  return false;
}
inline bool rseq_exchange(CpuArea*, size_t, uint64_t, uint64_t) {
  return false;
}

}  // namespace os
