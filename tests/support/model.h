// support/model.h -- random programs of small steps that shrink and print themselves.
//
// A model is a type with
//     using Step = std::variant<...>;                     what can be done
//     static Step decode(Word word);                      four bytes are one step
//     static void print(const Step&, std::ostream&);      the step as a line
//     static void run(const std::vector<Step>&);          does it; aborts where something is wrong
// A program is a string of bytes, so the same decoder serves the seeded test and the fuzzer. Each
// program runs in a child, because what a model finds ends the process.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "support/child.h"
#include "support/rng.h"

namespace test {

/// Four bytes of a program.
struct Word {
  uint8_t op, a;
  uint16_t b;
};

/// Calls the alternative's function: std::visit over lambdas.
template <class... Acts>
struct Match : Acts... {
  using Acts::operator()...;
};
template <class... Acts>
Match(Acts...) -> Match<Acts...>;

/// What a model says where the heap and the reference differ.
#define MODEL_REQUIRE(condition)                                                         \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: the model requires %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                           \
    }                                                                                    \
  } while (false)

template <class Model>
std::vector<typename Model::Step> decode(const uint8_t* bytes, size_t size) {
  std::vector<typename Model::Step> steps;
  for (size_t i = 0; i + 4 <= size; i += 4)
    steps.push_back(Model::decode(
        {bytes[i], bytes[i + 1], static_cast<uint16_t>(bytes[i + 2] | bytes[i + 3] << 8)}));
  return steps;
}

template <class Model>
Ending run_in_child(const std::vector<uint8_t>& bytes) {
  return in_child([&] {
    Model::run(decode<Model>(bytes.data(), bytes.size()));
    return 0;
  });
}

/// The same failure with fewer steps: takes away ever smaller parts for as long as it still fails.
template <class Model>
std::vector<uint8_t> shrunk(std::vector<uint8_t> bytes) {
  for (size_t part = bytes.size() / 8 * 4; part >= 4; part = part / 8 * 4) {
    for (size_t at = 0; at < bytes.size();) {
      std::vector<uint8_t> fewer(bytes);
      fewer.erase(fewer.begin() + static_cast<long>(at),
                  fewer.begin() + static_cast<long>(std::min(at + part, bytes.size())));
      if (!run_in_child<Model>(fewer).clean())
        bytes = fewer;
      else
        at += part;
    }
  }
  return bytes;
}

/// Runs `programs` programs of up to `length` steps, the same ones in every run.
template <class Model>
void expect_holds(unsigned programs, unsigned length) {
  for (uint64_t seed = 1; seed <= programs; ++seed) {
    Rng rng(seed);
    std::vector<uint8_t> bytes(4 * (1 + rng.below(length)));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
    if (run_in_child<Model>(bytes).clean()) continue;
    bytes = shrunk<Model>(bytes);
    std::ostringstream text;
    for (const auto& step : decode<Model>(bytes.data(), bytes.size())) {
      text << "  ";
      Model::print(step, text);
      text << "\n";
    }
    FAIL() << "program " << seed << ", shrunk:\n"
           << text.str() << run_in_child<Model>(bytes).text();
  }
}

}  // namespace test
