// base/text.h -- text built in a caller's buffer.
//
// Idea
//   An allocator may not print with printf, which allocates. Text is a bounded buffer that swallows
//   what no longer fits and always ends in a zero byte, so a message cut short is still a message.
//   One that has a sink is of any length: what fills the buffer goes there. (In the small library
//   no text is so long.)
//
// Invariants
//   1. size() < capacity, and the byte at size() is zero.
//   2. Of what has a sink nothing is cut as long as that takes what it gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/config.h"

namespace ashlar::base {

/// Bytes of a text without the zero byte at its end. (libc's strlen would be one more name to bind
/// at the start of each process, as memcmp would.)
constexpr size_t length_of(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

class Text {
 public:
  /// A text over `capacity` bytes at `buffer`; capacity is at least 1.
  Text(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) { buffer_[0] = '\0'; }

  /// Takes bytes to where they belong. False where it cannot: then the text ends there.
  using Sink = bool (*)(void* to, const char* bytes, size_t count);
  /// A text of any length, handed to sink(to, ...) piece by piece, the last one by flush().
  Text(char* buffer, size_t capacity, Sink sink, void* to)
      : buffer_(buffer), capacity_(capacity), outlet_(sink, to) {
    buffer_[0] = '\0';
  }
  void flush();

  Text& add(const char* words);
  Text& add(const char* bytes, size_t count);
  /// Appends `value` in decimal.
  Text& add_decimal(uint64_t value);
  /// Appends `value` in hexadecimal behind "0x".
  Text& add_hex(uint64_t value);
  Text& add_pointer(const void* pointer) {
    return add_hex(reinterpret_cast<uint64_t>(pointer));  // the digits are the point
  }

  const char* data() const { return buffer_; }
  size_t size() const { return size_; }
  /// Whether something has been cut off.
  bool is_cut() const { return cut_; }

 private:
  struct Outlet {
    Sink sink = nullptr;
    void* to = nullptr;
    Outlet() = default;
    Outlet(Sink told_sink, void* told_to) : sink(told_sink), to(told_to) {}
  };
  struct NoOutlet {
    static constexpr Sink sink = nullptr;
    static constexpr void* to = nullptr;
    NoOutlet() = default;
    NoOutlet(Sink, void*) {}
  };
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  [[no_unique_address]] std::conditional_t<kHasCaches, Outlet, NoOutlet> outlet_;
  bool cut_ = false;
};

/// A text that brings its own N bytes.
template <size_t N>
class Line : public Text {
 public:
  Line() : Text(bytes_, N) {}

 private:
  char bytes_[N];
};

/// Where `text`, which begins with `word`, goes on behind it; null where it does not begin so.
const char* after(const char* text, const char* word);

/// Reads a decimal number from [first, last). `is_number` is false where there is none, where other
/// characters follow, and where 64 bits do not hold it.
struct Number {
  uint64_t value = 0;
  bool is_number = false;
};
Number parse_decimal(const char* first, const char* last);

}  // namespace ashlar::base
