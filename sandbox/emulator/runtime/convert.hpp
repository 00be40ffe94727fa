// Conversions (cvt, ISA 9.7.9.21) and binary16 / bfloat16 arithmetic (ISA 9.7.4) on vectors.
#pragma once
#include "alu_float.hpp"

// -- binary16 and bfloat16, kept in the low half of a lane ------------------------------------------------------------
INLINE float half_to_float(uint32_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ffu;
  if (exponent == 31) return f32_of(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float v = (float)mantissa * 0x1p-24f;
    return sign ? -v : v;
  }
  return f32_of(sign | (exponent + 112) << 23 | mantissa << 13);
}
// Rounds a binary64 to a format of `mantissa` explicit bits whose smallest normal is 2^min_exponent, in one step.
template <int R>
INLINE uint32_t double_to_small(double x, int mantissa, int min_exponent, int bias, uint32_t infinity) {
  const uint64_t b = bits_of(x);
  const uint32_t sign = (uint32_t)(b >> 63);
  const uint64_t magnitude = b & 0x7fffffffffffffffull;
  const uint32_t top = sign << 15;
  if (magnitude > 0x7ff0000000000000ull) return 0x7fffu;
  if (magnitude == 0x7ff0000000000000ull) return top | infinity;
  if (magnitude == 0) return top;
  int e = (int)(magnitude >> 52) - 1023;
  if (magnitude >> 52 == 0) e = -1022;
  const int unit = (e < min_exponent ? min_exponent : e) - mantissa;  // exponent of the last place
  const double scaled = __builtin_ldexp(f64_of(magnitude), -unit);    // exact: below 2^(mantissa+1)
  double whole = __builtin_floor(scaled);
  const double rest = scaled - whole;
  bool up = false;
  if (R == RN) up = rest > 0.5 || (rest == 0.5 && ((uint64_t)whole & 1));
  if (R == RP) up = rest > 0 && !sign;
  if (R == RM) up = rest > 0 && sign;
  uint64_t n = (uint64_t)whole + up;
  // n counts units; a carry into the next binade works out by itself because the encoding is continuous.
  const int biased = e < min_exponent ? 0 : e + bias;
  const uint64_t code = biased == 0 ? n : ((uint64_t)biased << mantissa) + (n - (1ull << mantissa));
  if (code >= infinity) {
    const bool toward_zero = R == RZ || (R == RP && sign) || (R == RM && !sign);
    return top | (toward_zero ? infinity - 1 : infinity);
  }
  return top | (uint32_t)code;
}
template <int R>
INLINE uint32_t double_to_half(double x) {
  return double_to_small<R>(x, 10, -14, 15, 0x7c00u);
}
template <int R>
INLINE uint32_t double_to_bf16(double x) {
  return double_to_small<R>(x, 7, -126, 127, 0x7f80u);
}

INLINE u f32_from_f16(u a) {
#if KW_AVX512
  return (u)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)a));
#else
  return map1([](uint32_t x) { return bits_of(half_to_float(x)); }, a);
#endif
}
INLINE u f32_from_bf16(u a) { return a << 16; }
template <int R>
INLINE u f16_from_f32(u a) {
#if KW_AVX512
  return (u)_mm512_cvtepu16_epi32(_mm512_cvtps_ph((__m512)a, R));
#else
  return map1([](uint32_t x) { return double_to_half<R>((double)f32_of(x)); }, a);
#endif
}
template <int R>
INLINE u bf16_from_f32(u a) {
  u r;
  if (R == RN)
    r = (a + 0x7fffu + ((a >> 16) & 1u)) >> 16;
  else if (R == RZ)
    r = a >> 16;
  else
    r = map1([](uint32_t x) { return double_to_bf16<R>((double)f32_of(x)); }, a);
  return (a & 0x7fffffffu) > 0x7f800000u ? bc(0x7fffu) : r;
}
// tf32 keeps 10 explicit bits: rounded to nearest with ties away from zero (.rna) or to even (.rn), or cut (.rz).
INLINE u tf32_rna(u a) { return (a & 0x7f800000u) == 0x7f800000u ? a : (a + 0x1000u) & 0xffffe000u; }
INLINE u tf32_rn(u a) {
  return (a & 0x7f800000u) == 0x7f800000u ? a : (a + 0xfffu + ((a >> 13) & 1u)) & 0xffffe000u;
}
INLINE u tf32_rz(u a) { return (a & 0x7f800000u) == 0x7f800000u ? a : a & 0xffffe000u; }
// .satfinite: infinity becomes the largest number; NaN stays.
INLINE u finite_tf32(u a) { return (a & 0x7fffffffu) == 0x7f800000u ? (a & 0x80000000u) | 0x7f7fe000u : a; }
INLINE u finite_f16(u a) { return (a & 0x7fffu) == 0x7c00u ? (a & 0x8000u) | 0x7bffu : a; }
INLINE u finite_bf16(u a) { return (a & 0x7fffu) == 0x7f80u ? (a & 0x8000u) | 0x7f7fu : a; }
INLINE u relu_f32(u a) {
  const f x = (f)a;
  return x != x ? bc(0x7fffffffu) : (x > bcf(0) ? a : bc(0));
}

#define KW_HALF_OPS(T)                                                                                             \
  INLINE u add_##T(u a, u b) { return T##_from_f32<RN>((u)((f)f32_from_##T(a) + (f)f32_from_##T(b))); }             \
  INLINE u sub_##T(u a, u b) { return T##_from_f32<RN>((u)((f)f32_from_##T(a) - (f)f32_from_##T(b))); }             \
  INLINE u mul_##T(u a, u b) { return T##_from_f32<RN>((u)((f)f32_from_##T(a) * (f)f32_from_##T(b))); }             \
  INLINE u fma_##T(u a, u b, u c) {                                                                                \
    const u x = f32_from_##T(a), y = f32_from_##T(b), z = f32_from_##T(c);                                         \
    return map3([](uint32_t p, uint32_t q, uint32_t r) { return small_fma_##T(p, q, r); }, x, y, z);               \
  }                                                                                                                \
  INLINE u neg_##T(u a) { return a ^ 0x8000u; }                                                                    \
  INLINE u abs_##T(u a) { return a & 0x7fffu; }                                                                    \
  INLINE u min_##T(u a, u b) { return T##_from_f32<RN>(min_f32(f32_from_##T(a), f32_from_##T(b))); }                \
  INLINE u max_##T(u a, u b) { return T##_from_f32<RN>(max_f32(f32_from_##T(a), f32_from_##T(b))); }                \
  INLINE u nan_##T(u a, u b, u r) {                                                                                \
    const f x = (f)f32_from_##T(a), y = (f)f32_from_##T(b);                                                        \
    return x != x ? bc(0x7fffu) : (y != y ? bc(0x7fffu) : r);                                                      \
  }                                                                                                                \
  INLINE u ex2_##T(u a) { return T##_from_f32<RN>(ex2_f32(f32_from_##T(a))); }                                      \
  INLINE u tanh_##T(u a) { return T##_from_f32<RN>(close_tanh_f32(f32_from_##T(a))); }                              \
  INLINE u sat_##T(u a) { return T##_from_f32<RN>(sat_f32(f32_from_##T(a))); }                                      \
  INLINE u relu_##T(u a) {                                                                                         \
    const f x = (f)f32_from_##T(a);                                                                                \
    return x != x ? bc(0x7fffu) : (x > bcf(0) ? a : bc(0));                                                         \
  }
// A product of two halves is exact in binary64; the sum is rounded to odd there, so that rounding it once more is right.
INLINE double fma_to_odd(uint32_t p, uint32_t q, uint32_t r) {
  const double product = (double)f32_of(p) * (double)f32_of(q), c = (double)f32_of(r);
  const double sum = product + c;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (c - back);
  if (error == 0 || !(sum - sum == 0)) return sum;
  uint64_t b = bits_of(sum);
  if (!(b & 1)) b += ((error > 0) == (sum > 0)) ? 1 : -1;
  return f64_of(b);
}
INLINE uint32_t small_fma_f16(uint32_t p, uint32_t q, uint32_t r) { return double_to_half<RN>(fma_to_odd(p, q, r)); }
INLINE uint32_t small_fma_bf16(uint32_t p, uint32_t q, uint32_t r) { return double_to_bf16<RN>(fma_to_odd(p, q, r)); }
KW_HALF_OPS(f16)
KW_HALF_OPS(bf16)
INLINE u ftz_f16(u a) { return (a & 0x7c00u) == 0 ? a & 0x8000u : a; }
INLINE u ftz_bf16(u a) { return (a & 0x7f80u) == 0 ? a & 0x8000u : a; }

INLINE u lower(u a) { return a & 0xffffu; }
INLINE u upper(u a) { return a >> 16; }
INLINE u pair(u lo, u hi) { return lo | hi << 16; }

// -- integers from floating point: rounded, then saturated (ISA 9.7.9.21) ---------------------------------------------
// NaN gives 0 here; where the source is binary64 or the result has 64 bits, `at_nan` puts the top bit alone in its place.
INLINE u s32_from_f32(u a) {
  const f x = (f)a;
  const s r = __builtin_convertvector(x, s);
  const u top = x >= bcf(0x1p31f) ? bc(0x7fffffffu) : (x < bcf(-0x1p31f) ? bc(0x80000000u) : (u)r);
  return x != x ? bc(0) : top;
}
INLINE u u32_from_f32(u a) {
  const f x = (f)a;
  const f big = x - 0x1p31f;
  const u low = (u)__builtin_convertvector(x < bcf(0x1p31f) ? x : bcf(0), s);
  const u high = (u)__builtin_convertvector(x < bcf(0x1p32f) ? big : bcf(0), s) ^ 0x80000000u;
  const u r = x < bcf(0x1p31f) ? low : (x < bcf(0x1p32f) ? high : bc(0xffffffffu));
  return x > bcf(0) ? r : bc(0);
}
INLINE uint64_t s64_of(double x) {
  return x != x ? 0 : x >= 0x1p63 ? 0x7fffffffffffffffull : x < -0x1p63 ? 1ull << 63 : (uint64_t)(int64_t)x;
}
INLINE uint64_t u64_of(double x) { return x > 0 ? (x >= 0x1p64 ? ~0ull : (uint64_t)x) : 0; }
INLINE U s64_from_f64(U a) {
  return map1([](uint64_t x) { return s64_of(f64_of(x)); }, a);
}
INLINE U u64_from_f64(U a) {
  return map1([](uint64_t x) { return u64_of(f64_of(x)); }, a);
}
INLINE U at_nan(U x, U value, uint64_t otherwise) { return (D)x != (D)x ? bc64(otherwise) : value; }
// Saturation of a 64-bit intermediate to a narrower integer.
INLINE U clamp_s64(U a, int64_t lo, int64_t hi) {
  const S x = (S)a;
  return (U)(x < (S)bc64((uint64_t)lo) ? (S)bc64((uint64_t)lo) : (x > (S)bc64((uint64_t)hi) ? (S)bc64((uint64_t)hi) : x));
}
INLINE U clamp_u64(U a, uint64_t hi) { return a > bc64(hi) ? bc64(hi) : a; }
INLINE u clamp_s32(u a, int32_t lo, int32_t hi) { return min_s32(max_s32(a, bc((uint32_t)lo)), bc((uint32_t)hi)); }
INLINE u clamp_u32(u a, uint32_t hi) { return min_u32(a, bc(hi)); }

// -- floating point from integers and between widths ------------------------------------------------------------------
INLINE U f64_from_f32_half(fh x) { return (U)__builtin_convertvector(x, D); }
INLINE U f64_from_f32_0(u a) { return f64_from_f32_half((fh)__builtin_shufflevector((f)a, (f)a, KW_LOW)); }
INLINE U f64_from_f32_1(u a) { return f64_from_f32_half((fh)__builtin_shufflevector((f)a, (f)a, KW_HIGH)); }
INLINE u join_f32(fh a, fh b) {
#if W == 16
  return (u)__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif W == 8
  return (u)__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return (u)__builtin_shufflevector(a, b, 0, 1, 2, 3);
#endif
}
template <int R>
INLINE float directed_f32(double x) {
  float r = (float)x;
  if (R == RN || x - x != 0) return r;
  const double back = (double)r;
  if (back == x) return r;
  const bool up = R == RP || (R == RZ && x < 0), down = R == RM || (R == RZ && x > 0);
  if (up && back < x) return __builtin_nextafterf(r, __builtin_inff());
  if (down && back > x) return __builtin_nextafterf(r, -__builtin_inff());
  return r;
}
template <int R>
INLINE u f32_from_f64(U a, U b) {
  if (R == RN) return join_f32(__builtin_convertvector((D)a, fh), __builtin_convertvector((D)b, fh));
  u r;
  for (int i = 0; i < H; i++) r[i] = bits_of(directed_f32<R>(f64_of(a[i])));
  for (int i = 0; i < H; i++) r[H + i] = bits_of(directed_f32<R>(f64_of(b[i])));
  return r;
}
template <int R>
INLINE u f32_from_s32(u a) {
  if (R == RN) return (u)__builtin_convertvector((s)a, f);
  return map1([](uint32_t x) { return bits_of(directed_f32<R>((double)(int32_t)x)); }, a);
}
template <int R>
INLINE u f32_from_u32(u a) {
  if (R == RN) return (u)__builtin_convertvector(a, f);
  return map1([](uint32_t x) { return bits_of(directed_f32<R>((double)x)); }, a);
}
// A 64-bit integer as binary32 in one rounding.
template <int R, bool Signed>
INLINE uint32_t small_from_64(uint64_t x) {
  const bool negative = Signed && (int64_t)x < 0;
  uint64_t m = negative ? 0 - x : x;
  if (m == 0) return 0;
  const int shift = 40 - __builtin_clzll(m);  // keep 24 bits
  const uint32_t sign = negative ? 0x80000000u : 0;
  if (shift <= 0) return sign | bits_of((float)m);
  const uint64_t rest = m & ((1ull << shift) - 1), half = 1ull << (shift - 1);
  uint64_t q = m >> shift;
  bool up = false;
  if (R == RN) up = rest > half || (rest == half && (q & 1));
  if (R == RP) up = rest && !negative;
  if (R == RM) up = rest && negative;
  q += up;
  return sign | bits_of((float)q * __builtin_ldexpf(1.0f, shift));
}
template <int R, bool Signed>
INLINE u f32_from_b64(U a, U b) {
  u r;
  for (int i = 0; i < H; i++) r[i] = small_from_64<R, Signed>(a[i]);
  for (int i = 0; i < H; i++) r[H + i] = small_from_64<R, Signed>(b[i]);
  return r;
}
template <int R, bool Signed>
INLINE U f64_from_b64(U a) {
  if (R == RN) return Signed ? (U)__builtin_convertvector((S)a, D) : (U)__builtin_convertvector(a, D);
  return map1(
      [](uint64_t x) {
        double r = Signed ? (double)(int64_t)x : (double)x;
        const __int128 exact = Signed ? (__int128)(int64_t)x : (__int128)x;
        const __int128 got = (__int128)r;
        const bool up = R == RP || (R == RZ && exact < 0), down = R == RM || (R == RZ && exact > 0);
        if (up && got < exact) r = __builtin_nextafter(r, __builtin_inf());
        if (down && got > exact) r = __builtin_nextafter(r, -__builtin_inf());
        return bits_of(r);
      },
      a);
}
INLINE U f64_from_s32_0(u a) { return (U)__builtin_convertvector((S)sext0(a), D); }
INLINE U f64_from_s32_1(u a) { return (U)__builtin_convertvector((S)sext1(a), D); }
INLINE U f64_from_u32_0(u a) { return (U)__builtin_convertvector(zext0(a), D); }
INLINE U f64_from_u32_1(u a) { return (U)__builtin_convertvector(zext1(a), D); }
template <int R>
INLINE u f16_from_f64(U a, U b) {
  u r;
  for (int i = 0; i < H; i++) r[i] = double_to_half<R>(f64_of(a[i]));
  for (int i = 0; i < H; i++) r[H + i] = double_to_half<R>(f64_of(b[i]));
  return r;
}
template <int R>
INLINE u bf16_from_f64(U a, U b) {
  u r;
  for (int i = 0; i < H; i++) r[i] = double_to_bf16<R>(f64_of(a[i]));
  for (int i = 0; i < H; i++) r[H + i] = double_to_bf16<R>(f64_of(b[i]));
  return r;
}

// -- 8-bit floats (ISA 5.2.3): e4m3 has no infinity and one NaN a sign; .satfinite clamps to the largest number --------
template <bool Relu>
INLINE u e4m3_from_f32(u a) {
  return map1(
      [](uint32_t x) -> uint32_t {
        const uint32_t sign = x >> 31 << 7, code = double_to_small<RN>((double)f32_of(x & 0x7fffffffu), 3, -6, 7, 0x7f);
        if ((x & 0x7fffffffu) > 0x7f800000u) return 0x7f;
        if (Relu && sign) return 0;
        return sign | (code >= 0x7f ? 0x7e : code);
      },
      a);
}
template <bool Relu>
INLINE u e5m2_from_f32(u a) {
  return map1(
      [](uint32_t x) -> uint32_t {
        const uint32_t sign = x >> 31 << 7, code = double_to_small<RN>((double)f32_of(x & 0x7fffffffu), 2, -14, 15, 0x7c);
        if ((x & 0x7fffffffu) > 0x7f800000u) return 0x7f;
        if (Relu && sign) return 0;
        return sign | (code >= 0x7c ? 0x7b : code);
      },
      a);
}
INLINE u f16_from_e5m2(u a) {
  // The same exponents: the upper byte of a binary16.
  return map1([](uint32_t x) -> uint32_t { return (x & 0x7f) > 0x7c ? 0x7fff : x << 8; }, a);
}
INLINE u f16_from_e4m3(u a) {
  return map1(
      [](uint32_t x) -> uint32_t {
        const uint32_t sign = (x & 0x80) << 8, e = x >> 3 & 15, m = x & 7;
        if ((x & 0x7f) == 0x7f) return 0x7fff;
        if (e) return sign | (e + 8) << 10 | m << 7;
        if (!m) return sign;
        const int top = 31 - __builtin_clz(m);  // m * 2^-9 = 1.x * 2^(top - 9)
        return sign | (uint32_t)(top + 6) << 10 | ((m << (10 - top)) & 0x3ff);
      },
      a);
}
