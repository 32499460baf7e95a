// os/vm.h -- address space and the memory behind it.
//
// Idea
//   A few verbs are all that the page heap wants of the kernel: reserve and release address space,
//   commit and decommit parts of it, purge the memory behind it, and move pages to another address
//   without copying them. They stand in a struct of function pointers, so that a test can be the
//   kernel and say no at any moment. Each verb's contract is written here once.
//
//   Address space is not held by a mapping. A *place* is a range in a quiet part of the address
//   space, far from where the kernel puts mappings by itself, and it is committed piece by piece
//   with MAP_FIXED_NOREPLACE. So a process that uses little has little address space: RLIMIT_AS
//   set late, mlockall and a core dump see what they would see under the system's malloc. Where no
//   such place is to be had (small address spaces, tools that lay out memory themselves), the
//   kernel is asked for a PROT_NONE reservation, and pieces of it are committed by MAP_FIXED.
//
// Invariants
//   1. No verb changes errno or allocates.
//   2. A verb that fails has changed nothing, unless its contract says what.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/attributes.h"
#include "os/env.h"

namespace ashlar::os {

/// A range of address space that is ours to commit.
struct Place {
  char* base = nullptr;
  size_t size = 0;
  bool is_reserved = false;  ///< a PROT_NONE mapping holds it; else only our word does
};

/// Some of the memory behind a place.
struct Range {
  char* at = nullptr;
  size_t size = 0;
};

enum class Moved : uint8_t {
  kYes,
  kNo,
  kTargetLost,  ///< no, and there is no memory at the target any more
};

/// What came of purging many ranges.
struct Purged {
  size_t ranges = 0;  ///< that read as zero now, the first ones
  size_t locked = 0;  ///< bytes of them that the kernel did not take: in memory, if they ever were
};

/// Whose memory is meant.
enum class Owner : uint8_t {
  kAny,
  kSelf,  ///< this process's alone: what a fork has made it share is not
};

struct Vm {
  /// Finds `size` bytes of address space (a power of two), aligned to 1 GiB, or less if there is
  /// not as much, down to `least`. base is null where nothing is to be had.
  Place (*reserve)(size_t size, size_t least);
  /// Gives a reserved place back, with all that is committed in it.
  void (*release)(const Place& place);
  /// Puts zeroed, readable and writable memory behind [at, at + size) of a place. False where the
  /// kernel refuses (limits, overcommit) or where somebody else's mapping stands in the way. It is
  /// not counted as promised, unless the kernel counts strictly (vm.overcommit_memory 2).
  bool (*commit)(const Place& place, char* at, size_t size);
  /// Takes the memory behind [at, at + size) back; it reads as zero from then on.
  bool (*purge)(char* at, size_t size);
  /// Moves the pages of [from, from + size) to `to`, whose own content is lost in any case; `from`
  /// reads as zero if they were moved. Both are committed, and all is in whole system pages. Costs
  /// page-table work, no copying. Nothing is moved to where memory is locked (the small library
  /// does not look), nor, in the small library, what is more than one mapping. Where the kernel
  /// cannot (before Linux 5.7) it is asked once.
  Moved (*move)(char* from, char* to, size_t size);
  /// Asks for huge pages behind [at, at + size), or for none.
  void (*advise_huge)(char* at, size_t size, bool huge);
  /// Milliseconds of a clock that never goes backwards. Cheap: a few nanoseconds.
  uint64_t (*now_ms)();
  /// Undoes commit: the address space counts no more.
  bool (*decommit)(const Place& place, char* at, size_t size);
  /// Purges range after range. What the kernel refuses because it is locked in memory (mlock) stays
  /// there, but reads as zero, too. It ends at the first that is refused for another reason. (One
  /// call of process_madvise would take a third of the time for single pages, from Linux 6.14 on,
  /// but filters of system calls that let madvise pass may end the process for that one.)
  Purged (*purge_each)(const Range* ranges, size_t count);
  /// Has the kernel show what is mapped in [at, at + size), which may have holes, under this name
  /// in /proc/PID/smaps; the text stays where it is. False where the kernel has no such names, or
  /// where there are holes.
  bool (*name)(char* at, size_t size, const char* name);
  /// As reserve, below 4 GiB, aligned to its own size or 256 MiB. The place is not held.
  Place (*reserve_low)(size_t size, size_t least);
  /// Has the memory behind [at, at + size) fetched and kept in place. False where the kernel
  /// refuses (RLIMIT_MEMLOCK); then some of it may be.
  bool (*lock)(char* at, size_t size);
  /// Has memory that is fetched for [at, at + size) from now on come from the node with this number
  /// of the kernel's, as long as that has some. Where the kernel refuses (filters do), it comes
  /// from the node of the CPU that touches it first.
  void (*bind)(char* at, size_t size, unsigned node);
  /// Whether the kernel backs memory by huge pages that nobody has asked for. Reads a file.
  bool (*gives_huge_pages)();
  /// Has the huge page that the page at `at` may be a part of broken up. A part of one that is
  /// purged counts as resident no more, but stays taken until then, also from what the container
  /// may have. Needs Linux 5.4; nothing happens where there is no huge page.
  void (*break_up)(char* at);
  /// As commit, by pages of 2^page_shift bytes (21 or 30) that an administrator has set apart
  /// (hugetlb), and fetched at once, so that none is missing when it is first written to: the
  /// kernel would end the process. Such memory goes back by decommit in whole pages, and is neither
  /// purged nor moved. False where the kernel has too few left, the range is not in whole pages of
  /// this length, or a mapping holds the place.
  bool (*commit_hugetlb)(const Place& place, char* at, size_t size, unsigned page_shift);
  /// Has the memory behind [at, at + size), in whole system pages, fetched at once. Page by page,
  /// when each is first written to, it takes as long or, on a virtual machine, twice as long. What
  /// is there already stays as it is. Where the kernel cannot (before Linux 5.14), which is asked
  /// once, or has no memory, it is fetched page by page after all.
  void (*fetch)(char* at, size_t size);
  /// How many bytes of [at, at + size), in whole system pages, are in memory, or in this process's
  /// alone; 0 where the kernel does not tell, which is asked once. Reads a file: some microseconds.
  size_t (*resident)(char* at, size_t size, Owner owner);
  /// Ends that [at, at + size), which is committed, is a mapping of its own because pages were
  /// moved there: such a one merges with no neighbour as long as it lives, whatever becomes of its
  /// pages. What replaces it reads as zero, has no name, and is advised and bound to nothing. kNo:
  /// it is as it was, or holds zero.
  Moved (*renew)(char* at, size_t size);
};

/// The real kernel. In the small library it has only the verbs that this calls.
ASHLAR_HIDDEN extern const Vm kVm;

}  // namespace ashlar::os
