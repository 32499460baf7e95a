#include "harden/poison.h"

#include <cstring>

namespace ashlar::harden {
namespace {

constexpr unsigned char kPattern = 0xa5;

}  // namespace

void poison(void* memory, size_t size) {
  std::memset(memory, kPattern, size);
}

size_t find_damage(const void* memory, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(memory);
  size_t i = 0;
  while (i < size && bytes[i] == kPattern) ++i;
  return i;
}

}  // namespace ashlar::harden
