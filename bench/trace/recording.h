// bench/trace/recording.h -- what capture knows of its process, and the file it writes.
//
// Idea
//   One lock puts the records of all threads into one order. A block is recorded after malloc has
//   given it out and before free takes it back, so an address belongs to one object at any time.
//
//   The file is mapped, piece by piece: what was recorded is in it even if the process is killed.
//   It is opened again by its name for each piece, since many programs close all files that they
//   do not know, and then the number of ours could be that of one of theirs.
//
//   All of this lies in memory that fork leaves zeroed in the child (MADV_WIPEONFORK). There it
//   says that nothing is recorded: the child of a fork writes no trace and takes no lock.

#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "address_table.h"
#include "format.h"

namespace trace {

enum class Mode { kTrace, kLive };

class Recording {
 public:
  /// The recording of this process, as the environment asks for it; null if it does not.
  static Recording* begin();

  void allocated(Kind kind, void* block, size_t size, size_t align = 1);
  void freed(void* block);
  /// Before realloc: the object, which is then nowhere until one of the following is called.
  std::optional<Object> take(void* block);
  void put_back(void* block, const Object& object);
  void reallocated(const Object& object, void* block, size_t size);
  void dropped(const Object& object);
  void thread_ended();

  /// Completes what is written. Further calls do nothing, nor do those of a child.
  void end();

 private:
  class Hold;  // The lock, and whether there still is something to do.

  bool open(const char* path);
  bool map_piece();
  void emit(Kind kind, std::optional<uint64_t> first = {}, std::optional<uint64_t> second = {});
  void write(Kind kind, std::optional<uint64_t> first, std::optional<uint64_t> second);
  void count(size_t size);
  void write_live() const;
  void stop(const char* why);

  pthread_mutex_t lock_;
  std::atomic<bool> is_on_;
  pid_t process_;
  Mode mode_;
  char path_[PATH_MAX];
  char program_[NAME_MAX + 1];
  AddressTable objects_;
  uint64_t next_number_, operations_, most_operations_;
  uint64_t live_bytes_, peak_bytes_, peak_objects_;
  uint32_t threads_, latest_thread_;
  uint8_t *piece_, *cursor_;
  size_t piece_offset_;
};

}  // namespace trace
