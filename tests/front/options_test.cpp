// front/options_test.cpp -- proves the parser of ASHLAR_CONF: what is good is taken, what is bad is
// told in one exact line and changes nothing else.

#include "front/options.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "os/env.h"
#include "support/auxv.h"

namespace {
using namespace ashlar;

using front::Options;
using front::When;

struct Parsed {
  Options options;
  std::string faults;
};
Parsed parse(const char* text) {
  base::Line<4096> faults;
  Options options;
  front::parse_options(text, When::kStart, options, faults);
  return {options, faults.data()};
}

// "foo, bar, baz" out of the line that names them.
std::string known_keys() {
  std::string line = parse("x:1").faults;
  size_t at = line.find("known keys: ");
  return line.substr(at + 12, line.size() - at - 13);
}

TEST(Options, NothingGivenNothingChanged) {
  Options defaults;
  for (const char* text : {"", ",", ",,,"}) {
    Parsed parsed = parse(text);
    EXPECT_EQ(parsed.faults, "") << text;
    EXPECT_EQ(parsed.options.retain_percent, defaults.retain_percent);
    EXPECT_EQ(parsed.options.rseq, defaults.rseq);
  }
}

TEST(Options, GoodValuesAreTakenToTheirLimits) {
  EXPECT_EQ(parse("retain_percent:0").options.retain_percent, 0u);
  EXPECT_EQ(parse("retain_percent:1000").options.retain_percent, 1000u);
  EXPECT_EQ(parse("rseq:0").options.rseq, 0u);
  Parsed both = parse("decay_ms:7,retain_percent:33");
  EXPECT_EQ(both.options.decay_ms, 7u);
  EXPECT_EQ(both.options.retain_percent, 33u);
  EXPECT_EQ(both.faults, "");
}

TEST(Options, TheLastOfTwoCounts) {
  EXPECT_EQ(parse("retain_percent:1,retain_percent:2").options.retain_percent, 2u);
}

TEST(Options, AnUnknownKeyIsNamedWithTheKnownOnes) {
  EXPECT_EQ(parse("foo:1").faults,
            "ashlar: ASHLAR_CONF: unknown key \"foo\"; known keys: " + known_keys() + "\n");
  EXPECT_EQ(parse("foo").faults, parse("foo:1").faults);
  EXPECT_EQ(parse("Rseq:0").options.rseq, 1u);
  EXPECT_NE(known_keys().find("retain_percent"), std::string::npos);
  EXPECT_NE(known_keys().find("rseq"), std::string::npos);
}

TEST(Options, ABadValueIsNamedWithWhatIsAllowed) {
  auto line = [](const char* value) {
    return "ashlar: ASHLAR_CONF: key \"retain_percent\" has value \"" + std::string(value) +
           "\"; allowed: 0 to 1000\n";
  };
  for (const char* bad : {"x", "", "1001", "-1", "+1", "1.5", "0x10", " 1", "1 ", "1:2",
                          "18446744073709551616", "99999999999999999999999"}) {
    Parsed parsed = parse(("retain_percent:" + std::string(bad)).c_str());
    EXPECT_EQ(parsed.faults, line(bad));
    EXPECT_EQ(parsed.options.retain_percent, Options().retain_percent);
  }
  EXPECT_EQ(parse("retain_percent").faults, line(""));
}

TEST(Options, SomeMayBeUnlimited) {
  EXPECT_EQ(parse("slob_max:unlimited").options.slob_max, Options::kUnlimited);
  EXPECT_EQ(parse("slob_max:unlimited").faults, "");
  EXPECT_EQ(parse("slob_max:0").options.slob_max, 0u);
  EXPECT_EQ(
      parse("slob_max:unlimite").faults,
      "ashlar: ASHLAR_CONF: key \"slob_max\" has value \"unlimite\"; allowed: 0 to 1048576, or "
      "unlimited\n");
  EXPECT_NE(parse("retain_kib:unlimited").faults, "");
}

TEST(Options, AFaultSpoilsItsOwnEntryOnly) {
  Parsed parsed = parse("foo:1,retain_percent:7,decay_ms:x,rseq:0");
  EXPECT_EQ(parsed.options.retain_percent, 7u);
  EXPECT_EQ(parsed.options.rseq, 0u);
  EXPECT_EQ(parsed.options.decay_ms, Options().decay_ms);
  EXPECT_EQ(std::count(parsed.faults.begin(), parsed.faults.end(), '\n'), 2);
}

TEST(Options, AnEndlessLineIsCutNotOverrun) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "nonsense" + std::to_string(i) + ":1,";
  base::Line<256> faults;
  Options options;
  front::parse_options(text.c_str(), When::kStart, options, faults);
  EXPECT_TRUE(faults.is_cut());
  EXPECT_LT(faults.size(), 256u);
}

TEST(Options, ComeFromTheEnvironment) {
  os::start_env();
  setenv("ASHLAR_CONF", "retain_percent:77", 1);
  EXPECT_EQ(front::options_from_environment().retain_percent, 77u);
  unsetenv("ASHLAR_CONF");
  EXPECT_EQ(front::options_from_environment().retain_percent, Options().retain_percent);
}

TEST(Options, FaultsInTheEnvironmentGoToStandardError) {
  os::start_env();
  setenv("ASHLAR_CONF", "retain_percent:x", 1);
  testing::internal::CaptureStderr();
  front::options_from_environment();
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "ashlar: ASHLAR_CONF: key \"retain_percent\" has value \"x\"; allowed: 0 to 1000\n");
  unsetenv("ASHLAR_CONF");
}

// However many there are, and however long one is.
TEST(Options, EachFaultInTheEnvironmentIsTold) {
  std::string text(5002, 'x');
  text.replace(5000, 2, ":1");
  for (char key = 'a'; key <= 'z'; ++key) text += std::string(",") + key + ":1";
  os::start_env();
  setenv("ASHLAR_CONF", text.c_str(), 1);
  testing::internal::CaptureStderr();
  front::options_from_environment();
  std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 27);
  EXPECT_EQ(told.size(), 27 * parse("a:1").faults.size() + 4999);
  EXPECT_EQ(told.substr(told.size() - parse("z:1").faults.size()), parse("z:1").faults);
  unsetenv("ASHLAR_CONF");
}

TEST(Options, AStrangersEnvironmentIsNotRead) {
  setenv("ASHLAR_CONF", "retain_percent:77,foo:1", 1);
  {
    test::AuxvAnswer secure(AT_SECURE, 1);
    os::start_env();
    testing::internal::CaptureStderr();
    EXPECT_EQ(front::options_from_environment().retain_percent, Options().retain_percent);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  }
  os::start_env();
  unsetenv("ASHLAR_CONF");
}

TEST(Options, SomeAreWords) {
  EXPECT_EQ(parse("").options.thp, Options::kAuto);
  EXPECT_EQ(parse("thp:never").options.thp, Options::kNever);
  EXPECT_EQ(parse("thp:always").options.thp, Options::kAlways);
  EXPECT_EQ(parse("thp:always,thp:auto").options.thp, Options::kAuto);
  for (const char* bad : {"0", "1", "", "Auto", "autos"})
    EXPECT_EQ(parse(("thp:" + std::string(bad)).c_str()).faults,
              "ashlar: ASHLAR_CONF: key \"thp\" has value \"" + std::string(bad) +
                  "\"; allowed: auto, never, always\n");
}

TEST(Options, NodesAreFoundOrSoMany) {
  EXPECT_EQ(parse("").options.nodes, Options::kFound);
  EXPECT_EQ(parse("nodes:4").options.nodes, 4u);
  EXPECT_EQ(parse("nodes:4,nodes:auto").options.nodes, Options::kFound);
  for (const char* bad : {"0", "33", "two", ""})
    EXPECT_EQ(parse(("nodes:" + std::string(bad)).c_str()).faults,
              "ashlar: ASHLAR_CONF: key \"nodes\" has value \"" + std::string(bad) +
                  "\"; allowed: 1 to 32, or auto\n");
}

TEST(Options, LaterOnlySomeMayBeSetAndTheOthersStay) {
  Options options;
  options.decay_ms = 5;
  base::Line<1024> faults;
  EXPECT_TRUE(
      front::parse_options("retain_percent:3,limit_kib:100", When::kLater, options, faults));
  EXPECT_EQ(faults.size(), 0u);
  EXPECT_EQ(options.retain_percent, 3u);
  EXPECT_EQ(options.limit_kib, 100u);
  EXPECT_EQ(options.decay_ms, 5u);
  EXPECT_FALSE(front::parse_options("limit_kib:unlimited,rseq:0", When::kLater, options, faults));
  EXPECT_EQ(options.limit_kib, Options::kUnlimited);
  EXPECT_EQ(options.rseq, 1u);
  EXPECT_EQ(faults.size(), 0u) << faults.data();  // the caller is told, and nobody else
  EXPECT_FALSE(front::parse_options("no_key:1,decay_ms:7", When::kLater, options, faults));
  EXPECT_EQ(options.decay_ms, 7u);
}

}  // namespace
