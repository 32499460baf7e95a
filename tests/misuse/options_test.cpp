// misuse/options_test.cpp -- bad options are told in one line, and change nothing else.
//
// A user would notice: a typing error in ASHLAR_CONF that silently does nothing, that stops the
// service from starting, or, in a setuid program, that lets a stranger tune a root process.

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <regex>

#include "../support/child.h"

namespace {

constexpr char kProgram[] = MISUSE_DIR "/option_reader";

/// Runs the program and verifies that its own output is what it is without options.
std::string stderr_under(const std::string& conf) {
  const test::Ending plain = test::run({kProgram}, {"ASHLAR_CONF"});
  const test::Ending ending = test::run({kProgram}, {"ASHLAR_CONF=" + conf});
  EXPECT_EQ(plain.exit_code, 3) << plain.text();
  EXPECT_EQ(ending.exit_code, 3) << "ASHLAR_CONF=" << conf << ": " << ending.text();
  EXPECT_EQ(ending.out, plain.out) << "ASHLAR_CONF=" << conf;
  EXPECT_EQ(plain.err, "");
  return ending.err;
}

void expect_line(const std::string& conf, const std::string& pattern) {
  const std::string said = stderr_under(conf);
  EXPECT_TRUE(std::regex_match(said, std::regex(pattern + "\n")))
      << "ASHLAR_CONF=" << conf << "\nsaid:     " << said << "expected: " << pattern;
}

const std::string kUnknownFoo =
    R"(ashlar: ASHLAR_CONF: unknown key "foo"; known keys: [a-z0-9_, ]+)";

std::string bad_retain(const std::string& value) {
  return R"(ashlar: ASHLAR_CONF: key "retain_percent" has value ")" + value +
         R"("; allowed: 0 to 1000)";
}

TEST(Options, GoodOnesAreSilent) {
  EXPECT_EQ(stderr_under(""), "");
  EXPECT_EQ(stderr_under("retain_percent:0"), "");
  EXPECT_EQ(stderr_under("retain_percent:100"), "");
  EXPECT_EQ(stderr_under("retain_percent:1000"), "");
  EXPECT_EQ(stderr_under("slob_max:0"), "");
  EXPECT_EQ(stderr_under("slob_max:unlimited"), "");
}

TEST(Options, UnknownKeysAreNamed) {
  expect_line("foo:1", kUnknownFoo);
  expect_line("foo:1,retain_percent:10", kUnknownFoo);
  expect_line("retain_percent:10,foo:1", kUnknownFoo);
  expect_line("foo:", kUnknownFoo);
}

TEST(Options, TheKnownKeysAreListed) {
  EXPECT_NE(stderr_under("foo:1").find("retain_percent"), std::string::npos);
}

TEST(Options, BadValuesAreNamedWithWhatIsAllowed) {
  expect_line("retain_percent:x", bad_retain("x"));
  expect_line("retain_percent:-1", bad_retain("-1"));
  expect_line("retain_percent:1001", bad_retain("1001"));
  expect_line("retain_percent:12x", bad_retain("12x"));
  expect_line("retain_percent:99999999999999999999999", bad_retain("99999999999999999999999"));
  expect_line("retain_percent:", bad_retain(""));
  expect_line("slob_max:endless",
              R"(ashlar: ASHLAR_CONF: key "slob_max" has value "endless"; allowed: 0 to 1048576, )"
              "or unlimited");
}

TEST(Options, EachFaultHasALineOfItsOwn) {
  expect_line("foo:1,retain_percent:x", kUnknownFoo + "\n" + bad_retain("x"));
}

TEST(Options, RubbishIsSurvived) {
  for (const std::string& rubbish :
       {std::string(":"), std::string(","), std::string(",,,:::,"), std::string("retain_percent"),
        std::string("foo"), std::string("retain_percent:1:2"), std::string(100000, 'a'),
        std::string(100000, ','), std::string("\xff\x01\x7f:\x02")}) {
    const std::string said = stderr_under(rubbish);
    EXPECT_LT(said.size(), 1000000u);
    EXPECT_EQ(said.find("abort"), std::string::npos);
  }
}

/// LD_PRELOAD is ignored by setuid programs, so this one has the library linked in.
TEST(Options, AreIgnoredInSetuidPrograms) {
  if (geteuid() != 0) GTEST_SKIP() << "not run: only root can make a setuid copy";
  if (access(MISUSE_DIR "/option_reader_static", X_OK) != 0) {
    GTEST_SKIP() << "not run: no static library in this build";
  }
  char folder[] = "/tmp/ashlar-setuid-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  ASSERT_EQ(chmod(folder, 0755), 0);
  const std::string copy = std::string(folder) + "/reader";
  ASSERT_TRUE(test::run({"/bin/cp", MISUSE_DIR "/option_reader_static", copy}).clean());
  const auto as_nobody = [] {
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
  };
  const std::vector<std::string> conf = {"LD_PRELOAD", "ASHLAR_CONF=foo:1"};
  ASSERT_EQ(chmod(copy.c_str(), 0755), 0);
  const test::Ending ordinary = test::run({copy}, conf, 60, as_nobody);
  EXPECT_EQ(ordinary.exit_code, 3) << ordinary.text();
  EXPECT_NE(ordinary.err, "") << "the option was not read even without setuid";
  ASSERT_EQ(chmod(copy.c_str(), 04755), 0);
  const test::Ending trusted = test::run({copy}, conf, 60, as_nobody);
  EXPECT_EQ(trusted.exit_code, 3) << trusted.text();
  EXPECT_EQ(trusted.err, "");
  unlink(copy.c_str());
  rmdir(folder);
}

}  // namespace
