// front/typed_cache_bulk.cpp -- many objects at once.
#include <algorithm>

#include "front/objects.h"
#include "front/typed_cache.h"

namespace ashlar::front {

using cache::FreeObject;

int TypedCache::alloc_bulk(unsigned flags, void** objects, size_t count, size_t got) {
  int error = 0;
  bool is_fast = word_ != 0 && (flags & ASHLAR_NOWAIT) == 0;
  while (got < count) {
    size_t more = is_fast ? take_some(objects + got, count - got) : 0;
    if ((flags | ways_) != 0)
      for (size_t i = 0; i < more; ++i) finish(objects[got + i], flags);
    got += more;
    if (got == count) break;
    void* object = alloc(flags, error);
    if (object == nullptr) break;
    objects[got++] = object;
  }
  if (got == count) return 0;
  free_bulk(objects, got);
  return error;
}

size_t TypedCache::put_some(void* const* objects, size_t count) {
  if (map_ == kNoMap) return 0;
  // Objects are chained to what the magazine holds. Should it hold something else by the time that
  // the chain is finished, or be another CPU's, nothing has happened.
  os::CpuArea* area = os::rseq_area();
  uint64_t loaded = __atomic_load_n(&area->words[word_], __ATOMIC_RELAXED), word = loaded;
  // Copies: what is written to objects might, for all the compiler knows, change the originals.
  char* const window = os::g_fast_line.window;
  const size_t window_size = os::g_fast_line.window_size, lead = lead_;
  const uint8_t *const class_map = os::g_fast_line.class_map, map = map_;
  const size_t most = std::min(count, cache::room_in(word));
  uint64_t height = cache::height_of(word);
  size_t put = 0;
  for (; put < most; ++put) {
    char* object = static_cast<char*>(objects[put]);
    auto offset = static_cast<size_t>(object - window);
    if (offset >= window_size || class_map[offset >> base::kFrameShift] != map) break;
    auto* handle = reinterpret_cast<FreeObject*>(object + lead);
    if (bears_key(handle)) break;  // one by one it is told
    word = cache::pushed(word, handle, ++height);
  }
  if (put == 0 || os::rseq_exchange(area, word_, loaded, word)) return put;
  for (size_t i = 0; i < put; ++i) mark_used(handle_of(objects[i]));
  return 0;
}

void TypedCache::free_bulk(void* const* objects, size_t count) {
  for (size_t done = 0; done < count;) {
    size_t put = put_some(objects + done, count - done);
    done += put;
    if (put > 0) continue;
    if (!try_free(objects[done])) free_slow(objects[done]);
    ++done;
  }
}

}  // namespace ashlar::front
