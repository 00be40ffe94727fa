// Races between blocks in global memory; see races.hpp.
#include "races.hpp"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "runtime.hpp"

namespace kw {

namespace {

constexpr uint64_t kShadowBytes = 1ull << 30;  // most that shadows of a table take; arrays beyond it go unchecked
constexpr uint64_t kKeptBytes = 1ull << 28;  // of them kept between launches
constexpr uint64_t kSmallest = 1 << 14;  // bytes of the smallest mapping

// Low bits of stamps.
constexpr uint32_t kSame = 1;  // of a writer: others wrote the same value
constexpr uint32_t kMany = 1;  // of a reader: another block that is not ordered before it read as well
constexpr uint32_t kOrdered = 2;  // of a reader: volatile or an atomic
constexpr uint32_t kFlags = 3;

enum { READ_AFTER_WRITE = 0, WRITE_AFTER_READ = 1, WRITE_AFTER_WRITE = 2 };

void* map(uint64_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

// -- shadows ----------------------------------------------------------------------------------------------------------

ShadowPool::~ShadowPool() { clear(); }

uint32_t* ShadowPool::take(uint64_t& bytes) {
  uint64_t size = kSmallest;
  while (size < bytes) size *= 2;
  bytes = size;
  for (size_t i = 0; i < free_.size(); i++)
    if (free_[i].bytes == size) {
      uint32_t* memory = free_[i].memory;
      free_.erase(free_.begin() + i);
      unused_ -= size;
      return memory;
    }
  if (mapped_ + size > kShadowBytes) clear();
  if (mapped_ + size > kShadowBytes) return nullptr;
  uint32_t* memory = (uint32_t*)map(size);
  if (memory) mapped_ += size;
  return memory;
}

void ShadowPool::give(uint32_t* memory, uint64_t bytes) {
  if (!memory) return;
  free_.push_back({memory, bytes});
  unused_ += bytes;
}

void ShadowPool::clear() {
  for (const Free& f : free_) {
    munmap(f.memory, f.bytes);
    mapped_ -= f.bytes;
  }
  free_.clear();
  unused_ = 0;
}

void ShadowPool::trim() {
  while (unused_ > kKeptBytes) {
    const Free f = free_.front();
    free_.erase(free_.begin());
    munmap(f.memory, f.bytes);
    mapped_ -= f.bytes;
    unused_ -= f.bytes;
  }
}

void attach_stamps(const Races& races, Table* t, Allocation* a) {
  if (!races.on || a->stamps.write) return;
  if (!t->any_written && a->written_epoch != t->epoch) return;
  const uint64_t cells = ((a->hi - 1) >> races.shift) - (a->lo >> races.shift) + 1;
  uint64_t bytes = cells * sizeof(uint32_t);
  a->stamps.write = t->pool.take(bytes);
  a->stamps.write_bytes = bytes;
  if (!a->stamps.write || (!t->any_read && a->read_epoch != t->epoch)) return;
  bytes = cells * sizeof(uint32_t);
  a->stamps.read = t->pool.take(bytes);
  a->stamps.read_bytes = bytes;
}

void Races::begin(Table* t, const Request& r) {
  const uint64_t blocks = (uint64_t)r.grid[0] * r.grid[1] * r.grid[2];
  on = r.race_shift >= 0 && blocks > 1;
  if (!on) return;
  shift = (int)r.race_shift;
  room = (uint32_t)std::clamp<uint64_t>(64 * blocks, 1 << 16, kMostTicks);
  if (t->next_tick > kLastTick - room) {
    // Old stamps would look like new ones: shadows begin anew.
    t->pool.clear();
    t->next_tick = 1;
  }
  first = t->next_tick;
  ticks = (Tick*)map(room * sizeof(Tick));
  on = ticks != nullptr;
  t->any_written = r.written_count < 0;
  t->any_read = r.read_count < 0;
  for (int64_t i = 0; i < r.written_count; i++)
    if (Allocation* a = t->find(r.written[i])) a->written_epoch = t->epoch;
  for (int64_t i = 0; i < r.read_count; i++)
    if (Allocation* a = t->find(r.read[i])) a->read_epoch = t->epoch;
}

void Races::end(Table* t) {
  for (Allocation* a : t->touched) {
    t->pool.give(a->stamps.write, a->stamps.write_bytes);
    t->pool.give(a->stamps.read, a->stamps.read_bytes);
    a->stamps = Stamps();
  }
  if (!ticks) return;
  t->pool.trim();
  t->next_tick = first + std::min(used.load(), room);
  munmap(ticks, room * sizeof(Tick));
  ticks = nullptr;
}

Tick& Races::of(uint32_t stamp) const { return ticks[(stamp >> 2) - first]; }

// -- order ------------------------------------------------------------------------------------------------------------

namespace {

// The running block's stamp; 0 if ticks have run out.
inline uint32_t stamp_of(KwWorker& c) {
  BlockOrder& o = c.order;
  if (__builtin_expect(o.stamp != 0, 1)) return o.stamp;
  Races& races = c.common->races;
  const uint32_t n = races.used.fetch_add(1, std::memory_order_relaxed);
  if (n >= races.room) {
    races.used = races.room;
    return 0;
  }
  Tick& tick = races.ticks[n];
  tick.block = c.block;
  tick.synchronised = o.synchronised;
  o.stamp = (races.first + n) << 2;
  o.open.push_back(o.stamp);
  return o.stamp;
}

// Whether what was done under this stamp comes before what the running block does now.
bool ordered(const KwWorker& c, uint32_t stamp) {
  const Tick& tick = c.common->races.of(stamp);
  if (tick.block == c.block) return true;
  const uint32_t closed = tick.closed.load(std::memory_order_relaxed);
  return closed && closed <= c.order.seen;
}

void report(KwWarp* w, uint32_t site, int lane, uint64_t address, int size, int how, uint32_t stamp) {
  KwWorker& c = *w->worker;
  const int64_t other = c.common->races.of(stamp).block == c.block ? -1 : (int64_t)c.common->races.of(stamp).block;
  c.violation(KW_GLOBAL_RACE, (int)site, w, lane, address, size, how | (other + 1) << 2);
}

}  // namespace

void race_release(KwWarp* w) {
  KwWorker& c = *w->worker;
  Races& races = c.common->races;
  if (!races.on) return;
  BlockOrder& o = c.order;
  o.synchronised = true;
  if (o.open.empty()) return;
  const uint32_t now = races.clock.fetch_add(1) + 1;
  for (const uint32_t stamp : o.open) races.of(stamp).closed.store(now);
  o.open.clear();
  o.stamp = 0;
}

void race_acquire(KwWarp* w) {
  KwWorker& c = *w->worker;
  const Races& races = c.common->races;
  if (!races.on) return;
  BlockOrder& o = c.order;
  o.synchronised = true;
  const uint32_t now = races.clock.load();
  if (now == o.seen) return;
  o.seen = now;
  o.stamp = 0;
}

// -- accesses ---------------------------------------------------------------------------------------------------------

namespace {

// The cells of one request: of the cached allocation, or lane by lane where lanes reach several.
struct Cells {
  uint32_t* write = nullptr;
  uint32_t* read = nullptr;
  uint64_t first = 0, count = 0;
};

Cells cells_of(const Races& races, const Stamps& s, uint64_t lo, uint64_t address, uint64_t size) {
  const uint64_t first = (address >> races.shift) - (lo >> races.shift);
  const uint64_t last = ((address + size - 1) >> races.shift) - (lo >> races.shift);
  return {s.write, s.read, first, last - first + 1};
}

// Of one lane.
Cells cells_at(KwWorker& c, const Cache& k, uint64_t address, int size) {
  const Races& races = c.common->races;
  if (address >= k.lo && address + size <= k.hi) return cells_of(races, k.stamps, k.lo, address, size);
  std::shared_lock lock(c.common->table->mutex);
  const Allocation* a = c.common->table->find(address);
  return a && a->stamps.write ? cells_of(races, a->stamps, a->lo, address, size) : Cells();
}

void mark_read(const KwWorker& c, uint32_t* cell, uint32_t mine, uint32_t first, Access how) {
  const uint32_t old = *cell, flag = how == ORDERED ? kOrdered : 0;
  if (old < first)
    *cell = mine | flag;
  else if (!((old ^ mine) & ~kFlags))
    *cell = old & (flag | ~kOrdered);  // a plain read counts more
  else if (ordered(c, old))
    *cell = mine | flag;
  else
    *cell = mine | kMany | (flag & old);
}

void load_lane(KwWarp* w, const Cache& k, uint32_t site, int lane, uint64_t address, int size, Access how) {
  KwWorker& c = *w->worker;
  const Races& races = c.common->races;
  const uint32_t mine = stamp_of(c), first = races.first << 2;
  if (!mine) return;
  const Cells at = cells_at(c, k, address, size);
  if (!at.write) return;
  bool told = false;
  for (uint64_t i = at.first; i < at.first + at.count; i++) {
    const uint32_t stamp = at.write[i];
    if (!told && stamp >= first && !(stamp & kSame) && !ordered(c, stamp) &&
        !(how == ORDERED && races.of(stamp).synchronised)) {
      report(w, site, lane, address, size, READ_AFTER_WRITE, stamp);
      told = true;
    }
    if (at.read) mark_read(c, at.read + i, mine, first, how);
  }
}

void store_lane(KwWarp* w, const Cache& k, uint32_t site, int lane, uint64_t address, int size, bool changes) {
  KwWorker& c = *w->worker;
  const Races& races = c.common->races;
  const uint32_t mine = stamp_of(c), first = races.first << 2;
  if (!mine) return;
  const Cells at = cells_at(c, k, address, size);
  if (!at.write) return;
  bool told = false;
  auto tell = [&](int how, uint32_t stamp) {
    if (!told) report(w, site, lane, address, size, how, stamp);
    told = true;
  };
  for (uint64_t i = at.first; i < at.first + at.count; i++) {
    const uint32_t write = at.write[i], read = at.read ? at.read[i] : 0;
    const bool foreign = write >= first && !ordered(c, write);
    at.write[i] = !changes && (foreign || write == (mine | kSame)) ? mine | kSame : mine;
    if (!changes) {
      if (foreign && !told && !(c.request->sites[site].is_volatile & 2)) {
        const int64_t extra = KW_GLOBAL | (int64_t)races.of(write).block << 8;
        c.note(KW_SAME_VALUE, (int)site, w, lane, address, size, extra);
        told = true;
      }
      continue;
    }
    if (foreign) {
      tell(WRITE_AFTER_WRITE, write);
    } else if (read >= first && !((read & kOrdered) && c.order.synchronised)) {
      if (!ordered(c, read) || ((read & kMany) && !((read ^ mine) & ~kFlags))) tell(WRITE_AFTER_READ, read);
    }
  }
}

// Cells that only this block has touched since the launch began, or nobody: the way that nearly all accesses take.
inline bool load_run(const Cells& at, uint32_t mine, uint32_t first, bool alone) {
  const uint32_t* __restrict write = at.write + at.first;
  uint32_t bad = 0;
  for (uint64_t i = 0; i < at.count; i++) bad |= (uint32_t)(write[i] >= first) & (uint32_t)(write[i] != mine);
  if (bad) return false;
  if (!at.read) return true;
  uint32_t* __restrict read = at.read + at.first;
  uint32_t fresh = 0;
  for (uint64_t i = 0; i < at.count; i++) {
    const uint32_t old = read[i];
    // Two blocks that read a cell stand for all others.
    const uint32_t many = (uint32_t)(old >= first) & (uint32_t)((old & kFlags) == kMany);
    fresh |= (uint32_t)(old != mine) & (many ^ 1);
    bad |= (uint32_t)(old >= first) & (uint32_t)((old & ~kMany) != mine);
  }
  if (bad && !alone) return false;
  if (!fresh) return true;
  for (uint64_t i = 0; i < at.count; i++) {
    const uint32_t old = read[i];
    read[i] = old < first ? mine : ((old ^ mine) & ~kFlags) ? mine | kMany : old & ~kOrdered;
  }
  return true;
}

inline bool store_run(const Cells& at, uint32_t mine, uint32_t first) {
  uint32_t* __restrict write = at.write + at.first;
  uint32_t bad = 0;
  for (uint64_t i = 0; i < at.count; i++) bad |= (uint32_t)(write[i] >= first) & (uint32_t)(write[i] != mine);
  if (at.read) {
    const uint32_t* __restrict read = at.read + at.first;
    for (uint64_t i = 0; i < at.count; i++)
      bad |= (uint32_t)(read[i] >= first) & (uint32_t)((read[i] & ~kOrdered) != mine);
  }
  if (bad) return false;
  for (uint64_t i = 0; i < at.count; i++) write[i] = mine;
  return true;
}

}  // namespace

void race_load(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* a, int size, Access how) {
  KwWorker& c = *w->worker;
  const Races& races = c.common->races;
  const uint32_t mine = stamp_of(c), first = races.first << 2;
  if (!mine) return;
  const uint64_t base = a[first_lane(mask)];
  if (how == PLAIN && base + k.min_delta >= k.lo && base + k.max_end <= k.hi) {
    // While a block has not synchronised, nothing of another one is ordered before it.
    const bool alone = !c.order.synchronised;
    if (k.kind == SAME) {
      if (load_run(cells_of(races, k.stamps, k.lo, base, size), mine, first, alone)) return;
    } else if (k.run && mask == k.mask) {
      const uint64_t bytes = (uint64_t)size * __builtin_popcount(mask);
      if (load_run(cells_of(races, k.stamps, k.lo, base, bytes), mine, first, alone)) return;
    } else if (k.kind == GROUPED && mask == KW_FULL) {
      bool good = true;
      for (int g = 0; g < KW_LANES; g += 8) {
        if (k.repeated[g / 8]) continue;
        const uint64_t bytes = (uint64_t)size * (k.broadcast[g / 8] ? 1 : 8);
        good &= load_run(cells_of(races, k.stamps, k.lo, a[g], bytes), mine, first, alone);
      }
      if (good) return;
    } else {
      uint32_t left = 0;
      for (uint32_t m = mask; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        if (!load_run(cells_of(races, k.stamps, k.lo, a[l], size), mine, first, alone)) left |= 1u << l;
      }
      mask = left;
    }
  }
  for (uint32_t m = mask; m; m &= m - 1) load_lane(w, k, site, __builtin_ctz(m), a[__builtin_ctz(m)], size, how);
}

void race_store(KwWarp* w, const Cache& k, uint32_t mask, uint32_t site, const uint64_t* a, int size,
                const uint64_t* const* values, int element) {
  KwWorker& c = *w->worker;
  const Races& races = c.common->races;
  const uint32_t mine = stamp_of(c), first = races.first << 2;
  if (!mine) return;
  const uint64_t base = a[first_lane(mask)];
  if (base + k.min_delta >= k.lo && base + k.max_end <= k.hi) {
    if (k.run && mask == k.mask) {
      const uint64_t bytes = (uint64_t)size * __builtin_popcount(mask);
      if (store_run(cells_of(races, k.stamps, k.lo, base, bytes), mine, first)) return;
    } else if (k.kind == GROUPED && mask == KW_FULL) {
      bool good = true;
      for (int g = 0; g < KW_LANES; g += 8) {
        if (k.repeated[g / 8]) continue;
        const uint64_t bytes = (uint64_t)size * (k.broadcast[g / 8] ? 1 : 8);
        good &= store_run(cells_of(races, k.stamps, k.lo, a[g], bytes), mine, first);
      }
      if (good) return;
    } else {
      uint32_t left = 0;
      for (uint32_t m = mask; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        if (!store_run(cells_of(races, k.stamps, k.lo, a[l], size), mine, first)) left |= 1u << l;
      }
      mask = left;
    }
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    bool changes = false;
    for (int i = 0; i < size / element; i++) {
      const uint8_t* value = (const uint8_t*)values[i] + l * (element == 8 ? 8 : 4);
      changes |= memcmp((const uint8_t*)a[l] + i * element, value, element) != 0;
    }
    store_lane(w, k, site, l, a[l], size, changes);
  }
}

void race_ordered_store(KwWarp* w, const Cache& k, uint32_t mask, const uint64_t* a, int size) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const Cells at = cells_at(*w->worker, k, a[__builtin_ctz(m)], size);
    for (uint64_t i = at.first; at.write && i < at.first + at.count; i++) at.write[i] = 0;
  }
}

}  // namespace kw
