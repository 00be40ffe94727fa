// Races between blocks in global memory, and reads of global memory that nobody wrote.
//
// A cell is a power of two of bytes, as small as the narrowest access of the kernel to memory that it writes. Every cell
// keeps the tick of its last plain writer and of its last reader. A tick is a span of one block's life without
// synchronisation: the block takes a new one at its first access after it has synchronised. A device-wide fence or an
// atomic *releases* what the block did before: its ticks are closed, at a time of the launch's clock. An atomic whose
// result is used, or a volatile load, *acquires*: what was closed by then is ordered before whatever the block does from
// now on. This knows less than a program's memory model (any release goes with any later acquire, and a fence of one
// thread speaks for its block), so that it errs on the side of silence.
//
// Ticks never repeat while shadows live, so shadows are handed from launch to launch without being cleared. Only arrays
// that the kernel may write have any, and only those that it may read as well have stamps of readers.
#pragma once
#include <stdint.h>

#include <atomic>
#include <vector>

#include "abi.hpp"

namespace kw {

struct Allocation;
struct Cache;
struct Table;
struct Request;

struct Tick {
  uint64_t block;  // linear index
  std::atomic<uint32_t> closed;  // when the block released it; 0: not yet
  uint32_t synchronised;  // whether the block had synchronised before it
};

// What the workers of a launch share.
struct Races {
  static constexpr uint32_t kMostTicks = 1u << 24;  // of a launch; blocks that find none left are not looked at
  static constexpr uint32_t kLastTick = 1u << 30;

  bool on = false;
  int shift = 2;  // log2 of the bytes of a cell
  uint32_t first = 0;  // tick number of ticks[0]
  uint32_t room = 0;  // ticks
  std::atomic<uint32_t> used{0};
  std::atomic<uint32_t> clock{0};
  Tick* ticks = nullptr;

  void begin(Table* table, const Request& request);
  void end(Table* table);
  Tick& of(uint32_t stamp) const;
};

// The running block's place in that order.
struct BlockOrder {
  uint32_t stamp = 0;  // of its accesses: tick << 2; 0: none yet, or it has synchronised since
  uint32_t seen = 0;  // the clock when it acquired last
  bool synchronised = false;
  std::vector<uint32_t> open;  // stamps of ticks not released yet

  void begin_block() {
    stamp = seen = 0;
    synchronised = false;
    open.clear();
  }
};

// Stamps of one allocation, as long as the launch. Index: address >> shift, less that of the allocation's begin.
struct Stamps {
  uint32_t* write = nullptr;
  uint32_t* read = nullptr;
  uint64_t write_bytes = 0, read_bytes = 0;  // of the mappings
};

// Mapped memory of shadows that no allocation uses.
class ShadowPool {
 public:
  ~ShadowPool();
  uint32_t* take(uint64_t& bytes);  // rounds up; null if shadows take too much
  void give(uint32_t* memory, uint64_t bytes);
  void clear();  // unmaps what is not in use
  void trim();

 private:
  struct Free {
    uint32_t* memory;
    uint64_t bytes;
  };
  std::vector<Free> free_;
  uint64_t mapped_ = 0, unused_ = 0;  // bytes
};

// Gives an allocation its stamps for this launch. Under the table's lock.
void attach_stamps(const Races& races, Table* table, Allocation* allocation);

enum Access { PLAIN = 0, ORDERED = 1 };  // ORDERED: volatile, or an atomic

// After the bounds check, before the data moves. `values` as in shadow_store.
void race_load(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* address, int size, Access how);
void race_store(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* address, int size,
                const uint64_t* const* values, int element);
void race_ordered_store(KwWarp* w, const Cache& k, uint32_t mask, const uint64_t* address, int size);
// The running block synchronises.
void race_release(KwWarp* w);
void race_acquire(KwWarp* w);

// Bits of memory that is known to be unwritten (Allocation::blank): a load is checked, a store clears them.
void blank_load(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* address, int size);
void blank_store(const Cache& k, uint32_t mask, const uint64_t* address, int size);
void blank_clear(Allocation* a, uint64_t from, uint64_t to);
// Whether the whole allocation still holds the poison that allocators fill memory with.
bool holds_poison(const Allocation* a);

}  // namespace kw
