// Orders in which the blocks of a grid, and the warps of a block, get their turns.
#pragma once
#include <stdint.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace kw {

enum Order { FORWARD = 0, REVERSED = 1, RANDOM = 2 };

// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
inline uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Place n of a permutation of [0, count), made without storing it: a Feistel network over the next power of four, walked
// until it falls inside.
inline uint64_t permuted(uint64_t n, uint64_t count, uint64_t seed) {
  int half = 1;
  while (half < 32 && (1ull << 2 * half) < count) half++;
  const uint64_t low = (1ull << half) - 1;
  do {
    uint64_t a = n >> half, b = n & low;
    for (uint64_t round = 0; round < 4; round++) {
      const uint64_t next = a ^ (mixed(seed ^ mixed(round << 40 ^ b)) & low);
      a = b;
      b = next;
    }
    n = a << half | b;
  } while (n >= count);
  return n;
}

// The nth block to begin.
inline uint64_t scheduled(Order order, uint64_t n, uint64_t count, uint64_t seed) {
  return order == FORWARD ? n : order == REVERSED ? count - 1 - n : permuted(n, count, seed);
}

// Which warp of a block has its turn. The random order is another one in every round.
class Turns {
 public:
  void begin(Order order, uint64_t seed, uint64_t warps) {
    random_ = order == RANDOM;
    state_ = seed;
    warps_.resize(warps);
    std::iota(warps_.begin(), warps_.end(), 0);
    if (order == REVERSED) std::reverse(warps_.begin(), warps_.end());
  }
  void next_round() {
    for (uint64_t i = random_ ? warps_.size() : 0; i > 1; i--) {
      state_ = mixed(state_);
      std::swap(warps_[i - 1], warps_[state_ % i]);
    }
  }
  uint16_t warp(uint64_t i) const { return warps_[i]; }

 private:
  bool random_ = false;
  uint64_t state_ = 0;
  std::vector<uint16_t> warps_;
};

}  // namespace kw
