// Who touched which piece of shared memory, and what is ordered before what: finds races between warps and reads of
// memory that nobody wrote.
//
// Time is counted in ticks that never repeat within a worker. Every warp has a tick of its own, which changes whenever
// it synchronises. A clock says up to which tick of every other warp its owner has seen: a barrier joins the clocks of
// the warps that meet there; an atomic or a fence hands its warp's clock to whoever does one later. An access is
// stamped (tick, warp); two accesses of different warps to one place, one of them a write, race unless the later one's
// warp has seen the earlier one's stamp.
//
// Lanes of one warp run in lockstep here, which a GPU does not promise. A lane that reads what another lane of its warp
// wrote, or writes what that lane read, must have met it in between (__syncwarp, a shuffle, a barrier; an ldmatrix for what it read): the warp's tick
// changes then too, and the cell says which lane wrote it and which one read it. Kernels in which this can't be
// (Translated.lanes_may_race) do without. An atomic begins a tick as well; a lane that at once reads plainly what another
// lane's atomic has changed races all the same (Shadow::added).
#pragma once
#include <stdint.h>

#include <vector>

#include "abi.hpp"

namespace kw {

struct Cache;

struct Clock {
  uint32_t floor = 0;  // seen of every warp
  uint32_t seen[KW_LANES] = {};  // seen of one warp, where that is more
  uint32_t of(int warp) const { return seen[warp] > floor ? seen[warp] : floor; }
  void join(const Clock& other) {
    if (other.floor > floor) floor = other.floor;
    for (int i = 0; i < KW_LANES; i++)
      if (other.seen[i] > seen[i]) seen[i] = other.seen[i];
  }
};

struct Shadow {
  static constexpr uint32_t kWarpBits = 5;
  static constexpr uint32_t kLastTick = (1u << (32 - kWarpBits)) - 4096;

  bool on = false;
  bool muted = false;  // something else went wrong in this block: what follows from it is not reported
  int shift = 2;  // log2 of the bytes of one cell
  bool lanes = false;  // whether lanes of a warp are told apart
  uint32_t time = 0, start = 0;  // latest tick; first tick of the block
  uint32_t tick[KW_LANES];
  Clock clock[KW_LANES], released, arrived[16];
  std::vector<uint32_t> write, read, read_before;  // stamps; read_before: by another warp than `read`
  std::vector<uint32_t> site;  // of the last write in this block, with its lane and flags (shadow.cpp)
  std::vector<uint8_t> reader;  // the lane that did the last read; KW_LANES: several of the warp since it met
  uint32_t converged[KW_LANES];  // KwWarp::converged when the tick was last looked at
  uint32_t added[KW_LANES];  // stamp of a warp's latest atomics, if it has done nothing since that orders its lanes; else 0
  bool active() const { return on && !muted; }
  int64_t pending = 0;  // cp.async copies on their way
  std::vector<uint16_t> coming;  // by cell: how many of them will write it

  void set_up(int cell_shift, uint64_t bytes, bool tell_lanes);
  void begin_block();
  uint32_t stamp(int warp) const { return tick[warp] << kWarpBits | warp; }
  // A barrier at which exactly these warps meet.
  void barrier(uint32_t warps, int id, bool everyone);
  void arrive(int warp, int id);
  // A copy was asked for (`by` is 1) or has arrived (-1).
  void expect(uint64_t address, int size, int by) {
    pending += by;
    if (on)
      for (uint64_t i = address >> shift; i < (address + size) >> shift; i++) coming[i] += by;
  }
  bool on_its_way(uint64_t address, int size) const {
    for (uint64_t i = address >> shift; i < (address + size) >> shift; i++)
      if (coming[i]) return true;
    return false;
  }
  // Before an access: a new tick if lanes of the warp have met since it wrote.
  void meet(const KwWarp* w) {
    const int i = w->index;
    if (!lanes || converged[i] == w->converged) return;
    converged[i] = w->converged;
    added[i] = 0;
    if (time <= kLastTick) tick[i] = ++time;
  }
  // An atomic or a fence.
  void synchronise(int warp);
  bool ordered(int warp, uint32_t stamp) const {
    const int other = stamp & (KW_LANES - 1);
    return other == warp || (stamp >> kWarpBits) <= clock[warp].of(other);
  }
};

// After the bounds check, before the data moves. Volatile accesses only mark what they write.
void shadow_load(KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* address, int size);
void shadow_store(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* address, int size,
                  const uint64_t* const* values, int element);
// A volatile store: known to be written, ordered for everyone.
void shadow_volatile_store(KwWarp* w, uint32_t mask, const uint64_t* address, int size);
void shadow_atomic(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* address, int size);
// What cp.async wrote, when it arrives.
void shadow_arrival(KwWarp* w, uint32_t site, int lane, uint64_t address, int size);

}  // namespace kw
