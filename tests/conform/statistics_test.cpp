// conform/statistics_test.cpp -- mallinfo, malloc_info, malloc_stats, malloc_trim and mallopt
// answer.
//
// A user would notice: a monitoring page that shows zeros or rubbish, an XML reader that stops at
// malloc_info's output, or a server that calls malloc_trim at night and gets nothing back.

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "family.h"

using namespace family;

namespace {

size_t live_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::vector<void*> hold(size_t blocks, size_t size) {
  std::vector<void*> held(blocks);
  for (void*& block : held) {
    block = malloc_(size);
    memset(block, 1, size);
  }
  return held;
}

void release(std::vector<void*>& held) {
  for (void* block : held) free_(block);
  held.clear();
}

struct Shape {
  size_t blocks, size;
};

TEST(Statistics, Mallinfo2FollowsWhatIsAllocatedAndFreed) {
  for (const Shape& shape : {Shape{64000, 1000}, Shape{1000, 65000}, Shape{10, 6400000}}) {
    const size_t total = shape.blocks * shape.size;
    const size_t before = live_bytes();
    std::vector<void*> held = hold(shape.blocks, shape.size);
    const size_t during = live_bytes();
    EXPECT_GE(during - before, total) << shape.blocks << " of " << shape.size;
    EXPECT_LE(during - before, total + total / 4) << shape.blocks << " of " << shape.size;
    release(held);
    const size_t after = live_bytes();
    EXPECT_LE(after, before + total / 10) << "freed, but still counted as in use";
  }
}

TEST(Statistics, Mallinfo2AddsUp) {
  std::vector<void*> held = hold(1000, 1000), large = hold(20, 4000000);
  const struct mallinfo2 info = mallinfo2();
  EXPECT_EQ(info.arena, info.uordblks + info.fordblks) << "what hblkhd tells is no part of it";
  EXPECT_GE(info.uordblks, 1000000u);
  EXPECT_GE(info.uordblks + info.hblkhd, 81000000u);
  release(held);
  release(large);
}

TEST(Statistics, OldMallinfoAnswersToo) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  std::vector<void*> held = hold(1000, 1000);
  const struct mallinfo info = mallinfo();
  EXPECT_GE(info.uordblks, 1000000);
  release(held);
#pragma GCC diagnostic pop
}

TEST(Statistics, MallocInfoWritesXmlThatParses) {
  std::vector<void*> held = hold(1000, 1000);
  char* text = nullptr;
  size_t length = 0;
  FILE* stream = open_memstream(&text, &length);
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(malloc_info(0, stream), 0);
  fclose(stream);
  ASSERT_GT(length, 20u);
  char path[] = "/tmp/malloc-info-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, text, length), static_cast<ssize_t>(length));
  close(fd);
  const test::Ending ending =
      test::run({"/usr/bin/python3", "-c",
                 "import sys, xml.etree.ElementTree as tree\n"
                 "root = tree.parse(sys.argv[1]).getroot()\n"
                 "assert root.tag == 'malloc' and root.get('version') == '1', root.attrib\n"
                 "system = [int(e.get('size')) for e in root.findall('system')]\n"
                 "assert system and system[0] >= 1000000, system\n",
                 path},
                {"LD_PRELOAD"});
  EXPECT_TRUE(ending.clean()) << ending.text() << text;
  unlink(path);
  free_(text);
  release(held);
}

TEST(Statistics, MallocInfoRefusesUnknownOptions) {
  FILE* stream = fopen("/dev/null", "w");
  ASSERT_NE(stream, nullptr);
  EXPECT_NE(malloc_info(1, stream), 0);
  fclose(stream);
}

// A stream of the program's own may take nothing and leave errno as it is.
TEST(Statistics, MallocInfoTellsThatItCouldNotWrite) {
  if (test::on_system_malloc()) GTEST_SKIP() << "not run: glibc's does not look";
  cookie_io_functions_t functions{};
  functions.write = [](void*, const char*, size_t) { return ssize_t{0}; };
  FILE* stream = fopencookie(nullptr, "w", functions);
  ASSERT_NE(stream, nullptr);
  setvbuf(stream, nullptr, _IONBF, 0);
  errno = 0;
  EXPECT_NE(malloc_info(0, stream), 0);
  fclose(stream);
  stream = fopen("/dev/null", "r");
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(malloc_info(0, stream), EBADF);
  fclose(stream);
}

TEST(Statistics, MallocStatsWritesToStderrAndNothingElse) {
  const test::Ending ending = test::in_child([] {
    malloc_stats();
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_GT(ending.err.size(), 20u) << ending.text();
  EXPECT_EQ(ending.out, "");
}

TEST(Statistics, MallocTrimGivesFreedMemoryBack) {
  for (const Shape& shape : {Shape{200000, 1000}, Shape{3000, 65000}, Shape{30, 6400000}}) {
    (void)malloc_trim(0);
    const size_t before = test::resident_bytes();
    std::vector<void*> held = hold(shape.blocks, shape.size);
    const size_t total = shape.blocks * shape.size;
    EXPECT_GE(test::resident_bytes(), before + total * 9 / 10);
    release(held);
    held.shrink_to_fit();
    const int answer = malloc_trim(0);
    EXPECT_TRUE(answer == 0 || answer == 1) << answer;
    EXPECT_LE(test::resident_bytes(), before + total / 20 + (2 << 20))
        << shape.blocks << " blocks of " << shape.size << " bytes, all freed and trimmed";
  }
}

TEST(Statistics, MemoryIsGoodAfterATrim) {
  std::vector<void*> held = hold(50000, 200);
  for (size_t i = 0; i < held.size(); i += 2) {
    free_(held[i]);
    held[i] = nullptr;
  }
  (void)malloc_trim(0);
  for (size_t i = 0; i < held.size(); i += 2) {
    held[i] = calloc_(1, 200);
    ASSERT_TRUE(all_bytes_are(held[i], 0, 200));
  }
  for (size_t i = 1; i < held.size(); i += 2) ASSERT_TRUE(all_bytes_are(held[i], 1, 200)) << i;
  release(held);
}

TEST(Statistics, MalloptAnswersYesOrNoAndHarmsNothing) {
  const int keys[] = {M_MXFAST,       M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                      M_CHECK_ACTION, M_PERTURB,        M_ARENA_TEST, M_ARENA_MAX,      12345,
                      -12345};
  const test::Ending ending = test::in_child([&keys] {
    for (int key : keys) {
      const int answer = mallopt(key, key == M_PERTURB ? 0 : 1);
      if (answer != 0 && answer != 1) return 1;
      void* block = calloc_(10, 100);
      if (block == nullptr || !all_bytes_are(block, 0, 1000)) return 2;
      free_(block);
    }
    return 0;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_EQ(ending.err, "");
}

}  // namespace
