// bench/steps/steps.cpp -- counts the instructions of one malloc and one free, step by step.
//
// Idea
//   A tracer lets the program stepped run to its first trap and then one instruction at a time to
//   the next two, as often as there are traps. That needs no counters of the processor.
//
//   A restartable sequence cannot be stepped through: the trap after each step aborts it for ever.
//   So where one begins, the tracer sets a breakpoint behind it and lets it run; how many
//   instructions it has is counted by whoever reads the disassembly.
//
// Use
//   steps LIBRARY STEPPED SIZE
//     LIBRARY  what to preload; empty for nothing
//   Output, a line for each malloc and each free: <name> <steps> [<library>:<first>-<last> ...],
//   where each range, of offsets in a library, is a sequence that ran uninterrupted.

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr uint8_t kTrap = 0xcc;
constexpr long kMost = 1'000'000;
constexpr uint64_t kSequenceAt = 8;  // In struct rseq: the address of the descriptor.

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "steps: %s\n", what);
  std::exit(2);
}

struct Sequence {
  uint32_t version, flags;
  uint64_t start, length, abort;
};

class Stepped {
 public:
  explicit Stepped(pid_t process) : process_(process) {}

  // False when the program has ended.
  bool go_on_to_trap() { return resume(PTRACE_CONT) && is_behind_trap(); }

  // Steps to the next trap and prints what that took. The trap itself is not counted.
  void count(const char* name) {
    long steps = 0;
    std::string ran;
    for (uint64_t at = position(); byte_at(at) != kTrap; at = position()) {
      if (!resume(PTRACE_SINGLESTEP) || ++steps > kMost) give_up("no end in sight");
      if (Sequence found; is_at_sequence(found)) ran += " " + run_through(found);
    }
    set_position(position() + 1);
    std::printf("%s %ld%s\n", name, steps, ran.c_str());
  }

 private:
  user_regs_struct registers() {
    user_regs_struct registers;
    ptrace(PTRACE_GETREGS, process_, nullptr, &registers);
    return registers;
  }
  uint64_t position() { return registers().rip; }
  void set_position(uint64_t to) {
    user_regs_struct changed = registers();
    changed.rip = to;
    ptrace(PTRACE_SETREGS, process_, nullptr, &changed);
  }
  uint64_t word_at(uint64_t address) {
    return static_cast<uint64_t>(ptrace(PTRACE_PEEKDATA, process_, address, nullptr));
  }
  uint8_t byte_at(uint64_t address) { return static_cast<uint8_t>(word_at(address)); }
  void set_byte(uint64_t address, uint8_t byte) {
    ptrace(PTRACE_POKEDATA, process_, address, (word_at(address) & ~uint64_t{0xff}) | byte);
  }

  // False when the program has ended.
  template <class Request>
  bool resume(Request request) {
    int status = 0;
    ptrace(request, process_, nullptr, nullptr);
    if (waitpid(process_, &status, 0) != process_) give_up("it is gone");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) give_up("it did not run to its end");
    return true;
  }
  bool is_behind_trap() { return byte_at(position() - 1) == kTrap; }

  // Are we at the first instruction of a sequence that is armed?
  bool is_at_sequence(Sequence& found) {
    if (__rseq_size == 0) return false;
    user_regs_struct now = registers();
    uint64_t descriptor = word_at(now.fs_base + static_cast<uint64_t>(__rseq_offset) + kSequenceAt);
    if (descriptor == 0) return false;
    found = {0, 0, word_at(descriptor + 8), word_at(descriptor + 16), word_at(descriptor + 24)};
    return now.rip == found.start;
  }

  std::string run_through(const Sequence& sequence) {
    uint64_t end = sequence.start + sequence.length;
    uint8_t kept = byte_at(end);
    set_byte(end, kTrap);
    // Aborted by our looking at it, it begins again, and comes to its end.
    if (!resume(PTRACE_CONT) || position() != end + 1)
      give_up("a sequence did not come to its end");
    set_byte(end, kept);
    set_position(end);
    return named(sequence.start, end);
  }

  // Addresses as offsets in the file that they were mapped from.
  std::string named(uint64_t first, uint64_t last) {
    char line[512], path[256];
    std::snprintf(path, sizeof path, "/proc/%d/maps", process_);
    std::FILE* maps = std::fopen(path, "re");
    std::string found;
    while (maps != nullptr && found.empty() && std::fgets(line, sizeof line, maps) != nullptr) {
      uint64_t low, high, offset;
      if (std::sscanf(line, "%lx-%lx %*s %lx %*s %*s %255s", &low, &high, &offset, path) != 4)
        continue;
      if (first < low || first >= high) continue;
      char text[400];
      std::snprintf(text, sizeof text, "%s:%lx-%lx", path, first - low + offset,
                    last - low + offset);
      found = text;
    }
    if (maps != nullptr) std::fclose(maps);
    return found;
  }

  pid_t process_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) give_up("usage: steps LIBRARY STEPPED SIZE");
  pid_t child = fork();
  if (child == 0) {
    if (*argv[1] != '\0') setenv("LD_PRELOAD", argv[1], 1);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    execl(argv[2], argv[2], argv[3], nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);  // It stops as it begins.
  if (!WIFSTOPPED(status)) give_up("cannot trace a program here");
  Stepped stepped(child);
  while (stepped.go_on_to_trap()) {
    stepped.count("malloc");
    stepped.count("free");
  }
}
