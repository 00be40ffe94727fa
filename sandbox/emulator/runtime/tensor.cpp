// Tensor-core instructions: mma, wmma, ldmatrix, stmatrix, movmatrix (ISA 9.7.14). Fragments lie as the ISA draws them:
// lane l holds row l / 4 of every 8-row tile and elements of columns from (l % 4) * (elements per register). What the ISA
// leaves open (wmma) is laid out the same way, so that accumulators of one shape agree in every type.
#include <math.h>
#include <string.h>

#include <algorithm>

#include "convert.hpp"
#include "profile.hpp"

using namespace kw;

namespace {

enum Type { T_F16, T_BF16, T_TF32, T_E4M3, T_E5M2, T_S8, T_U8, T_S4, T_U4, T_B1, T_F64, T_F32, T_S32 };
enum Flag { SATFINITE = 1, XOR_POPC = 2, AND_POPC = 4 };

// What emitted code hands over: sizes, types, flags, register counts, then the slots of D, A, B and C.
struct Shape {
  int32_t m, n, k, a, b, c, d, flags, nd, na, nb, nc;
};

constexpr int kMaxM = 32, kMaxN = 32, kMaxK = 256;

int bits_of_type(int t) {
  switch (t) {
    case T_F16: case T_BF16: return 16;
    case T_E4M3: case T_E5M2: case T_S8: case T_U8: return 8;
    case T_S4: case T_U4: return 4;
    case T_B1: return 1;
    case T_F64: return 64;
    default: return 32;
  }
}

const uint32_t* words(const KwWarp* w, int slot) { return w->R + slot * KW_LANES; }

// An 8-bit float as binary32.
float small_float(uint32_t x, int mantissa, int bias, bool has_infinity) {
  const uint32_t sign = x >> 7, e = (x & 0x7f) >> mantissa, m = x & ((1u << mantissa) - 1);
  float v;
  if (has_infinity ? e == 31 : (x & 0x7f) == 0x7f)
    v = has_infinity && m == 0 ? INFINITY : NAN;
  else
    v = e == 0 ? ldexpf((float)m, 1 - bias - mantissa) : ldexpf((float)(m + (1u << mantissa)), (int)e - bias - mantissa);
  return sign ? -v : v;
}

struct SmallFloats {
  float e4m3[256], e5m2[256];
  SmallFloats() {
    for (int i = 0; i < 256; i++) e4m3[i] = small_float(i, 3, 7, false), e5m2[i] = small_float(i, 2, 15, true);
  }
};
const SmallFloats kSmall;

// Element x of a register in each lane, as binary32.
void floats(const uint32_t* reg, int type, int x, float* out) {
  for (int h = 0; h < KW_LANES; h += W) {
    const u v = get(reg + h);
    u r;
    switch (type) {
      case T_F16: r = f32_from_f16(x ? upper(v) : lower(v)); break;
      case T_BF16: r = f32_from_bf16(x ? upper(v) : lower(v)); break;
      case T_TF32: r = v & 0xffffe000u; break;  // the tensor core does not look at the last 13 bits
      case T_E4M3:
        for (int i = 0; i < W; i++) r[i] = bits_of(kSmall.e4m3[v[i] >> 8 * x & 255]);
        break;
      case T_E5M2:
        for (int i = 0; i < W; i++) r[i] = bits_of(kSmall.e5m2[v[i] >> 8 * x & 255]);
        break;
      default: r = v;
    }
    memcpy(out + h, &r, sizeof r);
  }
}

int32_t integer(uint32_t reg, int type, int x) {
  switch (type) {
    case T_S8: return (int8_t)(reg >> 8 * x);
    case T_U8: return reg >> 8 * x & 255;
    case T_S4: return (int32_t)(reg >> 4 * x << 28) >> 28;
    case T_U4: return reg >> 4 * x & 15;
    default: return reg >> x & 1;
  }
}

int per_register(int type) { return std::max(1, 32 / bits_of_type(type)); }

// Columns of an operand's register r: A has its row tiles side by side, B its k tiles.
template <class T, class F>
void spread_a(T* to, const Shape& s, int e, F value) {  // to[k][m]
  const int rows = s.m / 8, count = s.m * s.k / (KW_LANES * e);
  for (int r = 0; r < count; r++)
    for (int x = 0; x < e; x++) {
      T v[KW_LANES];
      value(r, x, v);
      T* base = to + ((r / rows) * 4 * e + x) * kMaxM + (r % rows) * 8;
      for (int l = 0; l < KW_LANES; l++) base[(l & 3) * e * kMaxM + (l >> 2)] = v[l];
    }
}
template <class T, class F>
void spread_b(T* to, const Shape& s, int e, F value) {  // to[k][n]
  const int steps = s.k / (4 * e), count = s.n * s.k / (KW_LANES * e);
  for (int r = 0; r < count; r++)
    for (int x = 0; x < e; x++) {
      T v[KW_LANES];
      value(r, x, v);
      T* base = to + ((r % steps) * 4 * e + x) * kMaxN + (r / steps) * 8;
      for (int l = 0; l < KW_LANES; l++) base[(l & 3) * e * kMaxN + (l >> 2)] = v[l];
    }
}

// Position of accumulator element i (0 or 1 of a pair) in pair `p` of lane l.
inline int place(const Shape& s, int p, int i, int l) {
  const int rows = s.m / 8;
  return ((p % rows) * 8 + (l >> 2)) * kMaxN + (p / rows) * 8 + (l & 3) * 2 + i;
}

template <class T, int N>
void multiply(T* acc, const T* a, const T* b, int m, int n, int k) {
  for (int j = 0; j < n; j += N)
    for (int i = 0; i < m; i++) {
      T row[N];
      for (int x = 0; x < N; x++) row[x] = acc[i * kMaxN + j + x];
      for (int p = 0; p < k; p++) {
        const T left = a[p * kMaxM + i];
        const T* __restrict right = b + p * kMaxN + j;
        for (int x = 0; x < N; x++) row[x] = __builtin_fma(left, right[x], row[x]);
      }
      for (int x = 0; x < N; x++) acc[i * kMaxN + j + x] = row[x];
    }
}
// Eight rows by eight columns at a time stay in registers. This file is compiled with contraction: a fused product and
// sum differ from separate ones only where binary32 can't hold the product, which no 16-bit or narrower operand makes.
void multiply_floats(float* acc, const float* a, const float* b, int m, int n, int k) {
  typedef float Eight __attribute__((vector_size(32), aligned(4)));
  for (int j = 0; j < n; j += 8)
    for (int i = 0; i < m; i += 8) {
      Eight row[8];
      for (int y = 0; y < 8; y++) row[y] = *(const Eight*)(acc + (i + y) * kMaxN + j);
      for (int p = 0; p < k; p++) {
        const float* left = a + p * kMaxM + i;
        const Eight right = *(const Eight*)(b + p * kMaxN + j);
        for (int y = 0; y < 8; y++) row[y] = left[y] * right + row[y];
      }
      for (int y = 0; y < 8; y++) *(Eight*)(acc + (i + y) * kMaxN + j) = row[y];
    }
}

void mma_floats(KwWarp* w, const Shape& s, const int32_t* d, const int32_t* a, const int32_t* b, const int32_t* c) {
  float left[64 * kMaxM], right[64 * kMaxN], acc[kMaxM * kMaxN];
  const int e = per_register(s.a);
  spread_a(left, s, e, [&](int r, int x, float* v) { floats(words(w, a[r]), s.a, x, v); });
  spread_b(right, s, e, [&](int r, int x, float* v) { floats(words(w, b[r]), s.b, x, v); });
  const int pairs = s.m * s.n / 64;
  for (int p = 0; p < pairs; p++)
    for (int i = 0; i < 2; i++) {
      float v[KW_LANES];
      if (s.c == T_F16)
        floats(words(w, c[p]), T_F16, i, v);
      else
        memcpy(v, words(w, c[2 * p + i]), sizeof v);
      for (int l = 0; l < KW_LANES; l++) acc[place(s, p, i, l)] = v[l];
    }
  multiply_floats(acc, left, right, s.m, s.n, s.k);
  for (int p = 0; p < pairs; p++)
    for (int h = 0; h < KW_LANES; h += W) {
      u v[2];
      for (int i = 0; i < 2; i++)
        for (int l = 0; l < W; l++) v[i][l] = bits_of(acc[place(s, p, i, h + l)]);
      if (s.d == T_F16) {
        *(u*)(w->R + d[p] * KW_LANES + h) = pair(low16(f16_from_f32<RN>(v[0])), low16(f16_from_f32<RN>(v[1])));
      } else {
        *(u*)(w->R + d[2 * p] * KW_LANES + h) = v[0];
        *(u*)(w->R + d[2 * p + 1] * KW_LANES + h) = v[1];
      }
    }
}

void mma_doubles(KwWarp* w, const Shape& s, const int32_t* d, const int32_t* a, const int32_t* b, const int32_t* c) {
  double left[16 * kMaxM], right[16 * kMaxN], acc[kMaxM * kMaxN];
  spread_a(left, s, 1, [&](int r, int, double* v) { memcpy(v, words(w, a[r]), KW_LANES * 8); });
  spread_b(right, s, 1, [&](int r, int, double* v) { memcpy(v, words(w, b[r]), KW_LANES * 8); });
  for (int r = 0; r < s.nc; r++)
    for (int l = 0; l < KW_LANES; l++) acc[place(s, r / 2, r & 1, l)] = ((const double*)words(w, c[r]))[l];
  multiply<double, 8>(acc, left, right, s.m, s.n, s.k);
  for (int r = 0; r < s.nd; r++)
    for (int l = 0; l < KW_LANES; l++) ((double*)(w->R + d[r] * KW_LANES))[l] = acc[place(s, r / 2, r & 1, l)];
}

void mma_integers(KwWarp* w, const Shape& s, const int32_t* d, const int32_t* a, const int32_t* b, const int32_t* c) {
  thread_local int32_t left[kMaxK * kMaxM], right[kMaxK * kMaxN], acc[kMaxM * kMaxN];
  const int e = per_register(s.a);
  auto read = [&](const int32_t* regs, int type) {
    return [=](int r, int x, int32_t* v) {
      for (int l = 0; l < KW_LANES; l++) v[l] = integer(words(w, regs[r])[l], type, x);
    };
  };
  spread_a(left, s, e, read(a, s.a));
  spread_b(right, s, e, read(b, s.b));
  for (int i = 0; i < s.m; i++) {
    int32_t* row = acc + i * kMaxN;
    memset(row, 0, s.n * sizeof *row);
    for (int p = 0; p < s.k; p++) {
      const int32_t x = left[p * kMaxM + i];
      const int32_t* y = right + p * kMaxN;
      if (s.flags & XOR_POPC)
        for (int j = 0; j < s.n; j++) row[j] += x ^ y[j];
      else
        for (int j = 0; j < s.n; j++) row[j] += x * y[j];
    }
  }
  for (int r = 0; r < s.nd; r++)
    for (int l = 0; l < KW_LANES; l++) {
      const int64_t sum = (int64_t)(int32_t)words(w, c[r])[l] + acc[place(s, r / 2, r & 1, l)];
      // Without .satfinite the sum wraps.
      w->R[d[r] * KW_LANES + l] =
          (uint32_t)(s.flags & SATFINITE ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum);
    }
}

// -- memory -----------------------------------------------------------------------------------------------------------

// One request: checks, counts and marks it. Returns the lanes that may go on; `a` gets pointers.
uint32_t reach_global(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a, int size, bool store,
                      const uint64_t* const* values, int element) {
  KwWorker& c = *w->worker;
  Cache& k = c.cache[site];
  const uint32_t ok = check_global(c, w, k, mask, site, a, size, store);
  c.counters[store ? GS_REQ : GL_REQ]++;
  c.counters[store ? GS_BYTES : GL_BYTES] += (uint64_t)size * __builtin_popcount(mask);
  w->global_requests++;
  if (!ok) return 0;
  const uint64_t base = a[first_lane(ok)];
  learn(k, ok, a, base, size);
  learn_sectors(k, base, size);
  c.counters[store ? GS_SEC : GL_SEC] += k.sectors;
  if (store) k.stored += (uint64_t)size * __builtin_popcount(ok);
  if (c.request->track_writes) {
    if (store) note_written(c, k, ok, a, size, false);
    else note_loaded(c, k, ok, a, size);
  }
  if (k.allocation && base + k.min_delta >= k.lo && base + k.max_end <= k.hi) {
    const uint64_t origin = base / kSectorBytes - k.allocation->first_sector();
    for (uint32_t i = 0; i < k.sectors; i++) {
      const uint64_t n = origin + k.sector[i];
      __atomic_fetch_or(k.bits + (n >> 6), 1ull << (n & 63), __ATOMIC_RELAXED);
    }
  }
  if (k.stamps.write && store) race_store(w, k, ok, site, a, size, values, element);
  if (k.stamps.write && !store) race_load(w, k, ok, site, a, size, PLAIN);
  if (k.blank && store) blank_store(k, ok, a, size);
  if (k.blank && !store) blank_load(w, k, ok, site, a, size);
  return ok;
}

bool same_pattern(const Cache& k, uint32_t mask, const uint64_t* a, uint64_t base) {
  if (k.mask != mask) return false;
  uint64_t diff = 0;
  for (int l = 0; l < KW_LANES; l++) diff |= ((a[l] - base) ^ k.delta[l]) & k.keep[l];
  return diff == 0;
}

uint32_t reach_shared(KwWarp* w, uint32_t mask, uint32_t site, const uint64_t* a, int size, bool store,
                      const uint64_t* const* values, int element) {
  KwWorker& c = *w->worker;
  Cache& k = c.cache[site];
  const uint64_t base = a[first_lane(mask)];
  if (!same_pattern(k, mask, a, base) || k.phase != (base & 127)) {
    learn(k, mask, a, base, size);
    k.wavefronts = wavefronts(a, mask, size);
    k.phase = base & 127;
  }
  uint32_t ok = mask;
  if (base + k.min_delta < k.lo || base + k.max_end > k.hi || base + k.max_end < base || ((base | k.delta_or) & (size - 1))) {
    ok = check_shared(c, w, k, mask, site, a, size);
    if (ok != mask) learn(k, ok, a, ok ? a[first_lane(ok)] : 0, size), k.phase = ~0u;
  }
  c.counters[store ? SS_REQ : SL_REQ]++;
  c.counters[store ? SS_WAVE : SL_WAVE] += k.wavefronts;
  c.counters[store ? SS_BYTES : SL_BYTES] += (uint64_t)size * __builtin_popcount(mask);
  if (ok && c.shadow.active()) {
    if (store)
      shadow_store(w, k, ok, site, a, size, values, element);
    else
      shadow_load(w, k, ok, site, a, size);
  }
  return ok;
}

// Data of one request, `size` bytes a lane in `values` (element-wise in 32- or 64-bit cells of 32 lanes).
void transfer(KwWarp* w, uint32_t mask, uint32_t site, uint64_t* a, int size, int element, bool store,
              const uint64_t* const* values) {
  uint32_t in_shared = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = __builtin_ctz(m);
    if ((a[l] & KW_WINDOW_MASK) == KW_SHARED_WINDOW) in_shared |= 1u << l, a[l] &= ~KW_WINDOW_MASK;
  }
  const int cell = element == 8 ? 8 : 4;
  auto move = [&](uint32_t lanes, uint32_t ok, uint8_t* host) {
    for (uint32_t m = lanes; m; m &= m - 1) {
      const int l = __builtin_ctz(m);
      for (int i = 0; i < size / element; i++) {
        uint8_t* value = (uint8_t*)values[i] + l * cell;
        if (!store) memset(value, 0, cell);
        if (!(ok >> l & 1)) continue;
        if (store)
          memcpy(host + a[l] + i * element, value, element);
        else
          memcpy(value, host + a[l] + i * element, element);
      }
    }
  };
  if (in_shared) move(in_shared, reach_shared(w, in_shared, site, a, size, store, values, element), w->worker->shared);
  const uint32_t in_global = mask & ~in_shared;
  if (in_global) move(in_global, reach_global(w, in_global, site, a, size, store, values, element), nullptr);
}

uint64_t address_of(const KwWarp* w, const KwSite& s, int l) {
  const uint64_t a = s.address_bits == 64 ? ((const uint64_t*)words(w, s.address))[l] + s.offset
                                          : (uint32_t)(words(w, s.address)[l] + (uint32_t)s.offset);
  return s.extra[0] == 1 && !(a & KW_WINDOW_MASK) ? a | KW_SHARED_WINDOW : a;
}

// Rows and columns of element x of register r in lane l.
struct Cell {
  int row, column;
};
Cell cell_of(int part, const Shape& s, int e, int r, int x, int l) {
  if (part == 0) {  // A
    const int rows = s.m / 8;
    return {(r % rows) * 8 + (l >> 2), (r / rows) * 4 * e + (l & 3) * e + x};
  }
  if (part == 1) {  // B
    const int steps = s.k / (4 * e);
    return {(r % steps) * 4 * e + (l & 3) * e + x, (r / steps) * 8 + (l >> 2)};
  }
  const int rows = s.m / 8, p = e == 2 ? r : r / 2, i = e == 2 ? x : r & 1;
  return {(p % rows) * 8 + (l >> 2), (p / rows) * 8 + (l & 3) * 2 + i};
}

}  // namespace

extern "C" {

void kw_mma(KwWarp* w, uint32_t mask, const int32_t* what) {
  if (mask != KW_FULL) return;  // reported where lanes were collected; what a part of a warp computes is undefined
  const Shape& s = *(const Shape*)what;
  const int32_t *d = what + sizeof(Shape) / 4, *a = d + s.nd, *b = a + s.na, *c = b + s.nb;
  if (s.a == T_F64)
    mma_doubles(w, s, d, a, b, c);
  else if (s.a <= T_E5M2)
    mma_floats(w, s, d, a, b, c);
  else
    mma_integers(w, s, d, a, b, c);
}

// wmma.load and wmma.store: what[0..2] shape, [3] element type, [4] part (0 A, 1 B, 2 accumulators), [5] whether rows are
// contiguous, [6] store, [7] registers, then their slots. Operand 4 of the site is the stride in elements.
void kw_wmma_move(KwWarp* w, uint32_t mask, uint32_t site, const int32_t* what) {
  const Tally tally(w, site);
  if (mask != KW_FULL) return;
  const KwSite& place = w->worker->request->sites[site];
  Shape s{what[0], what[1], what[2]};
  const int type = what[3], part = what[4], count = what[7];
  const bool by_row = what[5], store = what[6];
  const int32_t* slots = what + 8;
  const int bits = bits_of_type(type), e = std::max(1, 32 / bits);
  const int elements = part == 0 ? s.m * s.k : part == 1 ? s.k * s.n : s.m * s.n;
  const int distinct = std::min(count, elements / (KW_LANES * e));
  const int default_stride = part == 0 ? (by_row ? s.k : s.m) : part == 1 ? (by_row ? s.n : s.k) : (by_row ? s.n : s.m);
  const uint64_t base = address_of(w, place, 0);
  const int64_t stride = place.slot[4] < 0 ? (place.imm[4] ? place.imm[4] : default_stride) : (int32_t)words(w, place.slot[4])[0];
  // Elements of a register that lie side by side go in one access.
  const bool together = e == 1 || (part == 0 && by_row) || (part == 1 && !by_row) || (part == 2 && by_row);
  for (int r = 0; r < distinct; r++) {
    uint64_t a[KW_LANES];
    auto aim = [&](int x) {
      for (int l = 0; l < KW_LANES; l++) {
        const Cell at = cell_of(part, s, e, r, x, l);
        const int64_t index = by_row ? at.row * stride + at.column : at.column * stride + at.row;
        a[l] = base + index * bits / 8;
      }
    };
    uint32_t* reg = w->R + slots[r] * KW_LANES;
    if (together) {
      const int size = std::max(4, bits / 8);
      aim(0);
      const uint64_t* values[] = {(const uint64_t*)reg};
      transfer(w, mask, site, a, size, size, store, values);
      continue;
    }
    alignas(64) uint32_t piece[KW_LANES], whole[KW_LANES] = {};
    const uint64_t* values[] = {(const uint64_t*)piece};
    for (int x = 0; x < e; x++) {
      aim(x);
      if (store)
        for (int l = 0; l < KW_LANES; l++) piece[l] = reg[l] >> bits * x & ((1u << bits) - 1);
      transfer(w, mask, site, a, bits / 8, bits / 8, store, values);
      if (!store)
        for (int l = 0; l < KW_LANES; l++) whole[l] |= piece[l] << bits * x;
    }
    if (!store) memcpy(reg, whole, sizeof whole);
  }
  if (!store)  // binary16 operands are held twice
    for (int r = distinct; r < count; r++)
      memcpy(w->R + slots[r] * KW_LANES, w->R + slots[r % distinct] * KW_LANES, KW_LANES * 4);
  if (w->worker->cache[site].allocation) flush_stored(w->worker->cache[site]);
}

// ldmatrix and stmatrix of 8x8 tiles of 16-bit elements: what[0] tiles, [1] transposed, [2] store, then slots.
void kw_matrix_move(KwWarp* w, uint32_t mask, uint32_t site, const int32_t* what) {
  const Tally tally(w, site);
  if (mask != KW_FULL) return;
  const KwSite& place = w->worker->request->sites[site];
  const int count = what[0];
  const bool transposed = what[1], store = what[2];
  const int32_t* slots = what + 3;
  const uint32_t rows = count == 4 ? KW_FULL : (1u << 8 * count) - 1;
  uint64_t a[KW_LANES];
  for (int l = 0; l < KW_LANES; l++) a[l] = address_of(w, place, l);
  uint32_t in_shared = 0;
  for (int l = 0; l < KW_LANES; l++) in_shared |= (uint32_t)((a[l] & KW_WINDOW_MASK) == KW_SHARED_WINDOW) << l;
  if (!store && (in_shared & rows) == rows) {
    for (int l = 0; l < KW_LANES; l++) a[l] &= ~KW_WINDOW_MASK;
    const uint32_t ok = reach_shared(w, rows, site, a, 16, false, nullptr, 4);
    for (int t = 0; t < count; t++) {
      uint16_t tile[8][8] = {};  // as it lies, it is what the lanes get
      for (int r = 0; r < 8; r++)
        if (ok >> (8 * t + r) & 1) memcpy(tile[r], w->worker->shared + a[8 * t + r], 16);
      uint16_t* to = (uint16_t*)(w->R + slots[t] * KW_LANES);
      for (int r = 0; r < 8; r++)
        for (int i = 0; i < 8; i++) to[8 * r + i] = transposed ? tile[i][r] : tile[r][i];
    }
    return;
  }
  alignas(64) uint32_t data[4][KW_LANES];  // [word of the row][lane that gave the row's address]
  const uint64_t* values[4];
  for (int i = 0; i < 4; i++) values[i] = (const uint64_t*)data[i];
  auto half = [&](int tile, int row, int column) -> uint16_t* {
    return (uint16_t*)&data[column / 2][tile * 8 + row] + (column & 1);
  };
  auto exchange = [&](bool out) {
    for (int t = 0; t < count; t++) {
      uint32_t* reg = w->R + slots[t] * KW_LANES;
      for (int l = 0; l < KW_LANES; l++) {
        uint16_t* v = (uint16_t*)(reg + l);
        for (int i = 0; i < 2; i++) {
          const int row = l >> 2, column = (l & 3) * 2 + i;
          uint16_t* h = transposed ? half(t, column, row) : half(t, row, column);
          if (out)
            *h = v[i];
          else
            v[i] = *h;
        }
      }
    }
  };
  if (store) exchange(true);
  transfer(w, rows, site, a, 16, 4, store, values);
  if (!store) exchange(false);
}

// movmatrix.trans: what: target, source.
void kw_movmatrix(KwWarp* w, uint32_t mask, const int32_t* what) {
  if (mask != KW_FULL) return;
  uint32_t from[KW_LANES];
  memcpy(from, words(w, what[1]), sizeof from);
  auto half = [&](int row, int column) { return from[row * 4 + column / 2] >> 16 * (column & 1) & 0xffff; };
  for (int l = 0; l < KW_LANES; l++)
    w->R[what[0] * KW_LANES + l] = half((l & 3) * 2, l >> 2) | half((l & 3) * 2 + 1, l >> 2) << 16;
}
}
