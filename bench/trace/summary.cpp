// bench/trace/summary.cpp -- see summary.h.
//
// Output
//   One object in JSON. "sizes" maps an upper bound in bytes to the number of requests above the
//   bound before it; "bytes_per_operation" is that of the file as it is stored.

#include "summary.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>

namespace trace {

namespace {

constexpr std::array<const char*, kKinds> kNames = {"end",     "malloc", "calloc", "aligned",
                                                    "realloc", "free",   "thread", "thread_end"};

void note_size(Summary& summary, uint64_t size) {
  ++summary.sizes[std::bit_width(std::max<uint64_t>(size, 1) - 1)];
}

void note_operation(Summary& summary, const Record& record) {
  ++summary.operations;
  if (record.kind == Kind::kFree) {
    summary.live_bytes -= record.size;
    --summary.live_objects;
    return;
  }
  const bool is_new = record.kind != Kind::kRealloc;
  summary.objects += is_new;
  summary.live_objects += is_new;
  summary.live_bytes += record.size - record.old_size;
  note_size(summary, record.size);
  summary.peak_objects = std::max(summary.peak_objects, summary.live_objects);
  if (summary.live_bytes > summary.peak_bytes) {
    summary.peak_bytes = summary.live_bytes;
    summary.peak_operation = summary.operations;
  }
}

}  // namespace

void summarize(const char* path, const MappedArray<uint8_t>& bytes, Summary& summary) {
  Reader reader(path, bytes);
  for (Record record; reader.next(record);) {
    ++summary.kinds[static_cast<size_t>(record.kind)];
    while (record.thread >= summary.threads.size()) summary.threads.push({});
    Life& life = summary.threads[record.thread];
    life.last_record = summary.records++;
    if (record.kind == Kind::kThreadEnd) {
      life.is_ended = true;
    } else {
      note_operation(summary, record);
    }
  }
}

void print_summary(const char* path, const MappedArray<uint8_t>& bytes, const Summary& summary) {
  struct stat status {};
  stat(path, &status);
  printf("{\"program\": \"");
  const Reader reader(path, bytes);
  for (const char* letter = reader.program(); *letter != '\0'; ++letter) putchar(plain(*letter));
  printf("\", \"operations\": %" PRIu64, summary.operations);
  for (const Kind kind :
       {Kind::kMalloc, Kind::kCalloc, Kind::kAligned, Kind::kRealloc, Kind::kFree}) {
    const auto index = static_cast<size_t>(kind);
    printf(", \"%s\": %" PRIu64, kNames[index], summary.kinds[index]);
  }
  printf(", \"threads\": %zu", summary.threads.size());
  printf(", \"objects\": %" PRIu64 ", \"peak_live_bytes\": %" PRIu64
         ", \"peak_live_objects\": %" PRIu64 ", \"live_bytes_at_end\": %" PRIu64
         ", \"live_objects_at_end\": %" PRIu64,
         summary.objects, summary.peak_bytes, summary.peak_objects, summary.live_bytes,
         summary.live_objects);
  printf(", \"file_bytes\": %zu, \"bytes_per_operation\": %.2f, \"sizes\": {",
         static_cast<size_t>(status.st_size),
         static_cast<double>(status.st_size) /
             static_cast<double>(std::max<uint64_t>(summary.operations, 1)));
  const char* between = "";
  for (size_t i = 0; i < summary.sizes.size(); ++i) {
    if (summary.sizes[i] == 0) continue;
    printf("%s\"%" PRIu64 "\": %" PRIu64, between, uint64_t{1} << i, summary.sizes[i]);
    between = ", ";
  }
  printf("}}\n");
}

}  // namespace trace
