// conform/operator_new_test.cpp -- every form of operator new and delete, and the new_handler.
//
// A user would notice: a C++ program that gets a null pointer where the language promises
// bad_alloc; a new_handler that frees a reserve and is never called; an over-aligned class
// (alignas(64), AVX-512 members) at an odd address.

#include <gtest/gtest.h>

#include <cstdint>
#include <new>
#include <vector>

#include "family.h"

using namespace family;

namespace {

constexpr size_t kImpossible = size_t{PTRDIFF_MAX} - 4096;
volatile size_t impossible = kImpossible;  // read at run time: the compiler must not judge it

struct HandlerReset {
  ~HandlerReset() { std::set_new_handler(nullptr); }
};

template <class New, class Delete>
void round_trip(const char* form, size_t alignment, New make, Delete unmake) {
  std::vector<std::pair<void*, size_t>> held;
  for (size_t size : kSizes) {
    errno = 99;
    void* block = make(size);
    ASSERT_NE(block, nullptr) << form << " of " << size;
    ASSERT_EQ(errno, 99) << form << " of " << size;
    ASSERT_TRUE(is_aligned(block, alignment)) << form << " of " << size << ": " << block;
    memset(block, 0x4d, size);
    held.emplace_back(block, size);
  }
  for (auto& [block, size] : held) {
    ASSERT_TRUE(all_bytes_are(block, 0x4d, size)) << form;
    errno = 99;
    unmake(block, size);
    ASSERT_EQ(errno, 99) << form << ": delete changed errno";
  }
}

TEST(OperatorNew, PlainFormsWithPlainSizedAndNothrowDelete) {
  auto plain = [](size_t n) { return ::operator new(n); };
  auto array = [](size_t n) { return ::operator new[](n); };
  round_trip("new / delete", 16, plain, [](void* p, size_t) { ::operator delete(p); });
  round_trip("new / sized", 16, plain, [](void* p, size_t n) { ::operator delete(p, n); });
  round_trip("new / nothrow", 16, plain,
             [](void* p, size_t) { ::operator delete(p, std::nothrow); });
  round_trip("new[] / delete[]", 16, array, [](void* p, size_t) { ::operator delete[](p); });
  round_trip("new[] / sized", 16, array, [](void* p, size_t n) { ::operator delete[](p, n); });
  round_trip("new[] / nothrow", 16, array,
             [](void* p, size_t) { ::operator delete[](p, std::nothrow); });
}

TEST(OperatorNew, NothrowForms) {
  round_trip(
      "nothrow new", 16, [](size_t n) { return ::operator new(n, std::nothrow); },
      [](void* p, size_t) { ::operator delete(p); });
  round_trip(
      "nothrow new[]", 16, [](size_t n) { return ::operator new[](n, std::nothrow); },
      [](void* p, size_t n) { ::operator delete[](p, n); });
}

TEST(OperatorNew, AlignedForms) {
  for (size_t a = 1; a <= 65536; a *= 2) {
    const std::align_val_t al{a};
    auto plain = [al](size_t n) { return ::operator new(n, al); };
    auto array = [al](size_t n) { return ::operator new[](n, al); };
    auto quiet = [al](size_t n) { return ::operator new(n, al, std::nothrow); };
    auto quiet_array = [al](size_t n) { return ::operator new[](n, al, std::nothrow); };
    round_trip("aligned new", a, plain, [al](void* p, size_t) { ::operator delete(p, al); });
    round_trip("aligned new, sized", a, plain,
               [al](void* p, size_t n) { ::operator delete(p, n, al); });
    round_trip("aligned new, nothrow", a, plain,
               [al](void* p, size_t) { ::operator delete(p, al, std::nothrow); });
    round_trip("aligned new[]", a, array, [al](void* p, size_t) { ::operator delete[](p, al); });
    round_trip("aligned new[], sized", a, array,
               [al](void* p, size_t n) { ::operator delete[](p, n, al); });
    round_trip("aligned new[], nothrow", a, array,
               [al](void* p, size_t) { ::operator delete[](p, al, std::nothrow); });
    round_trip("aligned nothrow new", a, quiet,
               [al](void* p, size_t) { ::operator delete(p, al); });
    round_trip("aligned nothrow new[]", a, quiet_array,
               [al](void* p, size_t) { ::operator delete[](p, al); });
  }
}

TEST(OperatorNew, DeleteOfNullDoesNothing) {
  void* const none = nullptr;
  ::operator delete(none);
  ::operator delete[](none);
  ::operator delete (none, size_t{8});
  ::operator delete[](none, size_t{8});
  ::operator delete(none, std::nothrow);
  ::operator delete[](none, std::nothrow);
  ::operator delete (none, std::align_val_t{64});
  ::operator delete[](none, std::align_val_t{64});
  ::operator delete (none, size_t{8}, std::align_val_t{64});
  ::operator delete[](none, size_t{8}, std::align_val_t{64});
}

TEST(OperatorNew, NothingIsUnique) {
  void* first = ::operator new (size_t{0});
  void* second = ::operator new (size_t{0});
  EXPECT_NE(first, nullptr);
  EXPECT_NE(first, second);
  ::operator delete(first);
  ::operator delete(second);
}

TEST(OperatorNew, ThrowsBadAllocWhereMemoryEnds) {
  const std::align_val_t al{64};
  EXPECT_THROW((void)::operator new(impossible), std::bad_alloc);
  EXPECT_THROW((void)::operator new[](impossible), std::bad_alloc);
  EXPECT_THROW((void)::operator new(impossible, al), std::bad_alloc);
  EXPECT_THROW((void)::operator new[](impossible, al), std::bad_alloc);
  EXPECT_THROW((void)::operator new(impossible * 2 + 1, al), std::bad_alloc);
  EXPECT_THROW((void)::operator new(SIZE_MAX - impossible + impossible), std::bad_alloc);
  EXPECT_EQ(::operator new(impossible, std::nothrow), nullptr);
  EXPECT_EQ(::operator new[](impossible, std::nothrow), nullptr);
  EXPECT_EQ(::operator new(impossible, al, std::nothrow), nullptr);
  EXPECT_EQ(::operator new[](impossible, al, std::nothrow), nullptr);
}

int handler_calls = 0;

TEST(OperatorNew, TheHandlerIsCalledUntilItGivesUp) {
  HandlerReset reset;
  const auto handler = [] {
    if (++handler_calls == 5) std::set_new_handler(nullptr);
  };
  struct Form {
    const char* name;
    void* (*make)();
    bool throws;
  };
  const Form forms[] = {
      {"new", [] { return ::operator new(impossible); }, true},
      {"new[]", [] { return ::operator new[](impossible); }, true},
      {"nothrow new", [] { return ::operator new(impossible, std::nothrow); }, false},
      {"nothrow new[]", [] { return ::operator new[](impossible, std::nothrow); }, false},
      {"aligned new", [] { return ::operator new (impossible, std::align_val_t{64}); }, true},
      {"aligned new[]", [] { return ::operator new[](impossible, std::align_val_t{64}); }, true},
      {"aligned nothrow new",
       [] { return ::operator new (impossible, std::align_val_t{64}, std::nothrow); }, false},
      {"aligned nothrow new[]",
       [] { return ::operator new[](impossible, std::align_val_t{64}, std::nothrow); }, false}};
  for (const Form& form : forms) {
    handler_calls = 0;
    std::set_new_handler(handler);
    if (form.throws) {
      EXPECT_THROW((void)form.make(), std::bad_alloc) << form.name;
    } else {
      EXPECT_EQ(form.make(), nullptr) << form.name;
    }
    EXPECT_EQ(handler_calls, 5) << form.name;
  }
}

struct OwnFailure : std::bad_alloc {};

TEST(OperatorNew, TheHandlersExceptionTravels) {
  HandlerReset reset;
  std::set_new_handler([] { throw OwnFailure(); });
  EXPECT_THROW((void)::operator new(impossible), OwnFailure);
  EXPECT_THROW((void)::operator new[](impossible, std::align_val_t{128}), OwnFailure);
  EXPECT_EQ(::operator new(impossible, std::nothrow), nullptr);
  EXPECT_EQ(::operator new[](impossible, std::align_val_t{128}, std::nothrow), nullptr);
}

TEST(OperatorNew, TheHandlerMayAllocateItself) {
  HandlerReset reset;
  handler_calls = 0;
  std::set_new_handler([] {
    std::vector<int> some(1000, ++handler_calls);
    if (some[999] == 3) std::set_new_handler(nullptr);
  });
  EXPECT_THROW((void)::operator new(impossible), std::bad_alloc);
  EXPECT_EQ(handler_calls, 3);
}

struct alignas(128) Wide {
  char bytes[200];
};

TEST(OperatorNew, OverAlignedTypesAreOverAligned) {
  for (int i = 0; i < 100; ++i) {
    Wide* one = new Wide;
    Wide* many = new Wide[7];
    EXPECT_TRUE(is_aligned(one, 128) && is_aligned(many, 128));
    delete one;
    delete[] many;
  }
}

}  // namespace
