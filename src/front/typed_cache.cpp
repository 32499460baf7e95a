#include "front/typed_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "front/effort.h"
#include "front/objects.h"
#include "front/process.h"
#include "front/shrinkers.h"
#include "harden/misuse.h"
#include "harden/poison.h"

namespace ashlar::front {
namespace {

using cache::Batch;
using cache::FreeObject;
using cache::g_registry;
using cache::Registry;
using page::FrameKind;

constexpr size_t kMostSize = size_t{64} << 20;
constexpr size_t kMostAlign = base::kHugeSize;
constexpr unsigned kAllCacheFlags = 2 * ASHLAR_CACHE_KEEP - 1;
// Constructed blocks that wait hold so many bytes; of a cache that keeps all it can, so many.
constexpr size_t kMostWaitingBytes = size_t{4} << 20;
constexpr size_t kMostKeptBytes = size_t{16} << 20;
// Of the slabs whose objects have destructors so many may be empty; one in any case.
constexpr size_t kEmptyShare = 8;
// Live objects are counted so often, a millisecond apart, before their number is believed.
constexpr unsigned kMostLooks = 50;
// What alloc gets where a constructor has failed: that more memory would not help.
constexpr char kCancelledMark = 0;
void* const kCancelled = const_cast<char*>(&kCancelledMark);

// What the slabs' rounding allows: objects that share a line do so with their like alone.
size_t alignment_for(size_t size, const ashlar_cache_args& args) {
  size_t align = std::max(args.align, base::kGrain);
  if ((args.flags & ASHLAR_CACHE_LINES) == 0) return align;
  return std::max(align, std::min(base::kCacheLine, size_t{1} << base::log2_ceil(size)));
}

bool is_allowed(size_t size, const ashlar_cache_args& args) {
  bool is_made = args.construct != nullptr, is_poisoned = (args.flags & ASHLAR_CACHE_POISON) != 0;
  bool is_large = size > base::kMaxCached - 2 * base::kGrain || args.align > base::kFrameSize;
  unsigned never_made = ASHLAR_CACHE_ZERO | ASHLAR_CACHE_POISON | ASHLAR_CACHE_COUNT;
  return size > 0 && size <= kMostSize && (args.flags & ~kAllCacheFlags) == 0 &&
         (args.align == 0 || base::is_power_of_two(args.align)) && args.align <= kMostAlign &&
         !(is_poisoned && is_large) && !(is_made && (args.flags & never_made) != 0) &&
         (is_made || args.destruct == nullptr);
}

}  // namespace

TypedCache::Made TypedCache::create(const char* name, size_t size, const ashlar_cache_args& args) {
  if (name == nullptr || !is_allowed(size, args)) return {nullptr, EINVAL};
  Made made{nullptr, ENOMEM};
  auto make = [&] {
    page::MetaArena& meta = g_heap.pages().meta();
    void* record = nullptr;
    if (g_heap.promote()) record = meta.alloc(sizeof(TypedCache), base::kCacheLine);
    if (record == nullptr) return;
    auto* cache = new (record) TypedCache(name, size, args);
    made = cache->settle() ? Made{cache, 0} : Made{nullptr, ENOSPC};
    if (made.cache == nullptr) meta.free(record, sizeof(TypedCache));
  };
  if (!start_heap() || !inside(make) || made.cache == nullptr) return made;
  TypedCache& cache = *made.cache;
  cache.open_fast_path();
  bool waits = cache.is(kBlocks) && cache.construct_ != nullptr;
  if (cache.keeps_slabs() || waits) cache.add_shrinker();
  return made;
}

TypedCache::TypedCache(const char* name, size_t size, const ashlar_cache_args& args)
    : made_in_(fork_count()),
      flags_(args.flags),
      size_(size),
      align_(alignment_for(size, args)),
      construct_(args.construct),
      destruct_(args.destruct),
      data_(args.data) {
  std::copy_n(name, std::min(base::length_of(name), sizeof name_ - 1), name_);
  if ((flags_ & ASHLAR_CACHE_ZERO) != 0) ways_ |= kZero;
  if ((flags_ & ASHLAR_CACHE_POISON) != 0) ways_ |= kPoison;
  if ((flags_ & ASHLAR_CACHE_COUNT) != 0) ways_ |= kCount;
}

// Each object is malloc's from now on.
void TypedCache::use_blocks() {
  ways_ |= kBlocks | kCount;
  class_ = class_of_aligned(size_, align_);  // 0 where there is none
  cache_ = nullptr;
  lead_ = 0;
}

// Finds the object cache behind this one. False where there is no place for one more.
bool TypedCache::settle() {
  size_t stride = base::round_up(size_, align_);
  uint8_t like = class_of_aligned(size_, align_);  // 0 where there is none
  size_t with_lead = base::round_up(base::round_up(size_, base::kGrain) + base::kGrain, align_);
  if ((makes() ? with_lead : stride) > base::kMaxCached || align_ > base::kFrameSize) {
    use_blocks();
    return true;
  }
  // In what dissolved slabs have left, the neighbour in a line may be another CPU's object.
  bool is_below_line = (flags_ & ASHLAR_CACHE_LINES) != 0 && align_ < base::kCacheLine;
  if (!is_alone() && !is_below_line && kClassSize[like] == stride) {
    class_ = like;
    return true;
  }
  Registry::Own own;
  own.layout = makes() ? slab::layout_with_lead(size_, align_) : slab::layout_for(stride, align_);
  own.layout.has_poison = is(kPoison);
  own.sharing = is_alone() ? Registry::Sharing::kAlone : Registry::Sharing::kShared;
  own.empties = keeps_slabs() ? slab::Empties::kKeep : slab::Empties::kRetire;
  cache_ = g_registry.create_own(own, name_);
  lead_ = cache_ != nullptr ? own.layout.lead : size_t{0};
  if (cache_ != nullptr) return true;
  // Who would share a cache may as well share a class's; and what is constructed can be without
  // slabs, if each time anew.
  if (construct_ != nullptr && (flags_ & ASHLAR_CACHE_NO_MERGE) == 0) use_blocks();
  if (!is_alone()) class_ = like;
  return is(kBlocks) || class_ != 0;
}

// Has itself asked when memory is short.
void TypedCache::add_shrinker() {
  auto whose = is(kBlocks) ? Shrinkers::Whose::kCacheOfBlocks : Shrinkers::Whose::kCacheOfSlabs;
  shrinker_ = g_shrinkers.add(keeps() ? shrink_kept : shrink_asked, this, whose);
}

void TypedCache::open_fast_path() {
  if (g_heap.mode() == os::RseqMode::kNone) {
    ways_ |= kSlowly;
    return;
  }
  if (is(kBlocks)) return;
  word_ = cache_ != nullptr ? cache_->id() : class_;
  bool is_free_fast = !is(kPoison) && !is(kCount);
  if (is_free_fast) map_ = cache_ != nullptr ? cache_->stock().cache_id() : class_;
}

// Objects that the program holds; SIZE_MAX where nobody knows.
size_t TypedCache::count_live() {
  if (is(kCount)) {
    long sum = 0;
    for (Count& count : counts_) sum += count.live.load(std::memory_order_relaxed);
    return sum < 0 ? 0 : static_cast<size_t>(sum);
  }
  size_t live = is_alone() ? 0 : SIZE_MAX;
  // What lies in no magazine and in no slab counts as live: it may be on its way from one to the
  // other in another thread's hands, or wait for a fork to be over. That does not last.
  for (unsigned look = 0; is_alone() && look < kMostLooks; ++look) {
    inside([&] { live = g_registry.count_live(*cache_); });
    if (live == 0 || live == SIZE_MAX) break;
    sleep_a_moment();
  }
  return live;
}

void TypedCache::count(long more) {
  counts_[os::my_place(kCounts)].live.fetch_add(more, std::memory_order_relaxed);
}

void* TypedCache::alloc(unsigned flags, int& error) {
  if ((flags & ASHLAR_NOWAIT) != 0) {
    error = EAGAIN;
    return finish(take_ready(), flags);
  }
  void* object = try_hard(flags, size_, [&] { return take_once(); });
  error = object == kCancelled ? ECANCELED : ENOMEM;
  if (object == kCancelled) return nullptr;
  attend(Start::kAllowed);
  return finish(object, flags);
}

// Without a system call or a lock.
void* TypedCache::take_ready() {
  if (is(kBlocks)) return take_waiting();
  void* handle = behind().take_ready_here();
  if (handle == nullptr) return nullptr;
  mark_used(handle);
  return object_of(handle);
}

// An object, null where memory is out, or kCancelled.
void* TypedCache::take_once() {
  if (is(kBlocks)) return take_block();
  if (word_ != 0)
    if (void* handle = try_alloc_class(word_)) return object_of(handle);
  if (cache_ == nullptr) return take_of_heap();
  void* handle = nullptr;
  Batch batch;
  auto take = [&] {
    handle = cache_->alloc_slow(makes() ? cache::Source::kReady : cache::Source::kAll);
    if (handle == nullptr && makes()) cache_->take_raw(batch);
    finish_slow_path();
  };
  if (!inside_soon(take)) {
    if (void* object = take_beside()) return object;
    inside_sometime(take);
  }
  if (handle != nullptr) mark_used(handle);
  if (batch.count > 0) handle = make_some(batch);
  return handle == nullptr || handle == kCancelled ? handle : object_of(handle);
}

// Of the stride of slabs: where lines are not to be shared, SLOB would else do it.
void* TypedCache::take_of_heap() {
  size_t size = base::round_up(size_, std::min(align_, base::kCacheLine));
  return alloc_memory({.size = size, .align = align_, .is_last = false, .asks_nobody = true})
      .address;
}

void* TypedCache::take_beside() {
  void* object = alloc_beside(size_, align_);
  if (object == nullptr || !makes()) return object;
  if (is(kPoison)) return harden::poison(object, lead_), object;
  return construct_block(object);
}

// A constructed block; null where none waits.
void* TypedCache::take_waiting() {
  for (std::atomic<void*>& place : waiting_)
    if (place.load(std::memory_order_relaxed) != nullptr)
      if (void* block = place.exchange(nullptr)) return block;
  return nullptr;
}

// How many may wait: none where nothing is constructed, or nobody would ask for them.
unsigned TypedCache::most_waiting() const {
  if (construct_ == nullptr || shrinker_ == Shrinkers::kNone) return 0;
  size_t bytes = keeps() ? kMostKeptBytes : kMostWaitingBytes;
  return static_cast<unsigned>(std::min(bytes / size_, size_t{kMostWaiting}));
}

void* TypedCache::take_block() {
  if (void* block = take_waiting()) return block;
  void* block = take_of_heap();
  return block == nullptr || construct_ == nullptr ? block : construct_block(block);
}

void* TypedCache::construct_block(void* block) {
  if (construct_(block, data_) != 0) {
    front::free(block);
    return kCancelled;
  }
  made_.fetch_add(1, std::memory_order_relaxed);
  return block;
}

// A handle of an object that has just been made, while others are made for the magazine here.
void* TypedCache::make_some(Batch& batch) {
  void* first = batch.objects[0];
  make_batch(batch);
  if (batch.count == 0) return kCancelled;
  for (unsigned i = 0; i < batch.count; ++i) mark_used(batch.objects[i]);
  if (!inside_soon([&] { cache_->put_made(batch); }))
    while (batch.count > 1) front::free_slow(batch.objects[--batch.count]);
  return first;
}

// Makes one after the other; those from the first that cannot be made go back.
void TypedCache::make_batch(Batch& batch) {
  unsigned made = 0;
  while (made < batch.count && make(batch.objects[made])) ++made;
  void** unmade = batch.objects + made;
  unsigned count = batch.count - made;
  if (count > 0 && !inside([&] { cache_->stock().flush(unmade, count); }))
    for (unsigned i = 0; i < count; ++i) put_off(*new (unmade[i]) PutOff{nullptr, flush_late});
  batch.count = made;
}

// An object that could not be made, whose handle holds the work.
void TypedCache::flush_late(PutOff& work) {
  static_assert(sizeof(PutOff) <= sizeof(FreeObject));
  void* handle = &work;
  slab_of(handle).stock->flush(&handle, 1);
}

slab::Slab& TypedCache::slab_of(const void* handle) {
  return *static_cast<slab::Slab*>(g_heap.pages().slabs().frame_of(handle).tenant);
}

bool TypedCache::make(void* handle) {
  slab::Slab& slab = slab_of(handle);
  const slab::SlabLayout& layout = cache_->stock().layout();
  if (slab.is_made(layout, handle)) return true;
  if (is(kPoison))
    harden::poison(object_of(handle), lead_);
  else if (construct_(object_of(handle), data_) != 0)
    return false;
  made_.fetch_add(construct_ != nullptr, std::memory_order_relaxed);
  slab.note_made(layout, handle);
  return true;
}

void* TypedCache::finish(void* object, unsigned flags) {
  if (object == nullptr) return nullptr;
  if (is(kPoison)) {
    size_t damage = harden::find_damage(object, lead_);
    if (damage < lead_) misuse::written_when_free(object, name_, damage);
  }
  if (is(kCount)) count(1);
  bool is_zeroed = is(kZero) || (flags & ASHLAR_ZERO) != 0;
  return is_zeroed && construct_ == nullptr ? std::memset(object, 0, size_) : object;
}

void TypedCache::tell_stranger(void* object) {
  page::Zone* zone = g_heap.pages().zone_of(object);
  uint8_t id = zone != nullptr ? zone->class_at(object) : uint8_t{0};
  misuse::wrong_cache(object, name_, id != 0 ? g_registry.at(id).stock().name() : nullptr);
}

// Whether it may be of take_beside().
bool TypedCache::is_beside(const page::Zone& zone, const page::Frame& frame) const {
  bool is_here = g_heap.pages().slabs().contains(zone.address_of(frame));
  return !is_here && frame.count == base::Pages::ceil(size_).n;
}

// Blocks of SLOB and of frames may be malloc's instead of an object. Which it is.
FrameKind TypedCache::check_mine(void* object) {
  page::Zone* zone = g_heap.pages().zone_of(object);
  if (zone == nullptr) tell_stranger(object);
  const page::Frame& frame = zone->frame_of(object);
  // In this order: a slab that is dissolved just now leaves the class map last.
  uint8_t id = zone->class_at(object);
  FrameKind kind = id != 0 ? FrameKind::kSlab : frame.kind_now();
  bool is_mine = false;
  if (id != 0) {
    is_mine = id == behind().stock().cache_id();
    // Where it may wait here, no magazine's end will look at where it begins.
    if (is(kBlocks) && is_mine) {
      GateEntry entry;
      char* start = behind().stock().object_around(object).object;
      if (start != nullptr && start != object) misuse::interior_free(object, start);
    }
  } else if (kind == FrameKind::kSlob || kind == FrameKind::kRemnant) {
    size_t size = front::usable_size(object);  // tells an interior pointer
    is_mine = class_ != 0 && (kind == FrameKind::kSlob || size == kClassSize[class_]);
  } else if (kind == FrameKind::kLarge) {
    bool is_whole = zone->address_of(frame) == object;
    is_mine = is(kBlocks) ? is_whole : cache_ == nullptr || (is_whole && is_beside(*zone, frame));
  }
  if (!is_mine) tell_stranger(object);
  return kind;
}

void TypedCache::free_slow(void* object) {
  if (object == nullptr) return;
  FrameKind kind = check_mine(object);
  if (is(kCount)) count(-1);
  void* handle = handle_of(object);
  bool is_in_slab = kind == FrameKind::kSlab;
  bool is_free = (is_in_slab || kind == FrameKind::kRemnant) && bears_key(handle);
  // What is free has no state to end, and is told.
  if (is(kBlocks)) return is_free ? front::free_slow(object) : free_block(object);
  if (kind == FrameKind::kLarge && cache_ != nullptr) return end_block(object);
  if (is(kPoison) && !is_free) harden::poison(object, lead_);
  bool is_fast = is_in_slab && word_ != 0;
  if (!is_fast || !os::rseq_push(word_, handle)) front::free_slow(handle);
  if (!ends() || keeps()) return;
  slab::StockStats stats = behind().stock().stats();
  end_empties(std::max(stats.slabs / kEmptyShare, size_t{1}));
}

void TypedCache::free_block(void* object) {
  for (std::atomic<void*>& place : waiting_)
    if (place.load(std::memory_order_relaxed) == object) misuse::double_free(object, name_, size_);
  for (unsigned i = most_waiting(); i-- > 0;) {
    void* none = nullptr;
    if (waiting_[i].compare_exchange_strong(none, object)) return;
  }
  end_block(object);
}

void TypedCache::end_block(void* object) {
  if (ends()) destruct_(object, data_);
  front::free(object);
}

ashlar_cache_info TypedCache::info() {
  ashlar_cache_info info = {};
  info.name = name_;
  info.size = size_;
  info.stride = class_ == 0 ? base::Pages::ceil(size_).bytes() : kClassSize[class_];
  info.live = is(kCount) ? count_live() : SIZE_MAX;
  info.made = made_.load(std::memory_order_relaxed);
  if (cache_ == nullptr) return info;
  size_t ready[base::kMaxCaches] = {};
  slab::StockStats stats;
  inside([&] {
    g_registry.count_ready(ready);
    stats = cache_->stock().stats();
  });
  info.stride = cache_->stock().layout().object_size;
  info.ready = std::min(ready[cache_->id()], stats.live);
  info.held = stats.held;
  info.slabs = stats.slabs;
  if (is_alone() && !is(kCount)) info.live = stats.live - info.ready;
  return info;
}

}  // namespace ashlar::front
