// misuse/misuse_test.cpp -- each misuse program ends by SIGABRT after one exact line.
//
// A user would notice: a double free that glibc used to tell, and that now corrupts the heap in
// silence; or a message that names the wrong block. The programs beside this file are the list of
// what is told; this table says in which words. {0} and {1} stand for the addresses the program
// said.

#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "../support/child.h"
#include "../support/subject.h"

namespace {

struct Finding {
  const char* program;
  const char* line;  // a regular expression; {0}, {1}: the first, second address on stdout
};

const Finding kFindings[] = {
    {"double_free_small", R"(ashlar: double free of {0} \(cache "malloc-64", 64 bytes\))"},
    {"double_free_least", R"(ashlar: double free of {0} \(cache "malloc-16", 16 bytes\))"},
    {"double_free_page", R"(ashlar: double free of {0} \(cache "malloc-4096", 4096 bytes\))"},
    {"double_free_largest_cached",
     R"(ashlar: double free of {0} \(cache "malloc-32768", 32768 bytes\))"},
    {"double_free_small_later", R"(ashlar: double free of {0} \(cache "malloc-64", 64 bytes\))"},
    {"double_free_small_much_later",
     R"(ashlar: double free of {0} \(cache "malloc-64", 64 bytes\))"},
    {"double_free_other_thread", R"(ashlar: double free of {0} \(cache "malloc-64", 64 bytes\))"},
    // Told when the block leaves its magazine: as the second of two faults, or as the first.
    {"double_free_key_overwritten",
     R"(ashlar: (double free of {0} \(cache "malloc-64", 64 bytes\)|heap corrupted at {0}: .+))"},
    {"double_free_by_realloc", R"(ashlar: double free of {0} \(cache "malloc-64", 64 bytes\))"},
    {"double_free_large", R"(ashlar: double free of {0} \(large block\))"},
    {"double_free_huge", R"(ashlar: double free of {0} \(large block\))"},
    // Once its frames are someone else's or nobody's, the heap may no longer know what it was.
    {"double_free_large_after_trim",
     R"(ashlar: (double free of {0} \(large block\)|free of {0}, which this heap never gave out))"},
    {"free_foreign_stack", "ashlar: free of {0}, which this heap never gave out"},
    {"free_foreign_static", "ashlar: free of {0}, which this heap never gave out"},
    {"free_foreign_mmap", "ashlar: free of {0}, which this heap never gave out"},
    {"free_foreign_first", "ashlar: free of {0}, which this heap never gave out"},
    {"free_foreign_noncanonical", "ashlar: free of {0}, which this heap never gave out"},
    {"free_never_given", "ashlar: free of {0}, which this heap never gave out"},
    {"realloc_foreign", "ashlar: (free|realloc) of {0}, which this heap never gave out"},
    {"free_interior_large", "ashlar: free of {0}, which points into a block that starts at {1}"},
    {"free_interior_large_16", "ashlar: free of {0}, which points into a block that starts at {1}"},
    {"free_interior_huge", "ashlar: free of {0}, which points into a block that starts at {1}"},
};

test::Ending run_program(const std::string& name,
                         const std::vector<std::string>& environment = {}) {
  return test::run({std::string(MISUSE_DIR "/") + name}, environment);
}

std::string with_addresses(std::string pattern, const std::string& said) {
  std::istringstream lines(said);
  std::string address;
  for (const char* place : {"{0}", "{1}"}) {
    std::getline(lines, address);
    for (size_t at = pattern.find(place); at != std::string::npos; at = pattern.find(place)) {
      pattern.replace(at, 3, address);
    }
  }
  return pattern;
}

void expect_finding(const std::string& program, const std::string& line) {
  const test::Ending ending = run_program(program);
  EXPECT_EQ(ending.signal, SIGABRT) << program << " " << ending.text();
  const std::string wanted = with_addresses(line, ending.out);
  EXPECT_TRUE(std::regex_match(ending.err, std::regex(wanted + "\n")))
      << program << " " << ending.text() << "--- expected on stderr ---\n"
      << wanted;
}

class Misuse : public testing::TestWithParam<Finding> {};

TEST_P(Misuse, IsToldInOneExactLine) {
  expect_finding(GetParam().program, GetParam().line);
}

INSTANTIATE_TEST_SUITE_P(Finding, Misuse, testing::ValuesIn(kFindings),
                         [](const auto& info) { return std::string(info.param.program); });

TEST(MisuseInDebug, SizedFreeOfAnotherClass) {
  if (!MISUSE_DEBUG_BUILD) GTEST_SKIP() << "not run: told by debug builds only";
  expect_finding(
      "sized_free_mismatch",
      "ashlar: sized free of {0} with 100 bytes, but the block was asked for with a size "
      R"(of another class \(64 bytes\))");
}

TEST(MisuseNone, NothingIsSaidOfACorrectProgram) {
  const test::Ending ending = run_program("nothing_wrong");
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_EQ(ending.err, "");
}

}  // namespace
