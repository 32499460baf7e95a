// os/text_file_test.cpp -- proves that a small file is read as it is, and that whatever cannot be
// read is empty, leaves nothing open, and says whether it may be there.

#include "os/text_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace {
using namespace ashlar;

class TextFileTest : public testing::Test {
 protected:
  TextFileTest() { close(mkstemp(path)); }
  ~TextFileTest() override { unlink(path); }
  void write(const std::string& content) {
    FILE* file = fopen(path, "w");
    fwrite(content.data(), 1, content.size(), file);
    fclose(file);
  }
  os::TextFile read(const char* name) { return os::read_file(name, buffer, sizeof buffer); }
  char path[32] = "/tmp/ashlar-text-XXXXXX";
  char buffer[os::kMostText];
};

TEST_F(TextFileTest, AFileIsReadWhole) {
  write("0-3\n");
  os::TextFile file = read(path);
  EXPECT_STREQ(file.text, "0-3\n");
  EXPECT_EQ(file.end() - file.text, 4);
  EXPECT_FALSE(file.is_cut());
  EXPECT_FALSE(file.is_refused);
}

TEST_F(TextFileTest, ALongOneIsCutAndSaysSo) {
  write(std::string(100000, 'x'));
  os::TextFile file = read(path);
  EXPECT_TRUE(file.is_cut());
  EXPECT_EQ(std::strlen(file.text), file.size);
}

TEST_F(TextFileTest, WhatIsNotThereIsEmpty) {
  for (const char* nothing : {"/tmp/ashlar-no-such-file", "/dev/null/x", "/tmp"}) {
    errno = 77;
    os::TextFile file = read(nothing);
    EXPECT_EQ(file.size, 0u);
    EXPECT_STREQ(file.text, "");
    EXPECT_FALSE(file.is_refused) << nothing;
    EXPECT_EQ(file.is_missing, nothing != std::string("/tmp")) << nothing;
    EXPECT_EQ(errno, 77);
  }
}

TEST_F(TextFileTest, WithoutDescriptorsItIsRefused) {
  write("0");
  int next = open("/dev/null", O_RDONLY);
  close(next);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  os::TextFile file = read(path);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(file.is_refused);
  EXPECT_EQ(file.size, 0u);
}

TEST_F(TextFileTest, NothingIsLeftOpen) {
  int before = open("/dev/null", O_RDONLY);
  close(before);
  for (int i = 0; i < 10; ++i) read(i % 2 == 0 ? path : "/tmp");
  int after = open("/dev/null", O_RDONLY);
  close(after);
  EXPECT_EQ(after, before);
}

}  // namespace
