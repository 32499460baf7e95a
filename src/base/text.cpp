#include "base/text.h"

namespace ashlar::base {

void Text::flush() {
  if (!cut_) cut_ = !outlet_.sink(outlet_.to, buffer_, size_);
  size_ = 0;
  buffer_[0] = '\0';
}

Text& Text::add(const char* bytes, size_t count) {
  size_t room = capacity_ - 1 - size_;
  if (base::kHasCaches && count > room && outlet_.sink != nullptr) {
    for (; count > room && !cut_; room = capacity_ - 1) {
      std::memcpy(buffer_ + size_, bytes, room);
      size_ += room;
      bytes += room;
      count -= room;
      flush();
    }
    if (cut_) return *this;
  }
  if (count > room) {
    cut_ = true;
    count = room;
  }
  std::memcpy(buffer_ + size_, bytes, count);
  size_ += count;
  buffer_[size_] = '\0';
  return *this;
}

Text& Text::add(const char* words) {
  return add(words, length_of(words));
}

Text& Text::add_decimal(uint64_t value) {
  char digits[20];
  size_t first = sizeof digits;
  do {
    digits[--first] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return add(digits + first, sizeof digits - first);
}

Text& Text::add_hex(uint64_t value) {
  char digits[16];
  size_t first = sizeof digits;
  do {
    digits[--first] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  return add("0x").add(digits + first, sizeof digits - first);
}

const char* after(const char* text, const char* word) {
  for (; *word != '\0'; ++word, ++text)
    if (*text != *word) return nullptr;
  return text;
}

Number parse_decimal(const char* first, const char* last) {
  if (first == last) return {};
  uint64_t value = 0;
  for (; first != last; ++first) {
    if (*first < '0' || *first > '9') return {};
    uint64_t digit = static_cast<uint64_t>(*first - '0');
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) return {};
    if (__builtin_add_overflow(value, digit, &value)) return {};
  }
  return {value, true};
}

}  // namespace ashlar::base
