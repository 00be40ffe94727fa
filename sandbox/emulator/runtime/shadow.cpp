// Races and uninitialised reads in shared memory; see shadow.hpp.
#include "shadow.hpp"

#include <string.h>

#include <algorithm>

#include "runtime.hpp"

namespace kw {

void Shadow::set_up(int cell_shift, uint64_t bytes, bool tell_lanes) {
  on = bytes > 0;
  lanes = tell_lanes;
  shift = cell_shift;
  const uint64_t cells = (bytes >> shift) + 64;
  write.assign(cells, 0);
  read.assign(cells, 0);
  read_before.assign(cells, 0);
  site.assign(cells, 0);
  reader.assign(cells, 0);
  coming.assign(cells, 0);
  time = 0;
}

void Shadow::begin_block() {
  if (time > kLastTick) set_up(shift, (write.size() - 64) << shift, lanes);
  // The first tick is seen by every warp; accesses begin with the second.
  start = ++time;
  muted = false;
  released = Clock();
  released.floor = start;
  ++time;
  for (int i = 0; i < KW_LANES; i++) {
    tick[i] = time;
    clock[i] = released;
  }
  for (auto& a : arrived) a = released;
  memset(converged, 0, sizeof converged);
  memset(added, 0, sizeof added);
  if (pending) std::fill(coming.begin(), coming.end(), 0);  // copies that no one waited for
  pending = 0;
}

void Shadow::barrier(uint32_t warps, int id, bool everyone) {
  if (time > kLastTick) return;  // the block goes on without being told apart any more
  for (uint32_t m = warps; m; m &= m - 1) added[__builtin_ctz(m)] = 0;
  if (everyone) {
    const uint32_t past = time++;
    for (uint32_t m = warps; m; m &= m - 1) {
      const int i = __builtin_ctz(m);
      clock[i].floor = past;
      tick[i] = time;
    }
    return;
  }
  Clock all = arrived[id];
  for (uint32_t m = warps; m; m &= m - 1) {
    const int i = __builtin_ctz(m);
    all.join(clock[i]);
    all.seen[i] = std::max(all.seen[i], tick[i]);
  }
  ++time;
  for (uint32_t m = warps; m; m &= m - 1) {
    const int i = __builtin_ctz(m);
    clock[i].join(all);
    tick[i] = time;
  }
  arrived[id] = Clock();
}

void Shadow::arrive(int warp, int id) {
  arrived[id].join(clock[warp]);
  arrived[id].seen[warp] = std::max(arrived[id].seen[warp], tick[warp]);
  if (time <= kLastTick) tick[warp] = ++time;
}

void Shadow::synchronise(int warp) {
  added[warp] = 0;
  clock[warp].join(released);
  released.join(clock[warp]);
  released.seen[warp] = std::max(released.seen[warp], tick[warp]);
  if (time <= kLastTick) tick[warp] = ++time;
}

namespace {

// Shadow::site: a site, and above it what follows.
constexpr uint32_t kSiteMask = (1u << 24) - 1;
constexpr uint32_t kSeveral = 1u << 24;  // several lanes wrote it, none of them after the others
constexpr uint32_t kAtomic = 1u << 25;  // an atomic wrote it
constexpr int kLaneShift = 26;  // the lane that wrote it, five bits
constexpr uint32_t kReadTooEarly = 1u << 31;  // nobody has written the cell; the site is one that read it all the same

enum { READ_AFTER_WRITE = 0, WRITE_AFTER_READ = 1, WRITE_AFTER_WRITE = 2, LANE_AFTER_WRITE = 3, LANE_AFTER_READ = 4 };

// Which lane touches cell i of several side by side: `first` and those after it 2^cells_log2 cells each.
struct Lanes {
  uint32_t first;
  int cells_log2;
  uint32_t of(uint64_t i) const { return first + (uint32_t)(i >> cells_log2); }
};
constexpr int kOneLane = 31;  // Lanes::cells_log2 if all cells are the first lane's

inline uint32_t lane_of(uint32_t site) { return site >> kLaneShift & (KW_LANES - 1); }

// Whether warp `warp`, whose stamp is `mine`, wrote a cell since its lanes met.
inline bool unmet(const Shadow& s, int warp, uint32_t mine, uint64_t cell) {
  return s.write[cell] == mine || (s.write[cell] == s.added[warp] && s.site[cell] & kAtomic);
}

void report_race(KwWarp* w, uint32_t site, int lane, uint64_t address, int size, int how, uint32_t stamp, uint32_t other) {
  const int64_t extra = how | (int64_t)(stamp & (KW_LANES - 1)) << 8 | (int64_t)(other & kSiteMask) << 16;
  // lane -1: a thread of an earlier access, which one is not kept.
  w->worker->violation(KW_SHARED_RACE, (int)site, lane < 0 ? nullptr : w, lane, address, size, extra);
}

// Whether an access may be told to race with another lane of its warp. Library code knows what it does,
// but wmma::load_matrix_sync is one instruction.
bool tells_lanes(const KwWorker& c, uint32_t site) {
  return c.shadow.lanes && c.shadow.time <= Shadow::kLastTick && (c.request->sites[site].is_volatile & (2 | 16)) != 2;
}

// One lane, the slow way: says what is wrong, then marks the cells.
void load_lane(KwWarp* w, uint32_t site, int lane, uint64_t address, int size) {
  KwWorker& c = *w->worker;
  Shadow& s = c.shadow;
  const uint32_t mine = s.stamp(w->index), first = s.start << Shadow::kWarpBits;
  bool told = false;
  for (uint64_t i = address >> s.shift; i < (address + size) >> s.shift; i++) {
    const uint32_t stamp = s.write[i];
    if (!told && stamp < first) {
      if (c.request->sites[site].is_volatile & 2) continue;  // library code may read what it does not use
      c.violation(KW_UNINITIALISED, (int)site, w, lane, address, size, KW_SHARED);
      s.site[i] = site | kReadTooEarly;
      told = true;
    } else if (!told && !s.ordered(w->index, stamp)) {
      report_race(w, site, lane, address, size, READ_AFTER_WRITE, stamp, s.site[i]);
      told = true;
    } else if (!told && unmet(s, w->index, mine, i) && lane_of(s.site[i]) != (uint32_t)lane && !(s.site[i] & kSeveral) &&
               tells_lanes(c, site)) {
      report_race(w, site, lane, address, size, LANE_AFTER_WRITE, lane_of(s.site[i]), s.site[i]);
      told = true;
    }
    const uint32_t before = s.read[i];
    if ((before & (KW_LANES - 1)) != (uint32_t)w->index) s.read_before[i] = before;
    s.reader[i] = before == mine && s.reader[i] != lane ? KW_LANES : lane;
    s.read[i] = mine;
  }
  if (!told && s.pending && s.on_its_way(address, size))
    c.violation(KW_UNINITIALISED, (int)site, w, lane, address, size, KW_SHARED | 16);
}

// Whether some of the cells were written since the warp's lanes met, by others than those that read them now.
inline bool by_other_lanes(const Shadow& s, int warp, uint32_t mine, uint64_t first, uint64_t count, Lanes lanes) {
  bool found = false;
  for (uint64_t i = 0; i < count; i++)
    found |= unmet(s, warp, mine, first + i) && lane_of(s.site[first + i]) != lanes.of(i);
  return found;
}

// What a warp's loads are measured by.
struct Reader {
  uint32_t warp, mine, begin, seen;
  Reader(const Shadow& s, int index)
      : warp(index),
        mine(s.stamp(index)),
        begin(s.start << Shadow::kWarpBits),
        seen(s.clock[index].floor << Shadow::kWarpBits | (KW_LANES - 1)) {}
  // Written in this block before every warp met: nothing else can be wrong with a cell.
  uint32_t odd(uint32_t write) const { return write - begin > seen - begin; }
  // Not written, or by another warp since; a named barrier or an atomic may have ordered the two all the same.
  uint32_t bad(uint32_t write) const {
    return (uint32_t)(write < begin) | ((uint32_t)(write > seen) & (uint32_t)((write & (KW_LANES - 1)) != warp));
  }
  // Whether a cell must be marked. Two warps that read it since every warp met stand for all others.
  uint32_t unmarked(uint32_t read, uint32_t before) const {
    return (uint32_t)(read != mine) & ((uint32_t)(read <= seen) | (uint32_t)(before <= seen));
  }
  uint32_t kept(uint32_t read, uint32_t before) const { return (read & (KW_LANES - 1)) != warp ? read : before; }
};

// Cells [first, first + count): whether all were written in this block and seen by this warp; marks them as read. With
// TOLD, lanes are told apart.
template <bool TOLD>
inline bool load_run(Shadow& s, const Reader& r, uint64_t first, uint64_t count, Lanes lanes) {
  const uint32_t* __restrict write = s.write.data() + first;
  uint32_t* __restrict read = s.read.data() + first;
  uint32_t* __restrict before = s.read_before.data() + first;
  uint32_t odd = 0, unmarked = 0;
  for (uint64_t i = 0; i < count; i++) {
    odd |= r.odd(write[i]);
    unmarked |= TOLD ? read[i] ^ r.mine : r.unmarked(read[i], before[i]);
  }
  if (odd) {
    uint32_t bad = 0;
    for (uint64_t i = 0; i < count; i++) bad |= r.bad(write[i]);
    if (bad || (TOLD && by_other_lanes(s, r.warp, r.mine, first, count, lanes))) return false;
  }
  if (!TOLD && !unmarked) return true;
  if (TOLD) {
    uint8_t* __restrict reader = s.reader.data() + first;
    uint32_t others = unmarked;
    for (uint32_t i = 0; i < (uint32_t)count; i++) others |= reader[i] ^ lanes.of(i);
    if (!others) return true;
    for (uint32_t i = 0; i < (uint32_t)count; i++)
      reader[i] = read[i] == r.mine && reader[i] != lanes.of(i) ? KW_LANES : lanes.of(i);
  }
  for (uint64_t i = 0; i < count; i++) {
    before[i] = r.kept(read[i], before[i]);
    read[i] = r.mine;
  }
  return true;
}

// The same for lanes anywhere.
template <bool TOLD>
inline bool load_scattered(Shadow& s, const Reader& r, uint32_t mask, const uint64_t* a, int size) {
  bool good = true;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    good &= load_run<TOLD>(s, r, a[l] >> s.shift, size >> s.shift, {(uint32_t)l, kOneLane});
  }
  return good;
}

// One cell a lane, and a pattern that comes again: lanes that share an address count once.
inline bool load_distinct(Shadow& s, const Reader& r, Cache& k, const uint64_t* a) {
  if (!k.distinct_count) {
    for (int l = 0; l < KW_LANES; l++) {
      bool repeated = false;
      for (int i = 0; i < k.distinct_count; i++) repeated |= k.delta[k.distinct[i]] == k.delta[l];
      if (!repeated) k.distinct[k.distinct_count++] = l;
    }
  }
  const uint32_t* __restrict write = s.write.data();
  uint32_t* __restrict read = s.read.data();
  uint32_t* __restrict before = s.read_before.data();
  uint32_t odd = 0, unmarked = 0, at[KW_LANES];
  const int count = k.distinct_count;
  for (int i = 0; i < count; i++) {
    const uint32_t n = a[k.distinct[i]] >> s.shift;
    at[i] = n;
    odd |= r.odd(write[n]);
    unmarked |= r.unmarked(read[n], before[n]);
  }
  if (odd) {
    uint32_t bad = 0;
    for (int i = 0; i < count; i++) bad |= r.bad(write[at[i]]);
    if (bad) return false;
  }
  for (int i = 0; unmarked && i < count; i++) {
    const uint32_t n = at[i];
    before[n] = r.kept(read[n], before[n]);
    read[n] = r.mine;
  }
  return true;
}

template <bool TOLD>
inline bool load_fast(Shadow& s, int warp, Cache& k, uint32_t mask, const uint64_t* a, int size) {
  constexpr Lanes kSeveralLanes{KW_LANES, kOneLane};
  const int cells_log2 = __builtin_ctz(size >> s.shift);
  const Reader r(s, warp);
  if (k.kind == SAME && mask == k.mask) {
    const Lanes lanes = mask & (mask - 1) ? kSeveralLanes : Lanes{(uint32_t)first_lane(mask), kOneLane};
    return load_run<TOLD>(s, r, a[first_lane(mask)] >> s.shift, size >> s.shift, lanes);
  }
  if (k.run && mask == k.mask)
    return load_run<TOLD>(s, r, a[first_lane(mask)] >> s.shift, (__builtin_popcount(mask) * (uint64_t)size) >> s.shift,
                          {(uint32_t)first_lane(mask), cells_log2});
  if (k.kind == GROUPED && mask == KW_FULL) {
    bool good = true;
    for (int g = 0; g < KW_LANES; g += 8) {
      if (k.repeated[g / 8] && (!TOLD || k.broadcast[g / 8])) continue;
      const bool one = k.broadcast[g / 8];
      good &= load_run<TOLD>(s, r, a[g] >> s.shift, ((one ? 1 : 8) * (uint64_t)size) >> s.shift,
                             one ? kSeveralLanes : Lanes{(uint32_t)g, cells_log2});
    }
    return good;
  }
  if (!TOLD && mask == KW_FULL && k.mask == KW_FULL && !cells_log2) {
    if (k.uses > 1) return load_distinct(s, r, k, a);
    k.uses++;
  }
  return load_scattered<TOLD>(s, r, mask, a, size);
}

}  // namespace

void shadow_load(KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* a, int size) {
  Shadow& s = w->worker->shadow;
  s.meet(w);
  bool early = false;
  if (s.pending)
    for (uint32_t m = mask; m; m &= m - 1) early |= s.on_its_way(a[__builtin_ctz(m)], size);
  if (!early && (s.lanes ? load_fast<true>(s, w->index, k, mask, a, size)
                         : load_fast<false>(s, w->index, k, mask, a, size)))
    return;
  for (uint32_t m = mask; m; m &= m - 1) load_lane(w, site, __builtin_ctz(m), a[__builtin_ctz(m)], size);
}

namespace {

inline bool store_run(Shadow& s, int warp, uint32_t site, uint64_t first, uint64_t count, Lanes lanes) {
  const uint32_t mine = s.stamp(warp), seen = s.clock[warp].floor << Shadow::kWarpBits | (KW_LANES - 1);
  uint32_t* __restrict write = s.write.data() + first;
  const uint32_t* __restrict read = s.read.data() + first;
  const uint32_t* __restrict before = s.read_before.data() + first;
  uint32_t* __restrict sites = s.site.data() + first;
  uint32_t bad = 0, own = 0;
  for (uint64_t i = 0; i < count; i++) {
    own |= (uint32_t)(read[i] == mine);
    auto unseen = [&](uint32_t stamp) {
      return (uint32_t)(stamp > seen) & (uint32_t)((stamp & (KW_LANES - 1)) != (uint32_t)warp);
    };
    bad |= unseen(write[i]) | unseen(read[i]) | unseen(before[i]) | (sites[i] & kReadTooEarly);
  }
  if (own && s.lanes)
    for (uint64_t i = 0; i < count; i++)
      bad |= (uint32_t)(read[i] == mine) & (uint32_t)(s.reader[first + i] != lanes.of(i));
  if (bad) return false;
  const uint32_t place = site | lanes.first << kLaneShift;
  if (lanes.cells_log2 == kOneLane) {
    for (uint64_t i = 0; i < count; i++) {
      const bool again = write[i] == mine && !((sites[i] ^ place) & kSiteMask) && (sites[i] ^ place);
      write[i] = mine;
      sites[i] = place | (again ? kSeveral : 0);
    }
    return true;
  }
  for (uint32_t i = 0; i < (uint32_t)count; i++) {
    write[i] = mine;
    sites[i] = place + ((i >> lanes.cells_log2) << kLaneShift);
  }
  return true;
}

// `changes`: whether the store alters what is there. `late`: it is a copy that arrives, some time after its lane asked for it.
void store_lane(KwWarp* w, uint32_t site, int lane, uint64_t address, int size, bool changes, bool late = false,
                uint32_t flags = 0) {
  Shadow& s = w->worker->shadow;
  const uint32_t begin = s.start << Shadow::kWarpBits, mine = s.stamp(w->index);
  bool told = false, noted = false;
  for (uint64_t i = address >> s.shift; i < (address + size) >> s.shift; i++) {
    const uint32_t write = s.write[i];
    if (write < begin && s.site[i] & kReadTooEarly) {
      // It was read before it was written: if nothing orders the two, the fault is the missing barrier.
      const uint32_t reader = s.ordered(w->index, s.read[i]) ? s.read_before[i] : s.read[i];
      if (reader >= begin && !s.ordered(w->index, reader)) {
        const uint32_t place = s.site[i] & kSiteMask;
        w->worker->retract(KW_UNINITIALISED, (int)place);
        report_race(w, place, -1, address, size, READ_AFTER_WRITE, mine, site);
        told = true;
      }
    }
    if (!changes && write >= begin && !s.ordered(w->index, write)) {  // the same value, written twice
      if (!noted && !(w->worker->request->sites[site].is_volatile & 2)) {
        const int64_t extra = KW_SHARED | (int64_t)(write & (KW_LANES - 1)) << 8 | (int64_t)(s.site[i] & kSiteMask) << 16;
        w->worker->note(KW_SAME_VALUE, (int)site, w, lane, address, size, extra);
      }
      noted = true;
      continue;
    }
    if (changes && !told) {
      if (!s.ordered(w->index, write)) {
        report_race(w, site, lane, address, size, WRITE_AFTER_WRITE, write, s.site[i]);
        told = true;
      } else {
        for (const uint32_t read : {s.read[i], s.read_before[i]})
          if (!told && read >= begin && !s.ordered(w->index, read)) {
            report_race(w, site, lane, address, size, WRITE_AFTER_READ, read, site);
            told = true;
          }
        if (!told && !late && s.read[i] == mine && s.reader[i] != lane && tells_lanes(*w->worker, site)) {
          report_race(w, site, lane, address, size, LANE_AFTER_READ, s.reader[i] & (KW_LANES - 1), site);
          told = true;
        }
      }
    }
    const uint32_t place = site | flags | (uint32_t)lane << kLaneShift;
    const bool again = write == mine && !((s.site[i] ^ place) & kSiteMask) && (s.site[i] ^ place);
    s.write[i] = mine;
    s.site[i] = place | (again ? kSeveral : 0);
  }
}

}  // namespace

void shadow_store(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* a, int size,
                  const uint64_t* const* values, int element) {
  KwWorker& c = *w->worker;
  Shadow& s = c.shadow;
  s.meet(w);
  if (k.run && mask == k.mask) {
    const int cells_log2 = __builtin_ctz(size >> s.shift);
    if (store_run(s, w->index, site, a[first_lane(mask)] >> s.shift,
                  (__builtin_popcount(mask) * (uint64_t)size) >> s.shift, {(uint32_t)first_lane(mask), cells_log2}))
      return;
  } else {
    bool good = true;
    for (uint32_t m = mask; m && good; m &= m - 1)
      good = store_run(s, w->index, site, a[__builtin_ctz(m)] >> s.shift, size >> s.shift,
                       {(uint32_t)__builtin_ctz(m), kOneLane});
    if (good) return;
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    bool changes = false;
    for (int i = 0; i < size / element; i++) {
      const uint8_t* value = (const uint8_t*)values[i] + l * (element == 8 ? 8 : 4);
      changes |= memcmp(c.shared + a[l] + i * element, value, element) != 0;
    }
    store_lane(w, site, l, a[l], size, changes);
  }
}

void shadow_volatile_store(KwWarp* w, uint32_t mask, const uint64_t* a, int size) {
  Shadow& s = w->worker->shadow;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t at = a[__builtin_ctz(m)];
    for (uint64_t i = at >> s.shift; i < (at + size) >> s.shift; i++) s.write[i] = s.start << Shadow::kWarpBits;
  }
}

// The atomic itself is ordered after every earlier one (synchronise); here it meets plain reads and writes.
void shadow_atomic(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a, int size) {
  Shadow& s = w->worker->shadow;
  s.meet(w);
  const uint32_t begin = s.start << Shadow::kWarpBits;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (s.write[a[l] >> s.shift] < begin) w->worker->violation(KW_UNINITIALISED, (int)site, w, l, a[l], size, KW_SHARED);
    store_lane(w, site, l, a[l], size, true, false, kAtomic);
  }
}

void shadow_arrival(KwWarp* w, uint32_t site, int lane, uint64_t address, int size) {
  w->worker->shadow.meet(w);
  store_lane(w, site, lane, address, size, true, true);
}

}  // namespace kw
