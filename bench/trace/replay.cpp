// bench/trace/replay.cpp -- makes the calls of a trace under the allocator it was started with.
//
// Use
//   replay [--passes N] [--points FILE] TRACE
//   replay --summary TRACE         says what is in the trace, as JSON, and replays nothing
//
// Idea
//   The trace is decoded into mappings before anything is measured; see plan.h and runner.h. The
//   first pass meets a fresh heap, as the program did, and memory is sampled in it. Further passes
//   find what the allocator has kept, and are long enough to be timed well.
//
//   Resident memory is that without mapped files, minus what was resident before the first
//   operation: the replay's own memory is all there by then.
//
// Output
//   ns.first=, ns.again=           CPU time per operation, in the first pass and in the others
//   kib=                           the most resident memory that was sampled
//   live=                          the most bytes that were live, of which the trace tells
//   answer=                        the same under every allocator
//   and with --points, to that file, else with the others
//   point=<share>:<KiB>:<KiB>      resident and live after that share of the operations, of 1000
//   left=<KiB>                     resident after all has been freed and all threads have ended

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../workloads/workload.h"
#include "plan.h"
#include "reader.h"
#include "runner.h"
#include "summary.h"

namespace {

using trace::MappedArray;

constexpr uint64_t kOperationsAgain = 1'000'000;  // So many take long enough to be timed.
constexpr uint64_t kMostPasses = 100;

struct Options {
  const char* trace = nullptr;
  const char* points = nullptr;
  uint64_t passes = 0;  // 0: as many as are needed.
  bool summary_only = false;
};

[[noreturn]] void usage() {
  std::fputs("usage: replay [--passes N] [--points FILE] TRACE\n       replay --summary TRACE\n",
             stderr);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  constexpr option kLong[] = {{"passes", required_argument, nullptr, 'n'},
                              {"points", required_argument, nullptr, 'p'},
                              {"summary", no_argument, nullptr, 's'},
                              {}};
  Options options;
  for (int letter; (letter = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (letter) {
      case 'n': options.passes = std::strtoull(optarg, nullptr, 10); break;
      case 'p': options.points = optarg; break;
      case 's': options.summary_only = true; break;
      default: usage();
    }
  }
  if (optind + 1 != argc) usage();
  options.trace = argv[optind];
  return options;
}

/// The process's own memory. /proc/self/statm would be cheaper, but some kernels count there in
/// steps of 256 KiB for each thread.
size_t resident_kib() {
  std::array<char, 4096> text;
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  const ssize_t length = file >= 0 ? read(file, text.data(), text.size() - 1) : -1;
  if (length <= 0) workload::fail("no /proc/self/smaps_rollup");
  close(file);
  text[static_cast<size_t>(length)] = '\0';
  size_t kib = 0;
  for (const char* name : {"\nPss_Anon:", "\nPss_Shmem:"}) {
    const char* line = std::strstr(text.data(), name);
    if (line != nullptr) kib += std::strtoull(line + std::strlen(name), nullptr, 10);
  }
  return kib;
}

struct Point {
  uint64_t operations, resident_kib, live_kib;
};

class Sampler {
 public:
  explicit Sampler(const trace::Plan& plan) {
    points_.resize(plan.epochs.size() + 1);
    std::fill(points_.begin(), points_.end(), Point{1, 1, 1});  // Now the array is resident.
    points_.forget();
    resident_kib();  // And the code.
    before_ = resident_kib();
    points_.push({0, 0, 0});
  }

  size_t resident() const {
    const size_t now = resident_kib();
    return now > before_ ? now - before_ : 0;
  }
  void sample(const trace::Epoch& epoch) {
    if (!epoch.is_sampled) return;
    points_.push({epoch.operations, resident(), (epoch.live_bytes + 1023) / 1024});
  }
  const MappedArray<Point>& points() const { return points_; }
  uint64_t peak_kib() const {
    uint64_t peak = 0;
    for (const Point& point : points_) peak = std::max(peak, point.resident_kib);
    return peak;
  }

 private:
  size_t before_ = 0;
  MappedArray<Point> points_;
};

void report_points(const char* path, const Sampler& sampler, uint64_t operations, size_t left) {
  FILE* out = path != nullptr ? std::fopen(path, "w") : stdout;
  if (out == nullptr) trace::refuse(path, "cannot be written");
  for (const Point& point : sampler.points()) {
    std::fprintf(out, "point=%" PRIu64 ":%" PRIu64 ":%" PRIu64 "\n",
                 point.operations * 1000 / operations, point.resident_kib, point.live_kib);
  }
  std::fprintf(out, "left=%zu\n", left);
  if (path != nullptr) std::fclose(out);
}

double per_operation(double ns, uint64_t operations) {
  return std::max(ns, 0.0) / static_cast<double>(operations);
}

void replay(const Options& options, const trace::Plan& plan, const trace::Summary& summary) {
  const uint64_t operations = summary.operations;
  trace::Runner runner(plan);
  Sampler sampler(plan);
  const trace::Effort first = runner.run([&](const trace::Epoch& epoch) { sampler.sample(epoch); });
  const size_t left = sampler.resident();

  const uint64_t needed = kOperationsAgain / operations + 2;
  const uint64_t passes = options.passes != 0 ? options.passes : std::min(needed, kMostPasses);
  trace::Effort again;
  for (uint64_t pass = 1; pass < passes; ++pass) {
    const trace::Effort effort = runner.run_through();
    again.ns += effort.ns;
    again.answer += effort.answer;
  }
  workload::report_ns("first", per_operation(first.ns, operations));
  if (passes > 1) {
    workload::report_ns("again", per_operation(again.ns, operations * (passes - 1)));
  }
  workload::report_kib(sampler.peak_kib());
  std::printf("live=%" PRIu64 "\n", summary.peak_bytes);
  workload::report_answer(first.answer + again.answer);
  report_points(options.points, sampler, operations, left);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  trace::Summary summary;
  trace::Plan plan;
  {
    MappedArray<uint8_t> bytes;
    trace::load(options.trace, bytes);
    trace::summarize(options.trace, bytes, summary);
    if (options.summary_only) {
      trace::print_summary(options.trace, bytes, summary);
      return 0;
    }
    if (summary.operations == 0) trace::refuse(options.trace, "a trace without operations");
    trace::make_plan(options.trace, bytes, summary, plan);
  }
  replay(options, plan, summary);
}
