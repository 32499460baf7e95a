#include "os/cgroup.h"

#include <algorithm>

#include "base/text.h"
#include "os/text_file.h"

namespace ashlar::os {
namespace {

constexpr size_t kUnbounded = SIZE_MAX;
// Version 1 says "unbounded" by the largest number of whole pages.
constexpr size_t kAsGoodAsUnbounded = size_t{1} << 60;

constexpr char kMount[] = "/sys/fs/cgroup", kMountBeside[] = "/sys/fs/cgroup/unified";
constexpr char kMountOfFirst[] = "/sys/fs/cgroup/memory";

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

// The path of a file, as far as its folder.
base::Text Cgroup::path_in(const char* folder, size_t length) {
  base::Text path(path_, sizeof path_);
  path.add(folder, length);
  return path;
}

// The number that a file holds, on its one line; unbounded where it says "max" or is not there.
size_t Cgroup::read_bytes(const char* path) {
  TextFile content = read_file(path, text_, sizeof text_);
  was_refused_ |= content.is_refused;
  was_told_ |= content.size != 0;
  const char* end = std::find(content.text, content.end(), '\n');
  base::Number number = base::parse_decimal(content.text, end);
  bool is_bound = number.is_number && number.value < kAsGoodAsUnbounded;
  return is_bound ? number.value : kUnbounded;
}

// In which groups the process is. Of a thread that has ended, as the first may have, the kernel
// says that it is in none; before Linux 3.17 only that one is to be had by a name.
TextFile Cgroup::read_list() {
  TextFile content{.text = text_, .capacity = sizeof text_};
  for (const char* name : {"/proc/thread-self/cgroup", "/proc/self/cgroup"}) {
    base::Text list = path_in(root_, base::length_of(root_));
    list.add(name);
    if (content.size == 0) content = read_file(list.data(), text_, sizeof text_);
  }
  return content;
}

// Whether this folder may be one of version 2: each of them has this file.
bool Cgroup::is_second(const char* folder, size_t length) {
  base::Text file = path_in(folder, length);
  file.add("/cgroup.controllers");
  char text[2];  // the other text may be in use
  return !read_file(file.data(), text, sizeof text).is_missing;
}

// Where version 2 is mounted: beside hierarchies of version 1 it has a folder of its own.
const char* Cgroup::mount_of_second() {
  for (const char* mount : {kMount, kMountBeside}) {
    base::Text folder(folder_, sizeof folder_);
    folder.add(root_).add(mount);
    if (is_second(folder_, folder.size())) return mount;
  }
  return kMount;
}

bool Cgroup::find(const char* root) {
  root_ = root;
  TextFile content = read_list();
  was_refused_ = content.size == 0;
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
      const char* mount = is_first ? kMountOfFirst : mount_of_second();
      base::Text folder(folder_, sizeof folder_);
      folder.add(root).add(mount);
      mount_length_ = folder.size();
      is_first_ = is_first;
      if (end - path > 2) folder.add(path + 1, static_cast<size_t>(end - path - 1));
      if (folder.is_cut()) mount_length_ = 0;
    }
    line = end == content.end() ? end : end + 1;
  }
  return mount_length_ != 0;
}

size_t Cgroup::least_of(size_t length) {
  size_t least = kUnbounded;
  auto look = [&](const char* name) {
    base::Text path = path_in(folder_, length);
    path.add(name);
    least = std::min(least, read_bytes(path.data()));
  };
  if (is_first_) {
    look("/memory.limit_in_bytes");
  } else {
    look("/memory.max");
    look("/memory.high");
  }
  return least;
}

// The root of version 1 has a bound, too, that of version 2 has none.
size_t Cgroup::bound() {
  if (mount_length_ == 0) return kUnbounded;
  size_t least = kUnbounded;
  was_told_ = false;
  for (size_t length = base::length_of(folder_);; --length) {
    least = std::min(least, least_of(length));
    while (length > mount_length_ && folder_[length - 1] != '/') --length;
    if (length <= mount_length_) break;
  }
  was_refused_ |= !was_told_ && (is_first_ || !is_second(folder_, mount_length_));
  return least;
}

unsigned Cgroup::pressure() {
  TextFile content{.text = text_, .capacity = sizeof text_};
  auto read = [&](base::Text path, const char* name) {
    path.add(name);
    content = read_file(path.data(), text_, sizeof text_);
  };
  if (mount_length_ != 0 && !is_first_)
    read(path_in(folder_, base::length_of(folder_)), "/memory.pressure");
  if (content.size == 0 && root_ != nullptr)
    read(path_in(root_, base::length_of(root_)), "/proc/pressure/memory");
  // "some avg10=1.23 avg60=..."
  const char* first = base::after(content.text, "some avg10=");
  if (content.size == 0 || first == nullptr) return 0;
  base::Number number = base::parse_decimal(first, std::find(first, content.end(), '.'));
  return number.is_number && number.value <= 100 ? static_cast<unsigned>(number.value) : 0;
}

}  // namespace ashlar::os
