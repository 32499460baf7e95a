// page/manners.h -- what a zone says to the kernel of its memory, besides asking for it.
//
// Idea
//   Zones differ in what memory they are made of: where it lies, whether it stays, by which pages
//   and from which node it comes, and what it is called. Whoever makes a zone says so beforehand,
//   and it never changes afterwards, but that a zone may come to know its node.
#pragma once

#include <cstdint>

#include "base/config.h"

namespace ashlar::page {

/// What a zone says to the kernel of its memory, besides asking for it.
struct Manners {
  enum class HugePages : uint8_t {
    kAuto,    ///< for blocks that will fill them (advise_huge)
    kNever,   ///< also where the system would make them of its own accord
    kAlways,  ///< wherever they fit
  };
  HugePages huge_pages = HugePages::kAuto;
  enum class Where : uint8_t {
    kAnywhere,
    kLow,     ///< below 4 GiB of address space
    kPinned,  ///< locked in memory, which never goes back
    kHuge2M,  ///< in pages of 2 MiB that an administrator has set apart (hugetlb)
    kHuge1G,  ///< and in such of 1 GiB
  };
  Where where = Where::kAnywhere;
  /// The node whose zone it is, and its number if the kernel shall know (os/topology.h).
  unsigned node = 0;
  static constexpr int kNoNumber = base::kHasCaches ? -1 : 0;
  int node_number = kNoNumber;
  /// What large zones are called in /proc/PID/smaps; null: nothing.
  const char* name = nullptr;
};

/// The bytes of the pages such a zone comes and goes in, by powers of two; 0: ordinary ones.
constexpr unsigned hugetlb_shift(Manners::Where where) {
  if (where == Manners::Where::kHuge2M) return 21;
  return where == Manners::Where::kHuge1G ? 30 : 0;
}

}  // namespace ashlar::page
