// front/typed_cache.h -- a cache as programmers have it: with a name, constructors, flags.
//
// Idea
//   Behind each stands an object cache (cache/object_cache.h): one of malloc's, where the layout is
//   the same and nothing is asked for that those do not have; one that is shared with others of
//   that layout; or one of its own. What the type adds is here: objects are constructed and
//   destructed, filled and looked at, and counted. Objects that are too large for slabs are blocks
//   of malloc's, and so are constructed ones where there is no place for slabs of their own; a few
//   that are constructed wait here.
//
//   The fast path asks no questions: it compares flags with 0, where those of a cache that wants
//   more than a magazine's object are never 0, and the class map with the slabs' id.
//
//   All of the program's code runs with no lock held and outside the gate: objects from the slabs
//   are private to the thread that makes them, and a slab whose objects are ended is out of
//   everybody's sight. What a thread has so in its hands while another one forks is lost to the
//   child, which need not know of it: there live objects are no misuse.
//
//   Who finds nothing ready while another thread forks may hold a lock that the fork waits for: its
//   object is a block beside the heap (front/process.h), made when it is given out and ended when
//   it comes back.
//
// Invariants
//   1. Every object in a magazine, a depot, or waiting here has been constructed, or poisoned.
//
// Locking
//   None of its own: the large objects that wait are in slots that are exchanged atomically.
//
// Source
//   J. Bonwick, The Slab Allocator, USENIX Summer 1994. Merging: Linux mm/slab_common.c.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ashlar/cache.h"
#include "cache/registry.h"
#include "front/heap.h"
#include "front/upkeep.h"

namespace ashlar::front {

class TypedCache {
 public:
  /// How one is made; errors are errno's.
  struct Made {
    TypedCache* cache = nullptr;
    int error = 0;
  };
  static Made create(const char* name, size_t size, const ashlar_cache_args& args);
  /// Ends it. Live objects are misuse.
  void destroy();

  /// An object, or null and in `error` why there is none.
  void* alloc(unsigned flags, int& error);
  /// What the fast path does not serve.
  void free_slow(void* object);

  /// All of `count` objects, the first `got` of which are there already, or none: then errno's word
  /// for why, else 0.
  int alloc_bulk(unsigned flags, void** objects, size_t count, size_t got);
  void free_bulk(void* const* objects, size_t count);

  /// Puts as many on this CPU's magazine as fit, up to one that is not this cache's or is free: how
  /// many, from the first.
  size_t put_some(void* const* objects, size_t count);

  /// Gives back what is free. The bytes of slabs, and of large objects, that went.
  size_t shrink();
  /// The same for all caches with destructors, or with constructed blocks that wait.
  static size_t shrink_all();

  ashlar_cache_info info();
  /// The bytes of an object that may be cleared when it is given out.
  size_t clearable() const { return construct_ != nullptr ? 0 : size_; }

  /// One that lies ready in this CPU's magazine; null where the slow path has to be taken.
  ASHLAR_INLINE void* try_alloc(unsigned flags) const {
    if ((flags | ways_) != 0) [[unlikely]]
      return nullptr;
    void* handle = try_alloc_class(word_);
    return handle == nullptr ? nullptr : object_of(handle);
  }
  /// As many of `most` as lie ready in this CPU's magazine.
  ASHLAR_INLINE size_t try_alloc_some(void** objects, size_t most, unsigned flags) const {
    if ((flags | ways_) != 0 || most == 0) [[unlikely]]
      return 0;
    return take_some(objects, most);
  }
  /// Whether the fast path may take it back: it is this cache's, and nothing else is to be done.
  ASHLAR_INLINE bool is_free_fast(const void* object) const {
    const os::FastLine& line = os::g_fast_line;
    size_t offset = static_cast<size_t>(static_cast<const char*>(object) - line.window);
    return offset < line.window_size && line.class_map[offset >> base::kFrameShift] == map_;
  }
  ASHLAR_INLINE bool try_free_handle(void* handle) const { return os::rseq_push(word_, handle); }
  ASHLAR_INLINE bool try_free(void* object) const {
    return is_free_fast(object) && try_free_handle(handle_of(object));
  }
  // The link of an object, and so what magazines hold, lies behind what keeps its state.
  void* object_of(void* handle) const { return static_cast<char*>(handle) - lead_; }
  void* handle_of(void* object) const { return static_cast<char*>(object) + lead_; }

 private:
  // What a cache wants beyond a magazine's object; together with a request's flags.
  enum Way : uint32_t {
    kZero = 1u << 16,
    kPoison = 1u << 17,
    kCount = 1u << 18,
    kBlocks = 1u << 19,  // each object is a block of malloc's
    kSlowly = 1u << 20,  // there is no fast path, for want of restartable sequences
  };
  static constexpr uint8_t kNoMap = 255;  // which no frame says

  TypedCache(const char* name, size_t size, const ashlar_cache_args& args);
  // Does `what` inside the gate, as slow paths do, and first what has been put off: it may be this
  // cache's. False where a fork has kept the gate closed for long.
  template <class What>
  static bool inside(What what) {
    return inside_sometime([&] {
      catch_up();
      what();
      finish_slow_path();
    });
  }
  bool settle();
  void use_blocks();
  void add_shrinker();
  void open_fast_path();
  bool is(Way way) const { return (ways_ & way) != 0; }
  bool makes() const { return construct_ != nullptr || is(kPoison); }
  bool ends() const { return destruct_ != nullptr; }
  bool keeps() const { return (flags_ & ASHLAR_CACHE_KEEP) != 0; }
  bool keeps_slabs() const { return ends() || (keeps() && construct_ != nullptr); }
  bool is_alone() const { return makes() || (flags_ & ASHLAR_CACHE_NO_MERGE) != 0; }
  // The caches behind it; id 0 where malloc's has not come to life.
  cache::ObjectCache& behind() const {
    return cache_ != nullptr ? *cache_ : cache::g_registry.at(class_);
  }

  static void mark_used(void* handle) { static_cast<cache::FreeObject*>(handle)->key = 0; }
  void* take_ready();
  void* take_once();
  void* take_of_heap();
  void* take_beside();
  void* take_block();
  void* construct_block(void* block);
  bool is_beside(const page::Zone& zone, const page::Frame& frame) const;
  void* take_waiting();
  unsigned most_waiting() const;
  void* make_some(cache::Batch& batch);
  bool make(void* handle);
  void make_batch(cache::Batch& batch);
  void* finish(void* object, unsigned flags);
  void free_block(void* object);
  void end_block(void* object);
  [[noreturn]] void tell_stranger(void* object);
  page::FrameKind check_mine(void* object);
  // How many are taken at once: few enough that the processor still clears their keys while it
  // waits for the links of the next ones, where those cannot be guessed.
  static constexpr size_t kFew = 16;
  ASHLAR_INLINE size_t take_some(void** objects, size_t most) const {
    size_t count = 0, more = 0;
    do {
      void** taken = objects + count;
      more = os::rseq_pop_some(word_, taken, most - count < kFew ? most - count : kFew);
      for (size_t i = 0; i < more; ++i) mark_used(taken[i]);
      if (lead_ != 0)
        for (size_t i = 0; i < more; ++i) taken[i] = object_of(taken[i]);
      count += more;
    } while (more == kFew && count < most);
    return count;
  }
  size_t end_empties(size_t spared, bool is_last = false);
  size_t end_waiting();
  size_t shrink_now();
  void end();
  void count(long more);
  size_t count_live();

  // What a fork has kept from being done at once.
  static slab::Slab& slab_of(const void* handle);
  static void end_late(PutOff& work);
  static void flush_late(PutOff& work);
  static void retire_late(PutOff& work);

  static size_t shrink_asked(void* cache, size_t bytes);
  static size_t shrink_kept(void* cache, size_t bytes);

  // What the fast path looks at.
  uint32_t ways_ = 0;
  uint8_t map_ = kNoMap;
  size_t word_ = 0, lead_ = 0;           // of a register's width: a load adds them
  cache::ObjectCache* cache_ = nullptr;  // null where it has malloc's, or blocks

  uint8_t class_ = 0;     // of malloc's; 0 where there is none
  uint32_t made_in_ = 0;  // the fork_count() of the process that made it
  unsigned shrinker_ = UINT32_MAX;
  unsigned flags_ = 0;
  size_t size_ = 0, align_ = 0;
  ashlar_constructor* construct_ = nullptr;
  ashlar_destructor* destruct_ = nullptr;
  void* data_ = nullptr;
  std::atomic<size_t> made_{0};
  static constexpr unsigned kMostWaiting = 16;
  std::atomic<void*> waiting_[kMostWaiting] = {};
  struct End : PutOff {
    TypedCache* cache;
  };
  End end_{{nullptr, end_late}, this};
  char name_[32] = {};
  // Counted on two lines: threads that use the cache at once meet less often.
  static constexpr unsigned kCounts = 2;
  struct alignas(base::kCacheLine) Count {
    std::atomic<long> live{0};
  };
  Count counts_[kCounts];
};

}  // namespace ashlar::front
