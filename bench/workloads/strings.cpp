// bench/workloads/strings.cpp -- text is put together, cut up, indexed and sorted.
//
// Models
//   Parsers, templates, log analysis, web back ends: programs that mostly handle std::string. Half
//   of the words are too long for the room within the object, lines grow while words are joined to
//   them, and the strings of an index grow with each place where a word is found. Documents have
//   random lifetimes.
//
// Operation
//   One word on its way: copied, joined to a line, cut out of it, indexed, sorted.

#include <string>
#include <string_view>
#include <unordered_map>

#include "workload.h"

namespace {

using String = std::basic_string<char, std::char_traits<char>, workload::Counted<char>>;

struct Hash {
  size_t operator()(const String& text) const { return std::hash<std::string_view>()(text); }
};
using Index = std::unordered_map<String, String, Hash, std::equal_to<>,
                                 workload::Counted<std::pair<const String, String>>>;

constexpr size_t kDocuments = 200;
constexpr size_t kLines = 100;
constexpr size_t kWordsInLine = 20;
constexpr size_t kVocabulary = 3'000;

struct Document {
  workload::Vector<String> lines;
  workload::Vector<String> words;
  Index places;
};

/// Of 2 to 30 letters.
String new_word(workload::Rng& rng) {
  String letters;
  for (size_t left = rng.between(2, 30); left > 0; --left) {
    letters += static_cast<char>('a' + rng.below(26));
  }
  return letters;
}

String line_of_words(workload::Rng& rng, const workload::Vector<String>& vocabulary) {
  String line;
  for (size_t i = 0; i < kWordsInLine; ++i) {
    line += vocabulary[rng.below(vocabulary.size())] + ", ";
  }
  return line;
}

void cut_up(const String& line, Document& document) {
  const String place = " " + String(std::to_string(document.lines.size()));
  for (size_t from = 0, to; (to = line.find(", ", from)) != String::npos; from = to + 2) {
    const String found = line.substr(from, to - from);
    document.places[found] += place;
    document.words.push_back(found);
  }
}

Document new_document(workload::Rng& rng, const workload::Vector<String>& vocabulary) {
  Document document;
  for (size_t i = 0; i < kLines; ++i) {
    document.lines.push_back(line_of_words(rng, vocabulary));
    cut_up(document.lines.back(), document);
  }
  std::sort(document.words.begin(), document.words.end());
  return document;
}

/// Depends on every letter of the words and of the places, and on their order.
uint64_t sum_of(const Document& document) {
  uint64_t sum = 0;
  auto add = [&](const String& text) {
    for (const char letter : text) sum = sum * 31 + static_cast<uint64_t>(letter);
  };
  for (const String& found : document.words) {
    add(found);
    add(document.places.at(found));
  }
  return sum;
}

}  // namespace

int main() {
  workload::Rng rng(1);
  workload::Vector<String> vocabulary(kVocabulary);
  for (String& word : vocabulary) word = new_word(rng);
  std::array<Document, 10> documents;
  uint64_t sum = 0;
  const double start = workload::cpu_ns();
  for (size_t i = 0; i < kDocuments; ++i) {
    Document& document = documents[rng.below(documents.size())];
    sum += sum_of(document);
    document = new_document(rng, vocabulary);
  }
  for (Document& document : documents) {
    sum += sum_of(document);
    document = Document();
  }
  const double ns = workload::cpu_ns() - start;

  workload::report_ns(ns / (kDocuments * kLines * kWordsInLine));
  workload::report_live(workload::live.most());
  workload::report_answer(sum);
}
