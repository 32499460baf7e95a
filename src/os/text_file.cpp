#include "os/text_file.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "os/syscall.h"

namespace os {

TextFile read_file(const char* path) {
  TextFile content;
  long file = call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  content.is_refused = is_error(file) && file != -ENOENT && file != -ENOTDIR;
  content.text[0] = '\0';
  if (is_error(file)) return content;
  long size = call(SYS_read, file, content.text, sizeof content.text - 1);
  call(SYS_close, file);
  content.size = is_error(size) ? 0 : static_cast<size_t>(size);
  content.text[content.size] = '\0';
  return content;
}

}  // namespace os
