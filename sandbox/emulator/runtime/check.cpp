// Patterns of a warp's addresses, bounds, sectors, bank conflicts; the way off the fast path.
#include <string.h>

#include <algorithm>
#include <array>

#include "runtime.hpp"

namespace kw {

void learn(Cache& k, uint32_t mask, const uint64_t* address, uint64_t base, int size) {
  k.mask = mask;
  k.phase = ~0u;
  k.uses = k.distinct_count = 0;
  k.delta_or = 0;
  int64_t lo = 0, hi = 0;
  bool same = true, contiguous = mask == KW_FULL;
  const int begin = mask ? first_lane(mask) : 0;
  k.run = mask && !((mask >> begin) & ((mask >> begin) + 1));
  for (int l = 0; l < KW_LANES; l++) {
    const bool active = mask >> l & 1;
    k.keep[l] = active ? ~0ull : 0;
    const uint64_t d = active ? address[l] - base : 0;
    k.delta[l] = d;
    k.delta_or |= d;
    lo = std::min(lo, (int64_t)d);
    hi = std::max(hi, (int64_t)d);
    same &= d == 0;
    contiguous &= d == (uint64_t)(l * size);
    k.run &= !active || d == (uint64_t)((l - begin) * size);
  }
  k.min_delta = lo;
  k.max_end = hi + size;
  k.kind = same ? SAME : contiguous ? CONTIGUOUS : OTHER;
  if (k.kind != OTHER || mask != KW_FULL) return;
  for (int g = 0; g < KW_LANES; g += 8) {
    bool one = true, side_by_side = true;
    for (int i = 1; i < 8; i++) {
      one &= k.delta[g + i] == k.delta[g];
      side_by_side &= k.delta[g + i] == k.delta[g] + i * size;
    }
    if (!one && !side_by_side) return;
    k.broadcast[g / 8] = one;
    k.repeated[g / 8] = false;
    for (int e = 0; e < g; e += 8) k.repeated[g / 8] |= k.delta[e] == k.delta[g] && k.broadcast[e / 8] == one;
  }
  k.kind = GROUPED;
}

// Sectors that the distinct addresses of the lanes would need side by side.
static uint32_t packed_sectors(const Cache& k, int size) {
  uint64_t found[KW_LANES];
  int n = 0;
  for (int l = 0; l < KW_LANES; l++)
    if (k.keep[l]) found[n++] = k.delta[l];
  std::sort(found, found + n);
  n = (int)(std::unique(found, found + n) - found);
  return (uint32_t)((n * size + kSectorBytes - 1) / kSectorBytes);
}

void learn_sectors(Cache& k, uint64_t base, int size) {
  k.phase = base % kSectorBytes;
  int64_t found[2 * KW_LANES];
  int n = 0;
  for (int l = 0; l < KW_LANES; l++) {
    if (!k.keep[l]) continue;
    const int64_t first = (int64_t)(k.phase + k.delta[l]) >> 5, last = (int64_t)(k.phase + k.delta[l] + size - 1) >> 5;
    found[n++] = first;
    if (last != first) found[n++] = last;
  }
  std::sort(found, found + n);
  n = (int)(std::unique(found, found + n) - found);
  // Aligned accesses of up to 32 bytes touch one sector a lane, so that n <= 32.
  k.sectors = n = std::min(n, KW_LANES);
  memcpy(k.sector, found, n * sizeof(int64_t));
  k.ideal_sectors = k.kind == SAME ? (size + kSectorBytes - 1) / kSectorBytes : packed_sectors(k, size);
  k.consecutive = n && k.sector[n - 1] - k.sector[0] == n - 1;
}

// Passes over the 32 four-byte banks. Lanes are served in groups of 128 bytes (half or quarter warps for 8- and 16-byte
// accesses); equal words are broadcast; a group that fits beside the one before it costs nothing.
uint32_t wavefronts(const uint64_t* address, uint32_t mask, int size) {
  const int words = size < 4 ? 1 : size / 4;
  const int group = KW_LANES / (words > 4 ? 4 : words);
  uint32_t total = 0;
  uint64_t seen[KW_LANES * 8];
  int seen_count = 0;
  uint32_t worst = 0;
  std::array<uint8_t, 32> bank{};
  for (int begin = 0; begin < KW_LANES; begin += group) {
    uint64_t mine[KW_LANES * 8];
    int n = 0;
    for (int l = begin; l < begin + group; l++)
      if (mask >> l & 1)
        for (int i = 0; i < words; i++) mine[n++] = (address[l] >> 2) + i;
    if (!n) continue;
    std::sort(mine, mine + n);
    n = (int)(std::unique(mine, mine + n) - mine);
    std::array<uint8_t, 32> alone{}, both = bank;
    uint32_t worst_alone = 0, worst_both = 0;
    for (int i = 0; i < n; i++) {
      const int b = mine[i] & 31;
      worst_alone = std::max<uint32_t>(worst_alone, ++alone[b]);
      if (!std::binary_search(seen, seen + seen_count, mine[i])) both[b]++;
    }
    for (int b = 0; b < 32; b++) worst_both = std::max<uint32_t>(worst_both, both[b]);
    if (seen_count && worst_both <= worst) {
      uint64_t merged[KW_LANES * 8];
      int m = (int)(std::set_union(seen, seen + seen_count, mine, mine + n, merged) - merged);
      memcpy(seen, merged, m * sizeof(uint64_t));
      seen_count = m;
      bank = both;
      continue;
    }
    total += worst_alone;
    worst = worst_alone;
    bank = alone;
    memcpy(seen, mine, n * sizeof(uint64_t));
    seen_count = n;
  }
  return total;
}

void flush_stored(Cache& k) {
  if (k.allocation && k.stored) k.allocation->written.fetch_add(k.stored, std::memory_order_relaxed);
  k.stored = 0;
}

// Points the site at an allocation; its sector bits are made ready for this launch. Returns false if it can't be stored to.
static bool attach(KwWorker& c, Cache& k, Allocation* a, bool store) {
  if (store && a->read_only) return false;
  if (k.allocation == a && k.bits) return true;
  flush_stored(k);
  Table* t = c.common->table;
  {
    std::unique_lock lock(t->mutex);
    if (a->epoch != t->epoch) {
      const uint64_t words = ((a->hi - 1) / kSectorBytes - a->first_sector()) / 64 + 1;
      a->load_bits.assign(words, 0);
      a->store_bits.assign(words, 0);
      a->epoch = t->epoch;
      t->touched.push_back(a);
      attach_stamps(c.common->races, t, a);
    }
  }
  k.allocation = a;
  k.lo = a->lo;
  k.hi = a->hi;
  k.bits = store ? a->store_bits.data() : a->load_bits.data();
  k.stamps = a->stamps;
  k.blank = !a->blank.empty();
  return true;
}

// Whether the kernel gave this memory back (device free).
static bool was_freed(Table* t, uint64_t address) {
  std::shared_lock lock(t->mutex);
  auto it = t->freed.upper_bound(address);
  return it != t->freed.begin() && address < std::prev(it)->first + std::prev(it)->second;
}

// A floating-point array that still holds its poison when it is read for the first time.
static void look_for_poison(KwWorker& c, const KwWarp* w, Allocation* a, int lane, uint32_t site, uint64_t address, int size) {
  if (!a->poisoned || !(c.request->sites[site].is_volatile & 8) || a->poison_epoch == c.common->table->epoch) return;
  a->poison_epoch = c.common->table->epoch;
  if (holds_poison(a)) c.violation(KW_UNINITIALISED, (int)site, w, lane, address, size, KW_GLOBAL | 32);
}

uint32_t check_global(KwWorker& c, const KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* address,
                      int size, bool store) {
  Table* t = c.common->table;
  if (!k.allocation && c.request->site_base[site]) {
    // The address derives from one kernel argument: only its allocation is legal.
    Allocation* a;
    {
      std::shared_lock lock(t->mutex);
      a = t->find(c.request->site_base[site]);
    }
    if (a) {
      attach(c, k, a, store);
      k.fixed = true;
      const int lane = first_lane(mask);
      if (!store && address[lane] >= k.lo && address[lane] + size <= k.hi)
        look_for_poison(c, w, a, lane, site, address[lane], size);
    }
  }
  uint32_t ok = 0;
  for (int l = 0; l < KW_LANES; l++) {
    if (!(mask >> l & 1)) continue;
    const uint64_t at = address[l];
    if (at % size) {
      c.violation(at < kNullPage ? KW_NULL_POINTER : KW_MISALIGNED, site, w, l, at, size, 0);
      continue;
    }
    if (at >= k.lo && at + size <= k.hi && at + size > at) {
      ok |= 1u << l;
      continue;
    }
    Allocation* a = nullptr;
    if (!k.fixed) {
      std::shared_lock lock(t->mutex);
      a = t->find(at);
      if (a && at + size > a->hi) a = nullptr;
    }
    if (a && attach(c, k, a, store)) {
      if (!store) look_for_poison(c, w, a, l, site, at, size);
      ok |= 1u << l;
    } else {
      c.violation(at < kNullPage ? KW_NULL_POINTER : KW_OUT_OF_BOUNDS, site, w, l, at, size,
                  was_freed(t, at) ? KW_FREED : KW_GLOBAL);
    }
  }
  return ok;
}

uint32_t check_shared(KwWorker& c, const KwWarp* w, Cache& k, uint32_t mask, uint32_t site, const uint64_t* address,
                      int size) {
  const Request& r = *c.request;
  const int32_t known = r.sites[site].provenance;
  if (!k.fixed && known >= 0) {
    k.lo = r.shared_ranges[2 * known];
    k.hi = r.shared_ranges[2 * known + 1];
    k.fixed = true;
  }
  uint32_t ok = 0;
  for (int l = 0; l < KW_LANES; l++) {
    if (!(mask >> l & 1)) continue;
    const uint64_t at = address[l];
    if (at % size) {
      c.violation(KW_MISALIGNED, site, w, l, at, size, KW_SHARED);
      continue;
    }
    if (!(at >= k.lo && at + size <= k.hi) && !k.fixed)
      for (int64_t v = 0; v < r.shared_variables; v++)
        if (at >= r.shared_ranges[2 * v] && at + size <= r.shared_ranges[2 * v + 1]) {
          k.lo = r.shared_ranges[2 * v];
          k.hi = r.shared_ranges[2 * v + 1];
          break;
        }
    if (at >= k.lo && at + size <= k.hi && at + size > at)
      ok |= 1u << l;
    else
      c.violation(KW_OUT_OF_BOUNDS, site, w, l, at, size, KW_SHARED);
  }
  return ok;
}

}  // namespace kw

void KwWorker::violation(int kind, int site, const KwWarp* w, int lane, uint64_t address, int size, int64_t extra) {
  if (common->violations.fetch_add(1, std::memory_order_relaxed) >= request->max_violations) common->stop = true;
  if (kind != KW_SHARED_RACE && kind != KW_UNINITIALISED && kind != KW_GLOBAL_RACE) shadow.muted = true;
  const int32_t thread = w ? w->index * KW_LANES + lane : -1;
  for (auto& v : violations)
    if (v.kind == kind && v.site == site) {
      v.count++;
      if (kw::within_warp(v) && !kw::within_warp({kind, site, 1, block, thread, size, address, extra}))
        v = {kind, site, v.count, block, thread, size, address, extra};
      return;
    }
  if ((int)violations.size() >= kw::kMaxViolations) return;
  violations.push_back({kind, site, 1, block, thread, size, address, extra});
}

void KwWorker::note(int kind, int site, const KwWarp* w, int lane, uint64_t address, int size, int64_t extra) {
  for (auto& v : notes)
    if (v.kind == kind && v.site == site) {
      v.count++;
      return;
    }
  if ((int)notes.size() >= kw::kMaxViolations) return;
  notes.push_back({kind, site, 1, block, w->index * KW_LANES + lane, size, address, extra});
}

void KwWorker::retract(int kind, int site) {
  for (size_t i = 0; i < violations.size(); i++)
    if (violations[i].kind == kind && violations[i].site == site) {
      if (--violations[i].count == 0) violations.erase(violations.begin() + i);
      return;
    }
}
