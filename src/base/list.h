// base/list.h -- an intrusive doubly linked list.
//
// Idea
//   A member carries its own two links (`next`, `prev`), so joining and leaving allocate nothing
//   and cost a few stores. An all-zero list is a valid empty one, so lists may stand in memory that
//   nobody has initialised.
//
// Invariants
//   1. head == null, or head->prev == null.
//   2. For each member but the last: member.next->prev == &member.
#pragma once

#include "base/check.h"

namespace ashlar::base {

/// A list of `T`, which has the members `T* next` and `T* prev`. Owns nothing.
template <class T>
class List {
 public:
  bool is_empty() const { return head_ == nullptr; }
  T* front() const { return head_; }

  void push_front(T& member) {
    member.prev = nullptr;
    member.next = head_;
    if (head_ != nullptr) head_->prev = &member;
    head_ = &member;
  }

  /// `before` is in this list.
  void push_behind(T& before, T& member) {
    member.prev = &before;
    member.next = before.next;
    if (before.next != nullptr) before.next->prev = &member;
    before.next = &member;
  }

  void remove(T& member) {
    ASHLAR_ASSERT(member.prev == nullptr ? head_ == &member : member.prev->next == &member);
    (member.prev == nullptr ? head_ : member.prev->next) = member.next;
    if (member.next != nullptr) member.next->prev = member.prev;
    member.next = member.prev = nullptr;
  }

  /// Calls visit(T&) for each member from the front; visit must not change the list.
  template <class Visit>
  void for_each(Visit visit) const {
    for (T* member = head_; member != nullptr; member = member->next) visit(*member);
  }

  void audit() const {
    ASHLAR_CHECK(head_ == nullptr || head_->prev == nullptr);
    for_each([](T& m) { ASHLAR_CHECK(m.next == nullptr || m.next->prev == &m); });
  }

 private:
  T* head_ = nullptr;
};

}  // namespace ashlar::base
