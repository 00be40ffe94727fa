// State of a launch inside the runtime library.
#pragma once
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "abi.hpp"
#include "races.hpp"
#include "shadow.hpp"

namespace kw {

constexpr uint64_t kSectorBytes = 32;  // unit of a global memory transaction
constexpr uint64_t kNullPage = 1 << 16;  // accesses below this address count as null pointers, in bytes
constexpr int kMaxViolations = 64;  // distinct (kind, place) pairs kept by a worker
constexpr uint64_t kResidentBytes = 1ull << 29;  // memory of blocks that have begun and not ended
constexpr uint32_t kPoll = 200;  // what a look at global memory in a loop counts towards a slice, in instructions
constexpr uint32_t kSlice = 20000;  // instructions after which a looping warp gives way to others

// One live allocation of global memory.
struct Allocation {
  uint64_t lo = 0, hi = 0;
  std::string label;
  uint64_t id = 0;
  std::atomic<uint64_t> written{0};
  // Sectors touched in the launch `epoch`, one bit each.
  uint64_t epoch = 0;
  std::vector<uint64_t> load_bits, store_bits;
  // Of races.hpp: the launches that may write it plainly, or read it; its stamps in the running one.
  uint64_t written_epoch = 0, read_epoch = 0;
  Stamps stamps;
  std::vector<uint64_t> blank;  // one bit a byte that nobody has written; empty if that is not known
  bool poisoned = false;  // was filled with poison when it was made
  uint64_t poison_epoch = 0;  // the launch in which that was looked at
  uint64_t first_sector() const { return lo / kSectorBytes; }
  // One bit a byte, made on first use: stored to by a block, and changed by an atomic, since some blocks of a grid were
  // left out.
  std::atomic<uint64_t*> written_bytes{nullptr}, updated_bytes{nullptr};
  bool read_only = false;
  bool partial = false;  // an earlier launch stored to it and left out blocks that might have done so too
  void note(uint64_t offset, int size, bool atomic);
  bool complete(uint64_t offset) const;  // the byte was stored to and is what it would be had all blocks run
  void forget();
  ~Allocation() { forget(); }
};

struct Table {
  mutable std::shared_mutex mutex;
  std::map<uint64_t, Allocation*> by_start;
  std::vector<Allocation*> retired;  // unregistered while a launch ran
  std::vector<Allocation*> touched;  // in the running launch
  std::map<uint64_t, uint64_t> heap;  // device malloc: live memory, address to bytes
  std::map<uint64_t, uint64_t> freed;  // given back in the running launch; the host keeps it until its end
  uint64_t heap_used = 0, freed_bytes = 0;
  int launches = 0;
  uint64_t epoch = 0;
  bool partial = false;  // some allocation is
  uint64_t next_id = 1;
  // Of races.hpp.
  uint32_t next_tick = 1;
  bool any_written = false, any_read = false;  // the kernel may write, or read, any allocation
  ShadowPool pool;
  Allocation* find(uint64_t address) const;
  Allocation* nearest_below(uint64_t address) const;
};

// GROUPED: every eight neighbouring lanes are at one address or side by side, as in tiles 8 or 16 wide.
enum Kind : uint8_t { EMPTY, SAME, CONTIGUOUS, GROUPED, OTHER };

// What was seen last at a site: lanes usually keep their distances from one access to the next.
struct alignas(64) Cache {
  uint64_t delta[KW_LANES];  // from the first active lane
  uint64_t keep[KW_LANES];   // all ones for active lanes
  uint32_t mask = 0;
  Kind kind = EMPTY;
  bool run = false;  // active lanes are side by side, and so are their addresses, in order
  bool fixed = false;  // the range is known to be the only legal one
  bool consecutive = false;
  bool broadcast[KW_LANES / 8] = {};  // of a GROUPED access: eight lanes at one address
  bool repeated[KW_LANES / 8] = {};  // and the same addresses as an earlier eight
  uint8_t uses = 0;  // of an OTHER pattern, until `distinct` is worth finding
  uint8_t distinct[KW_LANES];  // lanes with an address of their own, in the end
  uint8_t distinct_count = 0;  // 0: not found yet
  uint32_t phase = ~0u;
  uint32_t sectors = 0, wavefronts = 0;
  uint32_t ideal_sectors = 0;  // what the same bytes would need, packed
  int64_t min_delta = 0, max_end = 0;
  uint64_t delta_or = 0;
  uint64_t lo = 0, hi = 0;  // bytes that may be accessed
  Allocation* allocation = nullptr;
  Stamps stamps;
  bool blank = false;  // parts of the allocation are known to be unwritten
  uint64_t* bits = nullptr;
  int64_t sector[KW_LANES];
  uint64_t stored = 0;
};

struct Violation {
  int32_t kind, site;
  uint64_t count;
  uint64_t block;  // linear index
  int32_t thread;  // linear index in the block
  int32_t size;
  uint64_t address;
  int64_t extra;
};

// A race between lanes of one warp; where there is one between warps as well, that one is told.
inline bool within_warp(const Violation& v) { return v.kind == KW_SHARED_RACE && (v.extra & 255) >= 3; }

// A queued cp.async of one lane; performed when its group is waited for.
struct AsyncCopy {
  uint8_t* to;
  uint8_t data[16];
  uint32_t lane, bytes, site;
  int32_t group;  // -1: not committed yet
  uint64_t barrier;  // without `to`: an arrival at this mbarrier, made once the lane's copies before it have arrived
};

enum Counter {
  GL_REQ, GL_SEC, GL_BYTES, GL_UNIQUE, GS_REQ, GS_SEC, GS_BYTES, GS_UNIQUE, GA_REQ, GA_SEC,
  SL_REQ, SL_WAVE, SL_BYTES, SS_REQ, SS_WAVE, SS_BYTES, SA_REQ, LL_BYTES, LS_BYTES,
  BARRIERS, BRANCHES, DIVERGENT, LONGEST_ISSUED, LONGEST_REQUESTS, LONGEST_BARRIERS, WARPS, BLOCKS, COUNTERS
};

// The request of Python (runtime.py mirrors it).
struct Request {
  KwKernel kernel;
  const KwSite* sites;
  int64_t site_count;
  const uint64_t* site_base;  // pointer that the address of a site derives from; 0: unknown
  int64_t basic_blocks;
  int64_t register_words;  // 32-word slots
  int64_t predicates;
  uint32_t grid[3], block[3];
  const uint8_t* params;
  int64_t param_bytes;
  const uint64_t* globals;
  const uint32_t* shared_ranges;  // (begin, end) of each shared variable
  int64_t shared_variables;
  int64_t static_shared, dynamic_shared, frame_bytes;
  int64_t reserved_shared, reserved_bytes;  // where the system's part of shared memory lies, which begins as zeros
  int64_t stack_slot;  // register that holds the top of each thread's stack, which lies behind the frame; -1: no stack
  int64_t stack_bytes;  // of a thread, frames and saved registers together
  int64_t heap_bytes;  // of device malloc, all launches together
  int64_t threads;
  uint64_t max_warp_instructions;
  double seconds;
  uint64_t max_violations;
  uint64_t workspace;  // of a cooperative grid, 0: none
  int64_t resident_blocks;  // how many blocks a GPU holds at once
  int64_t cell_shift;  // log2 of the bytes of a cell of the shared-memory shadow; -1: no shadow
  const uint64_t* chosen;  // the blocks to run, by linear index; null: all
  int64_t chosen_count;
  int64_t track_writes;  // set by kw_launch: allocations keep which bytes were written
  int64_t lanes_may_race;  // in shared memory; else the lanes of a warp are not told apart
  int64_t race_shift;  // the same for global memory (races.hpp)
  const uint64_t* written;  // addresses in the allocations that the kernel may write plainly; count -1: any
  int64_t written_count;
  const uint64_t* read;
  int64_t read_count;
  int64_t schedule;  // kw::Order
  uint64_t schedule_seed;
  // Results.
  uint64_t counters[COUNTERS];
  uint64_t* block_counts;
  struct SiteCounts* site_counts;  // one for each site, or null for no profile
  uint64_t unknown_read;  // an address that the launch read and that blocks left out before might have written; 0: none
  Violation* violations;  // room for kMaxViolations
  int64_t violation_count;
  Violation* notes;  // the same
  int64_t note_count;
  char* printed;
  int64_t printed_room, printed_bytes;
  int32_t stopped;
};

struct Shared {  // what the workers of a launch share
  Request* request;
  Table* table;
  std::atomic<uint64_t> next_block{0};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> violations{0};
  uint64_t resident_limit = 1;  // blocks of a worker that may wait for others
  std::atomic<bool> crowded{false};  // a worker reached it
  double deadline;
  Races races;
  std::mutex printing;
};

}  // namespace kw

struct KwWorker {
  kw::Shared* common;
  kw::Request* request;
  KwLaunch launch;
  KwWarp* warps;  // of the block
  uint64_t polls;  // looks at global memory that may be part of a wait
  uint64_t block;  // linear index
  uint8_t* shared;
  uint32_t shared_bytes;
  std::vector<kw::Cache> cache;
  uint64_t counters[kw::COUNTERS];
  kw::SiteCounts* profile = nullptr;  // one for each site, if lines are profiled
  std::vector<kw::Violation> violations, notes;
  uint32_t arrived[16];  // threads at a named barrier that do not wait (barrier.arrive)
  uint64_t local_stride;  // from one lane's local memory to the next one's, in bytes
  kw::Shadow shadow;
  kw::BlockOrder order;
  std::vector<std::vector<kw::AsyncCopy>> copies;  // by warp: queued cp.async of all lanes

  void violation(int kind, int site, const KwWarp* w, int lane, uint64_t address, int size, int64_t extra);
  void retract(int kind, int site);  // one of those reported
  // Something worth telling that CUDA allows: counts towards no limit, mutes nothing.
  void note(int kind, int site, const KwWarp* w, int lane, uint64_t address, int size, int64_t extra);
};

namespace kw {
uint32_t check_global(KwWorker& c, const KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* address,
                      int size, bool store);
uint32_t check_shared(KwWorker& c, const KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* address,
                      int size);
void learn(Cache& k, uint32_t mask, const uint64_t* address, uint64_t base, int size);
void learn_sectors(Cache& k, uint64_t base, int size);
uint32_t wavefronts(const uint64_t* address, uint32_t mask, int size);
void flush_stored(Cache& k);
void note_written(KwWorker& c, const Cache& k, uint32_t mask, const uint64_t* address, int size, bool atomic);
void note_loaded(KwWorker& c, const Cache& k, uint32_t mask, const uint64_t* address, int size);
void mbarrier_arrive(KwWorker& c, uint64_t at, int64_t count);
void copies_for_barriers(KwWorker& c);  // performs the copies that an mbarrier waits for
void release_freed(Table* t);  // to the host; takes the table's lock
void push_group(KwWarp* w, int32_t pc, uint32_t mask);  // lanes that will go on at a block
int32_t pick_group(KwWarp* w);  // makes the group that goes on next the running one; returns its block
double now();
inline uint8_t* local_of(const KwWarp* w, int lane) { return w->local + lane * w->worker->local_stride; }
// Where the lane's local memory ends: everything above the top of its stack is out of bounds.
inline uint64_t local_end(const KwWarp* w, int lane) {
  const Request& r = *w->worker->request;
  return r.stack_slot < 0 ? r.frame_bytes : ((const uint64_t*)(w->R + r.stack_slot * KW_LANES))[lane];
}
// A volatile load or an atomic: if it is part of a loop that waits, others get their turn sooner.
inline void poll(KwWarp* w) {
  w->worker->polls++;
  w->slice_end = w->slice_end > w->issued + kPoll ? w->slice_end - kPoll : w->issued;
}
inline int first_lane(uint32_t mask) { return __builtin_ctz(mask); }
}  // namespace kw
