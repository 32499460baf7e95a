#include "os/env.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cstring>

#include "base/attributes.h"
#include "base/text.h"

namespace ashlar::os {
namespace {

ASHLAR_START_DATA bool g_is_secure = true;
ASHLAR_START_DATA size_t g_page_size = 4096;
ASHLAR_START_DATA uint64_t g_random[2];

}  // namespace

void start_env() {
  if (unsigned long size = getauxval(AT_PAGESZ); size != 0) g_page_size = size;
  if (unsigned long bytes = getauxval(AT_RANDOM); bytes != 0)
    std::memcpy(g_random, reinterpret_cast<const void*>(bytes), sizeof g_random);
  g_is_secure = getauxval(AT_SECURE) != 0;
}

size_t page_size() {
  return g_page_size;
}

const char* trusted_environment(const char* name) {
  if (g_is_secure || __environ == nullptr) return nullptr;
  for (char** entry = __environ; *entry != nullptr; ++entry)
    if (const char* rest = base::after(*entry, name); rest != nullptr && *rest == '=')
      return rest + 1;
  return nullptr;
}

uint64_t entropy(uint64_t salt) {
  // The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): every input bit reaches all.
  uint64_t x = g_random[0] + (g_random[1] ^ salt) + (salt + 1) * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace ashlar::os
