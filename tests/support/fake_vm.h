// support/fake_vm.h -- a kernel that a test commands.
//
// It is an os::Vm over one real reservation per place. It keeps the contract that os/vm.h states
// and looks whether its callers do: what is committed lies in a place, on the system's pages, and
// was not committed before; what is purged or moved is committed. A broken rule ends the test
// program with a sentence. It says no when it is told to, and its clock stands still until it is
// moved. One FakeVm exists at a time, since os::Vm's functions carry no object.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "os/vm.h"

namespace test {
using namespace ashlar;

class FakeVm {
 public:
  struct Range {
    char* at;
    size_t size;
    bool contains(const Range& inner) const {
      return at <= inner.at && inner.at + inner.size <= at + size;
    }
    bool meets(const Range& other) const {
      return at < other.at + other.size && other.at < at + size;
    }
  };

  /// Places are `capacity` bytes, a power of two, or less where less is asked for.
  explicit FakeVm(size_t capacity = size_t{256} << 20) : capacity_(capacity) {
    require(s_current == nullptr, "two fake kernels at a time");
    s_current = this;
  }
  ~FakeVm() {
    for (const Mapping& place : places_) munmap(place.raw, place.raw_size);
    s_current = nullptr;
  }
  FakeVm(const FakeVm&) = delete;
  FakeVm& operator=(const FakeVm&) = delete;

  const os::Vm& vm() const { return kTable; }

  // What the kernel shall do.
  bool is_reserving = false;      ///< places are PROT_NONE mappings: is_reserved is true
  unsigned failing_reserves = 0;  ///< the next so many calls fail
  unsigned failing_commits = 0;
  unsigned failing_purges = 0;
  unsigned failing_moves = 0;
  unsigned failing_renews = 0;
  bool loses_targets = false;  ///< when a move fails, or a renewal
  std::vector<Range> mlocked;  ///< by the program: it is not purged
  bool has_names = true;       ///< for mappings
  bool gives_huge = false;     ///< unasked
  std::vector<Range> filled;   ///< in memory, as far as resident() tells
  size_t most_locked = SIZE_MAX, locked = 0;
  size_t most_hugetlb = 0;  ///< bytes of huge pages that were set apart
  unsigned failing_decommits = 0;
  size_t limit = SIZE_MAX;      ///< bytes that may be committed at a time, all in all
  std::vector<Range> occupied;  ///< somebody else's mappings: commits that meet them fail
  uint64_t now_ms = 1000;
  void (*while_purging)() = nullptr;  ///< called in each purge: what other threads may do meanwhile
  void (*while_fetching)() = nullptr;
  void (*while_moving)() = nullptr;
  void (*while_committing)() = nullptr;

  // What has been asked of it.
  unsigned reserves = 0, commits = 0, moves = 0, clock_looks = 0, huge_looks = 0,
           resident_looks = 0;
  unsigned hugetlb_asked = 0;
  unsigned purge_calls = 0;
  std::vector<char*> broken_up;
  std::vector<Range> moved;  ///< here, and mappings of their own since then
  std::vector<Range> purged, fetched;
  std::vector<std::pair<Range, bool>> advised;  ///< to have huge pages, or not to
  std::vector<std::pair<Range, std::string>> named;
  std::vector<std::pair<Range, unsigned>> bound;  ///< to a node
  size_t committed_bytes() const {
    size_t sum = 0;
    for (const Range& range : committed_) sum += range.size;
    return sum;
  }
  size_t purged_bytes() const {
    size_t sum = 0;
    for (const Range& range : purged) sum += range.size;
    return sum;
  }
  size_t hugetlb_bytes() const {
    size_t sum = 0;
    for (const Range& range : hugetlb_) sum += range.size;
    return sum;
  }
  static size_t resident(char* at, size_t size, os::Owner) {
    require_pages(at, size);
    ++s_current->resident_looks;
    return overlap(s_current->filled, {at, size});
  }
  bool is_committed(const Range& wanted) const {
    // Commits follow each other: a range may span several of them.
    size_t covered = 0;
    for (const Range& range : committed_) {
      char* first = std::max(range.at, wanted.at);
      char* last = std::min(range.at + range.size, wanted.at + wanted.size);
      if (first < last) covered += static_cast<size_t>(last - first);
    }
    return covered == wanted.size;
  }

 private:
  struct Mapping {
    os::Place place;
    char* raw;
    size_t raw_size;
  };

  static void require(bool holds, const char* rule) {
    if (holds) return;
    fprintf(stderr, "the fake kernel was asked wrongly: %s\n", rule);
    abort();
  }
  static size_t overlap(const std::vector<Range>& ranges, const Range& wanted) {
    size_t sum = 0;
    for (const Range& range : ranges) {
      char* first = std::max(range.at, wanted.at);
      char* end = std::min(range.at + range.size, wanted.at + wanted.size);
      if (first < end) sum += static_cast<size_t>(end - first);
    }
    return sum;
  }
  static bool fails(unsigned& count) { return count > 0 && count-- > 0; }
  static void require_pages(char* at, size_t size) {
    size_t mask = os::page_size() - 1;
    require(size > 0 && (reinterpret_cast<size_t>(at) & mask) == 0 && (size & mask) == 0,
            "a range is not made of the system's pages");
  }

  static void require_ordinary(char* at, size_t size) {
    for (const Range& range : s_current->hugetlb_)
      require(!range.meets({at, size}), "pages that were set apart cannot be treated so");
  }

  static os::Place reserve(size_t size, size_t least) {
    FakeVm& me = *s_current;
    ++me.reserves;
    require((size & (size - 1)) == 0 && least <= size, "reserve: no power of two");
    if (fails(me.failing_reserves)) return {};
    size = std::min(size, me.capacity_);
    if (size < least) return {};
    size_t align = std::min(size, size_t{1} << 30);
    size_t raw_size = size + align;
    void* raw =
        mmap(nullptr, raw_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(raw != MAP_FAILED, "(the real kernel gives no address space)");
    size_t base = (reinterpret_cast<size_t>(raw) + align - 1) & ~(align - 1);
    os::Place place{reinterpret_cast<char*>(base), size, me.is_reserving};
    me.places_.push_back({place, static_cast<char*>(raw), raw_size});
    return place;
  }

  static bool decommit(const os::Place&, char* at, size_t size) {
    require_pages(at, size);
    FakeVm& me = *s_current;
    std::lock_guard held(me.lock_);
    if (fails(me.failing_decommits)) return false;
    require(me.is_committed({at, size}), "decommit: not committed");
    for (size_t i = 0; i < me.hugetlb_.size();) {
      const Range page = me.hugetlb_[i];
      require(!page.meets({at, size}) || Range{at, size}.contains(page),
              "decommit: a part of a page that was set apart");
      if (page.meets({at, size}))
        me.hugetlb_.erase(me.hugetlb_.begin() + static_cast<long>(i));
      else
        ++i;
    }
    require(mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at,
            "(the real kernel refuses to decommit)");
    std::vector<Range> rest;
    for (const Range& range : me.committed_) {
      char* end = range.at + range.size;
      if (range.at < at)
        rest.push_back({range.at, static_cast<size_t>(std::min(end, at) - range.at)});
      if (end > at + size) {
        char* first = std::max(range.at, at + size);
        rest.push_back({first, static_cast<size_t>(end - first)});
      }
    }
    me.committed_ = rest;
    return true;
  }
  static void release(const os::Place& place) {
    FakeVm& me = *s_current;
    for (size_t i = 0; i < me.places_.size(); ++i) {
      if (me.places_[i].place.base != place.base) continue;
      munmap(me.places_[i].raw, me.places_[i].raw_size);
      me.places_.erase(me.places_.begin() + static_cast<long>(i));
      return;
    }
    require(false, "release: no such place");
  }

  static bool commit(const os::Place& place, char* at, size_t size) {
    FakeVm& me = *s_current;
    if (me.while_committing != nullptr) me.while_committing();
    std::lock_guard held(me.lock_);
    ++me.commits;
    Range range{at, size};
    require_pages(at, size);
    require(Range{place.base, place.size}.contains(range), "commit: outside the place");
    for (const Range& old : me.committed_) require(!old.meets(range), "commit: done before");
    if (fails(me.failing_commits)) return false;
    if (me.committed_bytes() + size > me.limit) return false;
    for (const Range& other : me.occupied)
      if (other.meets(range)) return false;
    require(mprotect(at, size, PROT_READ | PROT_WRITE) == 0, "(the real kernel gives no memory)");
    me.committed_.push_back(range);
    return true;
  }

  static bool commit_hugetlb(const os::Place& place, char* at, size_t size, unsigned page_shift) {
    FakeVm& me = *s_current;
    size_t page = size_t{1} << page_shift;
    ++me.hugetlb_asked;
    bool is_whole = reinterpret_cast<size_t>(at) % page == 0 && size % page == 0;
    if (place.is_reserved || !is_whole || me.hugetlb_bytes() + size > me.most_hugetlb) return false;
    if (!commit(place, at, size)) return false;
    for (size_t i = 0; i < size; i += page) me.hugetlb_.push_back({at + i, page});
    return true;
  }

  static bool purge(char* at, size_t size) {
    FakeVm& me = *s_current;
    require_pages(at, size);
    require_ordinary(at, size);
    require(me.is_committed({at, size}), "purge: not committed");
    ++me.purge_calls;
    if (me.while_purging != nullptr) me.while_purging();
    if (fails(me.failing_purges) || overlap(me.mlocked, {at, size}) != 0) return false;
    std::memset(at, 0, size);
    me.purged.push_back({at, size});
    return true;
  }

  static os::Purged purge_each(const os::Range* ranges, size_t count) {
    require(count <= 1024, "more ranges than the kernel takes");
    os::Purged purged;
    for (; purged.ranges < count; ++purged.ranges) {
      auto [at, size] = ranges[purged.ranges];
      if (purge(at, size)) continue;
      const size_t locked = overlap(s_current->mlocked, {at, size});
      if (locked == 0) break;
      std::memset(at, 0, size);
      purged.locked += locked;
    }
    return purged;
  }

  static os::Moved move(char* from, char* to, size_t size) {
    FakeVm& me = *s_current;
    ++me.moves;
    if (me.while_moving != nullptr) me.while_moving();
    require_pages(from, size);
    require_pages(to, size);
    require(me.is_committed({from, size}) && me.is_committed({to, size}), "move: not committed");
    require(!Range{from, size}.meets({to, size}), "move: onto itself");
    require_ordinary(from, size);
    require_ordinary(to, size);
    if (fails(me.failing_moves)) {
      std::memset(to, 0, size);  // the kernel may have dropped it before it said no
      return me.loses_targets ? os::Moved::kTargetLost : os::Moved::kNo;
    }
    std::memcpy(to, from, size);
    std::memset(from, 0, size);
    me.cut_moved({to, size});
    me.moved.push_back({to, size});
    return os::Moved::kYes;
  }

  static os::Moved renew(char* at, size_t size) {
    FakeVm& me = *s_current;
    require_pages(at, size);
    require(me.is_committed({at, size}), "renew: not committed");
    require_ordinary(at, size);
    if (fails(me.failing_renews)) return me.loses_targets ? os::Moved::kTargetLost : os::Moved::kNo;
    std::memset(at, 0, size);
    me.cut_moved({at, size});
    return os::Moved::kYes;
  }
  // What was moved to this range is there no more.
  void cut_moved(const Range& gone) {
    std::vector<Range> rest;
    for (const Range& range : moved) {
      char* end = range.at + range.size;
      char* first = std::max(range.at, gone.at + gone.size);
      if (range.at < gone.at)
        rest.push_back({range.at, static_cast<size_t>(std::min(end, gone.at) - range.at)});
      if (first < end) rest.push_back({first, static_cast<size_t>(end - first)});
    }
    moved = rest;
  }

  static void advise_huge(char* at, size_t size, bool huge) {
    require_ordinary(at, size);
    s_current->advised.push_back({{at, size}, huge});
  }
  static bool lock(char* at, size_t size) {
    FakeVm& me = *s_current;
    require_pages(at, size);
    require(me.is_committed({at, size}), "lock: not committed");
    if (me.locked + size > me.most_locked) return false;
    me.locked += size;
    return true;
  }
  static void bind(char* at, size_t size, unsigned node) {
    require_pages(at, size);
    s_current->bound.push_back({{at, size}, node});
  }
  static bool gives_huge_pages() {
    ++s_current->huge_looks;
    return s_current->gives_huge;
  }
  static void break_up(char* at) {
    require_pages(at, os::page_size());
    require_ordinary(at, os::page_size());
    s_current->broken_up.push_back(at);
  }
  static void fetch(char* at, size_t size) {
    require_pages(at, size);
    FakeVm& me = *s_current;
    if (me.while_fetching != nullptr) me.while_fetching();
    std::lock_guard held(me.lock_);
    require(me.is_committed({at, size}), "fetch: not committed");
    me.fetched.push_back({at, size});
  }
  static bool name(char* at, size_t size, const char* name) {
    s_current->named.push_back({{at, size}, name});
    return s_current->has_names;
  }
  static uint64_t clock() {
    ++s_current->clock_looks;
    return s_current->now_ms;
  }

  static constexpr os::Vm kTable = {
      reserve,  release,        commit, purge,    move, advise_huge, clock,
      decommit, purge_each,     name,   reserve,  lock, bind,        gives_huge_pages,
      break_up, commit_hugetlb, fetch,  resident, renew};
  static inline FakeVm* s_current = nullptr;

  std::mutex lock_;  // the heap fetches under no lock of its own
  size_t capacity_;
  std::vector<Mapping> places_;
  std::vector<Range> committed_;
  std::vector<Range> hugetlb_;  // page by page
};

}  // namespace test
