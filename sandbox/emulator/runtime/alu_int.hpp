// Integer instructions of PTX (ISA 9.7.1, 9.7.2, 9.7.8) on vectors. 16-bit values are kept zero-extended in 32-bit lanes.
#pragma once
#include "simd.hpp"

INLINE u add_b32(u a, u b) { return a + b; }
INLINE u sub_b32(u a, u b) { return a - b; }
INLINE u mul_lo_b32(u a, u b) { return a * b; }
INLINE u and_b32(u a, u b) { return a & b; }
INLINE u or_b32(u a, u b) { return a | b; }
INLINE u xor_b32(u a, u b) { return a ^ b; }
INLINE u not_b32(u a) { return ~a; }
INLINE u neg_b32(u a) { return -a; }
INLINE u cnot_b32(u a) { return a == 0 ? bc(1) : bc(0); }
INLINE u abs_s32(u a) { return (s)a < 0 ? -a : a; }
INLINE u min_s32(u a, u b) { return (u)((s)a < (s)b ? (s)a : (s)b); }
INLINE u max_s32(u a, u b) { return (u)((s)a > (s)b ? (s)a : (s)b); }
INLINE u min_u32(u a, u b) { return a < b ? a : b; }
INLINE u max_u32(u a, u b) { return a > b ? a : b; }
INLINE U add_b64(U a, U b) { return a + b; }
INLINE U sub_b64(U a, U b) { return a - b; }
INLINE U mul_lo_b64(U a, U b) { return a * b; }
INLINE U and_b64(U a, U b) { return a & b; }
INLINE U or_b64(U a, U b) { return a | b; }
INLINE U xor_b64(U a, U b) { return a ^ b; }
INLINE U not_b64(U a) { return ~a; }
INLINE U neg_b64(U a) { return -a; }
INLINE U cnot_b64(U a) { return a == 0 ? bc64(1) : bc64(0); }
INLINE U abs_s64(U a) { return (S)a < 0 ? -a : a; }
INLINE U min_s64(U a, U b) { return (U)((S)a < (S)b ? (S)a : (S)b); }
INLINE U max_s64(U a, U b) { return (U)((S)a > (S)b ? (S)a : (S)b); }
INLINE U min_u64(U a, U b) { return a < b ? a : b; }
INLINE U max_u64(U a, U b) { return a > b ? a : b; }

INLINE u low16(u a) { return a & 0xffffu; }
INLINE u low8(u a) { return a & 0xffu; }
INLINE u sext16(u a) { return (u)((s)(a << 16) >> 16); }
INLINE u sext8(u a) { return (u)((s)(a << 24) >> 24); }

// Shift counts beyond the width give 0, or the sign for arithmetic shifts (ISA 9.7.8.7).
#if KW_AVX512
INLINE u shl_b32(u a, u n) { return (u)_mm512_sllv_epi32((__m512i)a, (__m512i)n); }
INLINE u shr_u32(u a, u n) { return (u)_mm512_srlv_epi32((__m512i)a, (__m512i)n); }
INLINE u shr_s32(u a, u n) { return (u)_mm512_srav_epi32((__m512i)a, (__m512i)n); }
INLINE U shl_b64(U a, U n) { return (U)_mm512_sllv_epi64((__m512i)a, (__m512i)n); }
INLINE U shr_u64(U a, U n) { return (U)_mm512_srlv_epi64((__m512i)a, (__m512i)n); }
INLINE U shr_s64(U a, U n) { return (U)_mm512_srav_epi64((__m512i)a, (__m512i)n); }
INLINE U mul_wide_u(U a, U b) { return (U)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
INLINE U mul_wide_s(U a, U b) { return (U)_mm512_mul_epi32((__m512i)a, (__m512i)b); }
#else
#if KW_AVX2
INLINE u shl_b32(u a, u n) { return (u)_mm256_sllv_epi32((__m256i)a, (__m256i)n); }
INLINE u shr_u32(u a, u n) { return (u)_mm256_srlv_epi32((__m256i)a, (__m256i)n); }
INLINE u shr_s32(u a, u n) { return (u)_mm256_srav_epi32((__m256i)a, (__m256i)n); }
INLINE U shl_b64(U a, U n) { return (U)_mm256_sllv_epi64((__m256i)a, (__m256i)n); }
INLINE U shr_u64(U a, U n) { return (U)_mm256_srlv_epi64((__m256i)a, (__m256i)n); }
INLINE U mul_wide_u(U a, U b) { return (U)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
INLINE U mul_wide_s(U a, U b) { return (U)_mm256_mul_epi32((__m256i)a, (__m256i)b); }
#else
INLINE u shl_b32(u a, u n) { return n < 32 ? a << (n & 31) : bc(0); }
INLINE u shr_u32(u a, u n) { return n < 32 ? a >> (n & 31) : bc(0); }
INLINE u shr_s32(u a, u n) { return (u)((s)a >> (s)(n < 32 ? n : bc(31))); }
INLINE U shl_b64(U a, U n) { return n < 64 ? a << (n & 63) : bc64(0); }
INLINE U shr_u64(U a, U n) { return n < 64 ? a >> (n & 63) : bc64(0); }
INLINE U mul_wide_u(U a, U b) { return (a & 0xffffffffull) * (b & 0xffffffffull); }
INLINE U mul_wide_s(U a, U b) { return (U)((((S)a << 32) >> 32) * (((S)b << 32) >> 32)); }
#endif
INLINE U shr_s64(U a, U n) { return (U)((S)a >> (S)(n < 64 ? n : bc64(63))); }
#endif

INLINE u mul_hi_u32(u a, u b) { return high_words(mul_wide_u(zext0(a), zext0(b)), mul_wide_u(zext1(a), zext1(b))); }
INLINE u mul_hi_s32(u a, u b) { return high_words(mul_wide_s(sext0(a), sext0(b)), mul_wide_s(sext1(a), sext1(b))); }
INLINE U mul_hi_u64(U a, U b) {
  return map2([](uint64_t x, uint64_t y) { return (uint64_t)(((unsigned __int128)x * y) >> 64); }, a, b);
}
INLINE U mul_hi_s64(U a, U b) {
  return map2([](uint64_t x, uint64_t y) { return (uint64_t)(((__int128)(int64_t)x * (int64_t)y) >> 64); }, a, b);
}
INLINE u mul24_lo_u32(u a, u b) { return (a & 0xffffffu) * (b & 0xffffffu); }
INLINE u mul24_lo_s32(u a, u b) { return (u)(((s)(a << 8) >> 8) * ((s)(b << 8) >> 8)); }
INLINE u mul24_hi_u32(u a, u b) {
  return map2([](uint32_t x, uint32_t y) { return (uint32_t)(((uint64_t)(x & 0xffffff) * (y & 0xffffff)) >> 16); }, a, b);
}
INLINE u mul24_hi_s32(u a, u b) {
  return map2(
      [](uint32_t x, uint32_t y) {
        return (uint32_t)(((int64_t)((int32_t)(x << 8) >> 8) * ((int32_t)(y << 8) >> 8)) >> 16);
      },
      a, b);
}

// Quotients of 32-bit integers are exact in binary64. By zero, NVIDIA GPUs give all ones (and the dividend as rest).
INLINE u div_u32(u a, u b) {
  return map2([](uint32_t x, uint32_t y) { return y ? x / y : 0xffffffffu; }, a, b);
}
INLINE u rem_u32(u a, u b) {
  return map2([](uint32_t x, uint32_t y) { return y ? x % y : x; }, a, b);
}
INLINE u div_s32(u a, u b) {
  return map2(
      [](uint32_t x, uint32_t y) {
        return y ? (uint32_t)((int64_t)(int32_t)x / (int64_t)(int32_t)y) : 0xffffffffu;
      },
      a, b);
}
INLINE u rem_s32(u a, u b) {
  return map2([](uint32_t x, uint32_t y) { return y ? (uint32_t)((int64_t)(int32_t)x % (int64_t)(int32_t)y) : x; }, a, b);
}
INLINE U div_u64(U a, U b) {
  return map2([](uint64_t x, uint64_t y) { return y ? x / y : ~0ull; }, a, b);
}
INLINE U rem_u64(U a, U b) {
  return map2([](uint64_t x, uint64_t y) { return y ? x % y : x; }, a, b);
}
INLINE U div_s64(U a, U b) {
  return map2(
      [](uint64_t x, uint64_t y) {
        return y == 0 ? ~0ull : y == ~0ull ? 0 - x : (uint64_t)((int64_t)x / (int64_t)y);
      },
      a, b);
}
INLINE U rem_s64(U a, U b) {
  return map2(
      [](uint64_t x, uint64_t y) { return y == 0 ? x : y == ~0ull ? 0 : (uint64_t)((int64_t)x % (int64_t)y); }, a, b);
}

INLINE u popc_b32(u a) {
  return map1([](uint32_t x) { return (uint32_t)__builtin_popcount(x); }, a);
}
INLINE u clz_b32(u a) {
  return map1([](uint32_t x) { return x ? (uint32_t)__builtin_clz(x) : 32u; }, a);
}
INLINE u brev_b32(u a) {
  a = (a & 0x55555555u) << 1 | ((a >> 1) & 0x55555555u);
  a = (a & 0x33333333u) << 2 | ((a >> 2) & 0x33333333u);
  a = (a & 0x0f0f0f0fu) << 4 | ((a >> 4) & 0x0f0f0f0fu);
  a = (a & 0x00ff00ffu) << 8 | ((a >> 8) & 0x00ff00ffu);
  return a << 16 | a >> 16;
}
INLINE u bfind_u32(u a) {
  return map1([](uint32_t x) { return x ? 31u - (uint32_t)__builtin_clz(x) : ~0u; }, a);
}
INLINE u bfind_s32(u a) { return bfind_u32((s)a < 0 ? ~a : a); }
INLINE u bfind_shiftamt_u32(u a) {
  return map1([](uint32_t x) { return x ? (uint32_t)__builtin_clz(x) : ~0u; }, a);
}
INLINE u bfind_shiftamt_s32(u a) { return bfind_shiftamt_u32((s)a < 0 ? ~a : a); }
// Results of 64-bit bit counts are 32-bit registers; the emitter takes their low words.
INLINE U popc_b64(U a) {
  return map1([](uint64_t x) { return (uint64_t)__builtin_popcountll(x); }, a);
}
INLINE U clz_b64(U a) {
  return map1([](uint64_t x) { return x ? (uint64_t)__builtin_clzll(x) : 64ull; }, a);
}
INLINE U bfind_u64(U a) {
  return map1([](uint64_t x) { return x ? 63ull - (uint64_t)__builtin_clzll(x) : ~0ull; }, a);
}
INLINE U bfind_s64(U a) { return bfind_u64((S)a < 0 ? ~a : a); }
INLINE U bfind_shiftamt_u64(U a) {
  return map1([](uint64_t x) { return x ? (uint64_t)__builtin_clzll(x) : ~0ull; }, a);
}
INLINE U bfind_shiftamt_s64(U a) { return bfind_shiftamt_u64((S)a < 0 ? ~a : a); }
INLINE U brev_b64(U a) {
  return map1(
      [](uint64_t x) {
        uint64_t r = 0;
        for (int i = 0; i < 64; i++) r |= ((x >> i) & 1) << (63 - i);
        return r;
      },
      a);
}
INLINE u fns_b32(u mask, u base, u offset) {
  return map3(
      [](uint32_t m, uint32_t b, uint32_t o) {
        int32_t n = (int32_t)o;
        const int32_t step = n < 0 ? -1 : 1;
        n = n < 0 ? -n : n;
        // Offset 0 asks for the bit at `base` itself; offset n for the n-th set bit from `base` on.
        if (n == 0) return (b < 32 && (m >> b & 1)) ? b : ~0u;
        for (int64_t at = b; at >= 0 && at < 32; at += step)
          if ((m >> at & 1) && --n == 0) return (uint32_t)at;
        return ~0u;
      },
      mask, base, offset);
}

// bfe, bfi: position and length are taken modulo 256 (ISA 9.7.1.19, 9.7.1.20).
template <class T, bool Signed>
INLINE T bfe_scalar(T a, uint32_t pos, uint32_t len) {
  const uint32_t top = sizeof(T) * 8 - 1;
  pos &= 0xff;
  len &= 0xff;
  T sign = 0;
  if (Signed && len) sign = a >> (pos + len - 1 < top ? pos + len - 1 : top) & 1;
  T r = sign ? (T)~(T)0 : 0;
  const T field = pos > top ? 0 : (T)(a >> pos);
  const uint32_t valid = pos > top ? 0 : top + 1 - pos;
  const uint32_t n = len < valid ? len : valid;
  if (n > top) return field;
  const T keep = ((T)1 << n) - 1;
  return (field & keep) | (r & ~keep);
}
template <class T>
INLINE T bfi_scalar(T a, T b, uint32_t pos, uint32_t len) {
  const uint32_t width = sizeof(T) * 8;
  pos &= 0xff;
  len &= 0xff;
  if (pos >= width || len == 0) return b;
  if (len > width - pos) len = width - pos;
  const T keep = (len >= width ? (T)~(T)0 : (T)(((T)1 << len) - 1)) << pos;
  return (b & ~keep) | ((a << pos) & keep);
}
INLINE u bfe_u32(u a, u p, u n) { return map3([](uint32_t x, uint32_t i, uint32_t j) { return bfe_scalar<uint32_t, false>(x, i, j); }, a, p, n); }
INLINE u bfe_s32(u a, u p, u n) { return map3([](uint32_t x, uint32_t i, uint32_t j) { return bfe_scalar<uint32_t, true>(x, i, j); }, a, p, n); }
INLINE u bfi_b32(u a, u b, u p, u n) { return map4([](uint32_t x, uint32_t y, uint32_t i, uint32_t j) { return bfi_scalar<uint32_t>(x, y, i, j); }, a, b, p, n); }
INLINE U bfe_u64(U a, U p, U n) { return map3([](uint64_t x, uint64_t i, uint64_t j) { return bfe_scalar<uint64_t, false>(x, (uint32_t)i, (uint32_t)j); }, a, p, n); }
INLINE U bfe_s64(U a, U p, U n) { return map3([](uint64_t x, uint64_t i, uint64_t j) { return bfe_scalar<uint64_t, true>(x, (uint32_t)i, (uint32_t)j); }, a, p, n); }
INLINE U bfi_b64(U a, U b, U p, U n) {
  U r;
  for (int i = 0; i < H; i++) r[i] = bfi_scalar<uint64_t>(a[i], b[i], (uint32_t)p[i], (uint32_t)n[i]);
  return r;
}
INLINE u bmsk_clamp(u p, u n) {
  return map2(
      [](uint32_t i, uint32_t j) {
        if (i >= 32) return 0u;
        const uint32_t m = j >= 32 ? ~0u : (1u << j) - 1;
        return m << i;
      },
      p, n);
}
INLINE u bmsk_wrap(u p, u n) {
  return map2([](uint32_t i, uint32_t j) { return ((1u << (j & 31)) - 1) << (i & 31); }, p, n);
}
INLINE u szext_clamp(u a, u n, bool is_signed) {
  return map2(
      [is_signed](uint32_t x, uint32_t k) {
        if (k >= 32) return x;
        if (k == 0) return 0u;
        const uint32_t r = x & ((1u << k) - 1);
        return is_signed && (r >> (k - 1) & 1) ? r | ~((1u << k) - 1) : r;
      },
      a, n);
}

INLINE u sad_u32(u a, u b, u c) { return c + (a < b ? b - a : a - b); }
INLINE u sad_s32(u a, u b, u c) { return c + ((s)a < (s)b ? b - a : a - b); }
INLINE U sad_u64(U a, U b, U c) { return c + (a < b ? b - a : a - b); }
INLINE U sad_s64(U a, U b, U c) { return c + ((S)a < (S)b ? b - a : a - b); }

// lop3: bit i of the table is the result for (a, b, c) = bits 2, 1, 0 of i.
template <int T>
INLINE u lop3_b32(u a, u b, u c) {
#if KW_AVX512
  return (u)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)b, (__m512i)c, T);
#else
  u r = bc(0);
  if (T & 1) r |= ~a & ~b & ~c;
  if (T & 2) r |= ~a & ~b & c;
  if (T & 4) r |= ~a & b & ~c;
  if (T & 8) r |= ~a & b & c;
  if (T & 16) r |= a & ~b & ~c;
  if (T & 32) r |= a & ~b & c;
  if (T & 64) r |= a & b & ~c;
  if (T & 128) r |= a & b & c;
  return r;
#endif
}

INLINE uint32_t prmt_byte(uint64_t both, uint32_t sel) {
  const uint32_t byte = (uint32_t)(both >> (8 * (sel & 7))) & 0xff;
  return sel & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte;
}
// mode: 0 default, 1 f4e, 2 b4e, 3 rc8, 4 ecl, 5 ecr, 6 rc16 (ISA 9.7.9.7).
template <int MODE>
INLINE u prmt_b32(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t k) {
        const uint64_t both = (uint64_t)y << 32 | x;
        uint32_t r = 0;
        const uint32_t n = k & 3;
        for (uint32_t i = 0; i < 4; i++) {
          uint32_t sel;
          if (MODE == 0) sel = k >> (4 * i) & 15;
          else if (MODE == 1) sel = (n + i) & 7;
          else if (MODE == 2) sel = (n - i) & 7;
          else if (MODE == 3) sel = n;
          else if (MODE == 4) sel = i > n ? i : n;
          else if (MODE == 5) sel = i < n ? i : n;
          else sel = (n & 1) * 2 + (i & 1);
          r |= prmt_byte(both, sel) << (8 * i);
        }
        return r;
      },
      a, b, c);
}

// Funnel shifts of the pair {b, a} (ISA 9.7.8.6).
INLINE u shf_l_wrap(u a, u b, u n) { return map3([](uint32_t lo, uint32_t hi, uint32_t k) { k &= 31; return (uint32_t)((((uint64_t)hi << 32 | lo) << k) >> 32); }, a, b, n); }
INLINE u shf_r_wrap(u a, u b, u n) { return map3([](uint32_t lo, uint32_t hi, uint32_t k) { k &= 31; return (uint32_t)(((uint64_t)hi << 32 | lo) >> k); }, a, b, n); }
INLINE u shf_l_clamp(u a, u b, u n) { return map3([](uint32_t lo, uint32_t hi, uint32_t k) { return k >= 32 ? lo : (uint32_t)((((uint64_t)hi << 32 | lo) << k) >> 32); }, a, b, n); }
INLINE u shf_r_clamp(u a, u b, u n) { return map3([](uint32_t lo, uint32_t hi, uint32_t k) { return k >= 32 ? hi : (uint32_t)(((uint64_t)hi << 32 | lo) >> k); }, a, b, n); }

template <bool SA, bool SB>
INLINE u dp4a(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t z) {
        for (int i = 0; i < 4; i++) {
          const int32_t p = SA ? (int8_t)(x >> 8 * i) : (uint8_t)(x >> 8 * i);
          const int32_t q = SB ? (int8_t)(y >> 8 * i) : (uint8_t)(y >> 8 * i);
          z += (uint32_t)(p * q);
        }
        return z;
      },
      a, b, c);
}
template <bool SA, bool SB, bool HI>
INLINE u dp2a(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t z) {
        for (int i = 0; i < 2; i++) {
          const int j = i + (HI ? 2 : 0);
          const int32_t p = SA ? (int16_t)(x >> 16 * i) : (uint16_t)(x >> 16 * i);
          const int32_t q = SB ? (int8_t)(y >> 8 * j) : (uint8_t)(y >> 8 * j);
          z += (uint32_t)(p * q);
        }
        return z;
      },
      a, b, c);
}

// Saturating forms (.sat on .s32).
INLINE u add_sat_s32(u a, u b) {
  const u r = a + b;
  const s over = (s)((a ^ r) & (b ^ r));
  return over < 0 ? (u)((s)a >> 31) ^ 0x7fffffffu : r;
}
INLINE u sub_sat_s32(u a, u b) {
  const u r = a - b;
  const s over = (s)((a ^ b) & (a ^ r));
  return over < 0 ? (u)((s)a >> 31) ^ 0x7fffffffu : r;
}
INLINE u mad_hi_sat_s32(u a, u b, u c) { return add_sat_s32(mul_hi_s32(a, b), c); }

// Carry chains: the flag is a predicate (1: carry or borrow).
INLINE u add_with(u a, u b, K in, K* out) {
  const u one = sel(in, bc(1), bc(0));
  const u t = a + b;
  const u r = t + one;
  *out = mask_of((s)(t < a)) | mask_of((s)(r < t));
  return r;
}
INLINE u sub_with(u a, u b, K in, K* out) {
  const u one = sel(in, bc(1), bc(0));
  const u t = a - b;
  const u r = t - one;
  *out = mask_of((s)(a < b)) | mask_of((s)(t < one));
  return r;
}
INLINE U add_with64(U a, U b, K in, K* out) {
  const U one = sel64(in, bc64(1), bc64(0));
  const U t = a + b;
  const U r = t + one;
  *out = mask_of64((S)(t < a)) | mask_of64((S)(r < t));
  return r;
}
INLINE U sub_with64(U a, U b, K in, K* out) {
  const U one = sel64(in, bc64(1), bc64(0));
  const U t = a - b;
  const U r = t - one;
  *out = mask_of64((S)(a < b)) | mask_of64((S)(t < one));
  return r;
}

// Comparisons give predicates.
#if KW_AVX512
#define KW_CMP(name, code)                                                                                        \
  INLINE K name##_s32(u a, u b) { return _mm512_cmp_epi32_mask((__m512i)a, (__m512i)b, code); }                    \
  INLINE K name##_u32(u a, u b) { return _mm512_cmp_epu32_mask((__m512i)a, (__m512i)b, code); }                    \
  INLINE K name##_s64(U a, U b) { return _mm512_cmp_epi64_mask((__m512i)a, (__m512i)b, code); }                    \
  INLINE K name##_u64(U a, U b) { return _mm512_cmp_epu64_mask((__m512i)a, (__m512i)b, code); }
KW_CMP(cmp_eq, _MM_CMPINT_EQ)
KW_CMP(cmp_ne, _MM_CMPINT_NE)
KW_CMP(cmp_lt, _MM_CMPINT_LT)
KW_CMP(cmp_le, _MM_CMPINT_LE)
KW_CMP(cmp_gt, _MM_CMPINT_NLE)
KW_CMP(cmp_ge, _MM_CMPINT_NLT)
#else
#define KW_CMP(name, op)                                               \
  INLINE K name##_s32(u a, u b) { return mask_of((s)a op(s) b); }      \
  INLINE K name##_u32(u a, u b) { return mask_of((s)(a op b)); }       \
  INLINE K name##_s64(U a, U b) { return mask_of64((S)a op(S) b); }    \
  INLINE K name##_u64(U a, U b) { return mask_of64((S)(a op b)); }
KW_CMP(cmp_eq, ==)
KW_CMP(cmp_ne, !=)
KW_CMP(cmp_lt, <)
KW_CMP(cmp_le, <=)
KW_CMP(cmp_gt, >)
KW_CMP(cmp_ge, >=)
#endif
