// construction.cpp -- what an object with a costly constructor costs: made anew each time, or kept
// constructed.
//
//   new_delete   operator new: whatever malloc the program was started with
//   make         ashlar::object_cache: memory from a cache, construction each time
//   acquire      ashlar::reuse_cache: constructed once, cleaned up at each release
// bench/micro/underneath runs it on all allocators; what the constructors allocate comes from those
// in every row. `batch` is how many are in use at a time.

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ashlar/ashlar.hpp"

namespace {

// A connection: a lock and a buffer.
struct Session {
  Session() { buffer.reserve(4096); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  void use() {
    std::lock_guard held(mutex);
    for (int i = 0; i < 8; ++i) buffer.push_back(static_cast<char>(i));
  }
  void clear() { buffer.clear(); }
  std::mutex mutex;
  std::vector<char> buffer;
};

// A parser: words that it always knows, room for what it reads.
struct Parser {
  Parser() {
    static constexpr std::array kWords = {
        "break", "case", "continue", "default", "else",   "enum",   "export", "extern",
        "for",   "goto", "import",   "return",  "sizeof", "static", "struct", "switch"};
    keywords.reserve(64);
    for (const char* word : kWords) keywords.emplace(std::string("keyword:long:") + word, 1);
    text.reserve(1024);
    tokens.reserve(64);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  void use() {
    text.append(200, 'x');
    for (int i = 0; i < 8; ++i) tokens.push_back(i);
  }
  void clear() {
    text.clear();
    tokens.clear();
  }
  std::unordered_map<std::string, int> keywords;
  std::string text;
  std::vector<int> tokens;
};

template <class T>
struct NewDelete {
  static T* get() { return new T; }
  static void put(T* object) { delete object; }
};
template <class T>
struct Make {
  static inline ashlar::object_cache<T> cache{"micro"};
  static T* get() { return cache.make(); }
  static void put(T* object) { cache.destroy(object); }
};
struct Clear {
  template <class T>
  void operator()(T& object) const {
    object.clear();
  }
};
template <class T>
struct Acquire {
  static inline ashlar::reuse_cache<T, ashlar::construct_default<T>, Clear> cache{"micro"};
  static T* get() { return cache.acquire(); }
  static void put(T* object) { cache.release(object); }
};

template <class T, class Source>
void use(benchmark::State& state) {
  std::vector<T*> objects(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    for (T*& object : objects) {
      object = Source::get();
      if (object == nullptr) return state.SkipWithError("no memory");
      object->use();
    }
    for (T* object : objects) Source::put(object);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

template <class T, class Source>
void add(const char* name) {
  benchmark::RegisterBenchmark(name, use<T, Source>)
      ->ArgName("batch")
      ->Arg(1)
      ->Arg(100)
      ->Threads(1)
      ->Threads(2)
      ->UseRealTime();
}

const bool g_is_added = [] {
  add<Session, NewDelete<Session>>("session/new_delete");
  add<Session, Make<Session>>("session/make");
  add<Session, Acquire<Session>>("session/acquire");
  add<Parser, NewDelete<Parser>>("parser/new_delete");
  add<Parser, Make<Parser>>("parser/make");
  add<Parser, Acquire<Parser>>("parser/acquire");
  return true;
}();

}  // namespace
