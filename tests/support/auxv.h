// support/auxv.h -- what the auxiliary vector tells a test: page size, setuid, random bytes.
//
// os/env.h reads the kernel's words through getauxval. The test programs bring a getauxval of their
// own that asks the real one, unless a test has said what the kernel shall seem to say.
#pragma once

#include <cstddef>

namespace test {

/// From now on getauxval(kind) answers `value`. Restored when the object dies.
class AuxvAnswer {
 public:
  AuxvAnswer(unsigned long kind, unsigned long value);
  ~AuxvAnswer();
  AuxvAnswer(const AuxvAnswer&) = delete;
  AuxvAnswer& operator=(const AuxvAnswer&) = delete;

 private:
  unsigned long kind_;
};

/// Makes os::page_size() answer `size`, until the object dies.
class PageSize {
 public:
  explicit PageSize(size_t size);
  ~PageSize();

 private:
  AuxvAnswer answer_;
};

}  // namespace test
