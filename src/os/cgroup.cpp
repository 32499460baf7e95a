#include "os/cgroup.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "os/text_file.h"

namespace os {
namespace {

constexpr size_t kUnbounded = SIZE_MAX;
// Version 1 says "unbounded" by the largest number of whole pages.
constexpr size_t kAsGoodAsUnbounded = size_t{1} << 60;

// The number that a file holds, on its one line; unbounded where it says "max" or is not there.
size_t read_bytes(const base::Text& path, bool& was_refused) {
  TextFile content = read_file(path.data());
  was_refused |= content.is_refused;
  const char* end = std::find(content.text, content.text + content.size, '\n');
  base::Number number = base::parse_decimal(content.text, end);
  bool is_bound = number.is_number && number.value < kAsGoodAsUnbounded;
  return is_bound ? number.value : kUnbounded;
}

// Whether "memory" is one of the words between commas.
bool names_memory(const char* words, const char* end) {
  constexpr char kName[] = "memory";
  while (words < end) {
    const char* comma = std::find(words, end, ',');
    if (base::after(words, kName) == comma) return true;
    words = comma == end ? end : comma + 1;
  }
  return false;
}

}  // namespace

bool Cgroup::find(const char* root) {
  root_ = root;
  base::Line<256> list;
  list.add(root).add("/proc/self/cgroup");
  TextFile content = read_file(list.data());
  was_refused_ = content.is_refused;
  mount_length_ = 0;
  // A line a hierarchy, "number:controllers:path"; that of version 2 has none and is number 0.
  for (const char* line = content.text; line < content.end();) {
    const char* end = std::find(line, content.end(), '\n');
    const char* names = std::find(line, end, ':');
    const char* path = names == end ? end : std::find(names + 1, end, ':');
    if (path == end) break;
    if (end == content.end() && content.is_cut()) {  // cut: it may name another group
      was_refused_ = mount_length_ == 0;
      break;
    }
    bool is_first = names_memory(names + 1, path);
    if (is_first || (mount_length_ == 0 && names + 1 == path)) {
      base::Text folder(folder_, sizeof folder_);
      folder.add(root).add(is_first ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
      mount_length_ = folder.size();
      is_first_ = is_first;
      if (end - path > 2) folder.add(path + 1, static_cast<size_t>(end - path - 1));
      if (folder.is_cut()) mount_length_ = 0;
    }
    line = end == content.end() ? end : end + 1;
  }
  return mount_length_ != 0;
}

size_t Cgroup::least_of(const char* folder, size_t length) {
  size_t least = kUnbounded;
  auto look = [&](const char* name) {
    base::Line<kMostPath + 32> path;
    path.add(folder, length).add(name);
    least = std::min(least, read_bytes(path, was_refused_));
  };
  if (is_first_) {
    look("/memory.limit_in_bytes");
  } else {
    look("/memory.max");
    look("/memory.high");
  }
  return least;
}

size_t Cgroup::bound() {
  if (mount_length_ == 0) return kUnbounded;
  size_t least = kUnbounded;
  for (size_t length = base::length_of(folder_);; --length) {
    least = std::min(least, least_of(folder_, length));
    while (length > mount_length_ && folder_[length - 1] != '/') --length;
    if (length <= mount_length_) return least;
  }
}

unsigned Cgroup::pressure() const {
  TextFile content;
  if (mount_length_ != 0 && !is_first_) {
    base::Line<kMostPath + 32> path;
    path.add(folder_).add("/memory.pressure");
    content = read_file(path.data());
  }
  if (content.size == 0 && root_ != nullptr) {
    base::Line<256> path;
    path.add(root_).add("/proc/pressure/memory");
    content = read_file(path.data());
  }
  // "some avg10=1.23 avg60=..."
  const char* first = base::after(content.text, "some avg10=");
  if (content.size == 0 || first == nullptr) return 0;
  base::Number number = base::parse_decimal(first, std::find(first, content.end(), '.'));
  return number.is_number && number.value <= 100 ? static_cast<unsigned>(number.value) : 0;
}

}  // namespace os
