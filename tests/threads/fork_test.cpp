// threads/fork_test.cpp -- fork while other threads are in the middle of malloc, getline or fflush.
//
// A user would notice: a server (prefork, a build tool, Python's multiprocessing) that hangs once a
// week in a child that never gets past its first malloc. Every child here allocates, verifies and
// frees; a child that is not done within a minute counts as hung.
//
// ASHLAR_TEST_FORKS sets the number of forks (2,000 by default).

#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "../support/child.h"
#include "../support/subject.h"
#include "stamped.h"

namespace {

int fork_count() {
  return test::how_often("ASHLAR_TEST_FORKS", 2000);
}

/// What a child does: new blocks, and blocks of the parent verified, freed and grown.
int child_work(std::vector<test::Stamped>& inherited, uint64_t seed) {
  for (const test::Stamped& block : inherited) {
    if (!test::is_intact(block)) return 10;
  }
  for (size_t i = 0; i < inherited.size(); i += 2) test::free_stamped(inherited[i]);
  test::churn(seed, 400, 50, 60000);
  for (size_t i = 1; i < inherited.size(); i += 2) {
    if (!test::is_intact(inherited[i])) return 11;
    test::free_stamped(inherited[i]);
  }
  return 0;
}

std::vector<test::Stamped> own_blocks(uint64_t seed) {
  test::Rng rng(seed);
  std::vector<test::Stamped> blocks(200);
  for (test::Stamped& block : blocks) block = test::make_stamped(rng.size(20000), rng.next());
  return blocks;
}

void fork_many(int count) {
  std::vector<test::Stamped> inherited = own_blocks(1);
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0) << strerror(errno);
    if (pid == 0) _exit(child_work(inherited, static_cast<uint64_t>(i)));
    const test::Ending ending = test::wait_for(pid, 60);
    ASSERT_TRUE(ending.clean()) << "child of fork number " << i << " " << ending.text();
    if (i % 16 == 0) test::churn(static_cast<uint64_t>(i), 200, 20, 60000);
  }
  for (const test::Stamped& block : inherited) test::free_stamped(block);
}

TEST(Fork, WhileThreadsAllocate) {
  test::Watchdog dog(580, "forks while threads allocate");
  test::Noise noise(3);
  fork_many(fork_count());
}

TEST(Fork, WhileThreadsAllocateLargeBlocks) {
  test::Watchdog dog(580, "forks while threads allocate large blocks");
  test::Noise noise(2, 3 << 20);
  fork_many(std::max(fork_count() / 8, 10));
}

// What comes free goes back in the calls of free: forks fall into the middle of it. Blocks of all
// kinds, so that free memory, free frames in slabs and giants are on their way.
TEST(Fork, WhileThreadsGiveMemoryBack) {
  test::Watchdog dog(580, "forks while threads give memory back");
  std::atomic<bool> stop{false};
  const auto burst = [](size_t size, uint64_t seed) {
    std::vector<test::Stamped> blocks;
    for (size_t i = 0; i < (size_t{12} << 20) / size; ++i)
      blocks.push_back(test::make_stamped(size, seed + i));
    for (const test::Stamped& block : blocks) test::free_stamped(block);
    malloc_trim(0);
  };
  std::vector<std::thread> threads;
  for (size_t size : {size_t{200}, size_t{60000}, size_t{3} << 20})
    threads.emplace_back([&, size] {
      for (uint64_t seed = 0; !stop; seed += 1000000) burst(size, seed);
    });
  std::vector<test::Stamped> inherited = own_blocks(7);
  for (int i = 0; i < std::max(fork_count() / 20, 10); ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      const size_t before = test::resident_bytes();
      for (size_t size : {size_t{100}, size_t{50000}, size_t{5} << 20}) burst(size, 1);
      if (test::resident_bytes() > before + (size_t{12} << 20)) _exit(13);  // nothing went back
      _exit(child_work(inherited, static_cast<uint64_t>(i)));
    }
    const test::Ending ending = test::wait_for(pid, 60);
    ASSERT_TRUE(ending.clean()) << "child of fork number " << i << " " << ending.text();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const test::Stamped& block : inherited) test::free_stamped(block);
}

TEST(Fork, WhileThreadsReadLinesAndFlushStreams) {
  test::Watchdog dog(580, "forks with threads in getline and fflush");
  std::atomic<bool> stop{false};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  FILE* source = fdopen(ends[0], "r");
  std::thread writer([&] {
    for (size_t n = 1; !stop; n = n * 7 % 3001) {
      std::string line(n, 'z');
      line += '\n';
      if (write(ends[1], line.data(), line.size()) < 0) break;
    }
    close(ends[1]);
  });
  std::thread reader([&] {
    for (bool more = true; more;) {  // a fresh buffer each time: getline allocates in the lock
      char* line = nullptr;
      size_t capacity = 0;
      more = getline(&line, &capacity, source) >= 0;
      free(line);
    }
  });
  std::thread flusher([&] {
    while (!stop) fflush(nullptr);
  });
  std::thread opener([&] {
    while (!stop) {
      FILE* file = fopen("/dev/null", "w");
      fprintf(file, "%d", 1);
      fclose(file);
    }
  });
  fork_many(fork_count() / 2);
  stop = true;
  writer.join();
  reader.join();
  flusher.join();
  opener.join();
  fclose(source);
}

TEST(Fork, OfAForkOfAFork) {
  test::Watchdog dog(110, "nested forks");
  test::Noise noise(2);
  for (int i = 0; i < std::clamp(fork_count() / 4, 8, 30); ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (int depth = 0; depth < 4; ++depth) {
        test::churn(static_cast<uint64_t>(depth), 300, 30, 60000);
        std::thread([] { test::churn(3, 300, 30, 60000); }).join();
        const pid_t deeper = fork();
        if (deeper != 0) _exit(test::wait_for(deeper, 50).exit_code);
      }
      test::churn(4, 300, 30, 60000);
      _exit(0);
    }
    const test::Ending ending = test::wait_for(pid, 60);
    ASSERT_TRUE(ending.clean()) << "nested fork number " << i << " " << ending.text();
  }
}

TEST(Fork, ByTwoThreadsAtOnce) {
  test::Watchdog dog(110, "forks by two threads");
  test::Noise noise(2);
  std::atomic<int> failures{0};
  const auto forker = [&failures] {
    for (int i = 0; i < std::min(fork_count(), 200); ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        test::churn(static_cast<uint64_t>(i), 200, 30, 60000);
        _exit(0);
      }
      failures += !test::wait_for(pid, 60).clean();
    }
  };
  std::thread one(forker);
  std::thread two(forker);
  one.join();
  two.join();
  EXPECT_EQ(failures, 0);
}

TEST(Fork, AThreadMayLiveOnInTheChild) {
  test::Watchdog dog(110, "a child with threads of its own");
  test::Noise noise(2);
  for (int i = 0; i < std::min(fork_count() / 2, 50); ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      {
        test::Noise own(3);
        test::churn(1, 3000, 100, 60000);
      }
      _exit(0);
    }
    const test::Ending ending = test::wait_for(pid, 60);
    ASSERT_TRUE(ending.clean()) << "fork number " << i << " " << ending.text();
  }
}

}  // namespace
