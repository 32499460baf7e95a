// base/text_test.cpp -- proves that text fits its buffer whatever is added, and that numbers are
// read and written to their limits.

#include "base/text.h"

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

namespace {
using namespace ashlar;

using base::Line;
using base::Number;

Number parse(const std::string& text) {
  return base::parse_decimal(text.data(), text.data() + text.size());
}

TEST(Text, IsWhatWasAdded) {
  Line<64> text;
  EXPECT_STREQ(text.data(), "");
  text.add("a ").add("bcd", 2).add(" ").add_decimal(42).add(" ").add_hex(255);
  EXPECT_STREQ(text.data(), "a bc 42 0xff");
  EXPECT_EQ(text.size(), 12u);
  EXPECT_FALSE(text.is_cut());
}

TEST(Text, NumbersAreThoseOfPrintf) {
  for (uint64_t value : {uint64_t{0}, uint64_t{9}, uint64_t{10}, uint64_t{12345}, UINT64_MAX}) {
    char expected[64];
    snprintf(expected, sizeof expected, "%" PRIu64 " 0x%" PRIx64, value, value);
    Line<64> text;
    text.add_decimal(value).add(" ").add_hex(value);
    EXPECT_STREQ(text.data(), expected);
  }
}

TEST(Text, IsCutWhereItEndsAndStaysText) {
  for (size_t capacity = 1; capacity < 30; ++capacity) {
    std::string buffer(capacity + 1, '#');
    base::Text text(buffer.data(), capacity);
    text.add("hello, ").add_decimal(123456).add(" and ").add_hex(0xabcdef);
    std::string whole = "hello, 123456 and 0xabcdef";
    EXPECT_EQ(text.size(), std::min(whole.size(), capacity - 1));
    EXPECT_EQ(std::string(text.data()), whole.substr(0, capacity - 1));
    EXPECT_EQ(text.is_cut(), whole.size() > capacity - 1);
    EXPECT_EQ(buffer[capacity], '#') << "written past the end";
  }
}

TEST(After, GoesOnBehindTheWholeWord) {
  EXPECT_STREQ(base::after("key:value", "key"), ":value");
  EXPECT_STREQ(base::after("key", "key"), "");
  EXPECT_STREQ(base::after("key", ""), "key");
  EXPECT_EQ(base::after("ke", "key"), nullptr);
  EXPECT_EQ(base::after("kez", "key"), nullptr);
}

TEST(ParseDecimal, ReadsWhatIsANumber) {
  EXPECT_EQ(parse("0").value, 0u);
  EXPECT_EQ(parse("18446744073709551615").value, UINT64_MAX);
  EXPECT_TRUE(parse("18446744073709551615").is_number);
  EXPECT_EQ(parse("007").value, 7u);
}

TEST(ParseDecimal, RefusesWhatIsNone) {
  for (const char* bad : {"", " ", "-1", "+1", "1 ", "1x", "x1", "0x1", "18446744073709551616",
                          "18446744073709551620", "99999999999999999999999999"})
    EXPECT_FALSE(parse(bad).is_number) << bad;
}

struct Takes {
  std::string all;
  size_t most;  // then it refuses
};

bool take(void* to, const char* bytes, size_t count) {
  Takes& takes = *static_cast<Takes*>(to);
  if (takes.all.size() + count > takes.most) return false;
  takes.all.append(bytes, count);
  return true;
}

TEST(Text, WhatHasASinkIsOfAnyLength) {
  for (size_t capacity : {2, 3, 7, 64, 1000}) {
    Takes takes{.all = "", .most = 100000};
    std::vector<char> buffer(capacity);
    base::Text text(buffer.data(), capacity, take, &takes);
    std::string expected;
    for (unsigned i = 0; i < 100; ++i) {
      const std::string words(i, static_cast<char>('a' + i % 26));
      text.add(words.c_str()).add_decimal(i);
      expected += words + std::to_string(i);
      ASSERT_LT(text.size(), capacity);
    }
    text.flush();
    EXPECT_FALSE(text.is_cut());
    EXPECT_EQ(text.size(), 0u);
    EXPECT_EQ(takes.all, expected) << capacity;
  }
}

TEST(Text, WhatASinkRefusesIsCut) {
  Takes takes{.all = "", .most = 10};
  char buffer[8];
  base::Text text(buffer, sizeof buffer, take, &takes);
  text.add("0123456789abcdefg");
  EXPECT_TRUE(text.is_cut());
  takes.most = 100;
  text.add("h").flush();
  EXPECT_EQ(takes.all, "0123456") << "nothing comes behind a gap";
}

}  // namespace
