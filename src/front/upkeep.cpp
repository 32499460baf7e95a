#include "front/upkeep.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/bits.h"
#include "cache/registry.h"
#include "front/blocks.h"
#include "front/heap.h"
#include "front/pressure.h"
#include "front/process.h"
#include "front/reaper.h"
#include "front/shrinkers.h"
#include "front/small_heap.h"
#include "os/env.h"
#include "os/lock.h"

namespace ashlar::front {

using cache::g_registry;

namespace {

ASHLAR_START_DATA std::atomic<uint64_t> g_next_reap_ms{0};

// Not in the heap: a small process never comes so far as to touch it.
constinit Pressure g_pressure;
constinit os::Topology g_topology;
// A smaller heap does not look for nodes.
constexpr size_t kLeastNodes = (size_t{16} << 20) / base::kFrameSize;
ASHLAR_START_DATA std::atomic<bool> g_has_nodes{false};  // looked for, and found or not
// The heap has been so large, or above its bound, that pressure counts.
ASHLAR_START_DATA std::atomic<bool> g_has_pressure{false};

ASHLAR_START_DATA std::atomic<PutOff*> g_put_off{nullptr};

// Where the heap grows by so much, it is looked whether objects of other sizes lie idle.
constexpr size_t kMuchGrown = (size_t{4} << 20) / base::kFrameSize;
constexpr size_t kGrownShare = 16;
ASHLAR_START_DATA std::atomic<size_t> g_least_held{0};

// Of looks at the same moment each so many counts; when the last one was, and how many there were.
constexpr uint32_t kLooksOfAMoment = 8;
ASHLAR_CACHE_DATA std::atomic<uint64_t> g_looked_at_ms{0};
ASHLAR_CACHE_DATA std::atomic<uint32_t> g_looks{0};

// Between two looks whether another thread has returned what it is about to.
constexpr unsigned kReturnWaitUs = 50;

void sleep_us(unsigned microseconds) {
  static constinit const std::atomic<uint32_t> never{0};
  os::futex_wait(never, 0, microseconds);
}

page::Retention retention_of(const Options& options) {
  return {.percent = options.retain_percent,
          .least_bytes = options.retain_kib * 1024,
          .interval_ms = static_cast<uint32_t>(options.decay_ms)};
}

page::Manners manners_of(const Options& options, const char* name) {
  using HugePages = page::Manners::HugePages;
  HugePages huge = options.thp == Options::kAuto    ? HugePages::kAuto
                   : options.thp == Options::kNever ? HugePages::kNever
                                                    : HugePages::kAlways;
  return {.huge_pages = huge, .name = options.names != 0 ? name : nullptr};
}

// Of a heap that SLOB serves, so many pages lie ready. A worker that serves one request after the
// other, and holds little between them, needs two or three (bench/workloads/prefork).
constexpr unsigned kMostReady = 4;

constexpr uint64_t kKibOfFrame = base::kFrameSize / 1024;

// A bound in frames.
size_t frames_of(uint64_t kib) {
  return kib == Options::kUnlimited ? page::Budget::kUnlimited
                                    : std::max(kib / kKibOfFrame, uint64_t{1});
}

uint64_t kib_of(size_t frames) {
  return frames == page::Budget::kUnlimited ? Options::kUnlimited : frames * kKibOfFrame;
}

uint64_t slob_max_of(const Options& options) {
  return options.slob_max == Options::kUnlimited ? Promotion::kUnlimited : options.slob_max * 1024;
}

uint64_t now_ms() {
  return g_heap.pages().slabs().vm().now_ms();
}

// However long free memory is kept, so often at least it is seen whether memory is short.
constexpr uint32_t kMostPressureMs = 1000;

void give_back_meanwhile();

// While memory is short: all that can be goes back, and the program's caches are asked for the
// rest.
ASHLAR_NOINLINE void follow_pressure(uint64_t now) {
  page::Budget& budget = g_heap.pages().budget();
  Pressure::Rules rules{.follows = g_heap.follows_container(),
                        .interval_ms = std::min(g_heap.interval_ms(), kMostPressureMs)};
  if (!g_pressure.look(budget, rules, now)) [[likely]]
    return;
  give_back_meanwhile();
  g_heap.set_wish(g_pressure.wish(budget));
}

// A small process looks at no pressure, and has nothing of that in memory.
void relieve(uint64_t now) {
  page::Budget& budget = g_heap.pages().budget();
  if (!g_has_pressure.load(std::memory_order_relaxed)) {
    bool is_small = budget.held() < Pressure::kLeastWatched && budget.over() == 0;
    if (is_small) return budget.close_reserve();
    g_has_pressure.store(true, std::memory_order_relaxed);
  }
  follow_pressure(now);
}

// What another thread is returning counts as held until that is done, and it passes by what has
// come free meanwhile. Whether there was one.
bool wait_for_purges() {
  bool has_waited = false;
  auto is_any = [] { return g_heap.pages().is_purging() || SmallHeap::are_others_returning(); };
  for (; is_any() && is_gate_open(); has_waited = true) sleep_us(kReturnWaitUs);
  return has_waited;
}

// Whether what comes free may serve a request. Where the bounds have room for what shall be pinned,
// the process may lock no more (RLIMIT_MEMLOCK): then only what is pinned helps.
bool may_help(size_t bytes, page::Manners::Where where) {
  page::PageHeap& pages = g_heap.pages();
  size_t frames = base::Pages::ceil(bytes).n;
  if (!pages.budget().may_help(frames)) return false;
  bool is_pinned = where == page::Manners::Where::kPinned;
  if (!is_pinned || !pages.budget().has_room(frames, page::Budget::For::kLarge)) return true;
  size_t pinned = 0;
  pages.for_each_zone(
      [&](page::Zone& zone) { pinned += zone.is_pinned() ? zone.live_bytes() : 0; });
  return pinned >= bytes;
}

void find_nodes_if_large() {
  if (g_has_nodes.load(std::memory_order_relaxed)) return;
  if (g_heap.pages().budget().held() >= kLeastNodes) g_heap.find_nodes();
}

// Whether the heap holds so much more than it did at its least since it was last so. One thread of
// those that see it is told.
ASHLAR_NOINLINE bool has_grown(size_t held) {
  size_t least = g_least_held.load(std::memory_order_relaxed);
  bool has_grown = held > least + std::max(kMuchGrown, least / kGrownShare);
  return (held < least || has_grown) && g_least_held.compare_exchange_strong(least, held) &&
         has_grown;
}

// Whether the last interval ended so short a time ago that nothing could be idle since.
bool has_just_been(uint64_t due, uint64_t now, uint64_t interval) {
  constexpr uint64_t kShort = 16;
  return due > now + interval - std::min(interval / 8, kShort);
}

// Within a millisecond nothing ages, and what is too much tells so itself: a few looks will do
// there. They are most of what the longest of a thousand calls takes.
ASHLAR_NOINLINE bool is_worth_a_look(uint64_t now) {
  uint32_t looks = g_looks.load(std::memory_order_relaxed);
  g_looks.store(looks + 1, std::memory_order_relaxed);
  if (now == g_looked_at_ms.load(std::memory_order_relaxed) && looks % kLooksOfAMoment != 0)
    return false;
  g_looked_at_ms.store(now, std::memory_order_relaxed);
  return true;
}

// Zones look at the clock themselves, each at its own pace.
void reap_idle() {
  if (!base::kHasCaches) return g_heap.pages().trim();
  uint64_t now = now_ms();
  if (g_heap.is_promoted() && !is_worth_a_look(now)) return;  // else looks are few
  g_heap.note_process();
  find_nodes_if_large();
  if (g_heap.is_promoted()) g_registry.trim(now);
  g_heap.pages().trim();
  relieve(now);
  bool has_objects = g_heap.is_promoted();
  bool grows = has_objects && has_grown(g_heap.pages().budget().held());
  uint64_t due = g_next_reap_ms.load(std::memory_order_relaxed);
  // One thread of those that see the time come ends the interval.
  uint64_t interval = g_heap.interval_ms();
  bool is_due = page::has_come(due, now, interval) &&
                g_next_reap_ms.compare_exchange_strong(due, now + interval);
  if (is_due) {
    g_heap.promotion().end_interval();
    g_heap.slob().drop_kept();
    note_bytes();
    if (SmallHeap::is_any()) [[unlikely]]
      SmallHeap::trim_all();
  }
  if (is_due && has_objects)
    g_registry.reap();
  else if (grows && !has_just_been(due, now, interval))
    g_registry.reap_idle();
}

}  // namespace

bool Heap::start() {
  os::start_env();
  options_ = options_from_environment();
  if (!pages_.start(os::kVm, retention_of(options_), manners_of(options_, "ashlar slabs")))
    return false;
  apply(options_);
  if (!base::kHasCaches) {
    slob_.start(pages_.slabs(), pages_.meta());
    return true;
  }
  void* rows = pages_.meta().alloc(slob::kShelves * sizeof(slob::Row), base::kCacheLine);
  slob_.start(pages_.slabs(), pages_.meta(), kMostReady, &kept_, static_cast<slob::Row*>(rows));
  promotion_.start(slob_max_of(options_));
  if (options_.nodes > 1) find_nodes();
  return true;
}

page::Manners Heap::manners(const char* name) const {
  return manners_of(options_, name);
}

void Heap::find_nodes() {
  if (!base::kHasCaches) return;
  os::Locked held(promotion_lock_);
  if (g_has_nodes.exchange(true, std::memory_order_relaxed) || options_.nodes == 1) return;
  if (options_.nodes != Options::kFound)
    g_topology.imitate(static_cast<unsigned>(options_.nodes));
  else if (!g_topology.find(""))
    return;
  pages_.set_nodes(g_topology);
}

void Heap::apply(const Options& options) {
  options_ = options;
  interval_ms_.store(static_cast<uint32_t>(options.decay_ms), std::memory_order_relaxed);
  pages_.budget().set(
      {.soft = frames_of(options.soft_limit_kib), .hard = frames_of(options.limit_kib)});
  if (!base::kHasCaches) return;
  follows_container_.store(options.container != 0, std::memory_order_relaxed);
}

void Heap::set_bounds(page::Budget::Bounds bounds) {
  os::Locked held(promotion_lock_);
  options_.soft_limit_kib = kib_of(bounds.soft);
  options_.limit_kib = kib_of(bounds.hard);
  pages_.budget().set(bounds);
}

void Heap::set_retention(size_t percent, size_t least_bytes) {
  os::Locked held(promotion_lock_);
  options_.retain_percent = percent;
  options_.retain_kib = least_bytes / 1024;
  pages_.set_retention(
      {.percent = percent, .least_bytes = least_bytes, .interval_ms = interval_ms()});
}

bool Heap::configure(const char* text, base::Text& faults) {
  os::Locked held(promotion_lock_);
  Options options = options_;
  if (!parse_options(text, When::kLater, options, faults)) return false;
  apply(options);
  pages_.set_retention(retention_of(options));
  return true;
}

void sleep_a_moment() {
  sleep_us(1000);
}

void reap_caches() {
  if (base::kHasCaches) g_heap.slob().drop_kept();
  g_heap.slob().reap();
  note_bytes();
  if (g_heap.is_promoted()) g_registry.reap_everything();
}

namespace {

enum class Others : uint8_t { kPassBy, kWaitFor };

bool give_back_beside(Others others) {
  if (base::kHasCaches) catch_up();
  reap_caches();
  bool has_purged = false;
  for (unsigned tries = 0; tries < kReturnTries; ++tries) {
    has_purged |= g_heap.is_promoted() && g_registry.purge_everything(now_ms()) > 0;
    has_purged |= g_heap.pages().purge(0) > 0;
    if (base::kHasCaches && SmallHeap::is_any()) has_purged |= SmallHeap::give_back_all();
    if (!base::kHasCaches || others == Others::kPassBy || !wait_for_purges()) break;
    has_purged = true;
  }
  return (is_gate_open() && g_heap.pages().purge_beside() > 0) || has_purged;
}

// Whoever has come by for a few bytes waits for nobody who is returning memory.
ASHLAR_COLD void give_back_meanwhile() {
  give_back_beside(Others::kPassBy);
}

}  // namespace

bool give_back() {
  return give_back_beside(Others::kWaitFor);
}

void maintain() {
  bool is_look_due = g_heap.count_call();
  if (base::kHasCaches && g_put_off.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
    catch_up();
  // Slabs first: what they leave empty is the zone's.
  if (g_heap.is_promoted() && cache::g_remnants.has_wish()) g_registry.dissolve();
  if (base::kHasCaches && g_heap.pages().vacancy().wants_trim()) g_registry.trim(now_ms());
  if (g_heap.pages().wants_trim()) g_heap.pages().trim();
  if (is_look_due) reap_idle();
}

void put_off(PutOff& work) {
  work.next = g_put_off.load(std::memory_order_relaxed);
  while (!g_put_off.compare_exchange_weak(work.next, &work, std::memory_order_release)) {
  }
}

// Within another slow path locks may be held. In a child whose handlers have not all run the list
// may be torn.
void catch_up() {
  if (os::this_thread().gate_depth <= 1 && is_gate_open()) catch_up_in_fork();
}

// In the order in which it was put off.
void catch_up_in_fork() {
  PutOff* last = g_put_off.exchange(nullptr, std::memory_order_acquire);
  PutOff* first = nullptr;
  while (last != nullptr) {
    PutOff* before = std::exchange(last->next, first);
    first = std::exchange(last, before);
  }
  while (first != nullptr) {
    PutOff& work = *first;
    first = work.next;  // the work may end what it stands in
    work.run(work);
  }
}

void attend(Start start) {
  if (base::kHasCaches && g_heap.has_reaper() && os::has_other_threads()) [[unlikely]]
    wake_reaper(start == Start::kAllowed);
}

void reset_upkeep_in_child() {
  g_pressure.reset_in_child();
  g_put_off.store(nullptr, std::memory_order_relaxed);
}

// While a fork is under way, or a shrinker is asked already, the wish stays for others to see to.
void answer_wish() {
  const os::ThreadState& me = os::this_thread();
  if (!base::kHasCaches || me.gate_depth != 0 || me.shrinking != 0 || !is_gate_open()) return;
  size_t wish = g_heap.take_wish();
  // So it was when the wish was made.
  bool is_short = g_heap.pages().budget().over() > 0 || g_pressure.is_system_short();
  if (wish != 0 && is_short) g_shrinkers.ask(wish);
}

bool reap(GateWait wait) {
  bool has_returned = false;
  auto give = [&] {
    has_returned = give_back();
    if (base::kHasCaches) g_heap.pages().retract();
  };
  if (is_heap_started()) inside_gate(wait, give);
  return has_returned;
}

bool ask_program(size_t bytes, page::Manners::Where where, unsigned round) {
  // Called from within the slow path, the gate is passed, and locks may be held.
  if (!base::kHasCaches || os::this_thread().gate_depth != 0 || !may_help(bytes, where))
    return false;
  if (g_shrinkers.ask(bytes << round) == 0) return false;
  reap();  // what was freed counts against the bound until then
  return true;
}

const os::Topology* nodes() {
  if (!start_heap()) return nullptr;
  Stay stay;
  if (stay.is_open()) g_heap.find_nodes();
  return g_heap.pages().nodes().topology();
}

uint32_t slow_calls() {
  return g_heap.calls();
}

void reap_by_age() {
  GateEntry entry;
  if (entry.is_open()) reap_idle();
}

void set_retention(size_t percent, size_t least_bytes) {
  if (!start_heap()) return;
  g_heap.set_retention(percent, least_bytes);
}

bool configure(const char* text, base::Text& faults) {
  return start_heap() && g_heap.configure(text, faults);
}

bool set_limits(page::Budget::Bounds bounds) {
  if (!start_heap()) return false;
  g_heap.set_bounds(bounds);
  return true;
}

}  // namespace ashlar::front
