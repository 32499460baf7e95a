// memory/shifting_sizes_test.cpp -- a program whose objects shift from size to size, of which a few
// of each size live on, does not need the memory of all sizes together.
//
// A user would notice: a server that runs for days and holds five times what it has; and, if what
// others have left is given out again, blocks that change each other, a double free that goes
// unseen, a child of fork that cannot free what it has inherited.

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.h"
#include "../support/subject.h"
#include "../threads/stamped.h"

namespace {

using test::Stamped;

// So much is live: of little, little is saved.
constexpr size_t kMuch = size_t{12} << 20, kSome = size_t{5} << 20;
// The smallest size of each phase; the largest is twice that.
constexpr std::array<size_t, 8> kSizes = {48, 640, 96, 2400, 200, 32, 1200, 400};
constexpr size_t kOneIn = 64;

// What the library says of itself; nothing where there is none.
std::string describe() {
  using Describe = size_t(char*, size_t);
  auto* ask = reinterpret_cast<Describe*>(dlsym(RTLD_DEFAULT, "ashlar_describe"));
  static char text[size_t{64} << 10];
  return ask == nullptr ? std::string() : std::string(text, ask(text, sizeof text));
}

class Program {
 public:
  explicit Program(uint64_t seed, size_t phase_bytes = kSome)
      : rng_(seed), phase_bytes_(phase_bytes) {}
  ~Program() {
    for (std::vector<Stamped>& of : survivors_) end(of);
  }

  // Builds, replaces half, looks at itself, and ends all but a few.
  template <class Look>
  void live_through(size_t phase, Look look) {
    end(survivors_[phase]);
    std::vector<Stamped> blocks(phase_bytes_ / (kSizes[phase] * 3 / 2));
    for (Stamped& block : blocks) replace(block, kSizes[phase]);
    for (size_t i = blocks.size() / 2; i > 0; --i)
      replace(blocks[rng_.below(blocks.size())], kSizes[phase]);
    look(*this);
    for (Stamped& block : blocks) {
      if (rng_.below(kOneIn) == 0) {
        survivors_[phase].push_back(block);
      } else {
        drop(block);
      }
    }
  }
  void live_through_all() {
    for (size_t phase = 0; phase < kSizes.size(); ++phase) live_through(phase, [](Program&) {});
  }

  size_t live() const { return live_; }
  std::vector<Stamped>& survivors(size_t phase) { return survivors_[phase]; }
  bool are_all_intact() const {
    return std::all_of(survivors_.begin(), survivors_.end(), [](const std::vector<Stamped>& of) {
      return std::all_of(of.begin(), of.end(), test::is_intact);
    });
  }

 private:
  void replace(Stamped& block, size_t smallest) {
    drop(block);
    block = test::make_stamped(smallest + rng_.below(smallest), rng_.next());
    live_ += block.size;
  }
  void drop(const Stamped& block) {
    if (block.block != nullptr) live_ -= block.size;
    test::free_stamped(block);
  }
  void end(std::vector<Stamped>& blocks) {
    for (const Stamped& block : blocks) drop(block);
    blocks.clear();
  }

  test::Rng rng_;
  size_t phase_bytes_;
  size_t live_ = 0;
  std::array<std::vector<Stamped>, kSizes.size()> survivors_;
};

bool has_slabs() {
  return test::small_blocks() != test::Small::kSlob;
}

TEST(ShiftingSizes, NeedNotTheMemoryOfAllSizesTogether) {
  size_t before = test::resident_bytes();
  Program program(1, kMuch);
  program.live_through_all();
  size_t held = 0, live = 0;
  for (size_t phase = 0; phase < kSizes.size(); ++phase)
    program.live_through(phase, [&](const Program& now) {
      held += test::resident_bytes() - before;
      live += now.live();
    });
  RecordProperty("held_to_live",
                 std::to_string(static_cast<double>(held) / static_cast<double>(live)));
  // Slabs that only their own size can use hold five times of what is live.
  EXPECT_LT(held, live * 3);
  if (has_slabs()) {
    EXPECT_NE(describe().find("left of slabs: "), std::string::npos);
  }
}

TEST(ShiftingSizes, SurvivorsCanBeMeasuredResizedAndFreed) {
  Program program(2, kMuch);
  program.live_through_all();
  for (size_t phase = 0; phase < kSizes.size(); ++phase) {
    size_t number = 0;
    for (Stamped& block : program.survivors(phase)) {
      EXPECT_GE(malloc_usable_size(block.block), block.size);
      if (++number % 4 != 0) continue;
      auto* moved = static_cast<unsigned char*>(realloc(block.block, block.size * 3));
      ASSERT_NE(moved, nullptr);
      block.block = moved;
      ASSERT_TRUE(test::is_intact(block)) << "of " << block.size << " bytes";
      block.block = static_cast<unsigned char*>(realloc(moved, block.size));
      ASSERT_TRUE(test::is_intact(block)) << "of " << block.size << " bytes";
    }
  }
  EXPECT_TRUE(program.are_all_intact());
}

TEST(ShiftingSizes, OfSeveralThreadsThatFreeEachOthers) {
  constexpr unsigned kThreads = 4;
  std::mutex mutex;
  std::vector<Stamped> left;  // what a thread leaves, the next one frees
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < kThreads; ++n)
    threads.emplace_back([&, n] {
      Program program(n + 10);
      program.live_through_all();
      for (size_t phase = 0; phase < kSizes.size(); ++phase) {
        program.live_through(phase, [](Program&) {});
        std::lock_guard guard(mutex);
        for (const Stamped& block : left) test::free_stamped(block);
        left.clear();
        for (int i = 0; i < 200; ++i)
          left.push_back(test::make_stamped(kSizes[phase], n * 1000 + i));
      }
      if (!program.are_all_intact()) abort();
    });
  for (std::thread& thread : threads) thread.join();
  for (const Stamped& block : left) test::free_stamped(block);
}

// The child has one thread, and the parent's heap as it was in that moment.
TEST(ShiftingSizes, ChildrenFreeWhatTheyInherit) {
  Program program(3);
  program.live_through_all();
  std::atomic<bool> stop{false};
  std::thread other([&] {
    Program busy(4);
    for (size_t phase = 0; !stop; phase = (phase + 1) % kSizes.size())
      busy.live_through(phase, [](Program&) {});
  });
  for (int i = 0; i < 5; ++i) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);
      bool is_intact = program.are_all_intact();
      for (size_t phase = 0; phase < kSizes.size(); phase += 2)
        program.live_through(phase, [](Program&) {});
      _exit(is_intact && program.are_all_intact() ? 0 : 1);
    }
    program.live_through(static_cast<size_t>(i) % kSizes.size(), [](Program&) {});
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "child " << i;
  }
  stop = true;
  other.join();
}

TEST(ShiftingSizes, DISABLED_FreeASurvivorTwice) {
  Program program(5, kMuch);
  program.live_through_all();
  program.live_through_all();
  for (size_t phase = 0; phase < kSizes.size(); ++phase)
    for (const Stamped& block : program.survivors(phase)) {
      test::free_stamped(block);
      test::stamped_free(block.block);
    }
}

TEST(ShiftingSizes, ADoubleFreeIsTold) {
  const test::Ending ending = test::run_disabled("ShiftingSizes", "FreeASurvivorTwice");
  EXPECT_FALSE(ending.clean());
  EXPECT_NE(ending.err.find("ashlar: double free of 0x"), std::string::npos) << ending.text();
}

}  // namespace
