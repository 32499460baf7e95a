#include "base/check.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"

namespace ashlar::base {

void write_error(const char* bytes, unsigned long size) {
  int saved_errno = errno;
  while (size > 0) {
    ssize_t written = write(STDERR_FILENO, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    bytes += written;
    size -= static_cast<unsigned long>(written);
  }
  errno = saved_errno;
}

void check_failed(const char* condition, const char* file, int line) {
  Line<512> text;
  text.add("ashlar: ").add(file).add(":").add_decimal(static_cast<uint64_t>(line));
  text.add(": check failed: ").add(condition).add("\n");
  write_error(text.data(), text.size());
  abort();
}

}  // namespace ashlar::base
