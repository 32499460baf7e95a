#include "slab/slab.h"

#include "base/bits.h"
#include "base/check.h"

namespace slab {

void Slab::start(const SlabLayout& layout, char* first_object) {
  objects = first_object;
  count = layout.count;
  free_count = layout.count;
  hint = 0;
  for (unsigned word = 0, left = layout.count; left > 0; ++word) {
    unsigned here = left < 64 ? left : 64;
    bits_[word] = base::low_mask(here);
    left -= here;
  }
}

unsigned Slab::take(const SlabLayout& layout, void** out, unsigned most) {
  unsigned taken = 0;
  unsigned want = most < free_count ? most : free_count;
  for (unsigned word = hint; taken < want; ++word) {
    uint64_t bits = bits_[word];
    hint = static_cast<uint8_t>(word);
    while (bits != 0 && taken < want) {
      uint32_t index = word * 64 + base::lowest_bit(bits);
      bits &= bits - 1;
      out[taken++] = objects + size_t{index} * layout.object_size;
    }
    bits_[word] = bits;
  }
  free_count -= taken;
  return taken;
}

char* Slab::object_around(const SlabLayout& layout, const void* address) const {
  const char* p = static_cast<const char*>(address);
  if (p < objects) return nullptr;
  uint32_t index = layout.index_of(static_cast<size_t>(p - objects));
  if (index >= count) return nullptr;
  return objects + size_t{index} * layout.object_size;
}

Slab::Put Slab::put(const SlabLayout& layout, void* object) {
  if (object_around(layout, object) != object) return Put::kNoObject;
  uint32_t index = layout.index_of(static_cast<size_t>(static_cast<char*>(object) - objects));
  if (is_free(index)) return Put::kWasFree;
  bits_[index / 64] |= uint64_t{1} << (index % 64);
  if (index / 64 < hint) hint = static_cast<uint8_t>(index / 64);
  ++free_count;
  return Put::kDone;
}

void Slab::audit(const SlabLayout& layout) const {
  ASHLAR_CHECK(count == layout.count);
  unsigned set = 0;
  for (unsigned word = 0; word < (count + 63u) / 64; ++word) {
    set += static_cast<unsigned>(std::popcount(bits_[word]));
    ASHLAR_CHECK(word >= hint || bits_[word] == 0);
  }
  ASHLAR_CHECK(set == free_count);
  if (count % 64 != 0) ASHLAR_CHECK((bits_[count / 64] & ~base::low_mask(count % 64)) == 0);
}

}  // namespace slab
