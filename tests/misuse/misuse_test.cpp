// misuse/misuse_test.cpp -- each misuse program ends by SIGABRT after one exact line.
//
// A user would notice: a double free that glibc used to tell, and that now corrupts the heap in
// silence; a message that names the wrong block; or a crash reporter that hangs, since it allocates
// while the heap is telling. The programs beside this file are the list of
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
  // A regular expression. {0}, {1}: the first, second address on stdout; {64}: what a block of 64
  // bytes is called where it was.
  const char* line;
};

const Finding kFindings[] = {
    {"double_free_small", "ashlar: double free of {0} {64}"},
    {"double_free_least", "ashlar: double free of {0} {16}"},
    {"double_free_page", "ashlar: double free of {0} {4096}"},
    {"double_free_largest_cached", "ashlar: double free of {0} {32768}"},
    {"double_free_small_later", "ashlar: double free of {0} {64}"},
    {"double_free_small_much_later", "ashlar: double free of {0} {64}"},
    {"double_free_other_thread", "ashlar: double free of {0} {64}"},
    // Told when the block leaves its magazine: as the second of two faults, or as the first.
    {"double_free_key_overwritten", "ashlar: (double free of {0} {64}|heap corrupted at {0}: .+)"},
    {"double_free_by_realloc", "ashlar: double free of {0} {64}"},
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

constexpr int kReportSeconds = 20;

test::Ending run_program(const std::string& name,
                         const std::vector<std::string>& environment = {}) {
  return test::run({std::string(MISUSE_DIR "/") + name}, environment);
}

// SLOB knows pages of small blocks, and frames; object caches have names.
std::string name_of_block(size_t size) {
  const std::string bytes = std::to_string(size);
  const std::string of_cache = R"(\(cache "malloc-)" + bytes + R"(", )" + bytes + R"( bytes\))";
  const std::string of_slob = size < 4096 ? R"(\(small block\))" : R"(\(large block\))";
  switch (test::small_blocks()) {
    case test::Small::kSlob: return of_slob;
    case test::Small::kSlabs: return of_cache;
    case test::Small::kBoth: return "(" + of_slob + "|" + of_cache + ")";
  }
  return "";
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what))
    text.replace(at, what.size(), by);
  return text;
}

std::string with_addresses(std::string pattern, const std::string& said) {
  std::istringstream lines(said);
  std::string address;
  for (const char* place : {"{0}", "{1}"}) {
    std::getline(lines, address);
    pattern = replaced(pattern, place, address);
  }
  for (size_t size : {16, 64, 4096, 32768})
    pattern = replaced(pattern, "{" + std::to_string(size) + "}", name_of_block(size));
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

// A crash reporter's. It runs where the misuse was seen, with locks held there; to allocate must
// not wait for them, nor be taken for a fault of ours where their order is checked.
TEST(MisuseHandler, MayAllocate) {
  for (const char* kind : {"twice", "inside", "late"})
    for (const char* size : {"100", "3000", "9000", "40000"}) {
      const test::Ending ending =
          test::run({MISUSE_DIR "/allocating_handler", kind, size}, {}, kReportSeconds);
      EXPECT_EQ(ending.exit_code, 42) << kind << " of " << size << ": " << ending.text();
    }
}

TEST(MisuseHandler, MayWaitForAFork) {
  const test::Ending ending = test::run({MISUSE_DIR "/forking_handler"}, {}, kReportSeconds);
  EXPECT_EQ(ending.exit_code, 42) << ending.text();
}

TEST(MisuseNone, NothingIsSaidOfACorrectProgram) {
  const test::Ending ending = run_program("nothing_wrong");
  EXPECT_TRUE(ending.clean()) << ending.text();
  EXPECT_EQ(ending.err, "");
}

}  // namespace
