// bench/trace/reader.cpp -- see reader.h.

#include "reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace trace {

namespace {

constexpr uint64_t kDead = UINT64_MAX;
constexpr unsigned kMostAlignLog2 = 40;

[[noreturn]] void damaged(const char* path, const char* how) {
  fprintf(stderr, "replay: %s: damaged: %s; make it again with bench/capture\n", path, how);
  exit(2);
}

/// zlib must not use the malloc that is to be measured. It needs a few blocks, once.
void* map_for_zlib(void*, unsigned count, unsigned size) {
  return map_zeroed(size_t{count} * size);
}
void keep_mapped(void*, void*) {}

void read_file(const char* path, MappedArray<uint8_t>& bytes) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) refuse(path, strerror(errno));
  if (!S_ISREG(status.st_mode)) refuse(path, "not a file");
  bytes.resize(static_cast<size_t>(status.st_size));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = read(file, bytes.begin() + done, bytes.size() - done);
    if (got <= 0) refuse(path, "cannot be read");
    done += static_cast<size_t>(got);
  }
  close(file);
}

void unpack(const char* path, MappedArray<uint8_t>& packed, MappedArray<uint8_t>& bytes) {
  constexpr int kGzip = 16;  // Added to the window's size, it asks for this header.
  z_stream stream{};
  stream.zalloc = map_for_zlib;
  stream.zfree = keep_mapped;
  if (inflateInit2(&stream, MAX_WBITS + kGzip) != Z_OK) out_of_memory();
  stream.next_in = packed.begin();
  size_t left = packed.size(), made = 0;
  int result = Z_OK;
  while (result == Z_OK) {
    if (made == bytes.size()) bytes.resize(2 * made + 65536);
    if (stream.avail_in == 0) {
      stream.avail_in = static_cast<unsigned>(std::min<size_t>(left, UINT_MAX));
      left -= stream.avail_in;
    }
    const auto room = static_cast<unsigned>(std::min<size_t>(bytes.size() - made, UINT_MAX));
    stream.next_out = bytes.begin() + made;
    stream.avail_out = room;
    result = inflate(&stream, Z_NO_FLUSH);
    made += room - stream.avail_out;
  }
  if (result == Z_BUF_ERROR) damaged(path, "the file is cut short");
  if (result != Z_STREAM_END) damaged(path, "cannot be unpacked");
  bytes.resize(made);
}

}  // namespace

void refuse(const char* path, const char* why) {
  fprintf(stderr, "replay: %s: %s\n", path, why);
  exit(2);
}

void load(const char* path, MappedArray<uint8_t>& bytes) {
  read_file(path, bytes);
  if (bytes.size() < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) return;
  MappedArray<uint8_t> unpacked;
  unpack(path, bytes, unpacked);
  bytes.swap(unpacked);
}

Reader::Reader(const char* path, const MappedArray<uint8_t>& bytes)
    : path_(path), cursor_(bytes.begin()), end_(bytes.end()) {
  const size_t compared = std::min(bytes.size(), kMagicBytes);
  if (compared < kMagicBytes || memcmp(cursor_, kMagic, kMagicBytes) != 0) {
    refuse(path, "not a trace, or one of another version; bench/capture writes them");
  }
  cursor_ += kMagicBytes;
  const uint64_t length = varint();
  if (length >= program_.size() || length > static_cast<size_t>(end_ - cursor_)) {
    damaged(path_, "the program's name is too long");
  }
  memcpy(program_.data(), cursor_, length);
  cursor_ += length;
}

uint64_t Reader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (cursor_ == end_) damaged(path_, "the file is cut short");
    const uint8_t byte = *cursor_++;
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  damaged(path_, "a number is too long");
}

uint64_t Reader::size() {
  const uint64_t size = varint();
  if (size >= kMostBytes) damaged(path_, "a size is larger than any memory");
  return size;
}

uint64_t Reader::living_object() {
  const uint64_t distance = varint();
  if (distance == 0 || distance > sizes_.size()) {
    damaged(path_, "an object that was never allocated");
  }
  const uint64_t object = sizes_.size() - distance;
  if (sizes_[object] == kDead) damaged(path_, "an object that was freed before");
  return object;
}

void Reader::read_thread() {
  const uint64_t number = varint();
  if (number > threads_) damaged(path_, "threads out of order");
  thread_ = static_cast<uint32_t>(number);
  threads_ = std::max(threads_, thread_ + 1);
}

bool Reader::next(Record& record) {
  for (;;) {
    if (cursor_ == end_) damaged(path_, "the file is cut short");
    const uint8_t byte = *cursor_++;
    if (byte >= kKinds) damaged(path_, "an unknown kind of record");
    record = {static_cast<Kind>(byte), 0, thread_, 0, 0, 0};
    switch (record.kind) {
      case Kind::kEnd: return false;
      case Kind::kThread: read_thread(); continue;
      case Kind::kThreadEnd: return true;
      case Kind::kAligned: {
        const uint64_t log2 = varint();
        if (log2 > kMostAlignLog2) damaged(path_, "an impossible alignment");
        record.align_log2 = static_cast<uint8_t>(log2);
        [[fallthrough]];
      }
      case Kind::kMalloc:
      case Kind::kCalloc:
        record.object = sizes_.size();
        record.size = size();
        sizes_.push(record.size);
        return true;
      case Kind::kRealloc:
        record.object = living_object();
        record.old_size = sizes_[record.object];
        record.size = sizes_[record.object] = size();
        return true;
      case Kind::kFree:
        record.object = living_object();
        record.size = sizes_[record.object];
        sizes_[record.object] = kDead;
        return true;
    }
  }
}

}  // namespace trace
