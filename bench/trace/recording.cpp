// bench/trace/recording.cpp -- see recording.h.
//
// Environment
//   ASHLAR_CAPTURE=FILE            write the trace of this process to FILE.PID; if there is one, it
//                                  is of the program that this process was before exec, and the
//                                  name gets one more number
//   ASHLAR_CAPTURE_OPERATIONS=N    only the first N operations
//   ASHLAR_CAPTURE_ONLY=live       no trace: at exit, append one line to FILE, in JSON:
//                                  {"program": "sort", "peak_live_bytes": N,
//                                   "peak_live_objects": N, "allocations": N}

#include "recording.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace trace {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kLargestPage = 65536;  // Of any machine; files are mapped from such an offset.

/// This thread's number in the trace, plus one; 0 before its first record.
[[gnu::tls_model("initial-exec")]] constinit thread_local uint32_t thread_of_trace = 0;

pthread_key_t ending_key;
Recording* ending_recording;

/// Other destructors may still free what they own. Ours asks to be called again, until all others
/// had their turns.
void thread_ends(void* calls) {
  const uintptr_t made = reinterpret_cast<uintptr_t>(calls);
  if (made < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(ending_key, reinterpret_cast<void*>(made + 1));
  } else {
    ending_recording->thread_ended();
  }
}

/// The name that the program was started by, fit for JSON.
void copy_program_name(char* name, size_t room) {
  snprintf(name, room, "%.*s", NAME_MAX, program_invocation_short_name);
  for (char* letter = name; *letter != '\0'; ++letter) *letter = plain(*letter);
}

/// The name of a file that this process has just created, or false.
bool create(char* path, const char* prefix) {
  for (int number = 1; number < 1000; ++number) {
    const int length = number == 1 ? snprintf(path, PATH_MAX, "%s.%d", prefix, getpid())
                                   : snprintf(path, PATH_MAX, "%s.%d.%d", prefix, getpid(), number);
    if (length >= PATH_MAX) break;
    const int file = ::open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      close(file);
      return true;
    }
    if (errno != EEXIST) break;
  }
  return false;
}

}  // namespace

/// Calls of malloc must not change errno where they succeed, nor free at all.
class Recording::Hold {
 public:
  explicit Hold(Recording* recording) : recording_(recording), errno_(errno) {
    if (recording_ != nullptr && recording_->is_on_) {
      pthread_mutex_lock(&recording_->lock_);
      is_locked_ = true;
    }
  }
  ~Hold() {
    if (is_locked_) pthread_mutex_unlock(&recording_->lock_);
    errno = errno_;
  }
  bool is_on() const { return is_locked_ && recording_->is_on_; }

 private:
  Recording* recording_;
  int errno_;
  bool is_locked_ = false;
};

Recording* Recording::begin() {
  const char* path = getenv("ASHLAR_CAPTURE");
  if (path == nullptr || *path == '\0') return nullptr;
  void* memory = map_zeroed(sizeof(Recording));
  if (madvise(memory, sizeof(Recording), MADV_WIPEONFORK) != 0) return nullptr;
  auto* recording = static_cast<Recording*>(memory);  // All zero is how it starts.
  if (!recording->open(path)) return nullptr;
  ending_recording = recording;
  pthread_key_create(&ending_key, thread_ends);
  return recording;
}

bool Recording::open(const char* path) {
  const char* only = getenv("ASHLAR_CAPTURE_ONLY");
  const char* most = getenv("ASHLAR_CAPTURE_OPERATIONS");
  mode_ = only != nullptr && strcmp(only, "live") == 0 ? Mode::kLive : Mode::kTrace;
  most_operations_ = most != nullptr ? strtoull(most, nullptr, 10) : UINT64_MAX;
  process_ = getpid();
  copy_program_name(program_, sizeof(program_));
  // The program may change its folder.
  char prefix[PATH_MAX];
  char folder[PATH_MAX] = "";
  if (*path != '/' && getcwd(folder, sizeof(folder)) == nullptr) return false;
  if (snprintf(prefix, PATH_MAX, "%s%s%s", folder, *folder != '\0' ? "/" : "", path) >= PATH_MAX) {
    return false;
  }
  if (mode_ == Mode::kLive) {
    memcpy(path_, prefix, sizeof(path_));
  } else {
    if (!create(path_, prefix) || !map_piece()) {
      stop("cannot write a trace here");
      return false;
    }
    memcpy(cursor_, kMagic, kMagicBytes);
    const size_t length = strlen(program_);
    cursor_ = put_varint(cursor_ + kMagicBytes, length);
    memcpy(cursor_, program_, length);
    cursor_ += length;
  }
  is_on_ = true;
  return true;
}

/// Maps the part of the file that the next records go to, and makes sure that the disk has room.
bool Recording::map_piece() {
  size_t filled = 0;
  if (piece_ != nullptr) {
    filled = static_cast<size_t>(cursor_ - piece_);
    munmap(piece_, kPieceBytes);
  }
  const size_t whole_pages = filled & ~(kLargestPage - 1);
  piece_offset_ += whole_pages;
  const int file = ::open(path_, O_RDWR | O_CLOEXEC);
  const off_t offset = static_cast<off_t>(piece_offset_);
  void* memory = MAP_FAILED;
  if (file >= 0 && posix_fallocate(file, offset, kPieceBytes) == 0) {
    memory = mmap(nullptr, kPieceBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset);
  }
  if (file >= 0) close(file);
  piece_ = memory != MAP_FAILED ? static_cast<uint8_t*>(memory) : nullptr;
  cursor_ = piece_ + (filled - whole_pages);
  return piece_ != nullptr;
}

void Recording::write(Kind kind, std::optional<uint64_t> first, std::optional<uint64_t> second) {
  // Should the process be killed, the byte behind the last record is zero: the end. A record counts
  // from its first byte on, which is therefore written last.
  if (cursor_ + kRecordBytes >= piece_ + kPieceBytes && !map_piece()) {
    stop("no room on the disk, or the file is gone; what was recorded so far is kept");
    return;
  }
  uint8_t* out = cursor_ + 1;
  if (first) out = put_varint(out, *first);
  if (second) out = put_varint(out, *second);
  std::atomic_ref<uint8_t>(*cursor_).store(static_cast<uint8_t>(kind), std::memory_order_release);
  cursor_ = out;
}

void Recording::emit(Kind kind, std::optional<uint64_t> first, std::optional<uint64_t> second) {
  if (mode_ == Mode::kLive) return;
  if (thread_of_trace == 0) {
    thread_of_trace = ++threads_;
    pthread_setspecific(ending_key, reinterpret_cast<void*>(1));
  }
  const uint32_t thread = thread_of_trace - 1;
  if (thread != latest_thread_) write(Kind::kThread, thread, {});
  latest_thread_ = thread;
  if (is_on_) write(kind, first, second);
  if (kind != Kind::kThreadEnd && ++operations_ >= most_operations_) is_on_ = false;
}

void Recording::count(size_t size) {
  live_bytes_ += size;
  peak_bytes_ = std::max(peak_bytes_, live_bytes_);
  peak_objects_ = std::max<uint64_t>(peak_objects_, objects_.count());
}

void Recording::allocated(Kind kind, void* block, size_t size, size_t align) {
  const Hold hold(block != nullptr ? this : nullptr);
  if (!hold.is_on()) return;
  objects_.put(block, {next_number_++, size});
  count(size);
  if (kind == Kind::kAligned) {
    const int log2 = std::bit_width(std::max<size_t>(align, 1) - 1);
    emit(kind, static_cast<uint64_t>(log2), size);
  } else {
    emit(kind, size);
  }
}

void Recording::freed(void* block) {
  if (const std::optional<Object> object = take(block)) dropped(*object);
}

std::optional<Object> Recording::take(void* block) {
  const Hold hold(this);
  if (!hold.is_on()) return {};
  const std::optional<Object> object = objects_.take(block);
  if (object) live_bytes_ -= object->size;
  return object;
}

void Recording::put_back(void* block, const Object& object) {
  const Hold hold(this);
  if (!hold.is_on()) return;
  objects_.put(block, object);
  live_bytes_ += object.size;
}

void Recording::reallocated(const Object& object, void* block, size_t size) {
  const Hold hold(this);
  if (!hold.is_on()) return;
  objects_.put(block, {object.number, size});
  count(size);
  emit(Kind::kRealloc, next_number_ - object.number, size);
}

void Recording::dropped(const Object& object) {
  const Hold hold(this);
  if (hold.is_on()) emit(Kind::kFree, next_number_ - object.number);
}

void Recording::thread_ended() {
  const Hold hold(this);
  if (hold.is_on()) emit(Kind::kThreadEnd);
}

void Recording::end() {
  if (process_ != getpid()) return;  // A child of vfork, which shares our memory, calls _exit.
  const Hold hold(this);
  const bool was_on = hold.is_on();
  is_on_ = false;
  if (mode_ == Mode::kLive && was_on) write_live();
  if (piece_ == nullptr) return;
  const size_t filled = piece_offset_ + static_cast<size_t>(cursor_ - piece_) + 1;
  if (truncate(path_, static_cast<off_t>(filled)) == 0) {
    munmap(piece_, kPieceBytes);
    piece_ = nullptr;
  }
}

void Recording::write_live() const {
  char line[PATH_MAX];
  const int length =
      snprintf(line, sizeof(line),
               "{\"program\": \"%s\", \"peak_live_bytes\": %" PRIu64
               ", \"peak_live_objects\": %" PRIu64 ", \"allocations\": %" PRIu64 "}\n",
               program_, peak_bytes_, peak_objects_, next_number_);
  const int file = ::open(path_, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0 || ::write(file, line, static_cast<size_t>(length)) != length) {
    dprintf(STDERR_FILENO, "capture: cannot write %s\n", path_);
  }
  if (file >= 0) close(file);
}

void Recording::stop(const char* why) {
  is_on_ = false;
  dprintf(STDERR_FILENO, "capture: %s: %s\n", path_, why);
}

}  // namespace trace
