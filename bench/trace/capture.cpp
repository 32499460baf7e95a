// bench/trace/capture.cpp -- preloaded in front of an allocator, it writes a trace of what passes.
//
// Idea
//   LD_PRELOAD="libcapture.so libashlar.so": each function of the malloc family notes the call in
//   the Recording and hands it on to the next library that has the function. operator new is here
//   too, since an allocator may have its own, which would not pass by here; it asks the next
//   malloc.
//
//   dlsym, by which the next function is found, may itself call malloc. It is then given memory
//   from a small array that is never taken back.
//
// Use
//   By bench/capture. The environment is described in recording.cpp; without ASHLAR_CAPTURE all
//   calls are only handed on.

#include <dlfcn.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "recording.h"

#define CAPTURE_EXPORT extern "C" [[gnu::visibility("default")]]
#define CAPTURE_EXPORT_CXX [[gnu::visibility("default")]]

extern char** environ;

namespace {

using trace::Kind;
using trace::Object;
using trace::Recording;

/// The functions that calls are handed on to.
struct Next {
  void* (*malloc)(size_t);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void (*free)(void*);
  void* (*memalign)(size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  int (*posix_memalign)(void**, size_t, size_t);
  void* (*valloc)(size_t);
  void* (*pvalloc)(size_t);
  size_t (*malloc_usable_size)(void*);
};

enum class Phase { kUnknown, kSearching, kKnown };

constinit Next next{};
constinit std::atomic<Phase> phase{Phase::kUnknown};
constinit std::atomic<Recording*> recording{nullptr};
constinit std::atomic<bool> has_begun{false};

alignas(16) constinit char early_memory[65536]{};
constinit std::atomic<size_t> early_used{0};

void* early_malloc(size_t size) {
  const size_t room = (size + 15) & ~size_t{15};
  const size_t start = early_used.fetch_add(room);
  return start + room <= sizeof(early_memory) ? early_memory + start : nullptr;
}

bool is_early(const void* block) {
  const auto* byte = static_cast<const char*>(block);
  return byte >= early_memory && byte < early_memory + sizeof(early_memory);
}

template <class Function>
void find(Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// Finds the next functions. False while that is going on: this call comes from dlsym. The first
/// call comes while the process has only one thread.
bool is_ready_slow() {
  Phase expected = Phase::kUnknown;
  if (!phase.compare_exchange_strong(expected, Phase::kSearching)) return false;
  find(next.malloc, "malloc");
  find(next.calloc, "calloc");
  find(next.realloc, "realloc");
  find(next.free, "free");
  find(next.memalign, "memalign");
  find(next.aligned_alloc, "aligned_alloc");
  find(next.posix_memalign, "posix_memalign");
  find(next.valloc, "valloc");
  find(next.pvalloc, "pvalloc");
  find(next.malloc_usable_size, "malloc_usable_size");
  phase = Phase::kKnown;
  return true;
}

/// The environment is not there yet when the dynamic linker makes the first calls.
void begin_slow() {
  if (environ == nullptr || has_begun.exchange(true)) return;
  recording = Recording::begin();
}

bool is_ready() {
  if (phase.load(std::memory_order_acquire) != Phase::kKnown && !is_ready_slow()) return false;
  if (!has_begun.load(std::memory_order_relaxed)) begin_slow();
  return true;
}

void* noted(Kind kind, void* block, size_t size, size_t align = 1) {
  if (Recording* to = recording) to->allocated(kind, block, size, align);
  return block;
}

void free_noted(void* block) {
  if (block == nullptr || is_early(block)) return;
  if (Recording* to = recording) to->freed(block);
  next.free(block);
}

void* realloc_noted(void* block, size_t size) {
  Recording* to = recording;
  const std::optional<Object> object = to != nullptr ? to->take(block) : std::nullopt;
  void* result = next.realloc(block, size);
  if (to == nullptr) return result;
  if (!object) return noted(Kind::kMalloc, result, size);
  if (result != nullptr) {
    to->reallocated(*object, result, size);
  } else if (size == 0) {
    to->dropped(*object);
  } else {
    to->put_back(block, *object);
  }
  return result;
}

/// What operator new does when there is no memory needs the C++ runtime: the next one does it.
template <class... Rest>
void* next_new(const char* name, size_t size, Rest... rest) {
  void* (*function)(size_t, Rest...);
  find(function, name);
  return function(size, rest...);
}

void* new_or_null(size_t size) {
  return is_ready() ? noted(Kind::kMalloc, next.malloc(size), size) : early_malloc(size);
}

void* new_or_null(size_t size, std::align_val_t align) {
  const auto number = static_cast<size_t>(align);
  if (!is_ready()) return nullptr;
  return noted(Kind::kAligned, next.memalign(number, size), size, number);
}

/// At the latest now: a child of fork must find a recording that is its parent's.
[[gnu::constructor]] void begin_recording() {
  is_ready();
}

[[gnu::destructor]] void end_recording() {
  if (Recording* to = recording) to->end();
}

}  // namespace

CAPTURE_EXPORT void* malloc(size_t size) {
  return is_ready() ? noted(Kind::kMalloc, next.malloc(size), size) : early_malloc(size);
}

CAPTURE_EXPORT void* calloc(size_t count, size_t size) {
  if (!is_ready()) return early_malloc(count * size);  // Nothing there is used twice: it is zero.
  return noted(Kind::kCalloc, next.calloc(count, size), count * size);
}

CAPTURE_EXPORT void* realloc(void* block, size_t size) {
  if (block == nullptr) return malloc(size);
  if (!is_early(block)) return realloc_noted(block, size);
  void* copy = malloc(size);
  const size_t most =
      static_cast<size_t>(early_memory + sizeof(early_memory) - static_cast<char*>(block));
  if (copy != nullptr) std::memcpy(copy, block, std::min(size, most));
  return copy;
}

CAPTURE_EXPORT void* reallocarray(void* block, size_t count, size_t size) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, size, &bytes)) return realloc(block, bytes);
  errno = ENOMEM;
  return nullptr;
}

CAPTURE_EXPORT void free(void* block) {
  free_noted(block);
}
CAPTURE_EXPORT void cfree(void* block) {
  free_noted(block);
}
CAPTURE_EXPORT void free_sized(void* block, size_t) {
  free_noted(block);
}
CAPTURE_EXPORT void free_aligned_sized(void* block, size_t, size_t) {
  free_noted(block);
}

CAPTURE_EXPORT void* memalign(size_t align, size_t size) {
  return is_ready() ? noted(Kind::kAligned, next.memalign(align, size), size, align) : nullptr;
}

CAPTURE_EXPORT void* aligned_alloc(size_t align, size_t size) {
  return is_ready() ? noted(Kind::kAligned, next.aligned_alloc(align, size), size, align) : nullptr;
}

CAPTURE_EXPORT int posix_memalign(void** result, size_t align, size_t size) {
  if (!is_ready()) return ENOMEM;
  const int error = next.posix_memalign(result, align, size);
  if (error == 0) noted(Kind::kAligned, *result, size, align);
  return error;
}

CAPTURE_EXPORT void* valloc(size_t size) {
  const auto page = static_cast<size_t>(getpagesize());
  return is_ready() ? noted(Kind::kAligned, next.valloc(size), size, page) : nullptr;
}

CAPTURE_EXPORT void* pvalloc(size_t size) {
  const auto page = static_cast<size_t>(getpagesize());
  return is_ready() ? noted(Kind::kAligned, next.pvalloc(size), size, page) : nullptr;
}

CAPTURE_EXPORT size_t malloc_usable_size(void* block) {
  return is_ready() && !is_early(block) ? next.malloc_usable_size(block) : 0;
}

// A process that ends by _exit runs no destructors.
CAPTURE_EXPORT void _exit(int status) {
  end_recording();
  for (;;) syscall(SYS_exit_group, status);
}
CAPTURE_EXPORT void _Exit(int status) {
  _exit(status);
}

CAPTURE_EXPORT_CXX void* operator new(size_t size) {
  void* block = new_or_null(size);
  return block != nullptr ? block : next_new("_Znwm", size);
}
CAPTURE_EXPORT_CXX void* operator new[](size_t size) {
  void* block = new_or_null(size);
  return block != nullptr ? block : next_new("_Znam", size);
}
CAPTURE_EXPORT_CXX void* operator new(size_t size, const std::nothrow_t& tag) noexcept {
  void* block = new_or_null(size);
  return block != nullptr ? block : next_new("_ZnwmRKSt9nothrow_t", size, &tag);
}
CAPTURE_EXPORT_CXX void* operator new[](size_t size, const std::nothrow_t& tag) noexcept {
  void* block = new_or_null(size);
  return block != nullptr ? block : next_new("_ZnamRKSt9nothrow_t", size, &tag);
}
CAPTURE_EXPORT_CXX void* operator new(size_t size, std::align_val_t align) {
  void* block = new_or_null(size, align);
  return block != nullptr ? block : next_new("_ZnwmSt11align_val_t", size, align);
}
CAPTURE_EXPORT_CXX void* operator new[](size_t size, std::align_val_t align) {
  void* block = new_or_null(size, align);
  return block != nullptr ? block : next_new("_ZnamSt11align_val_t", size, align);
}
CAPTURE_EXPORT_CXX void* operator new(size_t size, std::align_val_t align,
                                      const std::nothrow_t& tag) noexcept {
  void* block = new_or_null(size, align);
  if (block != nullptr) return block;
  return next_new("_ZnwmSt11align_val_tRKSt9nothrow_t", size, align, &tag);
}
CAPTURE_EXPORT_CXX void* operator new[](size_t size, std::align_val_t align,
                                        const std::nothrow_t& tag) noexcept {
  void* block = new_or_null(size, align);
  if (block != nullptr) return block;
  return next_new("_ZnamSt11align_val_tRKSt9nothrow_t", size, align, &tag);
}

CAPTURE_EXPORT_CXX void operator delete(void* block) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete(void* block, const std::nothrow_t&) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block, const std::nothrow_t&) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete(void* block, size_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block, size_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete(void* block, std::align_val_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block, std::align_val_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete(void* block, size_t, std::align_val_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block, size_t, std::align_val_t) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete(void* block, std::align_val_t,
                                        const std::nothrow_t&) noexcept {
  free_noted(block);
}
CAPTURE_EXPORT_CXX void operator delete[](void* block, std::align_val_t,
                                          const std::nothrow_t&) noexcept {
  free_noted(block);
}
