// Runs a grid: blocks on worker threads, the warps of a block one after the other.
#include <string.h>
#include <time.h>
#include <xmmintrin.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <thread>

#include "profile.hpp"
#include "runtime.hpp"
#include "schedule.hpp"
#include "stack.hpp"

namespace kw {

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

namespace {

uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

// Memory that the warps of one block live in, reused from block to block.
struct Arena {
  std::vector<KwWarp> warps;
  std::unique_ptr<uint8_t, decltype(&free)> memory{nullptr, free};
  uint8_t *registers, *shared, *local;
  std::vector<uint32_t> predicates;
  std::unique_ptr<Stacks> stacks;

  Arena(const Request& r, uint64_t warp_count) : warps(warp_count) {
    const uint64_t words = round_up(r.register_words, 1) * KW_LANES * 4 * warp_count;
    const uint64_t shared_bytes = round_up(r.static_shared + r.dynamic_shared + 64, 64);
    const uint64_t frames = r.stack_slot < 0 ? (uint64_t)r.frame_bytes * KW_LANES * warp_count : 0;
    // Frames may be large and little used: what is never touched takes no memory.
    memory.reset((uint8_t*)calloc(words + shared_bytes + frames + 192, 1));
    registers = (uint8_t*)round_up((uint64_t)memory.get(), 64);
    shared = registers + words;
    local = shared + shared_bytes;
    if (r.stack_slot >= 0) {
      stacks = std::make_unique<Stacks>(r, warp_count);
      local = stacks->local;
    }
    predicates.assign((r.predicates + 1) * warp_count, 0);
  }
};

uint64_t blocks_to_run(const Request& r) {
  return r.chosen ? r.chosen_count : (uint64_t)r.grid[0] * r.grid[1] * r.grid[2];
}

void set_up_block(KwWorker& c, Arena& arena, uint64_t number) {
  const Request& r = *c.request;
  KwLaunch& l = c.launch;
  c.block = number;
  l.ctaid[0] = number % r.grid[0];
  l.ctaid[1] = number / r.grid[0] % r.grid[1];
  l.ctaid[2] = number / r.grid[0] / r.grid[1];
  // What a GPU leaves in shared memory is not zero: a NaN in every format makes a missing store visible.
  memset(c.shared, 0xff, c.shared_bytes);
  memset(c.arrived, 0, sizeof c.arrived);
  memset(c.shared + r.reserved_shared, 0, r.reserved_bytes);
  if (c.shadow.on) {
    c.shadow.begin_block();
    const uint64_t first = r.reserved_shared >> c.shadow.shift, cells = r.reserved_bytes >> c.shadow.shift;
    std::fill_n(c.shadow.write.begin() + first, cells, c.shadow.start << Shadow::kWarpBits);
    std::fill_n(c.shadow.site.begin() + first, cells, 0);
  }
  c.order.begin_block();
  const uint64_t threads = (uint64_t)r.block[0] * r.block[1] * r.block[2];
  for (uint64_t i = 0; i < arena.warps.size(); i++) {
    KwWarp& w = arena.warps[i];
    const uint64_t left = threads - i * KW_LANES;
    w.initial = w.live = w.mask = left >= KW_LANES ? KW_FULL : (1u << left) - 1;
    w.pc = 0;
    w.other = INT32_MAX;
    w.issued = w.global_requests = w.barriers = 0;
    w.slice_end = kSlice;
    w.groups = w.forced = w.waiting = w.awaits_copies = 0;
    w.converged = 0;
    w.awaited = w.skipped = 0;
    memset(w.depth, 0, sizeof w.depth);
    w.stamp = 0;
    if (!c.copies[i].empty()) c.copies[i].clear();
  }
}

void set_up_warps(KwWorker& c, Arena& arena) {
  const Request& r = *c.request;
  for (uint64_t i = 0; i < arena.warps.size(); i++) {
    KwWarp& w = arena.warps[i];
    w.worker = &c;
    w.index = (int32_t)i;
    w.R = (uint32_t*)arena.registers + i * r.register_words * KW_LANES;
    w.P = arena.predicates.data() + i * (r.predicates + 1);
    w.local = arena.local + i * c.local_stride * KW_LANES;
    w.saved = arena.stacks ? arena.stacks->saved + i * saved_words(r) : nullptr;
    for (int l = 0; l < KW_LANES; l++) {
      const uint64_t t = i * KW_LANES + l;
      w.tid[0][l] = t % r.block[0];
      w.tid[1][l] = t / r.block[0] % r.block[1];
      w.tid[2][l] = t / r.block[0] / r.block[1];
    }
  }
}

// Lets warps go on whose barrier is complete. Returns whether any did.
bool release(KwWorker& c, Arena& arena, const std::vector<uint8_t>& done) {
  bool any = false;
  for (int id = 0; id < 16; id++) {
    uint64_t waiting = 0, alive = 0;
    int64_t wanted = -1;
    uint32_t site = ~0u, other_site = ~0u;
    KwWarp* other = nullptr;
    for (auto& w : arena.warps) {
      if (done[w.index]) continue;
      alive++;
      if (!w.waiting || w.barrier_id != id) continue;
      waiting++;
      if (w.barrier_threads >= 0) wanted = w.barrier_threads;
      if (site == ~0u) site = w.barrier_site;
      if (w.barrier_site != site && !other) other_site = w.barrier_site, other = &w;
    }
    if (!waiting) continue;
    const bool complete =
        wanted < 0 ? waiting == alive : waiting * KW_LANES + c.arrived[id] >= (uint64_t)wanted;
    if (!complete) continue;
    if (wanted < 0 && other)
      c.violation(KW_DIVERGENT_BARRIER, (int)other_site, other, first_lane(other->mask), 0, 1, site);
    uint32_t count = 0, met = 0;
    bool all = true;
    for (auto& w : arena.warps) {
      if (done[w.index] || !w.waiting || w.barrier_id != id) continue;
      count += __builtin_popcount(w.barrier_lanes);
      all &= w.barrier_lanes == w.mask;
    }
    for (auto& w : arena.warps) {
      if (done[w.index] || !w.waiting || w.barrier_id != id) continue;
      const int op = c.request->sites[w.barrier_site].extra[2];
      w.barrier_result = op == 0 ? count : op == 1 ? all : count > 0;
      w.waiting = 0;
      met |= 1u << w.index;
    }
    if (c.shadow.on) c.shadow.barrier(met, id, wanted < 0);
    c.arrived[id] = 0;
    any = true;
  }
  return any;
}

// A block that has begun and not ended, with what a worker needs to go on with it.
struct Resident {
  Arena arena;
  std::vector<uint8_t> done;
  uint64_t left = 0, number = 0;
  uint32_t arrived[16] = {};
  Shadow shadow;
  std::vector<std::vector<AsyncCopy>> copies;
  BlockOrder order;
  Turns turns;  // of its warps

  Resident(const Request& r, uint64_t warps) : arena(r, warps), done(warps) {}
  // The running block's state is the worker's own. One that gives way leaves with it, and what it held goes to the worker.
  void exchange(KwWorker& c) {
    std::swap(shadow, c.shadow);
    std::swap(copies, c.copies);
    std::swap(arrived, c.arrived);
    std::swap(order, c.order);
  }
  void enter(KwWorker& c) {
    c.shared = arena.shared;
    c.warps = arena.warps.data();
    c.block = number;
    const Request& r = *c.request;
    c.launch.ctaid[0] = number % r.grid[0];
    c.launch.ctaid[1] = number / r.grid[0] % r.grid[1];
    c.launch.ctaid[2] = number / r.grid[0] / r.grid[1];
  }
};

// Rounds in which every warp of a block did nothing but look at global memory in loops, after which other blocks run.
constexpr int kIdleRounds = 2;

// Runs a block on. Returns false if it gives way: its warps wait for something that another block does.
bool run_block(KwWorker& c, Resident& block) {
  Request& r = *c.request;
  Arena& arena = block.arena;
  std::vector<uint8_t>& done = block.done;
  uint64_t& left = block.left;
  int idle = 0;
  while (left) {
    bool ran = false, moved = false;
    const uint64_t polls = c.polls;
    block.turns.next_round();
    for (size_t i = 0; i < arena.warps.size(); i++) {
      KwWarp& w = arena.warps[block.turns.warp(i)];
      if (done[w.index] || w.waiting) continue;
      ran = true;
      const int32_t status = r.kernel(&w, &c.launch);
      moved |= status != KW_YIELD;
      if (status == KW_DONE) {
        done[w.index] = 1;
        left--;
      } else if (status == KW_STOP || c.common->stop.load(std::memory_order_relaxed)) {
        left = 0;
        break;
      }
    }
    if (!left) break;
    const bool released = release(c, arena, done);
    idle = moved || released || c.polls == polls ? 0 : idle + 1;
    if (idle >= kIdleRounds) return false;
    if (!released && !ran) {
      // Every warp waits at a barrier that the others will not reach.
      for (auto& w : arena.warps)
        if (!done[w.index]) {
          c.violation(KW_DIVERGENT_BARRIER, (int)w.barrier_site, &w, first_lane(w.mask), 0, 2, w.barrier_id);
          w.waiting = 0;
        }
    }
  }
  for (auto& w : arena.warps) {
    c.counters[LONGEST_ISSUED] = std::max(c.counters[LONGEST_ISSUED], w.issued);
    c.counters[LONGEST_REQUESTS] = std::max(c.counters[LONGEST_REQUESTS], w.global_requests);
    c.counters[LONGEST_BARRIERS] = std::max(c.counters[LONGEST_BARRIERS], w.barriers);
    c.counters[BARRIERS] += w.barriers;
  }
  c.counters[WARPS] += arena.warps.size();
  c.counters[BLOCKS]++;
  return true;
}

void work(KwWorker& c) {
  // Subnormals count and rounding is to nearest, whatever the calling thread had set.
  const uint32_t mode = _mm_getcsr();
  _mm_setcsr(0x1f80);
  Request& r = *c.request;
  const uint64_t threads = (uint64_t)r.block[0] * r.block[1] * r.block[2];
  const uint64_t warps = (threads + KW_LANES - 1) / KW_LANES;
  c.shared_bytes = (uint32_t)(r.static_shared + r.dynamic_shared);
  const uint64_t blocks = blocks_to_run(r);
  std::deque<std::unique_ptr<Resident>> waiting;  // blocks that gave way, the longest-waiting first
  std::unique_ptr<Resident> block, spare;
  bool more = true;
  while (!c.common->stop) {
    block.reset();
    const bool room = more && waiting.size() < c.common->resident_limit;
    if (more && !room) c.common->crowded = true;
    const uint64_t n = room ? c.common->next_block.fetch_add(1) : blocks;
    more &= !room || n < blocks;
    if (n < blocks) {
      if ((n & 255) == 0 && now() > c.common->deadline) {
        if (!c.common->stop.exchange(true)) c.violation(KW_ENDLESS_LOOP, -1, nullptr, 0, 0, 1, n);
        r.stopped = 1;
        break;
      }
      if (spare) {
        block = std::move(spare);
      } else {
        block = std::make_unique<Resident>(r, warps);
        if (block->arena.stacks && !block->arena.stacks->local) {
          c.violation(KW_TRAP, -1, nullptr, 0, 0, 0, KW_TRAP_MEMORY);
          c.common->stop = true;
          break;
        }
        set_up_warps(c, block->arena);
      }
      const uint64_t place = scheduled((Order)r.schedule, n, blocks, r.schedule_seed);
      const uint64_t number = r.chosen ? r.chosen[place] : place;
      block->number = number;
      block->turns.begin((Order)r.schedule, r.schedule_seed ^ number, warps);
      block->left = warps;
      std::fill(block->done.begin(), block->done.end(), 0);
      block->enter(c);
      if (r.cell_shift >= 0 && !c.shadow.on) c.shadow.set_up((int)r.cell_shift, c.shared_bytes, r.lanes_may_race);
      if (c.copies.empty()) c.copies.resize(warps);
      set_up_block(c, block->arena, number);
    } else if (!waiting.empty()) {
      block = std::move(waiting.front());
      waiting.pop_front();
      block->exchange(c);
      block->enter(c);
    } else {
      break;
    }
    const bool ended = run_block(c, *block);
    if (ended) {
      spare = std::move(block);
    } else {
      block->exchange(c);
      waiting.push_back(std::move(block));
    }
  }
  for (auto& k : c.cache) flush_stored(k);
  _mm_setcsr(mode);
}

// Joins what one worker found to what all did: one a kind and site, the first block's.
void gather(const std::vector<Violation>& found, std::vector<Violation>& all) {
  for (const Violation& v : found) {
    auto same = std::find_if(all.begin(), all.end(), [&](const Violation& o) { return o.kind == v.kind && o.site == v.site; });
    if (same == all.end()) {
      all.push_back(v);
    } else {
      const uint64_t count = same->count + v.count;
      const bool wider = within_warp(*same) && !within_warp(v), narrower = within_warp(v) && !within_warp(*same);
      if (wider || (v.block < same->block && !narrower)) *same = v;
      same->count = count;
    }
  }
}

// In order of blocks, as many as there is room for.
int64_t hand_over(std::vector<Violation>& all, Violation* to) {
  std::sort(all.begin(), all.end(), [](const Violation& a, const Violation& b) { return a.block < b.block; });
  const int64_t count = std::min<int64_t>(all.size(), kMaxViolations);
  std::copy(all.begin(), all.begin() + count, to);
  return count;
}

void add_up(Request& r, KwWorker& c) {
  for (int i = 0; i < COUNTERS; i++) {
    const bool largest = i == LONGEST_ISSUED || i == LONGEST_REQUESTS || i == LONGEST_BARRIERS;
    r.counters[i] = largest ? std::max(r.counters[i], c.counters[i]) : r.counters[i] + c.counters[i];
  }
  for (int64_t i = 0; i < 3 * r.basic_blocks; i++) r.block_counts[i] += c.launch.block_counts[i];
  for (int64_t i = 0; c.profile && i < r.site_count; i++) {
    SiteCounts& into = r.site_counts[i];
    for (int n = 0; n < COUNTERS; n++) into.of[n] += c.profile[i].of[n];
    into.ideal_load_sectors += c.profile[i].ideal_load_sectors;
    into.ideal_store_sectors += c.profile[i].ideal_store_sectors;
  }
}

}  // namespace
}  // namespace kw

extern "C" {

int32_t kw_abi() { return KW_ABI; }
int64_t kw_request_bytes() { return sizeof(kw::Request); }
int64_t kw_counter_count() { return kw::COUNTERS; }

void kw_launch(void* table, kw::Request* request) {
  using namespace kw;
  Request& r = *request;
  Table* t = (Table*)table;
  {
    std::unique_lock lock(t->mutex);
    t->launches++;
    t->epoch++;
    t->touched.clear();
    // Once blocks have been left out, later launches too must say what they complete.
    r.track_writes = r.chosen || t->partial;
    t->partial |= r.chosen != nullptr;
  }
  Shared common;
  common.request = request;
  {
    const uint64_t warps = ((uint64_t)r.block[0] * r.block[1] * r.block[2] + KW_LANES - 1) / KW_LANES;
    const uint64_t shared_bytes = r.static_shared + r.dynamic_shared;
    // Registers, frames, shared memory and its shadow of five words a cell (shadow.hpp).
    const uint64_t each = warps * (sizeof(KwWarp) + KW_LANES * (4 * r.register_words + r.frame_bytes + (r.stack_slot < 0 ? 0 : 2 * r.stack_bytes))) +
                          shared_bytes * (1 + (r.cell_shift >= 0 ? 5 * 4 >> r.cell_shift : 0)) + 1;
    const uint64_t fit = std::min<uint64_t>(kResidentBytes / each, r.resident_blocks) / std::max<int64_t>(1, r.threads);
    common.resident_limit = std::max<uint64_t>(fit, 1);
  }
  common.table = t;
  {
    std::unique_lock lock(t->mutex);
    common.races.begin(t, r);
  }
  common.deadline = now() + r.seconds;
  const uint64_t blocks = blocks_to_run(r);
  const int64_t count = std::max<int64_t>(1, std::min<int64_t>(r.threads, blocks));
  std::vector<KwWorker> workers(count);
  std::vector<std::vector<SiteCounts>> profiles(r.site_counts ? count : 0, std::vector<SiteCounts>(r.site_count));
  std::vector<std::vector<uint64_t>> counts(count, std::vector<uint64_t>(3 * r.basic_blocks + 3));
  for (int64_t i = 0; i < count; i++) {
    KwWorker& c = workers[i];
    c.common = &common;
    c.request = request;
    memset(c.counters, 0, sizeof c.counters);
    memset(&c.launch, 0, sizeof c.launch);
    memcpy(c.launch.nctaid, r.grid, sizeof r.grid);
    memcpy(c.launch.ntid, r.block, sizeof r.block);
    c.launch.warps = (r.block[0] * r.block[1] * r.block[2] + KW_LANES - 1) / KW_LANES;
    c.launch.dynamic_shared = (uint32_t)r.dynamic_shared;
    c.launch.total_shared = (uint32_t)(r.static_shared + r.dynamic_shared);
    c.launch.params = r.params;
    c.launch.globals = r.globals;
    c.launch.workspace = r.workspace;
    c.polls = 0;
    c.local_stride = local_stride(r);
    if (r.site_counts) c.profile = profiles[i].data();
    c.launch.block_counts = counts[i].data();
    c.cache.resize(r.site_count);
  }
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < count; i++) threads.emplace_back(work, std::ref(workers[i]));
  work(workers[0]);
  for (auto& thread : threads) thread.join();

  std::vector<Violation> violations, notes;
  for (auto& c : workers) {
    add_up(r, c);
    gather(c.violations, violations);
    gather(c.notes, notes);
  }
  r.violation_count = hand_over(violations, r.violations);
  r.note_count = hand_over(notes, r.notes);

  std::unique_lock lock(t->mutex);
  for (Allocation* a : t->touched) {
    uint64_t loaded = 0, stored = 0;
    for (uint64_t word : a->load_bits) loaded += __builtin_popcountll(word);
    for (uint64_t word : a->store_bits) stored += __builtin_popcountll(word);
    r.counters[GL_UNIQUE] += loaded * kSectorBytes;
    r.counters[GS_UNIQUE] += stored * kSectorBytes;
    a->partial |= r.chosen && (a->written_bytes || a->updated_bytes);
  }
  common.races.end(t);
  t->touched.clear();
  if (--t->launches == 0) {
    for (Allocation* a : t->retired) delete a;
    t->retired.clear();
    lock.unlock();
    release_freed(t);
  }
}
}
