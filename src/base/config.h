// base/config.h -- every number that is chosen when Ashlar is built.
//
// Idea
//   A constant stands here once, with its reason, and every relation between constants is a
//   static_assert sentence. What a user may change while the program runs is in front/options.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/build_config.h"

namespace ashlar::base {

/// A frame is the page heap's unit. It stays 4 KiB where the system's page is 16 or 64 KiB: only
/// commit and purge round to the system's page.
inline constexpr unsigned kFrameShift = 12;
inline constexpr size_t kFrameSize = size_t{1} << kFrameShift;

/// Blocks of the buddy heap are 2^order frames; 2^27 frames are 512 GiB, the largest request.
inline constexpr unsigned kMaxOrder = 27;

/// Least distance between objects, and the alignment of every one of them (C's max_align_t).
inline constexpr size_t kGrain = 16;

/// The largest request that the per-CPU magazines serve. Above it a block is a count of frames.
inline constexpr size_t kMaxCached = size_t{32} << 10;

/// Object caches have ids 1 .. kMaxCaches - 1; 0 says "no cache" in the class map. Those below
/// kMaxClasses are malloc's; the others are there for caches of the program's own.
inline constexpr unsigned kMaxCaches = 136;
inline constexpr unsigned kMaxClasses = 82;

/// Requests of this size and more live in a zone of their own, away from slabs, so that neither
/// breaks up the other's address space and growth in place mostly finds its neighbour free.
inline constexpr size_t kGiantSize = size_t{4} << 20;

/// Where the heap is no small one, those of this size and more do, too. In a small one a second
/// zone's tables would be felt, and so would memory that comes free in one and is wanted in the
/// other.
inline constexpr size_t kApartFrom = size_t{1} << 20;
inline constexpr size_t kSmallHeap = size_t{4} << 20;

/// Where the giants' zone is as large as this, requests of so much and more live there as well:
/// they fill what giants have left between them.
inline constexpr size_t kManyGiants = size_t{16} << 20;
inline constexpr size_t kBesideGiants = size_t{64} << 10;

/// The processor's next larger page: 2 MiB on x86-64, and on aarch64 with 4 KiB pages.
inline constexpr size_t kHugeSize = size_t{2} << 20;

/// Blocks of this size and more are filled as a rule, and asked to be backed by huge pages as far
/// as they cover them whole: a fault costs a seventh then, and no memory is held for it.
inline constexpr size_t kAdviseFrom = 2 * kHugeSize;

/// Where so much is live in the giants' zone, blocks that share a huge page may be filled as well.
inline constexpr size_t kAdviseAmong = size_t{32} << 20;

/// What two CPUs may write without disturbing each other.
inline constexpr size_t kCacheLine = 64;

static_assert(kMaxCached >= kFrameSize, "classes end above one frame");
static_assert(kBesideGiants > kMaxCached, "what shares a zone with giants is a count of frames");
static_assert(kMaxCaches < 255, "a cache's id is one byte in the class map, 255 is no id");
static_assert(kMaxOrder + kFrameShift < 40, "a block fits a zone");

}  // namespace ashlar::base
