// os/env_test.cpp -- proves that what the kernel says is read, and that a setuid process reads
// nobody's environment.

#include "os/env.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "os/vm.h"
#include "support/auxv.h"

namespace {
using namespace ashlar;

TEST(Env, KnowsThePageSize) {
  os::start_env();
  EXPECT_EQ(os::page_size(), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  {
    test::PageSize page(65536);
    EXPECT_EQ(os::page_size(), 65536u);
  }
  EXPECT_EQ(os::page_size(), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

TEST(Env, FindsAVariableByItsWholeName) {
  os::start_env();
  setenv("ASHLAR_TEST_NAME", "value", 1);
  setenv("ASHLAR_TEST_EMPTY", "", 1);
  EXPECT_STREQ(os::trusted_environment("ASHLAR_TEST_NAME"), "value");
  EXPECT_STREQ(os::trusted_environment("ASHLAR_TEST_EMPTY"), "");
  EXPECT_EQ(os::trusted_environment("ASHLAR_TEST_NAM"), nullptr);
  EXPECT_EQ(os::trusted_environment("ASHLAR_TEST_NAMES"), nullptr);
  EXPECT_EQ(os::trusted_environment("SHLAR_TEST_NAME"), nullptr);
}

TEST(Env, TrustsNobodyInASetuidProcess) {
  setenv("ASHLAR_TEST_NAME", "value", 1);
  {
    test::AuxvAnswer secure(AT_SECURE, 1);
    os::start_env();
    EXPECT_EQ(os::trusted_environment("ASHLAR_TEST_NAME"), nullptr);
  }
  os::start_env();
  EXPECT_NE(os::trusted_environment("ASHLAR_TEST_NAME"), nullptr);
}

TEST(Env, LivesWithoutAnEnvironment) {
  os::start_env();
  char** saved = environ;
  environ = nullptr;
  EXPECT_EQ(os::trusted_environment("PATH"), nullptr);
  environ = saved;
}

TEST(Env, EntropyDiffersWithTheSalt) {
  os::start_env();
  std::set<uint64_t> seen;
  for (uint64_t salt = 0; salt < 1000; ++salt) seen.insert(os::entropy(salt));
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ(os::entropy(7), os::entropy(7));
}

}  // namespace
