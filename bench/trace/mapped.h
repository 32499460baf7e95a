// bench/trace/mapped.h -- arrays that grow in memory of their own.
//
// Idea
//   Neither capture nor replay may call the malloc that is observed. Their data lies in mappings,
//   which the kernel can make longer without copying them.

#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace trace {

[[noreturn]] inline void out_of_memory() {
  constexpr char kMessage[] = "trace: out of memory\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(2);
}

/// Zeroed memory of its own; `flags` are added to those of mmap. Never null.
inline void* map_zeroed(size_t bytes, int flags = 0) {
  void* memory = mmap(nullptr, std::max<size_t>(bytes, 1), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (memory == MAP_FAILED) out_of_memory();
  return memory;
}

/// A vector of trivial elements, zero until written.
template <class T>
class MappedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  MappedArray() = default;
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() { clear(); }

  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& back() { return data_[size_ - 1]; }
  size_t size() const { return size_; }
  bool is_empty() const { return size_ == 0; }

  void push(const T& value) {
    if (size_ == capacity_) grow(size_ + 1);
    data_[size_++] = value;
  }
  T pop() { return data_[--size_]; }
  void resize(size_t size) {
    if (size > capacity_) grow(size);
    size_ = size;
  }
  /// The elements are forgotten, their memory is kept. What they were may be seen by resize().
  void forget() { size_ = 0; }
  void swap(MappedArray& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  void clear() {
    if (data_ != nullptr) munmap(data_, capacity_ * sizeof(T));
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

 private:
  void grow(size_t least) {
    const size_t capacity = std::max({least, capacity_ * 2, size_t{65536} / sizeof(T) + 1});
    if (data_ == nullptr) {
      data_ = static_cast<T*>(map_zeroed(capacity * sizeof(T)));
    } else {
      void* moved = mremap(data_, capacity_ * sizeof(T), capacity * sizeof(T), MREMAP_MAYMOVE);
      if (moved == MAP_FAILED) out_of_memory();
      data_ = static_cast<T*>(moved);
    }
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace trace
