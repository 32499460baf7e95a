// bench/trace/format.h -- how an allocation trace is written: shared by capture and replay.
//
// Idea
//   A trace is what one process asked of malloc, as one stream of records in an order that could
//   have happened: no object is freed before it was allocated, whichever threads did it. Objects
//   have numbers instead of addresses, in the order of their allocation from 0 on, so that an
//   allocation need not name its object. There are no times in it.
//
// File
//   "ashtrc1\n"                     eight bytes; the digit is the version
//   length, name                    the program's name; length is a varint
//   record, record, ...
//   0                               the end; a file without it has been cut
//   The whole file may be compressed by gzip.
//
// Record
//   One byte, which is the Kind, and then varints:
//     kMalloc     size
//     kCalloc     size              of the whole block: count times size
//     kAligned    log2 of the alignment, size
//     kRealloc    distance, size    the object keeps its number
//     kFree       distance
//     kThread     number            the records that follow are those of this thread
//     kThreadEnd                    the thread of this record has ended
//   size      the bytes that the program asked for
//   distance  from the object back from the newest: 1 is the object allocated last. Programs like
//             to free what is young, so most distances take one byte.
//   number    of a thread: 0 for the one that allocated first, the next has the next. The stream
//             begins with thread 0.
//
// Varint
//   Seven bits a byte, the low ones first; the highest bit says that more bytes follow.
//
// What is made one record
//   reallocarray is kRealloc; realloc of null is kMalloc; realloc that frees is kFree. memalign,
//   posix_memalign, valloc and pvalloc are kAligned. operator new and delete are kMalloc, kAligned
//   and kFree. Calls that failed, and free of null, are left out.

#pragma once

#include <cstddef>
#include <cstdint>

namespace trace {

inline constexpr char kMagic[] = "ashtrc1\n";
inline constexpr size_t kMagicBytes = sizeof(kMagic) - 1;

enum class Kind : uint8_t {
  kEnd,
  kMalloc,
  kCalloc,
  kAligned,
  kRealloc,
  kFree,
  kThread,
  kThreadEnd,
};
inline constexpr size_t kKinds = 8;

/// No address space is larger, so nothing that a program was given is.
inline constexpr size_t kMostBytes = size_t{1} << 47;

/// The most bytes that a varint, and so that a record, can take.
inline constexpr size_t kVarintBytes = 10;
inline constexpr size_t kRecordBytes = 1 + 2 * kVarintBytes;

/// Writes a varint and returns what follows it.
inline uint8_t* put_varint(uint8_t* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<uint8_t>(value | 0x80);
  *out++ = static_cast<uint8_t>(value);
  return out;
}

/// A letter of a program's name, or what stands for it where it could not stand in JSON.
inline char plain(char letter) {
  const bool is_plain = letter >= ' ' && letter <= '~' && letter != '"' && letter != '\\';
  return is_plain ? letter : '_';
}

}  // namespace trace
