#include "os/text_file.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "os/syscall.h"

namespace ashlar::os {

TextFile read_file(const char* path, char* buffer, size_t capacity) {
  TextFile content{.text = buffer, .capacity = capacity};
  long file = call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  content.is_missing = file == -ENOENT || file == -ENOTDIR;
  content.is_refused = is_error(file) && !content.is_missing;
  buffer[0] = '\0';
  if (is_error(file)) return content;
  long size = call(SYS_read, file, buffer, capacity - 1);
  call(SYS_close, file);
  content.size = is_error(size) ? 0 : static_cast<size_t>(size);
  buffer[content.size] = '\0';
  return content;
}

}  // namespace ashlar::os
