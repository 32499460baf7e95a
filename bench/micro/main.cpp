// main.cpp -- runs the benchmarks of a floor, each for a short time unless told otherwise.

#include <benchmark/benchmark.h>

#include <vector>

int main(int argc, char** argv) {
  // In front of the user's options, of which the last one given counts.
  char short_run[] = "--benchmark_min_time=0.05";
  std::vector<char*> words(argv, argv + argc);
  words.insert(words.begin() + 1, short_run);
  int count = static_cast<int>(words.size());
  words.push_back(nullptr);
  benchmark::Initialize(&count, words.data());
  if (benchmark::ReportUnrecognizedArguments(count, words.data())) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
