#include "base/grain_map.h"

#include <algorithm>

#include "base/attributes.h"
#include "base/bit_map.h"
#include "base/bits.h"
#include "base/check.h"

namespace ashlar::base {
namespace {

// The first grain from `from` on whose bit is set in the words that word(i) gives.
template <class Word>
unsigned next_set(unsigned from, Word word) {
  for (unsigned i = from / 64; i < kGrains / 64; ++i, from = 0) {
    uint64_t bits = word(i) & ~low_mask(from % 64);
    if (bits != 0) return i * 64 + lowest_bit(bits);
  }
  return kNoGrain;
}

// Most blocks lie within a word. (The small library has one way for all.)
ASHLAR_INLINE void set_bits(uint64_t* words, unsigned first, unsigned count) {
  if (!kHasCaches || first % 64 + count > 64) return BitMap(words).set(first, count);
  uint64_t& word = words[first / 64];
  __atomic_store_n(&word, word | low_mask(count) << (first % 64), __ATOMIC_RELEASE);
}

ASHLAR_INLINE void clear_bits(uint64_t* words, unsigned first, unsigned count) {
  if (!kHasCaches || first % 64 + count > 64) return BitMap(words).clear(first, count);
  uint64_t& word = words[first / 64];
  __atomic_store_n(&word, word & ~(low_mask(count) << (first % 64)), __ATOMIC_RELEASE);
}

}  // namespace

void GrainMap::clear() {
  free_grains_ = kGrains;
  longest_ = kGrains;
  std::fill_n(taken_, kWords, 0);
  std::fill_n(begins_, kWords, 0);
}

unsigned GrainMap::next_taken(unsigned from) const {
  return next_set(from, [&](unsigned i) { return taken_[i]; });
}

unsigned GrainMap::next_free(unsigned from) const {
  return next_set(from, [&](unsigned i) { return ~taken_[i]; });
}

unsigned GrainMap::end_of(unsigned grain) const {
  return next_set(grain + 1, [&](unsigned i) { return begins_[i] | ~taken_[i]; });
}

unsigned GrainMap::peek_length(unsigned grain) const {
  auto peek = [](const uint64_t& word) { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); };
  if ((peek(begins_[grain / 64]) >> (grain % 64) & 1) == 0) return 0;
  return next_set(grain + 1, [&](unsigned i) { return peek(begins_[i]) | ~peek(taken_[i]); }) -
         grain;
}

unsigned GrainMap::block_around(unsigned grain) const {
  unsigned word = grain / 64;
  uint64_t bits = begins_[word] & low_mask(grain % 64 + 1);
  while (bits == 0) bits = begins_[--word];
  return word * 64 + log2_floor(bits);
}

// Behind the last grain in front of a free one that is taken.
unsigned GrainMap::run_start(unsigned grain) const {
  unsigned word = grain / 64;
  uint64_t bits = taken_[word] & low_mask(grain % 64);
  while (bits == 0 && word > 0) bits = taken_[--word];
  return bits == 0 ? 0 : word * 64 + log2_floor(bits) + 1;
}

void GrainMap::mark(unsigned first, unsigned count) {
  set_bits(taken_, first, count);
  free_grains_ = static_cast<uint16_t>(free_grains_ - count);
  if (kHasCaches) longest_ = std::min(longest_, free_grains_);
}

void GrainMap::unmark(unsigned first, unsigned count) {
  clear_bits(taken_, first, count);
  free_grains_ = static_cast<uint16_t>(free_grains_ + count);
}

ASHLAR_INLINE void GrainMap::begin(unsigned grain, unsigned count) {
  mark(grain, count);
  set_bits(begins_, grain, 1);
}

void GrainMap::place(unsigned grain, unsigned count) {
  begin(grain, count);
}

// The lowest run of up to a word of grains. Each step leaves those bits of two words behind which
// twice as many are free.
unsigned GrainMap::find_short(unsigned count) const {
  // Every bit, every second, fourth, ...: each run of so many has one of these.
  static constexpr uint64_t kEvery[] = {~uint64_t{0},       0xaaaaaaaaaaaaaaaa, 0x8888888888888888,
                                        0x8080808080808080, 0x8000800080008000, 0x8000000080000000,
                                        0x8000000000000000};
  uint64_t some = kEvery[log2_floor(count)];
  for (unsigned i = 0; i < kWords; ++i) {
    if ((~taken_[i] & some) == 0) continue;
    uint64_t low = ~taken_[i], high = i + 1 < kWords ? ~taken_[i + 1] : 0;
    for (unsigned have = 1; have < count;) {
      unsigned step = std::min(have, count - have);
      low &= low >> step | high << (64 - step);
      high &= high >> step;
      have += step;
    }
    if (low != 0) return i * 64 + lowest_bit(low);
  }
  return kNoGrain;
}

unsigned GrainMap::take(unsigned count, unsigned align) {
  if (count > longest_) return kNoGrain;
  if (kHasCaches && count <= 64 && align == 1) {
    unsigned first = find_short(count);
    if (first == kNoGrain)
      longest_ = static_cast<uint16_t>(count - 1);
    else
      begin(first, count);
    return first;
  }
  unsigned seen = 0;
  for (unsigned run = next_free(0), end; run != kNoGrain; run = next_free(end)) {
    end = next_taken(run);
    unsigned first = (run + align - 1) & ~(align - 1);
    if (first + count <= end) {
      begin(first, count);
      return first;
    }
    seen = std::max(seen, end - run);
  }
  longest_ = static_cast<uint16_t>(seen);  // all runs were looked at
  return kNoGrain;
}

void GrainMap::put(unsigned grain, unsigned count) {
  ASHLAR_ASSERT(count == length_at(grain));
  unsigned end = grain + count;
  clear_bits(begins_, grain, 1);
  unmark(grain, count);
  unsigned run = next_taken(end) - run_start(grain);
  longest_ = static_cast<uint16_t>(std::max<unsigned>(longest_, run));
}

bool GrainMap::try_resize(unsigned grain, unsigned count) {
  unsigned end = end_of(grain);
  unsigned wanted = grain + count;
  if (wanted > kGrains || next_taken(end) < wanted) return false;
  if (wanted > end) mark(end, wanted - end);
  if (wanted < end) {
    unmark(wanted, end - wanted);
    unsigned run = next_taken(wanted) - wanted;
    longest_ = static_cast<uint16_t>(std::max<unsigned>(longest_, run));
  }
  return true;
}

void GrainMap::audit() const {
  unsigned taken = 0;
  for (unsigned i = 0; i < kWords; ++i) {
    ASHLAR_CHECK((begins_[i] & ~taken_[i]) == 0);
    taken += static_cast<unsigned>(std::popcount(taken_[i]));
  }
  ASHLAR_CHECK(free_grains_ == kGrains - taken);
  for (unsigned run = next_free(0), end; run != kNoGrain; run = next_free(end)) {
    end = next_taken(run);
    ASHLAR_CHECK(end - run <= longest_);
    ASHLAR_CHECK(end == kNoGrain || begins(end));
  }
  ASHLAR_CHECK(!is_taken(0) || begins(0));
}

}  // namespace ashlar::base
