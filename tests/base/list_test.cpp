// base/list_test.cpp -- proves joining and leaving at every position, and that audit() sees a
// broken link.

#include "base/list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {
using namespace ashlar;

struct Member {
  int name = 0;
  Member* next = nullptr;
  Member* prev = nullptr;
};

std::vector<int> names(const base::List<Member>& list) {
  list.audit();
  std::vector<int> out;
  list.for_each([&](Member& member) { out.push_back(member.name); });
  return out;
}

class ListTest : public testing::Test {
 protected:
  ListTest() {
    for (int i = 0; i < 5; ++i) {
      members[i].name = i;
      list.push_front(members[i]);
    }
  }
  Member members[5];
  base::List<Member> list;
};

TEST(List, AnAllZeroListIsEmpty) {
  alignas(base::List<Member>) char bytes[sizeof(base::List<Member>)] = {};
  auto& list = *reinterpret_cast<base::List<Member>*>(bytes);
  EXPECT_TRUE(list.is_empty());
  EXPECT_EQ(list.front(), nullptr);
  list.audit();
}

TEST_F(ListTest, TheLastToJoinIsInFront) {
  EXPECT_EQ(names(list), (std::vector<int>{4, 3, 2, 1, 0}));
  EXPECT_EQ(list.front(), &members[4]);
}

TEST_F(ListTest, MembersLeaveFromAnyPlaceInAnyOrder) {
  std::vector<int> order = {0, 1, 2, 3, 4};
  do {
    Member own[5];
    base::List<Member> fresh;
    std::vector<int> expected;
    for (int i = 0; i < 5; ++i) {
      own[i].name = i;
      fresh.push_front(own[i]);
      expected.insert(expected.begin(), i);
    }
    for (int leaver : order) {
      fresh.remove(own[leaver]);
      expected.erase(std::find(expected.begin(), expected.end(), leaver));
      ASSERT_EQ(names(fresh), expected);
      ASSERT_EQ(own[leaver].next, nullptr);
      ASSERT_EQ(own[leaver].prev, nullptr);
    }
    ASSERT_TRUE(fresh.is_empty());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(ListTest, AMemberMayJoinAgain) {
  list.remove(members[2]);
  list.push_front(members[2]);
  EXPECT_EQ(names(list), (std::vector<int>{2, 4, 3, 1, 0}));
}

TEST_F(ListTest, AuditSeesABrokenLink) {
  members[2].prev = &members[0];
  EXPECT_DEATH(list.audit(), "check failed: ");
}

TEST_F(ListTest, RemovingAStrangerIsSeenWhereAssertsAreOn) {
  if (!base::kAsserts) GTEST_SKIP() << "not run: a build without asserts";
  Member stranger;
  EXPECT_DEATH(list.remove(stranger), "check failed: ");
}

}  // namespace
