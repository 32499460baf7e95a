// threads/stamped.h -- blocks that carry their owner's signature.
//
// A user would notice a block given out twice as two objects that change each other. Here every
// block is signed at its start, middle and end with a number that no other block has; whoever frees
// it verifies the signature first. Two owners of one block cannot both find their own.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../support/rng.h"

namespace test {

struct Stamped {
  unsigned char* block = nullptr;
  size_t size = 0;
  uint64_t stamp = 0;
};

inline void* (*volatile const stamped_malloc)(size_t) = ::malloc;
inline void (*volatile const stamped_free)(void*) = ::free;

/// Allocates and signs. Ends the program with a sentence where the block is refused.
inline Stamped make_stamped(size_t size, uint64_t stamp) {
  if (size < 16) size = 16;
  Stamped made{static_cast<unsigned char*>(stamped_malloc(size)), size, stamp};
  if (made.block == nullptr) {
    fprintf(stderr, "a block of %zu bytes was refused: %s\n", size, strerror(errno));
    abort();
  }
  const uint64_t inverse = ~stamp;
  memcpy(made.block, &stamp, 8);
  memcpy(made.block + size / 2 / 8 * 8, &stamp, 8);
  memcpy(made.block + size - 8, &inverse, 8);
  return made;
}

/// True while nobody else has written into the block.
inline bool is_intact(const Stamped& s) {
  uint64_t first = 0;
  uint64_t middle = 0;
  uint64_t last = 0;
  memcpy(&first, s.block, 8);
  memcpy(&middle, s.block + s.size / 2 / 8 * 8, 8);
  memcpy(&last, s.block + s.size - 8, 8);
  if (s.size < 24) middle = s.stamp;  // the three places overlap
  return first == s.stamp && middle == s.stamp && last == ~s.stamp;
}

/// Verifies the signature, then frees. Ends the program with a sentence where it does not hold.
/// A place that holds no block yet, or no longer, is left as it is.
inline void free_stamped(const Stamped& s) {
  if (s.block == nullptr) return;
  if (!is_intact(s)) {
    fprintf(stderr, "block %p of %zu bytes, signed %016llx, was changed by another owner\n",
            static_cast<void*>(s.block), s.size, static_cast<unsigned long long>(s.stamp));
    abort();
  }
  stamped_free(s.block);
}

/// Allocates and frees `steps` blocks in random order, at most `held` at a time.
inline void churn(uint64_t seed, size_t steps, size_t held, size_t largest) {
  Rng rng(seed);
  std::vector<Stamped> live(held);
  for (size_t i = 0; i < steps; ++i) {
    Stamped& slot = live[rng.below(held)];
    free_stamped(slot);
    slot = make_stamped(rng.size(largest), rng.next());
  }
  for (const Stamped& slot : live) free_stamped(slot);
}

/// Threads that churn until told to stop; the noise in which other things must work.
class Noise {
 public:
  explicit Noise(int threads, size_t largest = 50000) {
    for (int i = 0; i < threads; ++i) {
      seats_.push_back(new Seat{this, static_cast<uint64_t>(i), largest, {}});
      if (pthread_create(&seats_.back()->thread, nullptr, &Noise::body, seats_.back()) != 0) {
        fprintf(stderr, "a thread was refused\n");
        abort();
      }
    }
  }
  ~Noise() {
    stop_ = true;
    for (Seat* seat : seats_) {
      pthread_join(seat->thread, nullptr);
      delete seat;
    }
  }

 private:
  struct Seat {
    Noise* noise;
    uint64_t number;
    size_t largest;
    pthread_t thread;
  };
  static void* body(void* argument) {
    auto* seat = static_cast<Seat*>(argument);
    for (uint64_t round = 0; !seat->noise->stop_; ++round) {
      churn(seat->number * 1000003 + round, 2000, 200, seat->largest);
    }
    return nullptr;
  }
  std::atomic<bool> stop_{false};
  std::vector<Seat*> seats_;
};

}  // namespace test
