// limits/stack_test.cpp -- malloc and what it tells of itself need little stack.
//
// A user would notice: a thread with the least stack that POSIX allows, as runtimes of many threads
// have them, that is ended by SIGSEGV in calloc, and is fine under the system's malloc.
//
// A thread's stack is painted, and afterwards it is looked how much of the paint is gone.

#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "../support/child.h"
#include "../support/subject.h"

namespace {

constexpr size_t kStack = size_t{256} << 10;
constexpr unsigned char kPaint = 0x5a;

// How many bytes of its stack a thread has written to that does this.
size_t stack_of(const std::function<void()>& work) {
  void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* stack = static_cast<unsigned char*>(memory);
  memset(stack, kPaint, kStack);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  pthread_t thread;
  auto run = [](void* what) -> void* {
    (*static_cast<const std::function<void()>*>(what))();
    return nullptr;
  };
  EXPECT_EQ(
      pthread_create(&thread, &attributes, run, const_cast<void*>(static_cast<const void*>(&work))),
      0);
  pthread_join(thread, nullptr);
  size_t untouched = 0;
  while (untouched < kStack && stack[untouched] == kPaint) ++untouched;
  munmap(memory, kStack);
  return kStack - untouched;
}

// Beyond what a thread takes that does nothing. What it calls is bound by then: to bind a name puts
// all registers on the stack, 1 to 3 KiB.
size_t more_for(const std::function<void()>& work) {
  work();
  const size_t idle = stack_of([] {});
  const size_t bytes = stack_of(work);
  return bytes - std::min(idle, bytes);
}

void* blocks[100000];

// Enough for the heap to look for its container and for memory nodes.
void allocate_all_over() {
  for (size_t size : {16, 400, 3000}) {
    const size_t count = size > 1000 ? 10000 : 100000;
    for (size_t i = 0; i < count; ++i) memset(blocks[i] = malloc(size), 1, size);
    for (size_t i = 0; i < count; i += 2) free(blocks[i]);
    for (size_t i = 0; i < count; i += 2) blocks[i] = calloc(1, size);
    for (size_t i = 0; i < count; ++i) free(blocks[i]);
  }
  for (size_t size = 5000; size < 60000000; size *= 2) {
    for (int round = 0; round < 4; ++round) {
      void* block = calloc(1, size);
      memset(block, 1, size);  // so that the next one is asked whether it is in memory
      free(block);
    }
    free(realloc(malloc(size), size * 3));
    free(aligned_alloc(8192, size / 8192 * 8192 + 8192));
  }
}

// Builds with asserts are not optimised; the system's own is measured for comparison.
bool is_bounded() {
  return STACK_IS_BOUNDED && !test::on_system_malloc();
}

TEST(Stack, OrdinaryCallsNeedLittle) {
  const size_t bytes = more_for(allocate_all_over);
  printf("malloc and its like: %zu bytes\n", bytes);
  if (is_bounded()) {
    EXPECT_LE(bytes, 5120u);
  }
}

TEST(Stack, StatisticsNeedLittle) {
  allocate_all_over();
  const size_t numbers = more_for([] { (void)mallinfo2(); });
  FILE* stream = fopen("/dev/null", "w");
  setvbuf(stream, nullptr, _IONBF, 0);
  const size_t xml = more_for([stream] { (void)malloc_info(0, stream); });
  fclose(stream);
  const size_t trim = more_for([] { (void)malloc_trim(0); });
  printf("mallinfo2: %zu bytes, malloc_info: %zu, malloc_trim: %zu\n", numbers, xml, trim);
  if (!is_bounded()) return;
  EXPECT_LE(numbers, 3072u);
  EXPECT_LE(xml, 4096u);
  EXPECT_LE(trim, 4096u);
}

TEST(Stack, TheTableNeedsLittle) {
  size_t bytes = 0;
  const test::Ending ending = test::in_child([&] {
    bytes = more_for([] { malloc_stats(); });
    printf("%zu", bytes);
    return 0;
  });
  ASSERT_TRUE(ending.clean()) << ending.text();
  printf("malloc_stats: %s bytes\n", ending.out.c_str());
  if (is_bounded()) {
    EXPECT_LE(std::stoul(ending.out), 4096u);
  }
}

// The least that a thread may have, of which it keeps some for itself.
TEST(Stack, TheLeastIsEnough) {
  allocate_all_over();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, static_cast<size_t>(PTHREAD_STACK_MIN)), 0);
  if (!is_bounded()) GTEST_SKIP() << "not run: on the system's malloc, or not optimised";
  pthread_t thread;
  auto run = [](void* none) -> void* {
    volatile char own[3072];
    memset(const_cast<char*>(own), 1, sizeof own);
    allocate_all_over();
    (void)mallinfo2();
    (void)malloc_trim(0);
    return own[0] == 1 ? none : nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, blocks), 0);
  void* answer = nullptr;
  pthread_join(thread, &answer);
  EXPECT_EQ(answer, blocks);
}

}  // namespace
