// Loads and stores: ld, st in every space and width. A pattern seen before at the site takes the fast path.
#include <string.h>

#include <type_traits>

#include "profile.hpp"

namespace kw {
namespace {

template <int E>
using Raw = std::conditional_t<E == 1, uint8_t, std::conditional_t<E == 2, uint16_t, std::conditional_t<E == 4, uint32_t, uint64_t>>>;
template <int E>
using Lane = std::conditional_t<E == 8, uint64_t, uint32_t>;

// Addresses of the lanes as 64-bit values, offset included.
inline void addresses(const KwWarp* w, const KwSite& s, uint64_t* out) {
  if (s.address_bits == 64) {
    const uint64_t* a = (const uint64_t*)(w->R + s.address * KW_LANES);
    for (int l = 0; l < KW_LANES; l++) out[l] = a[l] + s.offset;
  } else {
    const uint32_t* a = w->R + s.address * KW_LANES;
    for (int l = 0; l < KW_LANES; l++) out[l] = (uint32_t)(a[l] + (uint32_t)s.offset);
  }
}

inline bool known(const Cache& k, uint32_t mask, const uint64_t* a, uint64_t base) {
  if (k.mask != mask) return false;
  uint64_t diff = 0;
  for (int l = 0; l < KW_LANES; l++) diff |= ((a[l] - base) ^ k.delta[l]) & k.keep[l];
  return diff == 0;
}

template <int E, int V>
inline void load_lanes(KwWarp* w, const KwSite& s, const Cache& k, uint32_t mask, const uint64_t* a, const uint8_t* host) {
  // host: what to add to an address to get a pointer
  using T = Raw<E>;
  using L = Lane<E>;
  const int first = first_lane(mask);
  L* d[V];
  for (int i = 0; i < V; i++) d[i] = (L*)(w->R + s.slot[i] * KW_LANES);
  if (mask == KW_FULL) {
    const T* p = (const T*)(host + a[first]);
    if (k.kind == SAME) {
      for (int i = 0; i < V; i++) {
        const L v = p[i];
        for (int l = 0; l < KW_LANES; l++) d[i][l] = v;
      }
    } else if (k.kind == CONTIGUOUS) {
      for (int i = 0; i < V; i++) {
        L* __restrict q = d[i];
        for (int l = 0; l < KW_LANES; l++) q[l] = p[l * V + i];
      }
    } else if (k.kind == GROUPED) {
      for (int g = 0; g < KW_LANES; g += 8) {
        const T* __restrict t = (const T*)(host + a[g]);
        for (int i = 0; i < V; i++) {
          L* __restrict q = d[i] + g;
          if (k.broadcast[g / 8]) {
            const L v = t[i];
            for (int l = 0; l < 8; l++) q[l] = v;
          } else {
            for (int l = 0; l < 8; l++) q[l] = t[l * V + i];
          }
        }
      }
    } else {
      for (int i = 0; i < V; i++) {
        L* __restrict q = d[i];
        for (int l = 0; l < KW_LANES; l++) q[l] = ((const T*)(host + a[l]))[i];
      }
    }
    return;
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const T* p = (const T*)(host + a[l]);
    for (int i = 0; i < V; i++) d[i][l] = p[i];
  }
}

template <int E, int V>
inline void store_lanes(const KwWarp* w, const KwSite& s, const Cache& k, uint32_t mask, const uint64_t* a, uint8_t* host) {
  using T = Raw<E>;
  using L = Lane<E>;
  const L* d[V];
  for (int i = 0; i < V; i++) d[i] = (const L*)(w->R + s.slot[i] * KW_LANES);
  if (mask == KW_FULL && k.kind == CONTIGUOUS) {
    T* p = (T*)(host + a[0]);
    for (int l = 0; l < KW_LANES; l++)
      for (int i = 0; i < V; i++) p[l * V + i] = (T)d[i][l];
    return;
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    T* p = (T*)(host + a[l]);
    for (int i = 0; i < V; i++) p[i] = (T)d[i][l];
  }
}

template <int E, int V>
inline void zero_lanes(KwWarp* w, const KwSite& s, uint32_t mask) {
  using L = Lane<E>;
  for (uint32_t m = mask; m; m &= m - 1)
    for (int i = 0; i < V; i++) ((L*)(w->R + s.slot[i] * KW_LANES))[__builtin_ctz(m)] = 0;
}

inline void touch(const Cache& k, uint64_t base) {
  const uint64_t origin = base / kSectorBytes - k.allocation->first_sector();
  auto set = [&](uint64_t word, uint64_t bits) {
    uint64_t* at = k.bits + word;
    if ((__atomic_load_n(at, __ATOMIC_RELAXED) & bits) != bits) __atomic_fetch_or(at, bits, __ATOMIC_RELAXED);
  };
  if (k.consecutive) {
    const uint64_t first = origin + k.sector[0];
    const uint64_t bits = k.sectors == 64 ? ~0ull : (1ull << k.sectors) - 1;
    const int shift = first & 63;
    set(first >> 6, bits << shift);
    if (shift + k.sectors > 64) set((first >> 6) + 1, bits >> (64 - shift));
  } else {
    for (uint32_t i = 0; i < k.sectors; i++) {
      const uint64_t n = origin + k.sector[i];
      set(n >> 6, 1ull << (n & 63));
    }
  }
}

// Makes the cache fit this access and returns the lanes that may go on.
template <int N, bool STORE>
inline uint32_t prepare_global(KwWarp* w, KwWorker& c, Cache& k, uint32_t mask, uint32_t site, const uint64_t* a) {
  uint64_t base = a[first_lane(mask)];
  if (__builtin_expect(!known(k, mask, a, base), 0)) learn(k, mask, a, base, N);
  if (__builtin_expect(base + k.min_delta < k.lo || base + k.max_end > k.hi || base + k.max_end < base ||
                           ((base | k.delta_or) & (N - 1)),
                       0)) {
    mask = check_global(c, w, k, mask, site, a, N, STORE);
    if (!mask) return 0;
    base = a[first_lane(mask)];
    if (mask != k.mask || base + k.min_delta < k.lo || base + k.max_end > k.hi) {
      // Lanes in several allocations, or some dropped: sectors are counted lane by lane.
      learn(k, mask, a, base, N);
      learn_sectors(k, base, N);
      const Allocation* here = k.allocation;
      if (base + k.min_delta >= here->lo && base + k.max_end <= here->hi) touch(k, base);
      c.counters[STORE ? GS_SEC : GL_SEC] += k.sectors;
      return mask;
    }
  }
  if (k.phase != base % kSectorBytes) learn_sectors(k, base, N);
  c.counters[STORE ? GS_SEC : GL_SEC] += k.sectors;
  touch(k, base);
  return mask;
}

template <int E, int V>
void load_global(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  constexpr int N = E * V;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const uint32_t ok = prepare_global<N, false>(w, c, k, mask, site, a);
  if (s.is_volatile & 1) poll(w);
  c.counters[GL_REQ]++;
  w->global_requests++;
  c.counters[GL_BYTES] += N * __builtin_popcount(mask);
  if (ok != mask) zero_lanes<E, V>(w, s, mask & ~ok);
  if (!ok) return;
  if (__builtin_expect(c.request->track_writes, 0)) note_loaded(c, k, ok, a, N);
  if (k.stamps.write) race_load(w, k, ok, site, a, N, s.is_volatile & 1 ? ORDERED : PLAIN);
  if (k.blank) blank_load(w, k, ok, site, a, N);
  load_lanes<E, V>(w, s, k, ok, a, nullptr);
  if (s.is_volatile & 1) race_acquire(w);
}

template <int E, int V>
void store_global(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  constexpr int N = E * V;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const uint32_t ok = prepare_global<N, true>(w, c, k, mask, site, a);
  c.counters[GS_REQ]++;
  w->global_requests++;
  const int bytes = N * __builtin_popcount(mask);
  c.counters[GS_BYTES] += bytes;
  if (!ok) return;
  k.stored += N * __builtin_popcount(ok);
  if (__builtin_expect(c.request->track_writes, 0)) note_written(c, k, ok, a, N, false);
  if (s.is_volatile & 4) race_release(w);
  if (k.stamps.write) {
    const uint64_t* values[V];
    for (int i = 0; i < V; i++) values[i] = (const uint64_t*)(w->R + s.slot[i] * KW_LANES);
    if (s.is_volatile & 1)
      race_ordered_store(w, k, ok, a, N);
    else
      race_store(w, k, ok, site, a, N, values, E);
  }
  if (k.blank) blank_store(k, ok, a, N);
  store_lanes<E, V>(w, s, k, ok, a, nullptr);
}

template <int N>
inline uint32_t prepare_shared(KwWarp* w, KwWorker& c, Cache& k, uint32_t mask, uint32_t site, const uint64_t* a) {
  uint64_t base = a[first_lane(mask)];
  if (__builtin_expect(!known(k, mask, a, base) || (N < 4 && k.phase != base % 4), 0)) {
    learn(k, mask, a, base, N);
    k.wavefronts = k.kind == SAME || (k.kind == CONTIGUOUS && N == 4) ? 1 : wavefronts(a, mask, N);
    k.phase = base % 4;
  }
  if (__builtin_expect(base + k.min_delta < k.lo || base + k.max_end > k.hi || base + k.max_end < base ||
                           ((base | k.delta_or) & (N - 1)),
                       0)) {
    const uint32_t ok = check_shared(c, w, k, mask, site, a, N);
    if (ok != mask) k.mask = 0;
    return ok;
  }
  return mask;
}

template <int E, int V>
void load_shared(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  constexpr int N = E * V;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const uint32_t ok = prepare_shared<N>(w, c, k, mask, site, a);
  c.counters[SL_REQ]++;
  c.counters[SL_WAVE] += k.wavefronts;
  c.counters[SL_BYTES] += N * __builtin_popcount(mask);
  if (ok != mask) zero_lanes<E, V>(w, s, mask & ~ok);
  if (!ok) return;
  if (c.shadow.active() && !(s.is_volatile & 1)) shadow_load(w, k, ok, site, a, N);
  load_lanes<E, V>(w, s, k, ok, a, c.shared);
}

template <int E, int V>
void store_shared(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  constexpr int N = E * V;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  Cache& k = c.cache[site];
  const uint32_t ok = prepare_shared<N>(w, c, k, mask, site, a);
  c.counters[SS_REQ]++;
  c.counters[SS_WAVE] += k.wavefronts;
  c.counters[SS_BYTES] += N * __builtin_popcount(mask);
  if (!ok) return;
  if (c.shadow.active() && s.is_volatile & 1) {
    shadow_volatile_store(w, ok, a, N);
  } else if (c.shadow.active()) {
    const uint64_t* values[V];
    for (int i = 0; i < V; i++) values[i] = (const uint64_t*)(w->R + s.slot[i] * KW_LANES);
    shadow_store(w, k, ok, site, a, N, values, E);
  }
  store_lanes<E, V>(w, s, k, ok, a, c.shared);
}

inline uint32_t check_local(KwWarp* w, KwWorker& c, uint32_t mask, uint32_t site, const uint64_t* a, int size) {
  uint32_t ok = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if (a[l] % size)
      c.violation(KW_MISALIGNED, site, w, l, a[l], size, KW_LOCAL);
    else if (a[l] + size > local_end(w, l) || a[l] + size < a[l])
      c.violation(KW_OUT_OF_BOUNDS, site, w, l, a[l], size, KW_LOCAL);
    else
      ok |= 1u << l;
  }
  return ok;
}

template <int E, int V>
void load_local(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  using L = Lane<E>;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const uint32_t ok = check_local(w, c, mask, site, a, E * V);
  c.counters[LL_BYTES] += E * V * __builtin_popcount(mask);
  if (ok != mask) zero_lanes<E, V>(w, s, mask & ~ok);
  for (uint32_t m = ok; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const Raw<E>* p = (const Raw<E>*)(local_of(w, l) + a[l]);
    for (int i = 0; i < V; i++) ((L*)(w->R + s.slot[i] * KW_LANES))[l] = p[i];
  }
}

template <int E, int V>
void store_local(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a) {
  using L = Lane<E>;
  KwWorker& c = *w->worker;
  const KwSite& s = c.request->sites[site];
  const uint32_t ok = check_local(w, c, mask, site, a, E * V);
  c.counters[LS_BYTES] += E * V * __builtin_popcount(mask);
  for (uint32_t m = ok; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    Raw<E>* p = (Raw<E>*)(local_of(w, l) + a[l]);
    for (int i = 0; i < V; i++) p[i] = (Raw<E>)((const L*)(w->R + s.slot[i] * KW_LANES))[l];
  }
}

template <class G, class SH, class LO>
void generic(KwWarp* w, uint32_t mask, uint32_t site, G global, SH shared, LO local) {
  uint64_t a[KW_LANES];
  addresses(w, w->worker->request->sites[site], a);
  uint32_t in_shared = 0, in_local = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    const uint64_t window = a[l] & KW_WINDOW_MASK;
    if (window == KW_SHARED_WINDOW) in_shared |= 1u << l;
    if (window == KW_LOCAL_WINDOW) in_local |= 1u << l;
  }
  const uint32_t in_global = mask & ~(in_shared | in_local);
  if (in_global) global(w, in_global, site, a);
  if (!(in_shared | in_local)) return;
  // A site that serves several spaces keeps no cached range.
  w->worker->cache[site].mask = 0;
  flush_stored(w->worker->cache[site]);
  w->worker->cache[site].allocation = nullptr;
  w->worker->cache[site].fixed = false;
  w->worker->cache[site].lo = w->worker->cache[site].hi = 0;
  for (int l = 0; l < KW_LANES; l++) a[l] &= ~KW_WINDOW_MASK;
  if (in_shared) shared(w, in_shared, site, a);
  if (in_local) local(w, in_local, site, a);
  w->worker->cache[site].mask = 0;
  w->worker->cache[site].fixed = false;
  w->worker->cache[site].lo = w->worker->cache[site].hi = 0;
}

}  // namespace
}  // namespace kw

#define KW_ACCESS(E, V)                                                                                              \
  extern "C" void kw_ld_global_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                   \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::load_global<E, V>(w, mask, site, a);                                                                         \
  }                                                                                                                  \
  extern "C" void kw_st_global_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                   \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::store_global<E, V>(w, mask, site, a);                                                                        \
  }                                                                                                                  \
  extern "C" void kw_ld_shared_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                   \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::load_shared<E, V>(w, mask, site, a);                                                                         \
  }                                                                                                                  \
  extern "C" void kw_st_shared_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                   \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::store_shared<E, V>(w, mask, site, a);                                                                        \
  }                                                                                                                  \
  extern "C" void kw_ld_local_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                    \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::load_local<E, V>(w, mask, site, a);                                                                          \
  }                                                                                                                  \
  extern "C" void kw_st_local_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                    \
    if (!mask) return;                                                                                               \
    const kw::Tally tally(w, site);                                                                                  \
    uint64_t a[KW_LANES];                                                                                            \
    kw::addresses(w, w->worker->request->sites[site], a);                                                            \
    kw::store_local<E, V>(w, mask, site, a);                                                                         \
  }                                                                                                                  \
  extern "C" void kw_ld_generic_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                  \
    const kw::Tally tally(w, site);                                                                                  \
    if (mask) kw::generic(w, mask, site, kw::load_global<E, V>, kw::load_shared<E, V>, kw::load_local<E, V>);         \
  }                                                                                                                  \
  extern "C" void kw_st_generic_##E##_##V(KwWarp* w, uint32_t mask, uint32_t site) {                                  \
    const kw::Tally tally(w, site);                                                                                  \
    if (mask) kw::generic(w, mask, site, kw::store_global<E, V>, kw::store_shared<E, V>, kw::store_local<E, V>);      \
  }
KW_ACCESS(1, 1)
KW_ACCESS(1, 2)
KW_ACCESS(1, 4)
KW_ACCESS(2, 1)
KW_ACCESS(2, 2)
KW_ACCESS(2, 4)
KW_ACCESS(4, 1)
KW_ACCESS(4, 2)
KW_ACCESS(4, 4)
KW_ACCESS(8, 1)
KW_ACCESS(8, 2)
KW_ACCESS(4, 8)
KW_ACCESS(8, 4)
