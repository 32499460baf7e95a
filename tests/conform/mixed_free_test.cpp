// conform/mixed_free_test.cpp -- whatever hands memory out, every function that may take it back
// does.
//
// A user would notice: a library that interposes only part of the family (libumem had no
// aligned_alloc) sends a block of one heap into free() of another: "invalid pointer", abort.

#include <gtest/gtest.h>
#include <unistd.h>
#include <wchar.h>

#include <cstdio>
#include <string>
#include <vector>

#include "../support/subject.h"
#include "family.h"

using namespace family;

namespace {

void (*cfree_address())(void*) {
  return reinterpret_cast<void (*)(void*)>(dlsym(RTLD_DEFAULT, "cfree"));
}

TEST(MixedFree, EveryMakerWithFree) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kSizes) free_(maker.make(size));
  }
}

TEST(MixedFree, EveryMakerWithReallocToZero) {
  for (const Maker& maker : kMakers) {
    for (size_t size : kSizes) ASSERT_EQ(realloc_(maker.make(size), 0), nullptr) << maker.name;
  }
}

TEST(MixedFree, EveryMakerWithCfree) {
  auto* cfree = cfree_address();
  if (cfree == nullptr) GTEST_SKIP() << "not run: this libc has no cfree any more";
  for (const Maker& maker : kMakers) {
    for (size_t size : kSizes) cfree(maker.make(size));
  }
  cfree(nullptr);
}

TEST(MixedFree, CfreeIsThere) {
  if (test::on_system_malloc()) GTEST_SKIP() << "not run: a rule for us alone";
  if (test::subject() == "static")
    GTEST_SKIP() << "not run: a static program exports no names to look up";
  EXPECT_NE(cfree_address(), nullptr);
}

TEST(MixedFree, FreeSizedTakesWhatMallocCallocAndReallocGave) {
  if (free_sized == nullptr) {
    ASSERT_TRUE(test::on_system_malloc()) << "free_sized is missing";
    GTEST_SKIP() << "not run: this libc has no free_sized";
  }
  free_sized(nullptr, 0);
  free_sized(nullptr, 100);
  for (size_t size : kSizes) {
    errno = 7;
    free_sized(malloc_(size), size);
    free_sized(calloc_(1, size), size);
    free_sized(realloc_(nullptr, size), size);
    free_sized(reallocarray_(nullptr, 1, size), size);
    void* grown = malloc_(10);
    grown = realloc_(grown, size + 1);
    free_sized(grown, size + 1);
    EXPECT_EQ(errno, 7) << size;
  }
  for (size_t size = 0; size <= 70000; ++size) free_sized(malloc_(size), size);
}

TEST(MixedFree, FreeAlignedSizedTakesWhatAlignedAllocGave) {
  if (free_aligned_sized == nullptr) {
    ASSERT_TRUE(test::on_system_malloc()) << "free_aligned_sized is missing";
    GTEST_SKIP() << "not run: this libc has no free_aligned_sized";
  }
  free_aligned_sized(nullptr, 64, 64);
  for (size_t alignment = 8; alignment <= size_t{4} << 20; alignment *= 2) {
    for (size_t size : kSizes) {
      if (size > (1 << 20)) break;
      errno = 7;
      free_aligned_sized(aligned_alloc_(alignment, size), alignment, size);
      EXPECT_EQ(errno, 7) << alignment << ", " << size;
    }
  }
}

TEST(MixedFree, WhatLibcAllocatesIsFreedByTheProgram) {
  for (int i = 0; i < 200; ++i) {
    const std::string text(static_cast<size_t>(i * 37), 'x');
    free_(strdup(text.c_str()));
    free_(strndup(text.c_str(), 20));
    free_(wcsdup(L"wide"));
    char* printed = nullptr;
    ASSERT_GE(asprintf(&printed, "%s-%d", text.c_str(), i), 0);
    free_(printed);
    free_(realpath("/proc/self/../self", nullptr));
    free_(getcwd(nullptr, 0));
    char* stream_text = nullptr;
    size_t length = 0;
    FILE* stream = open_memstream(&stream_text, &length);
    fputs(text.c_str(), stream);
    fclose(stream);
    ASSERT_EQ(length, text.size());
    free_(stream_text);
  }
}

TEST(MixedFree, GetlineGrowsABlockOfTheProgram) {
  FILE* stream = tmpfile();
  ASSERT_NE(stream, nullptr);
  for (int i = 0; i < 300; ++i) fprintf(stream, "%s\n", std::string(size_t(i) * 91, 'y').c_str());
  rewind(stream);
  auto* line = static_cast<char*>(malloc_(4));
  size_t capacity = 4;
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(getline(&line, &capacity, stream), i * 91 + 1);
  }
  free_(line);
  fclose(stream);
}

}  // namespace
