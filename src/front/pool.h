// front/pool.h -- a reserve of objects in front of a source that may fail.
//
// Idea
//   While the source gives without an effort, the reserve stays as it is; once that is empty the
//   source is to do what it can. The reserve is a stack that is changed without a lock, so that a
//   thread which must not wait can use it: of numbered *nodes*, each with room for an object, some
//   hold one and the others are blank; both sorts are stacks whose head is one word, the number of
//   the top node and a count that changes with each step.
//
//   Who gets nothing then may wait, in a queue, and what is freed goes to the first of it, not to
//   the reserve. While somebody waits, the source is asked again now and then, too: memory may have
//   come free elsewhere.
//
//   The reserve is changed inside the gate alone, so that a forked child finds it whole. Who finds
//   the gate closed may hold a lock that the fork waits for: it goes to the source, which works
//   beside the heap, and waits for the reserve, as long as a Stay does, where that has nothing.
//   What is freed meanwhile is noted in a few places, with the fork's number, and freed anew by the
//   next call; beyond these it is the source's. Beside that fork, whose child drops it, a note may
//   be taken by whoever gets nothing else; afterwards it is as good as the reserve, and changed
//   inside the gate alone.
//
// Invariants (audit())
//   1. Objects in the reserve are at most `least`. Where that was made less, what is too many goes
//      as soon as the gate is open, at the latest with the next object that is freed.
//   2. There are as many nodes as `least` has ever been, each in one of the stacks.
//
// Locking
//   lock_ (LockRank::kPool) for the queue, which needs no gate: a child forgets it, lock and all.
//   There the queue is empty: those who waited do not exist.
//
// Source
//   Linux, mm/mempool.c. Stacks: R. K. Treiber, Systems Programming: Coping with Parallelism, 1986.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ashlar/pool.h"
#include "os/lock.h"

namespace ashlar::front {

class Pool {
 public:
  static constexpr size_t kMost = size_t{1} << 20;
  struct Source {
    ashlar_pool_alloc_fn* alloc;
    ashlar_pool_free_fn* free;
    void* data;
    size_t size = 0;  ///< of an object, as far as it is known
  };

  /// null where memory is out, or the source before the reserve is full.
  static Pool* create(size_t least, const Source& source);
  void destroy();

  /// An object; null, and in `error` why. wait_ms as ASHLAR_POOL_FOREVER says, or less than 0.
  void* alloc(unsigned flags, long wait_ms, int& error);
  void free(void* object);

  /// False where memory is out, or the source; then nothing has changed.
  bool resize(size_t least);

  size_t ready() const { return ready_.load(std::memory_order_relaxed); }
  size_t least() const { return least_.load(std::memory_order_relaxed); }
  bool has_waiters() const { return waiting_.load(std::memory_order_relaxed) != 0; }
  void audit();

 private:
  struct Node {
    std::atomic<uint32_t> next;
    void* object;
  };
  // A head: how often it was changed, and 1 + the number of the top node; 0 for none.
  using Head = std::atomic<uint64_t>;
  struct Waiter {
    std::atomic<uint32_t> has_object{0};
    void* object = nullptr;
    Waiter* next = nullptr;
  };

  // A place for an object that was freed beside a fork. Both words are in one page: no child sees
  // one without the other.
  struct alignas(16) Place {
    std::atomic<uint64_t> fork{0};  // which one; 0 where it is free, or who is just at it
    void* object = nullptr;
  };

  Node& node(uint32_t number);
  uint32_t pop(Head& head);
  void push(Head& head, uint32_t first, uint32_t last);
  void begin_resize();
  bool add_nodes(size_t least);
  bool fill(size_t least);
  void drain();
  void* take();
  void* take_inside();
  void* take_ready();
  enum class Kept : uint8_t { kNot, kReady, kNoted };
  Kept keep(void* object);
  bool put_inside(void* object);
  void free_now(void* object);
  bool has_noted() const { return has_noted_.load(std::memory_order_relaxed); }
  bool note(void* object);
  void* take_noted(bool is_inside);
  void free_noted();
  void* give(unsigned flags);
  void* wait(unsigned flags, long wait_ms, int& error);
  bool sleep(Waiter& me, uint64_t& left_ms, uint64_t began_ms);
  void enqueue(Waiter& me);
  void* leave_queue(Waiter& me);
  bool hand_over(void* object);
  void forget_other_process();

  Source source_{};
  std::atomic<size_t> least_{0}, ready_{0};
  Head full_{0}, blank_{0};
  // Nodes come in pieces, each as large as all before it.
  static constexpr unsigned kFirstPiece = 16, kPieces = 17;
  std::atomic<Node*> pieces_[kPieces]{};
  uint32_t nodes_ = 0;
  std::atomic<uint64_t> resizer_{0};  // the process in which somebody resizes, or 0
  os::Lock lock_{os::LockRank::kPool};
  std::atomic<uint32_t> waiting_{0};
  Waiter* first_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  Waiter* last_ ASHLAR_GUARDED_BY(lock_) = nullptr;
  static constexpr unsigned kMostNoted = 64;
  std::atomic<bool> has_noted_{false};
  Place noted_[kMostNoted];
  std::atomic<uint64_t> process_{0};  // whose queue this is
};

}  // namespace ashlar::front
