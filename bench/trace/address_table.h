// bench/trace/address_table.h -- which object of the trace lies at an address.
//
// Idea
//   Open addressing with linear probing, at most half full. An entry that is taken leaves no mark:
//   those behind it are moved up, so that lookups stay short for as long as the program runs.
//   All zero is an empty table. Whoever uses it holds the lock.

#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "mapped.h"

namespace trace {

struct Object {
  uint64_t number;
  uint64_t size;
};

class AddressTable {
 public:
  /// Replaces what was known of this address.
  void put(const void* address, Object object) {
    if (2 * (count_ + 1) > capacity_) grow();
    insert({reinterpret_cast<uintptr_t>(address), object});
  }

  /// Removes and returns the object at this address, if one is known.
  std::optional<Object> take(const void* address) {
    if (count_ == 0) return {};
    const uintptr_t wanted = reinterpret_cast<uintptr_t>(address);
    size_t place = home(wanted);
    while (entries_[place].address != wanted) {
      if (entries_[place].address == 0) return {};
      place = after(place);
    }
    const Object object = entries_[place].object;
    close_gap(place);
    --count_;
    return object;
  }

  size_t count() const { return count_; }

 private:
  struct Entry {
    uintptr_t address;  // 0 where there is none.
    Object object;
  };

  size_t home(uintptr_t address) const {
    return ((address >> 4) * 0x9E3779B97F4A7C15u >> 20) & (capacity_ - 1);
  }
  size_t after(size_t place) const { return (place + 1) & (capacity_ - 1); }

  void insert(const Entry& entry) {
    size_t place = home(entry.address);
    while (entries_[place].address != 0 && entries_[place].address != entry.address) {
      place = after(place);
    }
    count_ += entries_[place].address == 0;
    entries_[place] = entry;
  }

  /// Moves up each entry behind the gap that a search from its home would no longer reach.
  void close_gap(size_t gap) {
    for (size_t place = after(gap); entries_[place].address != 0; place = after(place)) {
      const size_t from_home = (place - home(entries_[place].address)) & (capacity_ - 1);
      const size_t from_gap = (place - gap) & (capacity_ - 1);
      if (from_home >= from_gap) {
        entries_[gap] = entries_[place];
        gap = place;
      }
    }
    entries_[gap].address = 0;
  }

  void grow() {
    Entry* const old = entries_;
    const size_t old_capacity = capacity_;
    capacity_ = old_capacity == 0 ? 1 << 14 : 2 * old_capacity;
    entries_ = static_cast<Entry*>(map_zeroed(capacity_ * sizeof(Entry)));
    count_ = 0;
    for (size_t i = 0; i < old_capacity; ++i) {
      if (old[i].address != 0) insert(old[i]);
    }
    if (old != nullptr) munmap(old, old_capacity * sizeof(Entry));
  }

  Entry* entries_ = nullptr;
  size_t capacity_ = 0, count_ = 0;
};

}  // namespace trace
