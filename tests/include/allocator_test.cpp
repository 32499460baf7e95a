// include/allocator_test.cpp -- containers over ashlar::allocator hold what containers hold.
//
// A user would notice: an element that is not the one that was put in; a vector instruction that
// faults, since an over-aligned element is not aligned; memory lost where a copy throws.
//
// Each container does a few thousand random operations beside the same one over std::allocator.

#include <gtest/gtest.h>
#include <ashlar/allocator.hpp>

#include <array>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../support/child.h"
#include "../support/rng.h"
#include "counted.h"

namespace {

using test::Counted;
using test::Refused;

template <class T>
using Vector = std::vector<T, ashlar::allocator<T>>;
template <class T>
using List = std::list<T, ashlar::allocator<T>>;
template <class T>
using Deque = std::deque<T, ashlar::allocator<T>>;
template <class K, class V>
using Map = std::map<K, V, std::less<K>, ashlar::allocator<std::pair<const K, V>>>;
template <class K>
using Set = std::set<K, std::less<K>, ashlar::allocator<K>>;
template <class K, class V>
using HashMap = std::unordered_map<K, V, std::hash<K>, std::equal_to<K>,
                                   ashlar::allocator<std::pair<const K, V>>>;
using String = std::basic_string<char, std::char_traits<char>, ashlar::allocator<char>>;

constexpr int kSteps = 5000;

template <class A, class B>
bool same(const A& a, const B& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// Puts in at the end or anywhere, takes out anywhere, copies and moves.
template <class Ours, class Theirs, class Make>
void sequence(uint64_t seed, Make make) {
  test::Rng rng(seed);
  Ours ours;
  Theirs theirs;
  for (int step = 0; step < kSteps; ++step) {
    size_t at = ours.empty() ? 0 : rng.below(ours.size());
    uint64_t kind = rng.below(16);
    if (kind < 7) {
      uint64_t value = rng.next();
      ours.push_back(make(value));
      theirs.push_back(make(value));
    } else if (kind < 10) {
      uint64_t value = rng.next();
      ours.insert(std::next(ours.begin(), static_cast<long>(at)), make(value));
      theirs.insert(std::next(theirs.begin(), static_cast<long>(at)), make(value));
    } else if (kind < 14 && !ours.empty()) {
      ours.erase(std::next(ours.begin(), static_cast<long>(at)));
      theirs.erase(std::next(theirs.begin(), static_cast<long>(at)));
    } else if (kind == 14) {
      Ours copy = ours;
      ours = std::move(copy);
    } else if (rng.below(50) == 0) {
      ours.clear();
      theirs.clear();
    }
    ASSERT_TRUE(step % 100 != 0 || same(ours, theirs)) << step;
  }
  EXPECT_TRUE(same(ours, theirs));
}

template <class Ours, class Theirs>
void mapping(uint64_t seed) {
  test::Rng rng(seed);
  Ours ours;
  Theirs theirs;
  for (int step = 0; step < kSteps; ++step) {
    auto key = static_cast<int>(rng.below(1000));
    if (rng.below(3) != 0) {
      std::string value(rng.size(200), static_cast<char>('a' + rng.below(26)));
      ours[key] = value;
      theirs[key] = value;
    } else {
      EXPECT_EQ(ours.erase(key), theirs.erase(key));
    }
    if (rng.below(1000) == 0) {
      Ours copy = ours;
      ours.swap(copy);
    }
  }
  EXPECT_EQ(ours.size(), theirs.size());
  for (const auto& [key, value] : theirs) {
    auto found = ours.find(key);
    ASSERT_NE(found, ours.end());
    EXPECT_EQ(found->second, value);
  }
}

auto number = [](uint64_t value) { return value; };
auto word = [](uint64_t value) {
  return std::string(value % 100, static_cast<char>('a' + value % 26));
};

TEST(Allocator, VectorAsTheStandards) {
  sequence<Vector<uint64_t>, std::vector<uint64_t>>(1, number);
  sequence<Vector<std::string>, std::vector<std::string>>(2, word);
}
TEST(Allocator, ListAsTheStandards) {
  sequence<List<uint64_t>, std::list<uint64_t>>(3, number);
  sequence<List<std::string>, std::list<std::string>>(4, word);
}
TEST(Allocator, DequeAsTheStandards) {
  sequence<Deque<uint64_t>, std::deque<uint64_t>>(5, number);
  sequence<Deque<std::string>, std::deque<std::string>>(6, word);
}
TEST(Allocator, StringAsTheStandards) {
  sequence<String, std::string>(7, [](uint64_t value) { return static_cast<char>(value); });
}
TEST(Allocator, MapAsTheStandards) {
  mapping<Map<int, std::string>, std::map<int, std::string>>(8);
}
TEST(Allocator, HashMapAsTheStandards) {
  mapping<HashMap<int, std::string>, std::unordered_map<int, std::string>>(9);
}
TEST(Allocator, SetAsTheStandards) {
  test::Rng rng(10);
  Set<uint64_t> ours;
  std::set<uint64_t> theirs;
  for (int step = 0; step < kSteps; ++step) {
    uint64_t key = rng.below(500);
    if (rng.below(2) == 0) {
      EXPECT_EQ(ours.insert(key).second, theirs.insert(key).second);
    } else {
      EXPECT_EQ(ours.erase(key), theirs.erase(key));
    }
  }
  EXPECT_TRUE(same(ours, theirs));
}

TEST(Allocator, SharedPointers) {
  Counted::reset();
  std::vector<std::shared_ptr<Counted>> objects;
  for (unsigned i = 0; i < 1000; ++i) {
    objects.push_back(std::allocate_shared<Counted>(ashlar::allocator<Counted>{}, i));
  }
  std::vector<std::weak_ptr<Counted>> weak(objects.begin(), objects.end());
  for (unsigned i = 0; i < 1000; ++i) EXPECT_EQ(objects[i]->value, i);
  objects.clear();
  EXPECT_EQ(Counted::live, 0);
  EXPECT_TRUE(weak[500].expired());
}

TEST(Allocator, AllAreEqual) {
  static_assert(std::allocator_traits<ashlar::allocator<int>>::is_always_equal::value);
  static_assert(std::is_empty_v<ashlar::allocator<int>>);
  EXPECT_TRUE(ashlar::allocator<int>() == ashlar::allocator<char>());
  EXPECT_FALSE(ashlar::allocator<int>() != ashlar::allocator<char>());
  List<std::string> one{"a", "b"};
  List<std::string> other{"c"};
  one.splice(one.end(), other);
  EXPECT_EQ(one.size(), 3u);
}

template <size_t align>
void over_aligned() {
  struct alignas(align) Lane {
    uint64_t value = 0;
  };
  Vector<Lane> vector;
  List<Lane> list;
  Map<int, Lane> map;
  for (int i = 0; i < 200; ++i) {
    vector.emplace_back();
    list.emplace_back();
    map[i].value = static_cast<uint64_t>(i);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(vector.data()) % align, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&list.back()) % align, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&map[i]) % align, 0u);
    if (i % 3 == 0) list.pop_front();
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(map[i].value, static_cast<uint64_t>(i));
}
TEST(Allocator, OverAlignedElements) {
  over_aligned<32>();
  over_aligned<64>();
  over_aligned<256>();
  over_aligned<4096>();
}

TEST(Allocator, NodesOfAllSizesStandApart) {
  ashlar::allocator<std::array<char, 1>> one;
  ashlar::allocator<std::array<char, 32768>> most;
  ashlar::allocator<std::array<char, 32769>> more;
  ashlar::allocator<std::array<char, 100000>> large;
  for (int i = 0; i < 10; ++i) {
    auto* a = one.allocate(1);
    auto* b = most.allocate(1);
    auto* c = more.allocate(1);
    auto* d = large.allocate(1);
    memset(a, 1, sizeof *a);
    memset(b, 2, sizeof *b);
    memset(c, 3, sizeof *c);
    memset(d, 4, sizeof *d);
    EXPECT_EQ((*a)[0], 1);
    EXPECT_EQ((*b)[32767], 2);
    EXPECT_EQ((*c)[32768], 3);
    one.deallocate(a, 1);
    most.deallocate(b, 1);
    more.deallocate(c, 1);
    large.deallocate(d, 1);
  }
}

template <class T>
void at_least(const char* what) {
  ashlar::allocator<T> memory;
  for (size_t n : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{100}, size_t{1000},
                   size_t{5000}, size_t{100000}}) {
    auto [first, count] = memory.allocate_at_least(n);
    ASSERT_NE(first, nullptr);
    EXPECT_GE(count, n) << what;
    // All of it may be used, and any number in between gives it back.
    memset(static_cast<void*>(first), 0x5a, count * sizeof(T));
    memory.deallocate(first, n + (count - n) / 2);
  }
}
TEST(Allocator, TellsWhatABlockHasBeyond) {
  at_least<char>("char");
  at_least<uint64_t>("8");
  at_least<std::array<char, 24>>("24");
  at_least<std::array<char, 40>>("40");
  struct alignas(64) Lane {
    char bytes[64];
  };
  at_least<Lane>("64");
  auto [first, count] = ashlar::allocator<char>().allocate_at_least(130);
  EXPECT_GT(count, 130u);
  ashlar::allocator<char>().deallocate(first, 130);
}

TEST(Allocator, TooMuchIsAnException) {
  ashlar::allocator<uint64_t> memory;
  volatile size_t too_many = SIZE_MAX / 8 + 2;
  EXPECT_THROW((void)memory.allocate(too_many), std::bad_array_new_length);
  EXPECT_THROW((void)memory.allocate_at_least(too_many), std::bad_array_new_length);
  volatile size_t too_much = (SIZE_MAX >> 1) / 8;
  EXPECT_THROW((void)memory.allocate(too_much), std::bad_alloc);
}

int g_asked = 0;
TEST(Allocator, AsksTheNewHandler) {
  auto before = std::set_new_handler([] {
    if (++g_asked == 3) std::set_new_handler(nullptr);
  });
  volatile size_t too_much = (SIZE_MAX >> 1) / 8;
  EXPECT_THROW((void)ashlar::allocator<uint64_t>().allocate(too_much), std::bad_alloc);
  std::set_new_handler(before);
  EXPECT_EQ(g_asked, 3);
}

TEST(Allocator, NodesThrowWhereMemoryIsOut) {
  test::Ending ending = test::in_child([]() -> int {
    test::leave_bytes(size_t{8} << 20);
    List<std::array<char, 3000>> list;
    size_t pushed = 0;
    try {
      for (; pushed < 100000; ++pushed) list.emplace_back();
    } catch (const std::bad_alloc&) {
      if (pushed < 1000 || list.size() != pushed) return 1;
      list.clear();
      list.emplace_back();
      return 0;
    }
    return 2;
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

template <class Container>
void nth_copy_throws() {
  for (int n = 1; n <= 60; ++n) {
    Counted::reset(n);
    Counted::strangers = 0;
    try {
      Container container;
      for (unsigned i = 0; i < 20; ++i) container.insert(container.end(), Counted(i));
      Container copy = container;
    } catch (const Refused&) {
    }
    EXPECT_EQ(Counted::live, 0) << n;
    EXPECT_EQ(Counted::strangers, 0) << n;
  }
}
TEST(Allocator, NothingIsLostWhereTheNthCopyThrows) {
  nth_copy_throws<Vector<Counted>>();
  nth_copy_throws<List<Counted>>();
  nth_copy_throws<Deque<Counted>>();
  nth_copy_throws<Set<Counted>>();
}

// Lives longer than anything that could end a cache.
Map<int, std::string> g_static;
TEST(Allocator, StaticContainersEndWithTheProgram) {
  test::Ending ending = test::in_child([]() -> int {
    for (int i = 0; i < 1000; ++i) g_static[i] = std::string(100, 'x');
    exit(0);
  });
  EXPECT_TRUE(ending.clean()) << ending.text();
}

// Each thread builds lists and hands them to the next, which checks and frees them.
void relay_with(size_t count) {
  std::vector<List<uint64_t>> baskets(count);
  std::atomic<int> faults{0};
  for (uint64_t round = 0; round < 30; ++round) {
    std::vector<std::thread> threads;
    for (size_t id = 0; id < count; ++id) {
      threads.emplace_back([&, id] {
        List<uint64_t>& basket = baskets[(id + round) % count];
        uint64_t expected = round == 0 ? 0 : (round - 1) * 1000;
        for (uint64_t value : basket) faults += value != expected++;
        basket.clear();
        for (uint64_t i = 0; i < 1000; ++i) basket.push_back(round * 1000 + i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(faults, 0);
}
TEST(Allocator, TwoThreads) {
  relay_with(2);
}
TEST(Allocator, EightThreads) {
  relay_with(8);
}

}  // namespace
