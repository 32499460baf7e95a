#include "front/pool.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/check.h"
#include "front/effort.h"
#include "front/process.h"

namespace ashlar::front {
namespace {

// Who waits asks the source again so often.
constexpr uint64_t kAskAgainMs = 100;
// And in each so many of these turns by all means: then everybody is asked to give back.
constexpr unsigned kTurnsOfAll = 10;

uint32_t top_of(uint64_t head) {
  return static_cast<uint32_t>(head);
}

// In the place of a note: a thread of this process is just at it.
uint64_t at_it() {
  return uint64_t{1} << 63 | fork_count();
}

uint64_t changed(uint64_t head, uint32_t top) {
  return ((head >> 32) + 1) << 32 | top;
}

}  // namespace

Pool* Pool::create(size_t least, const Source& source) {
  void* record = front::alloc_slow(sizeof(Pool));
  if (record == nullptr) return nullptr;
  start_process();  // a fork that had begun before would copy a queue of threads that it lacks
  Pool* pool = new (record) Pool;
  pool->source_ = source;
  if (pool->resize(least)) return pool;
  pool->destroy();
  return nullptr;
}

void Pool::destroy() {
  // Nobody else's any more.
  while (void* object = take_noted(true)) source_.free(source_.data, object);
  while (void* object = take_inside()) source_.free(source_.data, object);
  for (std::atomic<Node*>& piece : pieces_) front::free(piece.load());
  front::free(this);
}

// Piece 0 holds the first kFirstPiece nodes, piece n as many as all before it.
Pool::Node& Pool::node(uint32_t number) {
  unsigned piece = number < kFirstPiece ? 0 : base::log2_floor(number / kFirstPiece) + 1;
  uint32_t first = piece == 0 ? 0 : kFirstPiece << (piece - 1);
  return pieces_[piece].load(std::memory_order_acquire)[number - first];
}

// 1 + the number of a node; 0 where there is none.
uint32_t Pool::pop(Head& head) {
  uint64_t seen = head.load(std::memory_order_acquire);
  while (top_of(seen) != 0) {
    // The node may be another's by now, and what follows it something else: then the head has
    // changed.
    uint32_t next = node(top_of(seen) - 1).next.load(std::memory_order_relaxed);
    if (head.compare_exchange_weak(seen, changed(seen, next), std::memory_order_acquire))
      return top_of(seen);
  }
  return 0;
}

// The nodes from `first` to `last`, of which each knows the next.
void Pool::push(Head& head, uint32_t first, uint32_t last) {
  uint64_t seen = head.load(std::memory_order_relaxed);
  do {
    node(last - 1).next.store(top_of(seen), std::memory_order_relaxed);
  } while (!head.compare_exchange_weak(seen, changed(seen, first), std::memory_order_release));
}

bool Pool::add_nodes(size_t least) {
  while (nodes_ < least) {
    uint32_t more = std::max(nodes_, uint32_t{kFirstPiece});
    unsigned piece = nodes_ == 0 ? 0 : base::log2_floor(nodes_ / kFirstPiece) + 1;
    void* memory = front::alloc_zeroed(more * sizeof(Node));
    if (memory == nullptr) return false;
    Node* nodes = static_cast<Node*>(memory);
    for (uint32_t i = 0; i < more; ++i)
      nodes[i].next.store(nodes_ + i + 2, std::memory_order_relaxed);
    // All or nothing of it is in a child, which would add the same numbers again.
    bool is_added = inside_sometime([&] {
      pieces_[piece].store(nodes, std::memory_order_release);
      push(blank_, nodes_ + 1, nodes_ + more);
      nodes_ += more;
    });
    if (!is_added) {
      front::free(memory);
      return false;
    }
  }
  return true;
}

void* Pool::take_inside() {
  uint32_t number = pop(full_);
  if (number == 0) return nullptr;
  void* object = node(number - 1).object;
  push(blank_, number, number);
  // Last: whoever counts on a blank node finds one.
  ready_.fetch_sub(1, std::memory_order_release);
  return object;
}

// False where the reserve is full.
bool Pool::put_inside(void* object) {
  size_t ready = this->ready();
  do {
    if (ready >= least_.load(std::memory_order_relaxed)) return false;
  } while (!ready_.compare_exchange_weak(ready, ready + 1, std::memory_order_acquire));
  uint32_t number = pop(blank_);
  ASHLAR_ASSERT(number != 0);
  node(number - 1).object = object;
  push(full_, number, number);
  return true;
}

void* Pool::take() {
  void* object = nullptr;
  bool is_inside = inside_soon([&] { object = take_ready(); });
  return is_inside ? object : take_noted(false);
}

// Of the reserve, or of what will fill it.
void* Pool::take_ready() {
  void* object = take_inside();
  return object != nullptr || !has_noted() ? object : take_noted(true);
}

// In the reserve, or noted for it while the gate is closed. Not where the reserve is full, or where
// there is no place left to note it.
Pool::Kept Pool::keep(void* object) {
  for (;;) {
    bool is_put = false;
    if (inside_soon([&] { is_put = put_inside(object); }))
      return is_put ? Kept::kReady : Kept::kNot;
    if (note(object)) return Kept::kNoted;
    if (!is_gate_open()) return Kept::kNot;
  }
}

bool Pool::fill(size_t least) {
  while (ready() < least) {
    void* object = source_.alloc(source_.data, 0);
    if (object == nullptr) return false;
    bool is_put = false;
    bool is_inside = inside_sometime([&] { is_put = put_inside(object); });
    if (!is_put) source_.free(source_.data, object);
    if (!is_inside) return false;
  }
  return true;
}

// Gives back what the reserve holds above `least`, while the gate is open.
void Pool::drain() {
  while (ready() > least()) {
    void* object = nullptr;
    inside_gate(GateWait::kNot, [&] {
      object = take_inside();
      // Others take, too.
      if (object != nullptr && ready() < least() && put_inside(object)) object = nullptr;
    });
    if (object == nullptr) return;
    source_.free(source_.data, object);
  }
}

// One thread at a time; whom a fork has interrupted does not exist in the child.
void Pool::begin_resize() {
  for (uint64_t mine = this_process(), seen = 0;;) {
    seen = resizer_.load(std::memory_order_relaxed);
    if (seen != mine && resizer_.compare_exchange_strong(seen, mine, std::memory_order_acquire))
      return;
    sleep_a_moment();
  }
}

bool Pool::resize(size_t least) {
  begin_resize();
  size_t had = this->least();
  bool is_done = add_nodes(least);
  if (is_done) {
    least_.store(least, std::memory_order_relaxed);
    is_done = fill(least);
    if (!is_done) least_.store(had, std::memory_order_relaxed);
    if (ready() > this->least()) Stay();  // a fork is waited for
    drain();
  }
  resizer_.store(0, std::memory_order_release);
  return is_done;
}

// The source tries as hard as the request allows, but for ever: what is freed to the pool serves,
// too.
void* Pool::give(unsigned flags) {
  return source_.alloc(source_.data, flags & ~unsigned{ASHLAR_NOFAIL});
}

void* Pool::alloc(unsigned flags, long wait_ms, int& error) {
  bool is_nowait = (flags & ASHLAR_NOWAIT) != 0;
  if (!is_nowait && has_noted()) free_noted();
  void* object = give(flags | ASHLAR_NORETRY);
  if (object != nullptr) return object;
  // What comes from elsewhere we clear ourselves, where that can be done.
  bool has_to_clear = (flags & ASHLAR_ZERO) != 0 && source_.size != 0;
  if (has_to_clear) flags &= ~unsigned{ASHLAR_ZERO};
  auto take_one = [&] { object = take_ready(); };
  bool was_inside = is_nowait ? inside_gate(GateWait::kNot, take_one) : inside_soon(take_one);
  if (!was_inside && has_noted()) object = take_noted(false);
  bool has_to_try = (flags & (ASHLAR_NOWAIT | ASHLAR_NORETRY)) == 0;
  if (object == nullptr && has_to_try) object = give(flags);
  if (object == nullptr && !is_nowait && !was_inside && !inside_sometime(take_one))
    object = take_noted(false);
  error = is_nowait ? EAGAIN : ENOMEM;
  if ((flags & ASHLAR_NOFAIL) != 0) wait_ms = ASHLAR_POOL_FOREVER;
  if (object == nullptr && !is_nowait && wait_ms != 0) object = wait(flags, wait_ms, error);
  if (object != nullptr && has_to_clear) std::memset(object, 0, source_.size);
  return object;
}

void* Pool::wait(unsigned flags, long wait_ms, int& error) {
  Waiter me;
  uint64_t left_ms = wait_ms < 0 ? UINT64_MAX : static_cast<uint64_t>(wait_ms);
  const os::Vm& vm = g_heap.pages().slabs().vm();
  enqueue(me);
  for (unsigned turn = 1;; ++turn) {
    uint64_t began = vm.now_ms();
    if (has_noted()) free_noted();
    // What was freed before we stood in the queue lies in the reserve.
    void* object = take();
    bool is_hard = turn % kTurnsOfAll == 0;
    if (object == nullptr) object = give(is_hard ? flags : flags | ASHLAR_NORETRY);
    bool is_over = object != nullptr || !sleep(me, left_ms, began);
    if (!is_over && me.has_object.load(std::memory_order_acquire) == 0) continue;
    void* handed = leave_queue(me);
    if (object == nullptr) {
      error = ETIMEDOUT;
      return handed;
    }
    if (handed != nullptr) free(handed);
    return object;
  }
}

// Waits for an object, or until it is time to ask the source again. False where the time is over;
// what has been tried since `began_ms` is part of it.
bool Pool::sleep(Waiter& me, uint64_t& left_ms, uint64_t began_ms) {
  if (left_ms == 0) return false;
  os::futex_wait(me.has_object, 0, static_cast<unsigned>(std::min(left_ms, kAskAgainMs)) * 1000);
  uint64_t passed = g_heap.pages().slabs().vm().now_ms() - began_ms;
  if (left_ms != UINT64_MAX) left_ms -= std::min(left_ms, std::max(passed, uint64_t{1}));
  return true;
}

// In the child of a fork nobody waits yet. Called before anything of the queue is looked at: so
// nobody here holds its lock, whoever's name that bears. (A new thread may have the name of one
// that does not exist. And who forks in a handler must not wait for the section which that
// interrupted.)
void Pool::forget_other_process() ASHLAR_UNCHECKED {
  once_in_process(process_, [&]() ASHLAR_UNCHECKED {
    lock_.release();
    first_ = last_ = nullptr;
    waiting_.store(0, std::memory_order_relaxed);
  });
}

// Keeps an object that was freed while the gate was closed. False where that is open again, or no
// place is left.
bool Pool::note(void* object) {
  for (Place& place : noted_) {
    uint64_t seen = place.fork.load(std::memory_order_relaxed);
    // What is not whole here was noted, or a thread was at it, while this process came to be.
    if (seen == at_it() || is_whole_here(seen)) continue;
    if (!place.fork.compare_exchange_strong(seen, at_it(), std::memory_order_acquire)) continue;
    uint64_t fork = fork_under_way();
    place.object = object;
    place.fork.store(fork, std::memory_order_release);
    if (fork == 0) return false;  // it is over just now
    has_noted_.store(true, std::memory_order_release);
    return true;
  }
  return false;
}

// Inside the gate any object that was noted; outside it one that was beside the fork under way: to
// the child of the next one it must be gone before that begins.
void* Pool::take_noted(bool is_inside) {
  const uint64_t now = fork_under_way();
  for (Place& place : noted_) {
    uint64_t seen = place.fork.load(std::memory_order_relaxed);
    bool is_for_us = is_inside ? is_whole_here(seen) : seen != 0 && seen == now;
    if (!is_for_us) continue;
    if (!place.fork.compare_exchange_strong(seen, at_it(), std::memory_order_acquire)) continue;
    void* object = place.object;
    bool is_late = !is_inside && fork_under_way() != now;
    place.fork.store(is_late ? seen : 0, std::memory_order_release);
    if (!is_late) return object;
    has_noted_.store(true, std::memory_order_release);  // who came by meanwhile saw us at it
    return nullptr;
  }
  return nullptr;
}

void Pool::free_noted() {
  if (!is_gate_open()) return;
  void* object = nullptr;
  auto take_one = [&] {
    has_noted_.exchange(false, std::memory_order_acquire);
    object = take_noted(true);
    if (object != nullptr) has_noted_.store(true, std::memory_order_relaxed);
  };
  while (inside_gate(GateWait::kNot, take_one) && object != nullptr) free_now(object);
}

void Pool::enqueue(Waiter& me) {
  forget_other_process();
  os::Locked held(lock_);
  (first_ == nullptr ? first_ : last_->next) = &me;
  last_ = &me;
  waiting_.fetch_add(1, std::memory_order_acq_rel);
}

// Ends the wait. The object that was handed over meanwhile, if one was.
void* Pool::leave_queue(Waiter& me) {
  forget_other_process();
  os::Locked held(lock_);
  Waiter* before = nullptr;
  for (Waiter* each = first_; each != nullptr; before = each, each = each->next) {
    if (each != &me) continue;
    (before == nullptr ? first_ : before->next) = me.next;
    if (last_ == &me) last_ = before;
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    break;
  }
  return me.object;
}

// To whoever waits longest. False where nobody does.
bool Pool::hand_over(void* object) {
  forget_other_process();
  os::Locked held(lock_);
  Waiter* waiter = first_;
  if (waiter == nullptr) return false;
  first_ = waiter->next;
  if (first_ == nullptr) last_ = nullptr;
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  waiter->object = object;
  // From here on the waiter may be gone: to wake an address where nobody sleeps does no harm.
  waiter->has_object.store(1, std::memory_order_release);
  os::futex_wake_all(waiter->has_object);
  return true;
}

void Pool::free(void* object) {
  if (object == nullptr) return;
  if (has_noted()) free_noted();
  free_now(object);
}

void Pool::free_now(void* object) {
  if (waiting_.load(std::memory_order_relaxed) != 0 && hand_over(object)) return;
  Kept kept = keep(object);
  if (kept != Kept::kReady) {
    if (kept == Kept::kNot) source_.free(source_.data, object);
    if (ready() > least()) [[unlikely]]
      drain();
    return;
  }
  // Who came to wait after we have looked may have looked before there was anything. Both change
  // the count of those who wait: one of the two sees what the other did before.
  if (waiting_.fetch_add(0, std::memory_order_acq_rel) == 0) [[likely]]
    return;
  void* again = take();
  if (again == nullptr || hand_over(again) || keep(again) != Kept::kNot) return;
  source_.free(source_.data, again);
}

void Pool::audit() {
  drain();
  size_t full = 0, blank = 0;
  for (uint32_t at = top_of(full_.load()); at != 0; at = node(at - 1).next.load()) ++full;
  for (uint32_t at = top_of(blank_.load()); at != 0; at = node(at - 1).next.load()) ++blank;
  ASHLAR_CHECK(full + blank == nodes_);
  ASHLAR_CHECK(full == ready() && full <= least());
}

}  // namespace ashlar::front
