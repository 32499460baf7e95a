// os/rseq.h -- restartable sequences: a CPU's own words, changed without locks or atomics.
//
// Idea
//   The kernel promises that a registered *section* of code is either finished without interruption
//   or started again at its abort handler. A section that ends in a single store therefore changes
//   its CPU's memory atomically for every thread of that CPU, at the price of plain instructions.
//   libc registers each thread; we use its registration and write nothing but rseq_cs.
//
//   Each CPU has an *area*: an array of words, one per object cache. A word is the head of a
//   magazine, a stack linked through its own objects:
//
//       word = address of the top object << 16 | height, biased
//       first 8 bytes of an object = the word as it was before the object was pushed
//
//   so a push or a pop is one committing store, and the height is exact without being counted.
//   The bias makes a full magazine's height negative as a 16-bit number; an empty one has address
//   0. Neither test loads a limit. The word of an empty magazine holds the bias alone.
//
//   The second eight bytes of an object in a magazine hold a *key*, which tells a double free at
//   the price of a compare: the address of the fast page, a value that the section has at
//   hand, and that a program's data does not hold but by chance.
//
//   A table leads from the id of a CPU to its area. An id without an area leads to the *null area*,
//   whose words are empty and full at once: there every section leaves by its slow exit. "Not
//   started", "drained", "no area yet" are all that one state. Nothing else is asked.
//
//   The tables that the fast paths load from, ours and malloc's, are in one *fast page*, so that
//   one register leads to both and no linker's choice decides where in a page they lie: a processor
//   takes a load for dependent on an older store when their addresses agree in the lowest twelve
//   bits, and programs write mostly at the starts of pages and at multiples of large powers of two.
//   What tells whether there is a fast path at all is in one *fast line*, elsewhere, so that a
//   process without object caches never touches the page. Where in its page that lies is the
//   linker's choice: close to the end in the shared library.
//
//   The id is mm_cid where the kernel has it (dense: bounded by the threads and CPUs in use), else
//   cpu_id. A thread that is not registered has a negative cpu_id and leaves by the slow exit.
//
// Invariants
//   1. An area's words are changed only by sections on its own CPU, or by whoever has swapped its
//      table entry to the null area and fenced.
//   2. Word 0 of every area is kClosedWord: the class map's "no cache".
//   3. Before start_rseq() succeeds no section runs: they store through the thread pointer.
//
// Source
//   P. Turner and M. Desnoyers, restartable sequences; Linux Documentation/userspace-api/rseq.rst.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "base/config.h"
#include "os/thread.h"

namespace ashlar::os {

/// Both empty (address 0) and full (the next height is negative).
inline constexpr uint64_t kClosedWord = 0x8000;
inline constexpr uint64_t kHeightMask = 0xffff;

/// One CPU's words. Behind the loaded magazines stand the spare ones, which no fast path touches.
struct alignas(base::kCacheLine) CpuArea {
  uint64_t words[2 * base::kMaxCaches];
};

/// What every malloc and free looks at. Nothing of it changes but the window's size, and in the
/// child of a fork cached_end. All zero until whoever fills it has started. In the shared library
/// it lies in the page that every process writes to: a small one needs no other for it.
struct alignas(base::kCacheLine) FastLine {
  size_t cached_end;  ///< requests below this size have a class
  char* window;       ///< where slabs live
  /// Bytes of it that have a class. Written atomically by the zone and read plainly, since an
  /// atomic read costs an instruction: who frees a block has seen the size that covers it.
  size_t window_size;
  uint8_t* class_map;  ///< cache ids by frame
  long rseq_offset;    ///< struct rseq, from the thread pointer
  long id_offset;      ///< mm_cid or cpu_id, from the thread pointer
};

/// What the fast paths load where there are classes. Nothing of it changes but the areas: when a
/// CPU gets one, and while that is drained.
struct alignas(base::kFrameSize) FastPage {
  /// Keeps what follows away from the addresses at which pages, and objects in them, begin.
  char gap[704];
  uint8_t class_of[base::kMaxCached / base::kGrain + 1];  ///< cache ids by size, in grains
  alignas(base::kCacheLine) CpuArea* areas[kMaxCpus];
};

ASHLAR_HIDDEN extern FastLine g_fast_line;
ASHLAR_HIDDEN extern FastPage g_fast;
ASHLAR_HIDDEN extern const CpuArea kNullArea;

/// What a freed object carries in its second word.
inline uint64_t free_key() {
  return reinterpret_cast<uint64_t>(&g_fast);
}

/// Which id numbers the areas.
enum class RseqMode : uint8_t { kNone, kCpuId, kMmCid };

/// Looks for libc's registration and readies the table. kNone where this process shall use the
/// fallback: no registration, no membarrier to drain with, or a kernel whose rseq is broken.
RseqMode start_rseq(bool allowed);

/// Whether the calling thread is registered.
bool is_rseq_registered();

/// The id of the CPU we run on, for now; negative for an unregistered thread.
int rseq_cpu();

/// The area of that CPU; the null area where it has none. Once restartable sequences have started.
CpuArea* rseq_area();

/// The CPU we run on, for now. Costs a load where this thread is registered, else a system call.
unsigned current_cpu();

/// Returns when every section that was running anywhere in this process has ended or aborted.
/// False where the kernel refuses; then nothing may be concluded.
bool rseq_fence();

// Exactly one file per machine defines the sections. Each is always inlined: a descriptor
// must not outlive the function that it describes when the linker drops a second copy of it.
//
//   void* rseq_pop(size_t cache)
//     Removes the top object of this CPU's magazine; null where it is empty or closed.
//   size_t rseq_pop_some(size_t cache, void** objects, size_t most)
//     The same for as many as there are, up to `most`, at least 1; how many. Their keys remain.
//   bool rseq_push(size_t cache, void* object)
//     Puts an object, at least 16 bytes, on this CPU's magazine and writes the key into it; false
//     where it is full or closed, and then the object is untouched. Also false where the object
//     bears the key: it may be free already. (An aborted section leaves the key, too: whoever
//     finds it must search.)
//   bool rseq_exchange(CpuArea* area, size_t index, uint64_t expected, uint64_t desired)
//     Replaces a word of `area` if that is this CPU's area and the word is `expected`.

}  // namespace ashlar::os

#if defined(__x86_64__)
#include "os/rseq_x86_64.h"
#elif defined(__aarch64__)
#include "os/rseq_aarch64.h"
#endif
