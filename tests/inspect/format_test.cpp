// inspect/format_test.cpp -- proves that the XML is well-formed and says what the snapshot says,
// and that the table has a line for each cache and is cut, never overrun.

#include "inspect/format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ashlar/cache.h"
#include "ashlar/inspect.h"
#include "front/heap.h"
#include "front/upkeep.h"

namespace {
using namespace ashlar;

std::string xml() {
  auto text = std::make_unique<base::Line<65536>>();
  inspect::describe_xml(*text);
  EXPECT_FALSE(text->is_cut());
  return text->data();
}

std::string table() {
  std::vector<char> buffer(65536);
  size_t size = ashlar_describe(buffer.data(), buffer.size());
  return {buffer.data(), size};
}

bool is_entity(const std::string& text) {
  for (const char* entity : {"&lt;", "&gt;", "&amp;", "&quot;"})
    if (text.rfind(entity, 0) == 0) return true;
  return false;
}

// A reader of the XML that malloc_info writes: elements, attributes, nothing else. Empty where the
// text is well-formed, else what is wrong with it.
std::string fault_in(const std::string& text) {
  std::vector<std::string> open;
  unsigned roots = 0;
  for (size_t at = 0; at < text.size();) {
    if (std::isspace(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    if (text[at] != '<') return "text outside a tag at " + std::to_string(at);
    size_t end = text.find('>', at);
    if (end == std::string::npos) return "a tag does not end";
    std::string tag = text.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "</" + tag.substr(1) + "> unopened";
      open.pop_back();
      continue;
    }
    bool is_closed = tag.back() == '/';
    if (is_closed) tag.pop_back();
    size_t space = tag.find(' ');
    std::string name = tag.substr(0, space);
    for (size_t i = space; i != std::string::npos && i < tag.size();) {
      size_t equals = tag.find("=\"", i);
      size_t quote = equals == std::string::npos ? equals : tag.find('"', equals + 2);
      if (tag[i] != ' ' || quote == std::string::npos) return "attributes of <" + tag + ">";
      for (size_t c = equals + 2; c < quote; ++c)
        if (tag[c] == '<' || (tag[c] == '&' && !is_entity(tag.substr(c, quote - c))))
          return "an attribute holds markup: " + tag;
      i = quote + 1;
      if (i == tag.size()) break;
    }
    if (open.empty() && roots++ > 0) return "two roots";
    if (!is_closed) open.push_back(name);
  }
  if (!open.empty()) return "<" + open.back() + "> is never closed";
  return roots == 1 ? "" : "no root";
}

TEST(Format, TheReaderFindsFaults) {
  EXPECT_EQ(fault_in("<a x=\"1\"><b/></a>\n"), "");
  for (const char* bad :
       {"", "<a>", "<a></b>", "<a/><b/>", "<a x=1/>", "<a x=\"<\"/>", "<a x=\"&\"/>", "x<a/>"})
    EXPECT_NE(fault_in(bad), "") << bad;
}

TEST(Format, TheXmlIsWellFormed) {
  void* p = front::alloc(64);
  void* large = front::alloc(5000000);
  std::string text = xml();
  EXPECT_EQ(fault_in(text), "") << text;
  EXPECT_EQ(text.rfind("<malloc version=\"1\"", 0), 0u) << "what readers of malloc_info look for";
  EXPECT_NE(text.find("<cache name=\"malloc-64\" size=\"64\" live=\"1\""), std::string::npos)
      << text;
  EXPECT_NE(text.find("<large count=\"1\""), std::string::npos) << text;
  front::free(p);
  front::free(large);
}

TEST(Format, ANameMayHoldMarkup) {
  ashlar_cache_args args{};
  args.flags = ASHLAR_CACHE_NO_MERGE;
  ashlar_cache* cache = ashlar_cache_create("map<\"a\", b&>", 48, &args);
  ashlar_cache_free(cache, ashlar_cache_alloc(cache, 0));
  EXPECT_EQ(fault_in(xml()), "") << xml();
  EXPECT_NE(xml().find("map&lt;&quot;a&quot;, b&amp;&gt;"), std::string::npos) << xml();
  ashlar_cache_destroy(cache);
}

TEST(Format, TheXmlFollowsTheHeap) {
  std::vector<void*> blocks;
  for (int i = 0; i < 321; ++i) blocks.push_back(front::alloc(96));
  EXPECT_NE(xml().find("name=\"malloc-96\" size=\"96\" live=\"321\""), std::string::npos) << xml();
  for (void* p : blocks) front::free(p);
  EXPECT_NE(xml().find("name=\"malloc-96\" size=\"96\" live=\"0\""), std::string::npos);
}

TEST(Format, TheTableHasALineForEachCacheInUse) {
  void* p = front::alloc(208);
  std::string text = table();
  EXPECT_NE(text.find("\nmalloc-208 "), std::string::npos) << text;
  EXPECT_NE(text.find("objsize"), std::string::npos);
  EXPECT_NE(text.find("free blocks"), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
  front::free(p);
}

TEST(Format, ASmallBufferIsCutAndEnded) {
  front::free(front::alloc(64));
  for (size_t size : {1, 2, 10, 100}) {
    std::vector<char> buffer(size + 1, 'x');
    size_t written = ashlar_describe(buffer.data(), size);
    EXPECT_EQ(written, size - 1);
    EXPECT_EQ(buffer[written], '\0');
    EXPECT_EQ(buffer[size], 'x') << "written past the end";
  }
}

TEST(Format, WhatSlobHoldsHasALine) {
  void* p = front::alloc(100);
  bool is_slobs = front::g_heap.slob().bytes() > 0;
  const char* line = is_slobs ? "small blocks of all sizes: 1 pages, 112 bytes live\n"
                              : "small blocks of all sizes: 0 pages, 0 bytes live\n";
  EXPECT_NE(table().find(line), std::string::npos) << table();
  EXPECT_NE(xml().find(is_slobs ? "<small pages=\"1\" live=\"112\"/>"
                                : "<small pages=\"0\" live=\"0\"/>"),
            std::string::npos);
  const char* conf = getenv("ASHLAR_CONF");
  EXPECT_EQ(is_slobs, conf == nullptr || std::strstr(conf, "slob_max:0") == nullptr);
  front::free(p);
}

TEST(Format, OneNodeIsNotSpokenOf) {
  front::free(front::alloc(64));
  if (front::nodes() != nullptr) GTEST_SKIP() << "this machine has several";
  EXPECT_EQ(table().find("node "), std::string::npos) << table();
}

TEST(Format, WhatTheHeapMayHoldHasALine) {
  front::free(front::alloc(64));
  EXPECT_NE(table().find(", soft limit unlimited, hard limit unlimited, container "),
            std::string::npos)
      << table();
  ASSERT_TRUE(front::set_limits({.soft = 1u << 20, .hard = 1u << 21}));
  EXPECT_NE(table().find(", soft limit 4294967296, hard limit 8589934592, container "),
            std::string::npos)
      << table();
  EXPECT_NE(table().find(", reserve 1048576\n"), std::string::npos) << table();
  EXPECT_EQ(front::alloc(size_t{16} << 30), nullptr);
  EXPECT_NE(table().find(", reserve 1048576 open\n"), std::string::npos) << table();
  ASSERT_TRUE(front::set_limits({}));
  EXPECT_NE(table().find(", reserve 0\n"), std::string::npos) << table();
}

TEST(Format, ZonesThatWereNamedHaveALine) {
  EXPECT_EQ(table().find("zone "), std::string::npos) << table();
  void* p = front::alloc_zeroed_in({.where = page::Manners::Where::kLow}, 12288, true);
  ASSERT_NE(p, nullptr);
  EXPECT_NE(table().find("\nzone low: in use 12288, free 1036288\n"), std::string::npos) << table();
  front::free(p);
  EXPECT_NE(table().find("\nzone low: in use 0, free 1048576\n"), std::string::npos) << table();
}

TEST(Format, WhyThereIsNoHugePageHasALine) {
  EXPECT_NE(table().find("\nfragmentation of 2 MiB: slabs "), std::string::npos) << table();
}

// Whatever classes are in use, nothing of them is missing.
TEST(Format, AllClassesFit) {
  std::vector<void*> blocks;
  for (unsigned id = 1; id <= front::kClasses; ++id)
    for (int i = 0; i < 100; ++i) blocks.push_back(front::alloc(front::kClassSize[id]));
  EXPECT_EQ(fault_in(xml()), "");
  std::string text = table();
  EXPECT_LT(text.size(), 65535u);
  for (unsigned id = 1; id <= front::kClasses; ++id)
    EXPECT_NE(text.find("\n" + std::string(front::class_name(id)) + " "), std::string::npos) << id;
  for (void* p : blocks) front::free(p);
}

}  // namespace
