// examples/containers.cpp -- an index of words, over the standard's memory and three kinds of
// Ashlar's.
//
//   g++ -O2 -std=c++17 containers.cpp -lashlar && ./a.out
//
// The same templates serve all: what differs is a type, or the resource given to a constructor.
//   std        std::allocator: operator new, which is Ashlar's as well once that is linked
//   allocator  ashlar::allocator: nodes from object caches, arrays with their size. Nothing else in
//              the program changes; the type of the containers does
//   caches     ashlar::cache_resource: the type is std::pmr's; the index knows what it holds
//   pages      ashlar::monotonic_resource: for an index that is built, asked and dropped as a whole
// Each prints what it has found, in how many milliseconds, and, where it knows, the memory. It
// fails if they do not find the same.

#include <ashlar/ashlar.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr uint32_t kLines = 20000;
constexpr uint32_t kWordsInALine = 12;

// A text that is the same in every run: few words are frequent, many are rare.
uint64_t g_state = 0;
uint64_t random_number() {
  g_state = g_state * 6364136223846793005u + 1442695040888963407u;
  return g_state >> 33;
}
std::string random_word() {
  uint64_t rank = random_number() % (1 + random_number() % 20000);
  return "word-of-some-length-" + std::to_string(rank);
}

// The containers of an index whose allocators are Allocator<...>.
template <template <class> class Allocator>
struct Containers {
  using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;
  using Lines = std::list<uint32_t, Allocator<uint32_t>>;
  struct Hash {
    size_t operator()(const String& text) const {
      return std::hash<std::string_view>()(std::string_view(text.data(), text.size()));
    }
  };
  // Where each word stands; and the words by how often they do.
  using Places = std::unordered_map<String, Lines, Hash, std::equal_to<>,
                                    Allocator<std::pair<const String, Lines>>>;
  using Ranks =
      std::multimap<size_t, String, std::greater<>, Allocator<std::pair<const size_t, String>>>;
};

// Reads the text, drops the words that stand in one line only, and ranks the rest. The text of the
// answer: the number of words and the three most frequent.
template <class Kind, class... Memory>
std::string index_text(Memory... memory) {
  g_state = 1;
  typename Kind::Places places(memory...);
  for (uint32_t line = 0; line < kLines; ++line) {
    for (uint32_t i = 0; i < kWordsInALine; ++i) {
      std::string word = random_word();
      auto& lines = places[typename Kind::String(word.data(), word.size(), memory...)];
      if (lines.empty() || lines.back() != line) lines.push_back(line);
    }
  }
  for (auto place = places.begin(); place != places.end();) {
    place = place->second.size() < 2 ? places.erase(place) : std::next(place);
  }
  typename Kind::Ranks ranks(memory...);
  for (const auto& [word, lines] : places) ranks.emplace(lines.size(), word);
  std::string answer = std::to_string(places.size()) + " words;";
  auto rank = ranks.begin();
  for (int i = 0; i < 3; ++i, ++rank) {
    answer += " " + std::string(rank->second.data(), rank->second.size());
    answer += " x" + std::to_string(rank->first);
  }
  return answer;
}

template <class Index>
std::string timed(const char* name, Index index) {
  auto start = std::chrono::steady_clock::now();
  std::string answer = index();
  std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("%-10s %6.1f ms  %s\n", name, took.count(), answer.c_str());
  return answer;
}

}  // namespace

int main() {
  using Standard = Containers<std::allocator>;
  using Ashlars = Containers<ashlar::allocator>;
  using Pmr = Containers<std::pmr::polymorphic_allocator>;

  std::string expected = timed("std", [] { return index_text<Standard>(); });

  bool is_same = timed("allocator", [] { return index_text<Ashlars>(); }) == expected;

  ashlar::cache_resource caches("index");
  is_same &= timed("caches", [&] { return index_text<Pmr>(&caches); }) == expected;
  ashlar::resource_info info = caches.info();
  std::printf("%-10s %zu KiB held, %zu live\n", "", info.held_bytes / 1024, info.live_bytes);

  ashlar::monotonic_resource pages;
  is_same &= timed("pages", [&] { return index_text<Pmr>(&pages); }) == expected;
  std::printf("%-10s %zu KiB held\n", "", pages.held_bytes() / 1024);

  return is_same && info.live_bytes == 0 ? 0 : 1;
}
