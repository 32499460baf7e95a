#include "auxv.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

// The one symbol of os/ that is needed here; including its header would tie this file to a floor.
namespace ashlar::os {
void start_env();
}

namespace {

constexpr size_t kKinds = 64;
struct Answer {
  bool is_set;
  unsigned long value;
};
Answer g_answers[kKinds];

// The vector as the kernel gave it. No libc function that allocates: a sanitizer's runtime may ask
// before it is ready.
unsigned long from_kernel(unsigned long kind) {
  static unsigned long words[128];
  static bool is_read;
  if (!is_read) {
    int file = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
    if (file >= 0 && read(file, words, sizeof words - 2 * sizeof words[0]) < 0) words[0] = 0;
    if (file >= 0) close(file);
    is_read = true;
  }
  for (const unsigned long* at = words; at[0] != AT_NULL; at += 2)
    if (at[0] == kind) return at[1];
  return 0;
}

}  // namespace

extern "C" unsigned long getauxval(unsigned long kind) {
  if (kind < kKinds && g_answers[kind].is_set) return g_answers[kind].value;
  return from_kernel(kind);
}

namespace test {

AuxvAnswer::AuxvAnswer(unsigned long kind, unsigned long value) : kind_(kind) {
  g_answers[kind] = {true, value};
}

AuxvAnswer::~AuxvAnswer() {
  g_answers[kind_] = {};
}

PageSize::PageSize(size_t size) : answer_(AT_PAGESZ, size) {
  ashlar::os::start_env();
}

PageSize::~PageSize() {
  // The member answers until after this body: ask for the real size while it is hidden.
  g_answers[AT_PAGESZ] = {};
  ashlar::os::start_env();
}

}  // namespace test
