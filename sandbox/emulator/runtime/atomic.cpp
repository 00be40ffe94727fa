// atom, red and cp.async. Sites: 0 result, 1 operand, 2 new value of cas; extra: operation, type.
#include <string.h>

#include <algorithm>

#include "convert.hpp"
#include "profile.hpp"

using namespace kw;

namespace {

enum Op { ADD, MIN, MAX, AND, OR, XOR, EXCH, CAS, INC, DEC };
enum Type { U32, S32, U64, S64, F32, F64, F16, BF16, F16X2, BF16X2, B16, B128 };

int bytes_of(int type) {
  switch (type) {
    case U64: case S64: case F64: return 8;
    case F16: case BF16: case B16: return 2;
    case B128: return 16;
    default: return 4;
  }
}

uint32_t add_half(uint32_t a, uint32_t b) { return double_to_half<RN>((double)half_to_float(a) + half_to_float(b)); }
uint32_t add_bf16(uint32_t a, uint32_t b) { return double_to_bf16<RN>((double)f32_of(a << 16) + f32_of(b << 16)); }

template <class T>
T min_number(T a, T b) { return a < b ? a : b < a ? b : a != a ? b : a; }
template <class T>
T max_number(T a, T b) { return a > b ? a : b > a ? b : a != a ? b : a; }

uint64_t apply(int op, int type, uint64_t old, uint64_t b, uint64_t c) {
  const uint32_t x = (uint32_t)old, y = (uint32_t)b;
  switch (op) {
    case ADD:
      switch (type) {
        case F32: return bits_of(f32_of(x) + f32_of(y));
        case F64: return bits_of(f64_of(old) + f64_of(b));
        case F16: return add_half(x & 0xffff, y & 0xffff);
        case BF16: return add_bf16(x & 0xffff, y & 0xffff);
        case F16X2: return add_half(x & 0xffff, y & 0xffff) | add_half(x >> 16, y >> 16) << 16;
        case BF16X2: return add_bf16(x & 0xffff, y & 0xffff) | add_bf16(x >> 16, y >> 16) << 16;
        default: return old + b;
      }
    case MIN:
      switch (type) {
        case U32: return std::min(x, y);
        case S32: return (uint32_t)std::min((int32_t)x, (int32_t)y);
        case S64: return (uint64_t)std::min((int64_t)old, (int64_t)b);
        case F32: return bits_of(min_number(f32_of(x), f32_of(y)));
        case F64: return bits_of(min_number(f64_of(old), f64_of(b)));
        default: return std::min(old, b);
      }
    case MAX:
      switch (type) {
        case U32: return std::max(x, y);
        case S32: return (uint32_t)std::max((int32_t)x, (int32_t)y);
        case S64: return (uint64_t)std::max((int64_t)old, (int64_t)b);
        case F32: return bits_of(max_number(f32_of(x), f32_of(y)));
        case F64: return bits_of(max_number(f64_of(old), f64_of(b)));
        default: return std::max(old, b);
      }
    case AND: return old & b;
    case OR: return old | b;
    case XOR: return old ^ b;
    case EXCH: return b;
    case CAS: return old == b ? c : old;
    case INC: return x >= y ? 0 : x + 1;
    case DEC: return x == 0 || x > y ? y : x - 1;
  }
  return old;
}

template <class T>
uint64_t update(void* at, int op, int type, uint64_t b, uint64_t c) {
  T* p = (T*)at;
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  for (;;) {
    const T next = (T)apply(op, type, old, (T)b, (T)c);
    if (__atomic_compare_exchange_n(p, &old, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
}

// cas and exch on 128 bits; the upper halves of operands are 4, 5, 6. Kernels that use them run on one worker.
void wide_lanes(KwWarp* w, const KwSite& s, uint32_t mask, const uint64_t* a, uint8_t* host) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    auto half = [&](int i) -> uint64_t {
      return s.slot[i] < 0 ? 0 : ((const uint64_t*)(w->R + s.slot[i] * KW_LANES))[l];
    };
    uint64_t* p = (uint64_t*)(host + a[l]);
    const uint64_t old[2] = {p[0], p[1]};
    if (s.extra[0] == EXCH) {
      p[0] = half(1), p[1] = half(5);
    } else if (old[0] == half(1) && old[1] == half(5)) {
      p[0] = half(2), p[1] = half(6);
    }
    for (int i = 0; i < 2; i++)
      if (s.slot[4 * i] >= 0) ((uint64_t*)(w->R + s.slot[4 * i] * KW_LANES))[l] = old[i];
  }
}

void lanes(KwWarp* w, const KwSite& s, uint32_t mask, const uint64_t* a, uint8_t* host, int size) {
  if (size == 16) return wide_lanes(w, s, mask, a, host);
  const int op = s.extra[0], type = s.extra[1];
  auto value = [&](int i, int l) -> uint64_t {
    if (s.slot[i] < 0) return (uint64_t)s.imm[i];
    return size == 8 ? ((const uint64_t*)(w->R + s.slot[i] * KW_LANES))[l] : w->R[s.slot[i] * KW_LANES + l];
  };
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    void* p = host + a[l];
    const uint64_t b = value(1, l), c = op == CAS ? value(2, l) : 0;
    const uint64_t old = size == 8 ? update<uint64_t>(p, op, type, b, c)
                         : size == 4 ? update<uint32_t>(p, op, type, b, c)
                                     : update<uint16_t>(p, op, type, b, c);
    if (s.slot[0] < 0) continue;
    if (size == 8)
      ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = old;
    else
      w->R[s.slot[0] * KW_LANES + l] = (uint32_t)old;
  }
}

void addresses(const KwWarp* w, const KwSite& s, uint64_t* out) {
  for (int l = 0; l < KW_LANES; l++)
    out[l] = s.address_bits == 64 ? ((const uint64_t*)(w->R + s.address * KW_LANES))[l] + s.offset
                                  : (uint32_t)(w->R[s.address * KW_LANES + l] + (uint32_t)s.offset);
}

void forget(Cache& k) {
  flush_stored(k);
  k.allocation = nullptr;
  k.bits = nullptr;
  k.fixed = false;
  k.lo = k.hi = 0;
  k.mask = 0;
}

void zero(KwWarp* w, const KwSite& s, uint32_t mask, int size) {
  if (s.slot[0] < 0) return;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (size == 16 && s.slot[4] >= 0) ((uint64_t*)(w->R + s.slot[4] * KW_LANES))[l] = 0;
    if (size >= 8)
      ((uint64_t*)(w->R + s.slot[0] * KW_LANES))[l] = 0;
    else
      w->R[s.slot[0] * KW_LANES + l] = 0;
  }
}

void on_global(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const int size = bytes_of(s.extra[1]);
  c.counters[GA_REQ]++;
  if (s.slot[0] >= 0) poll(w);
  w->global_requests++;
  uint32_t ok = 0;
  bool inside = true;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    inside &= a[l] >= k.lo && a[l] + size <= k.hi && a[l] % size == 0;
  }
  ok = inside ? mask : check_global(c, w, k, mask, site, a, size, true);
  if (ok != mask) zero(w, s, mask & ~ok, size);
  if (!ok) return;
  if (c.shadow.active()) c.shadow.synchronise(w->index);
  const uint64_t base = a[first_lane(ok)];
  learn(k, ok, a, base, size);
  learn_sectors(k, base, size);
  c.counters[GA_SEC] += k.sectors;
  k.stored += size * __builtin_popcount(ok);
  if (c.request->track_writes) note_written(c, k, ok, a, size, true);
  if (k.stamps.write) race_load(w, k, ok, site, a, size, ORDERED);
  if (k.blank) {
    blank_load(w, k, ok, site, a, size);
    blank_store(k, ok, a, size);
  }
  race_release(w);
  lanes(w, s, ok, a, nullptr, size);
  if (s.slot[0] >= 0) race_acquire(w);
}

void on_shared(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const int size = bytes_of(s.extra[1]);
  c.counters[SA_REQ]++;
  const uint32_t ok = check_shared(c, w, c.cache[site], mask, site, a, size);
  if (ok != mask) zero(w, s, mask & ~ok, size);
  if (!ok) return;
  if (c.shadow.active()) {
    // After every earlier atomic, before every later one.
    c.shadow.clock[w->index].join(c.shadow.released);
    shadow_atomic(w, ok, site, a, size);
    const uint32_t stamp = c.shadow.stamp(w->index);
    c.shadow.synchronise(w->index);
    c.shadow.added[w->index] = stamp;
  }
  lanes(w, s, ok, a, c.shared, size);
}

}  // namespace

extern "C" {

void kw_atom_global(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const Tally tally(w, site);
  uint64_t a[KW_LANES];
  addresses(w, w->worker->request->sites[site], a);
  on_global(w, mask, site, a);
}

void kw_atom_shared(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const Tally tally(w, site);
  uint64_t a[KW_LANES];
  addresses(w, w->worker->request->sites[site], a);
  on_shared(w, mask, site, a);
}

void kw_atom_generic(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const Tally tally(w, site);
  uint64_t a[KW_LANES];
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  addresses(w, s, a);
  uint32_t in_shared = 0, in_local = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if ((a[l] & KW_WINDOW_MASK) == KW_SHARED_WINDOW) in_shared |= 1u << l;
    if ((a[l] & KW_WINDOW_MASK) == KW_LOCAL_WINDOW) in_local |= 1u << l;
  }
  const uint32_t in_global = mask & ~(in_shared | in_local);
  if (in_global) on_global(w, in_global, site, a);
  if (!(in_shared | in_local)) return;
  forget(c.cache[site]);
  for (int l = 0; l < KW_LANES; l++) a[l] &= ~KW_WINDOW_MASK;
  if (in_shared) on_shared(w, in_shared, site, a);
  const int size = bytes_of(s.extra[1]);
  for (uint32_t m = in_local; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (a[l] + size > local_end(w, l) || a[l] % size)
      c.violation(KW_OUT_OF_BOUNDS, site, w, l, a[l], size, KW_LOCAL);
    else
      lanes(w, s, 1u << l, a, local_of(w, l), size);
  }
  forget(c.cache[site]);
}

// cp.async [shared], [global], bytes{, source bytes}: address is the source; operand 1 the target, 2 the source size.
// The copy is made when its group is waited for, so that a missing wait shows.
void kw_copy_async(KwWarp* w, uint32_t mask, uint32_t site) {
  if (!mask) return;
  const Tally tally(w, site);
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const int size = s.extra[0];
  uint64_t from[KW_LANES], to[KW_LANES];
  addresses(w, s, from);
  uint32_t reading = 0;
  uint32_t wanted[KW_LANES];
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    to[l] = (s.extra[1] == 64 ? ((const uint64_t*)(w->R + s.slot[1] * KW_LANES))[l] : w->R[s.slot[1] * KW_LANES + l]) + s.imm[1];
    to[l] &= ~KW_WINDOW_MASK;
    uint32_t n = s.slot[2] < 0 ? (uint32_t)s.imm[2] : w->R[s.slot[2] * KW_LANES + l];
    if (s.extra[2] >= 0 && (w->P[s.extra[2]] >> l & 1)) n = 0;  // ignore-src
    wanted[l] = std::min<uint32_t>(n, size);
    if (wanted[l]) reading |= 1u << l;
  }
  c.counters[GL_REQ]++;
  c.counters[SS_REQ]++;
  w->global_requests++;
  uint32_t ok = reading ? check_global(c, w, k, reading, site, from, size, false) : 0;
  if (ok) {
    const uint64_t base = from[first_lane(ok)];
    learn(k, ok, from, base, size);
    learn_sectors(k, base, size);
    if (c.request->track_writes) note_loaded(c, k, ok, from, size);
    c.counters[GL_SEC] += k.sectors;
    c.counters[GL_BYTES] += (uint64_t)size * __builtin_popcount(ok);
    const uint64_t origin = base / kSectorBytes - k.allocation->first_sector();
    for (uint32_t i = 0; i < k.sectors; i++) {
      const uint64_t n = origin + k.sector[i];
      __atomic_fetch_or(k.bits + (n >> 6), 1ull << (n & 63), __ATOMIC_RELAXED);
    }
    if (k.stamps.write) race_load(w, k, ok, site, from, size, PLAIN);
    if (k.blank) blank_load(w, k, ok, site, from, size);
  }
  Cache target{};
  const uint32_t fits = check_shared(c, w, target, mask, site, to, size);
  c.counters[SS_WAVE] += wavefronts(to, mask, size);
  c.counters[SS_BYTES] += (uint64_t)size * __builtin_popcount(mask);
  auto& queue = c.copies[w->index];
  for (uint32_t m = fits; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    AsyncCopy copy{c.shared + to[l], {}, (uint32_t)l, (uint32_t)size, site, -1, 0};
    c.shadow.expect(to[l], size, 1);
    if (ok >> l & 1) memcpy(copy.data, (const void*)from[l], wanted[l]);
    queue.push_back(copy);
  }
}

namespace {
void arrive(KwWarp* w, const AsyncCopy& copy) {
  KwWorker& c = *w->worker;
  if (!copy.to) {
    c.shadow.pending--;
    if (c.shadow.on) c.shadow.synchronise(w->index);
    mbarrier_arrive(c, copy.barrier, 1);
    return;
  }
  c.shadow.expect(copy.to - c.shared, copy.bytes, -1);
  if (c.shadow.active()) shadow_arrival(w, copy.site, copy.lane, copy.to - c.shared, copy.bytes);
  memcpy(copy.to, copy.data, copy.bytes);
}
}  // namespace

void kw_copy_commit(KwWarp* w, uint32_t mask, uint32_t) {
  // Groups are numbered from the latest: committing makes every older group one older.
  for (auto& copy : w->worker->copies[w->index])
    if (mask >> copy.lane & 1) copy.group++;
  // Copies that were waiting for a commit are now group 0.
}

}

// Copies in front of an arrival at an mbarrier come in with it, lane by lane.
void kw::copies_for_barriers(KwWorker& c) {
  for (size_t i = 0; i < c.copies.size(); i++) {
    KwWarp* w = c.warps + i;
    if (!w->awaits_copies) continue;
    w->awaits_copies = 0;
    auto& queue = c.copies[i];
    size_t last[KW_LANES] = {};  // one past the lane's last arrival
    for (size_t n = 0; n < queue.size(); n++)
      if (!queue[n].to) last[queue[n].lane] = n + 1;
    size_t kept = 0;
    for (size_t n = 0; n < queue.size(); n++) {
      if (n < last[queue[n].lane])
        arrive(w, queue[n]);
      else
        queue[kept++] = queue[n];
    }
    queue.resize(kept);
  }
}

extern "C" {

// imm[0]: how many of the latest groups may stay pending; -1: none, committed or not (cp.async.wait_all).
void kw_copy_wait(KwWarp* w, uint32_t mask, uint32_t site) {
  const int64_t pending = w->worker->request->sites[site].imm[0];
  auto& queue = w->worker->copies[w->index];
  auto done = [&](const AsyncCopy& copy) {
    if (!(mask >> copy.lane & 1) || (pending >= 0 && copy.group < pending)) return false;
    arrive(w, copy);
    return true;
  };
  queue.erase(std::remove_if(queue.begin(), queue.end(), done), queue.end());
}
}
