// Floating-point instructions of PTX (ISA 9.7.3) on vectors of binary32 and binary64. NaNs keep no canonical payload.
#pragma once
#include "alu_int.hpp"

// Rounding modes, numbered as in the AVX-512 instructions.
enum { RN = 0, RM = 1, RP = 2, RZ = 3 };

extern "C" {
// Directed rounding where the processor has no instruction for it; in the runtime library (rounding.cpp).
void kw_round_f32(int op, int mode, uint32_t* r, const uint32_t* a, const uint32_t* b, const uint32_t* c, int n);
void kw_round_f64(int op, int mode, uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* c, int n);
}
enum { KW_ADD = 0, KW_MUL = 1, KW_FMA = 2, KW_DIV = 3, KW_SQRT = 4 };

INLINE u slow_round(int op, int mode, u a, u b, u c) {
  u r;
  kw_round_f32(op, mode, (uint32_t*)&r, (const uint32_t*)&a, (const uint32_t*)&b, (const uint32_t*)&c, W);
  return r;
}
INLINE U slow_round64(int op, int mode, U a, U b, U c) {
  U r;
  kw_round_f64(op, mode, (uint64_t*)&r, (const uint64_t*)&a, (const uint64_t*)&b, (const uint64_t*)&c, H);
  return r;
}

#if KW_AVX512
#define KW_R (R | _MM_FROUND_NO_EXC)
template <int R>
INLINE u add_f32(u a, u b) {
  return R == RN ? (u)((f)a + (f)b) : (u)_mm512_add_round_ps((__m512)a, (__m512)b, KW_R);
}
template <int R>
INLINE u mul_f32(u a, u b) {
  return R == RN ? (u)((f)a * (f)b) : (u)_mm512_mul_round_ps((__m512)a, (__m512)b, KW_R);
}
template <int R>
INLINE u fma_f32(u a, u b, u c) {
  return R == RN ? (u)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c)
                 : (u)_mm512_fmadd_round_ps((__m512)a, (__m512)b, (__m512)c, KW_R);
}
template <int R>
INLINE u div_f32(u a, u b) {
  return R == RN ? (u)((f)a / (f)b) : (u)_mm512_div_round_ps((__m512)a, (__m512)b, KW_R);
}
template <int R>
INLINE u sqrt_f32(u a) {
  return (u)_mm512_sqrt_round_ps((__m512)a, KW_R);
}
template <int R>
INLINE U add_f64(U a, U b) {
  return R == RN ? (U)((D)a + (D)b) : (U)_mm512_add_round_pd((__m512d)a, (__m512d)b, KW_R);
}
template <int R>
INLINE U mul_f64(U a, U b) {
  return R == RN ? (U)((D)a * (D)b) : (U)_mm512_mul_round_pd((__m512d)a, (__m512d)b, KW_R);
}
template <int R>
INLINE U fma_f64(U a, U b, U c) {
  return R == RN ? (U)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c)
                 : (U)_mm512_fmadd_round_pd((__m512d)a, (__m512d)b, (__m512d)c, KW_R);
}
template <int R>
INLINE U div_f64(U a, U b) {
  return R == RN ? (U)((D)a / (D)b) : (U)_mm512_div_round_pd((__m512d)a, (__m512d)b, KW_R);
}
template <int R>
INLINE U sqrt_f64(U a) {
  return (U)_mm512_sqrt_round_pd((__m512d)a, KW_R);
}
// Round to an integral value.
template <int R>
INLINE u rint_f32(u a) {
  return (u)_mm512_roundscale_ps((__m512)a, R);
}
template <int R>
INLINE U rint_f64(U a) {
  return (U)_mm512_roundscale_pd((__m512d)a, R);
}
#else
template <int R>
INLINE u add_f32(u a, u b) {
  return R == RN ? (u)((f)a + (f)b) : slow_round(KW_ADD, R, a, b, b);
}
template <int R>
INLINE u mul_f32(u a, u b) {
  return R == RN ? (u)((f)a * (f)b) : slow_round(KW_MUL, R, a, b, b);
}
template <int R>
INLINE u div_f32(u a, u b) {
  return R == RN ? (u)((f)a / (f)b) : slow_round(KW_DIV, R, a, b, b);
}
template <int R>
INLINE U add_f64(U a, U b) {
  return R == RN ? (U)((D)a + (D)b) : slow_round64(KW_ADD, R, a, b, b);
}
template <int R>
INLINE U mul_f64(U a, U b) {
  return R == RN ? (U)((D)a * (D)b) : slow_round64(KW_MUL, R, a, b, b);
}
template <int R>
INLINE U div_f64(U a, U b) {
  return R == RN ? (U)((D)a / (D)b) : slow_round64(KW_DIV, R, a, b, b);
}
#if KW_AVX2
template <int R>
INLINE u fma_f32(u a, u b, u c) {
  return R == RN ? (u)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c) : slow_round(KW_FMA, R, a, b, c);
}
template <int R>
INLINE U fma_f64(U a, U b, U c) {
  return R == RN ? (U)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c) : slow_round64(KW_FMA, R, a, b, c);
}
template <int R>
INLINE u sqrt_f32(u a) {
  return R == RN ? (u)_mm256_sqrt_ps((__m256)a) : slow_round(KW_SQRT, R, a, a, a);
}
template <int R>
INLINE U sqrt_f64(U a) {
  return R == RN ? (U)_mm256_sqrt_pd((__m256d)a) : slow_round64(KW_SQRT, R, a, a, a);
}
template <int R>
INLINE u rint_f32(u a) {
  return (u)_mm256_round_ps((__m256)a, R | _MM_FROUND_NO_EXC);
}
template <int R>
INLINE U rint_f64(U a) {
  return (U)_mm256_round_pd((__m256d)a, R | _MM_FROUND_NO_EXC);
}
#else
template <int R>
INLINE u fma_f32(u a, u b, u c) {
  return slow_round(KW_FMA, R, a, b, c);
}
template <int R>
INLINE U fma_f64(U a, U b, U c) {
  return slow_round64(KW_FMA, R, a, b, c);
}
template <int R>
INLINE u sqrt_f32(u a) {
  return slow_round(KW_SQRT, R, a, a, a);
}
template <int R>
INLINE U sqrt_f64(U a) {
  return slow_round64(KW_SQRT, R, a, a, a);
}
template <int R>
INLINE u rint_f32(u a) {
  return map1(
      [](uint32_t x) {
        const float v = f32_of(x);
        return bits_of(R == RN ? __builtin_rintf(v)
                       : R == RM ? __builtin_floorf(v)
                       : R == RP ? __builtin_ceilf(v)
                                 : __builtin_truncf(v));
      },
      a);
}
template <int R>
INLINE U rint_f64(U a) {
  return map1(
      [](uint64_t x) {
        const double v = f64_of(x);
        return bits_of(R == RN ? __builtin_rint(v)
                       : R == RM ? __builtin_floor(v)
                       : R == RP ? __builtin_ceil(v)
                                 : __builtin_trunc(v));
      },
      a);
}
#endif
#endif

INLINE u neg_f32(u a) { return a ^ 0x80000000u; }
INLINE u abs_f32(u a) { return a & 0x7fffffffu; }
INLINE U neg_f64(U a) { return a ^ 0x8000000000000000ull; }
INLINE U abs_f64(U a) { return a & 0x7fffffffffffffffull; }
template <int R>
INLINE u sub_f32(u a, u b) {
  return add_f32<R>(a, neg_f32(b));
}
template <int R>
INLINE U sub_f64(U a, U b) {
  return add_f64<R>(a, neg_f64(b));
}
INLINE u copysign_f32(u sign, u a) { return (a & 0x7fffffffu) | (sign & 0x80000000u); }
INLINE U copysign_f64(U sign, U a) { return (a & 0x7fffffffffffffffull) | (sign & 0x8000000000000000ull); }

// Subnormal to zero of the same sign (.ftz).
INLINE u ftz(u a) { return (a & 0x7f800000u) == 0 ? a & 0x80000000u : a; }
// Clamp to [0, 1], NaN to +0 (.sat).
INLINE u sat_f32(u a) { return (f)a > bcf(0) ? ((f)a < bcf(1) ? a : bc(0x3f800000u)) : bc(0); }
INLINE U sat_f64(U a) { return (D)a > bcd(0) ? ((D)a < bcd(1) ? a : bc64(0x3ff0000000000000ull)) : bc64(0); }

// The number wins over NaN, and -0 is less than +0.
INLINE u min_f32(u a, u b) {
  const f x = (f)a, y = (f)b;
  return x < y ? a : (y < x ? b : (x == y ? a | b : (x != x ? b : a)));
}
INLINE u max_f32(u a, u b) {
  const f x = (f)a, y = (f)b;
  return x > y ? a : (y > x ? b : (x == y ? a & b : (x != x ? b : a)));
}
INLINE U min_f64(U a, U b) {
  const D x = (D)a, y = (D)b;
  return x < y ? a : (y < x ? b : (x == y ? a | b : (x != x ? b : a)));
}
INLINE U max_f64(U a, U b) {
  const D x = (D)a, y = (D)b;
  return x > y ? a : (y > x ? b : (x == y ? a & b : (x != x ? b : a)));
}
INLINE u nan_f32(u a, u b, u r) {
  const f x = (f)a, y = (f)b;
  return x != x ? bc(0x7fffffffu) : (y != y ? bc(0x7fffffffu) : r);
}

#if KW_AVX512
#define KW_FCMP(name, code)                                                                              \
  INLINE K name##_f32(u a, u b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, code); }                \
  INLINE K name##_f64(U a, U b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, code); }
KW_FCMP(cmp_eq, _CMP_EQ_OQ)
KW_FCMP(cmp_ne, _CMP_NEQ_OQ)
KW_FCMP(cmp_lt, _CMP_LT_OQ)
KW_FCMP(cmp_le, _CMP_LE_OQ)
KW_FCMP(cmp_gt, _CMP_GT_OQ)
KW_FCMP(cmp_ge, _CMP_GE_OQ)
KW_FCMP(cmp_equ, _CMP_EQ_UQ)
KW_FCMP(cmp_neu, _CMP_NEQ_UQ)
KW_FCMP(cmp_ltu, _CMP_NGE_UQ)
KW_FCMP(cmp_leu, _CMP_NGT_UQ)
KW_FCMP(cmp_gtu, _CMP_NLE_UQ)
KW_FCMP(cmp_geu, _CMP_NLT_UQ)
KW_FCMP(cmp_num, _CMP_ORD_Q)
KW_FCMP(cmp_nan, _CMP_UNORD_Q)
#else
#define KW_FCMP(name, expr)                                                   \
  INLINE K name##_f32(u a, u b) {                                             \
    const f x = (f)a, y = (f)b;                                               \
    return mask_of((s)(expr));                                                \
  }                                                                           \
  INLINE K name##_f64(U a, U b) {                                             \
    const D x = (D)a, y = (D)b;                                               \
    return mask_of64((S)(expr));                                              \
  }
KW_FCMP(cmp_eq, x == y)
KW_FCMP(cmp_ne, (x < y) | (x > y))
KW_FCMP(cmp_lt, x < y)
KW_FCMP(cmp_le, x <= y)
KW_FCMP(cmp_gt, x > y)
KW_FCMP(cmp_ge, x >= y)
KW_FCMP(cmp_equ, ~((x < y) | (x > y)))
KW_FCMP(cmp_neu, x != y)
KW_FCMP(cmp_ltu, ~(x >= y))
KW_FCMP(cmp_leu, ~(x > y))
KW_FCMP(cmp_gtu, ~(x <= y))
KW_FCMP(cmp_geu, ~(x < y))
KW_FCMP(cmp_num, (x == x) & (y == y))
KW_FCMP(cmp_nan, (x != x) | (y != y))
#endif

INLINE K testp_finite_f32(u a) { return cmp_lt_u32(a & 0x7fffffffu, bc(0x7f800000u)); }
INLINE K testp_infinite_f32(u a) { return cmp_eq_u32(a & 0x7fffffffu, bc(0x7f800000u)); }
INLINE K testp_number_f32(u a) { return cmp_le_u32(a & 0x7fffffffu, bc(0x7f800000u)); }
INLINE K testp_notanumber_f32(u a) { return cmp_gt_u32(a & 0x7fffffffu, bc(0x7f800000u)); }
INLINE K testp_subnormal_f32(u a) {
  return cmp_lt_u32(a & 0x7fffffffu, bc(0x00800000u)) & cmp_gt_u32(a & 0x7fffffffu, bc(0));
}
// zeros count as normal (ISA 9.7.3, testp)
INLINE K testp_normal_f32(u a) { return testp_finite_f32(a) & ~testp_subnormal_f32(a); }
INLINE K testp_finite_f64(U a) { return cmp_lt_u64(abs_f64(a), bc64(0x7ff0000000000000ull)); }
INLINE K testp_infinite_f64(U a) { return cmp_eq_u64(abs_f64(a), bc64(0x7ff0000000000000ull)); }
INLINE K testp_number_f64(U a) { return cmp_le_u64(abs_f64(a), bc64(0x7ff0000000000000ull)); }
INLINE K testp_notanumber_f64(U a) { return cmp_gt_u64(abs_f64(a), bc64(0x7ff0000000000000ull)); }
INLINE K testp_subnormal_f64(U a) {
  return cmp_lt_u64(abs_f64(a), bc64(0x0010000000000000ull)) & cmp_gt_u64(abs_f64(a), bc64(0));
}
INLINE K testp_normal_f64(U a) { return testp_finite_f64(a) & ~testp_subnormal_f64(a); }

// -- approximate functions of binary32 ------------------------------------------------------------------------------
// Polynomials fitted in 40 digits at Chebyshev nodes; errors against binary64 are tested (tests/emulator/test_float.py).

INLINE u poly_fma(u a, u b, float c) { return fma_f32<RN>(a, b, (u)bcf(c)); }

// x * 2^n for integral n held as a float in [-300, 300].
INLINE u scale_f32(u x, u n) {
#if KW_AVX512
  return (u)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  const s k = __builtin_convertvector((f)n, s);
  const s half = k >> 1;
  const u first = (u)((half + 127) << 23);
  const u second = (u)((k - half + 127) << 23);
  return (u)((f)x * (f)first * (f)second);
#endif
}
INLINE u ex2_f32(u a) {
  f x = (f)a;
  x = x > bcf(129.0f) ? bcf(129.0f) : x;
  x = x < bcf(-160.0f) ? bcf(-160.0f) : x;
  const u n = rint_f32<RN>((u)x);
  const u r = (u)(x - (f)n);
  u p = (u)bcf(0x1.444004p-13f);
  p = poly_fma(p, r, 0x1.5f0896p-10f);
  p = poly_fma(p, r, 0x1.3b2a1cp-7f);
  p = poly_fma(p, r, 0x1.c6af6cp-5f);
  p = poly_fma(p, r, 0x1.ebfbep-3f);
  p = poly_fma(p, r, 0x1.62e43p-1f);
  p = poly_fma(p, r, 1.0f);
  return scale_f32(p, n);
}
// To a multiple of 2^-22, about the absolute error that the ISA allows lg2 in (1/2, 2), and sin and cos.
INLINE u in_steps_f32(u a) { return (u)((f)rint_f32<RN>((u)((f)a * bcf(0x1p22f))) * bcf(0x1p-22f)); }
INLINE u lg2_f32(u a) {
  const K tiny = cmp_lt_u32(a, bc(0x00800000u));
  const u x = sel(tiny, (u)((f)a * bcf(0x1p24f)), a);
  // Mantissa in [sqrt(1/2), sqrt(2)).
  const u shifted = x - 0x3f3504f3u;
  const f exponent = __builtin_convertvector((s)shifted >> 23, f) - (f)sel(tiny, (u)bcf(24.0f), bc(0));
  const f m = (f)((shifted & 0x007fffffu) + 0x3f3504f3u);
  const f t = (m - 1.0f) / (m + 1.0f);
  const u z = (u)(t * t);
  u p = (u)bcf(0.43177611f);
  p = poly_fma(p, z, 0.57671292f);
  p = poly_fma(p, z, 0.96179886f);
  const u low = (u)((f)p * (f)z);
  // 2/ln(2) in two parts keeps the result within an ulp near 1.
  const u head = fma_f32<RN>((u)t, (u)bcf(2.88539004f), (u)(t * (f)low));
  f r = exponent + (f)fma_f32<RN>((u)t, (u)bcf(3.8e-8f), head);
  r = (f)((u)r & 0x7fffffffu) < bcf(1.0f) ? (f)in_steps_f32((u)r) : r;
  r = (a & 0x7fffffffu) == 0 ? (f)bc(0xff800000u) : r;
  r = a == 0x7f800000u ? (f)a : r;
  const K bad = cmp_gt_u32(a & 0x7fffffffu, bc(0x7f800000u)) | (cmp_lt_s32(a, bc(0)) & cmp_ne_u32(a, bc(0x80000000u)));
  return sel(bad, bc(0x7fffffffu), (u)r);
}
// In turns, as GPUs do: one product rounded towards zero, whose error grows with the argument.
INLINE u sin_quadrant(u a, uint32_t shift) {
  const u quarters = (u)((f)mul_f32<RZ>(a, (u)bcf(0.159154937f)) * 4.0f);
  const u n = rint_f32<RN>(quarters);
  const u r = (u)(((f)quarters - (f)n) * bcf(1.57079637f));
  const u q = (u)__builtin_convertvector((f)n, s) + shift;
  const u z = (u)((f)r * (f)r);
  u p = (u)bcf(2.72499637e-6f);
  p = poly_fma(p, z, -1.98400871e-4f);
  p = poly_fma(p, z, 8.33333188e-3f);
  p = poly_fma(p, z, -1.66666666e-1f);
  const u sine = fma_f32<RN>((u)((f)p * (f)z), r, r);
  u c = (u)bcf(-2.72371675e-7f);
  c = poly_fma(c, z, 2.47998625e-5f);
  c = poly_fma(c, z, -1.38888851e-3f);
  c = poly_fma(c, z, 4.16666666e-2f);
  c = poly_fma(c, z, -0.5f);
  const u cosine = poly_fma(c, z, 1.0f);
  const u v = in_steps_f32(((q & 1u) != 0 ? cosine : sine) ^ ((q & 2u) << 30));
  // Beyond 2^22 quadrants the reduction above has no digits left; GPUs say nothing about it either.
  return (a & 0x7fffffffu) < 0x7f800000u ? ((a & 0x7fffffffu) < 0x4ac90fdbu ? v : bc(0)) : bc(0x7fffffffu);
}
INLINE u sin_f32(u a) { return sin_quadrant(a, 0); }
INLINE u cos_f32(u a) { return sin_quadrant(a, 1); }
INLINE u close_tanh_f32(u a) {
  const u z = (u)((f)a * (f)a);
  u p = (u)bcf(-0.00610494801f);
  p = poly_fma(p, z, 0.0210036412f);
  p = poly_fma(p, z, -0.0538524975f);
  p = poly_fma(p, z, 0.133327823f);
  p = poly_fma(p, z, -0.333333291f);
  const u small = fma_f32<RN>((u)((f)p * (f)z), a, a);
  const f e = (f)ex2_f32((u)((f)(a & 0x7fffffffu) * bcf(2.88539008f)));
  const u large = copysign_f32(a, (u)(1.0f - 2.0f / (e + 1.0f)));
  const u r = (f)(a & 0x7fffffffu) < bcf(0.625f) ? small : large;
  return (f)a != (f)a ? a : r;
}
// Rounded to 10 bits after the point: the error of 2^-11 that the ISA allows. Subnormals are their own tanh.
INLINE u tanh_f32(u a) {
  const u r = close_tanh_f32(a);
  const u coarse = (r + 0xfffu + ((r >> 13) & 1u)) & 0xffffe000u;
  return (f)a != (f)a ? a : ((a & 0x7f800000u) == 0 ? a : coarse);
}
INLINE u rcp_f32(u a) { return (u)(bcf(1.0f) / (f)a); }
INLINE u rsqrt_f32(u a) { return (u)(bcf(1.0f) / (f)sqrt_f32<RN>(a)); }
INLINE U rcp_f64(U a) { return (U)(bcd(1.0) / (D)a); }
INLINE U rsqrt_f64(U a) { return (U)(bcd(1.0) / (D)sqrt_f64<RN>(a)); }
// rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 read and write the upper 32 bits of a binary64.
INLINE U ftz_f64(U a) { return (a & 0x7ff0000000000000ull) == 0 ? a & 0x8000000000000000ull : a; }
INLINE U upper_f64(U a) { return (a + 0x80000000ull) & 0xffffffff00000000ull; }
INLINE U rcp_gross_f64(U a) { return upper_f64(ftz_f64(rcp_f64(ftz_f64(a & 0xffffffff00000000ull)))); }
INLINE U rsqrt_gross_f64(U a) { return upper_f64(ftz_f64(rsqrt_f64(ftz_f64(a & 0xffffffff00000000ull)))); }
