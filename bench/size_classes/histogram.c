// histogram.c -- a preloaded malloc that counts requests by exact size, then lets glibc serve them.
//
// Idea
//   Each block is asked for with one word more than the program wanted, and that last usable word
//   keeps the size the program asked for. free() therefore knows the request, not merely the room,
//   and the live count of every exact size is known at any moment. Whenever the live bytes exceed
//   those of the last snapshot by 1/64, the live counts are copied: what stands at exit is the heap
//   as it was within 1.6 % of its peak.
//
// Output
//   <HISTOGRAM_DIR>/<program>-<pid>.csv: size,allocs,live_at_peak; sizes 1 to 32768 that occurred.
//   malloc(0) counts as a request of 1 byte. A realloc counts as one request of the new size.
//   Nothing is written without HISTOGRAM_DIR, or by a process that leaves through _exit.
//
// Locking
//   Counters are relaxed atomics. One flag guards the snapshot; who finds it set goes on without.
//
// Build and use
//   cc -O2 -shared -fPIC histogram.c -o histogram.so
//   HISTOGRAM_DIR=/tmp/h LD_PRELOAD=$PWD/histogram.so program
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);
extern void __libc_free(void*);

enum { kLargest = 32768, kWord = sizeof(uint64_t), kPageSize = 4096, kFirstPeak = 4096 };

// The kept word: the request in the low 48 bits, a mark above it. A block without the mark is not
// one that was counted here (the dynamic loader's earliest), and is passed on unseen.
static const uint64_t kMark = (uint64_t)0xa51a << 48;
static const uint64_t kMarkMask = (uint64_t)0xffff << 48;

static _Atomic uint32_t allocs[kLargest + 1];
static _Atomic int32_t live[kLargest + 1];
static int32_t live_at_peak[kLargest + 1];
static atomic_long live_bytes;
static atomic_long next_peak = kFirstPeak;
static atomic_flag snapshot_busy = ATOMIC_FLAG_INIT;

// glibc keeps a chunk's size, with three flag bits below it, in the word before the block. Read
// here because the public malloc_usable_size is replaced below. Bit 1 says that the chunk is a
// mapping of its own, whose successor's first word it cannot use.
static uint64_t* kept_word(void* block) {
  size_t field = ((size_t*)block)[-1];
  size_t room = (field & ~(size_t)7) - ((field & 2) ? 2 : 1) * sizeof(size_t);
  return (uint64_t*)((char*)block + room - kWord);
}

static void snapshot(long bytes) {
  if (atomic_flag_test_and_set(&snapshot_busy)) return;
  for (size_t n = 0; n <= kLargest; ++n) live_at_peak[n] = live[n];
  atomic_store(&next_peak, bytes + bytes / 64);
  atomic_flag_clear(&snapshot_busy);
}

static void* count(void* block, size_t size) {
  if (block == NULL) return NULL;
  if (size == 0) size = 1;
  *kept_word(block) = kMark | size;
  if (size > kLargest) return block;
  atomic_fetch_add_explicit(&allocs[size], 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&live[size], 1, memory_order_relaxed);
  long added = (long)size;
  long bytes = atomic_fetch_add_explicit(&live_bytes, added, memory_order_relaxed) + added;
  if (bytes > atomic_load_explicit(&next_peak, memory_order_relaxed)) snapshot(bytes);
  return block;
}

// Returns the size the block was asked for, 0 if it was never counted.
static size_t uncount(void* block) {
  uint64_t* word = kept_word(block);
  if ((*word & kMarkMask) != kMark) return 0;
  size_t size = *word & ~kMarkMask;
  *word = 0;
  if (size > kLargest) return size;
  atomic_fetch_sub_explicit(&live[size], 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&live_bytes, (long)size, memory_order_relaxed);
  return size;
}

static int too_large(size_t size) {
  if (size <= PTRDIFF_MAX - kPageSize) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) {
  return too_large(size) ? NULL : count(__libc_malloc(size + kWord), size);
}

void* calloc(size_t items, size_t item_size) {
  size_t size;
  if (__builtin_mul_overflow(items, item_size, &size)) size = SIZE_MAX;
  return too_large(size) ? NULL : count(__libc_calloc(1, size + kWord), size);
}

void free(void* block) {
  if (block == NULL) return;
  int saved = errno;
  uncount(block);
  __libc_free(block);
  errno = saved;
}

void* realloc(void* block, size_t size) {
  if (block == NULL) return malloc(size);
  if (size == 0) return free(block), NULL;
  if (too_large(size)) return NULL;
  size_t old_size = uncount(block);
  void* moved = __libc_realloc(block, size + kWord);
  if (moved == NULL && old_size != 0) count(block, old_size);
  return count(moved, size);
}

void* reallocarray(void* block, size_t items, size_t item_size) {
  size_t size;
  if (__builtin_mul_overflow(items, item_size, &size)) size = SIZE_MAX;
  return too_large(size) ? NULL : realloc(block, size);
}

void* memalign(size_t alignment, size_t size) {
  return too_large(size) ? NULL : count(__libc_memalign(alignment, size + kWord), size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}
void* valloc(size_t size) {
  return memalign(kPageSize, size);
}

int posix_memalign(void** result, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  int saved = errno;
  void* block = memalign(alignment, size);
  errno = saved;
  if (block == NULL) return ENOMEM;
  *result = block;
  return 0;
}

size_t malloc_usable_size(void* block) {
  if (block == NULL) return 0;
  uint64_t word = *kept_word(block);
  return (word & kMarkMask) == kMark ? (size_t)(word & ~kMarkMask) : 0;
}

static char directory[kPageSize / 2];

// Read at the start: nginx wipes its environment.
__attribute__((constructor)) static void read_directory(void) {
  const char* value = getenv("HISTOGRAM_DIR");
  if (value != NULL && strlen(value) < sizeof(directory)) strcpy(directory, value);
}

__attribute__((destructor)) static void write_histogram(void) {
  if (directory[0] == 0) return;
  char text[kPageSize];
  snprintf(text, sizeof(text), "%s/%s-%d.csv", directory, program_invocation_short_name, getpid());
  int file = open(text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  // Not dprintf: it asks for a buffer of 4096 bytes on each call, which would be counted.
  int length = snprintf(text, sizeof(text), "size,allocs,live_at_peak\n");
  int whole = write(file, text, (size_t)length) == length;
  for (int n = 1; n <= kLargest && whole; ++n) {
    if (allocs[n] == 0) continue;
    length = snprintf(text, sizeof(text), "%d,%u,%d\n", n, allocs[n], live_at_peak[n]);
    whole = write(file, text, (size_t)length) == length;
  }
  close(file);
}
