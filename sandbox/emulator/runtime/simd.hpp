// Vectors of W lanes: the types, predicates as bit masks, and moves between the register file and vectors.
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__AVX512CD__)
#define KW_AVX512 1
#define W 16
#elif defined(__AVX2__) && defined(__FMA__)
#define KW_AVX2 1
#define W 8
#else
#define W 4
#endif
#define H (W / 2)
#define KALL ((uint32_t)((1ull << W) - 1))
#define INLINE static inline __attribute__((always_inline))

typedef uint32_t u __attribute__((vector_size(W * 4), may_alias));
typedef int32_t s __attribute__((vector_size(W * 4), may_alias));
typedef float f __attribute__((vector_size(W * 4), may_alias));
typedef uint64_t U __attribute__((vector_size(W * 4), may_alias));
typedef int64_t S __attribute__((vector_size(W * 4), may_alias));
typedef double D __attribute__((vector_size(W * 4), may_alias));
typedef uint32_t uh __attribute__((vector_size(W * 2)));
typedef int32_t sh __attribute__((vector_size(W * 2)));
typedef float fh __attribute__((vector_size(W * 2)));
typedef uint32_t K;

INLINE u bc(uint32_t x) { return x - (u){}; }
INLINE f bcf(float x) { return x - (f){}; }
INLINE U bc64(uint64_t x) { return x - (U){}; }
INLINE D bcd(double x) { return x - (D){}; }

// Lane indices of a chunk beginning at lane `h`.
INLINE u lanes_from(int h) {
  u r;
  for (int i = 0; i < W; i++) r[i] = h + i;
  return r;
}

#if KW_AVX512
INLINE K mask_of(s v) { return _mm512_movepi32_mask((__m512i)v); }
INLINE K mask_of64(S v) { return _mm512_movepi64_mask((__m512i)v); }
INLINE s spread(K k) { return (s)_mm512_movm_epi32((__mmask16)k); }
INLINE S spread64(K k) { return (S)_mm512_movm_epi64((__mmask8)k); }
INLINE u sel(K k, u a, u b) { return (u)_mm512_mask_blend_epi32((__mmask16)k, (__m512i)b, (__m512i)a); }
INLINE U sel64(K k, U a, U b) { return (U)_mm512_mask_blend_epi64((__mmask8)k, (__m512i)b, (__m512i)a); }
INLINE void put(uint32_t* p, K k, u v) { _mm512_mask_store_epi32(p, (__mmask16)k, (__m512i)v); }
INLINE void put64(uint32_t* p, K k, U v) { _mm512_mask_store_epi64(p, (__mmask8)k, (__m512i)v); }
#elif KW_AVX2
INLINE K mask_of(s v) { return (K)_mm256_movemask_ps((__m256)v); }
INLINE K mask_of64(S v) { return (K)_mm256_movemask_pd((__m256d)v); }
INLINE s spread(K k) {
  const s bits = {1, 2, 4, 8, 16, 32, 64, 128};
  return ((s)bc(k) & bits) == bits;
}
INLINE S spread64(K k) {
  const S bits = {1, 2, 4, 8};
  return ((S)bc64(k) & bits) == bits;
}
INLINE u sel(K k, u a, u b) { return (u)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)spread(k)); }
INLINE U sel64(K k, U a, U b) { return (U)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)spread64(k)); }
#else
INLINE K mask_of(s v) {
  K k = 0;
  for (int i = 0; i < W; i++) k |= (K)(v[i] < 0) << i;
  return k;
}
INLINE K mask_of64(S v) {
  K k = 0;
  for (int i = 0; i < H; i++) k |= (K)(v[i] < 0) << i;
  return k;
}
INLINE s spread(K k) {
  const s bits = {1, 2, 4, 8};
  return ((s)bc(k) & bits) == bits;
}
INLINE S spread64(K k) {
  const S bits = {1, 2};
  return ((S)bc64(k) & bits) == bits;
}
INLINE u sel(K k, u a, u b) {
  const u m = (u)spread(k);
  return (a & m) | (b & ~m);
}
INLINE U sel64(K k, U a, U b) {
  const U m = (U)spread64(k);
  return (a & m) | (b & ~m);
}
#endif
#if !KW_AVX512
INLINE void put(uint32_t* p, K k, u v) {
  if (k == KALL)
    *(u*)p = v;
  else
    *(u*)p = sel(k, v, *(u*)p);
}
INLINE void put64(uint32_t* p, K k, U v) {
  if (k == (KALL >> H))
    *(U*)p = v;
  else
    *(U*)p = sel64(k, v, *(U*)p);
}
#endif
INLINE u get(const uint32_t* p) { return *(const u*)p; }
INLINE U get64(const uint32_t* p) { return *(const U*)p; }

// 64-bit lanes come in two halves, `a` for the lower lanes.
#if W == 16
#define KW_LOW 0, 1, 2, 3, 4, 5, 6, 7
#define KW_HIGH 8, 9, 10, 11, 12, 13, 14, 15
#define KW_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define KW_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif W == 8
#define KW_LOW 0, 1, 2, 3
#define KW_HIGH 4, 5, 6, 7
#define KW_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define KW_ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define KW_LOW 0, 1
#define KW_HIGH 2, 3
#define KW_EVEN 0, 2, 4, 6
#define KW_ODD 1, 3, 5, 7
#endif
INLINE U zext0(u a) { return __builtin_convertvector(__builtin_shufflevector(a, a, KW_LOW), U); }
INLINE U zext1(u a) { return __builtin_convertvector(__builtin_shufflevector(a, a, KW_HIGH), U); }
INLINE U sext0(u a) { return (U)__builtin_convertvector(__builtin_shufflevector((s)a, (s)a, KW_LOW), S); }
INLINE U sext1(u a) { return (U)__builtin_convertvector(__builtin_shufflevector((s)a, (s)a, KW_HIGH), S); }
INLINE u low_words(U a, U b) { return __builtin_shufflevector((u)a, (u)b, KW_EVEN); }
INLINE u high_words(U a, U b) { return __builtin_shufflevector((u)a, (u)b, KW_ODD); }
INLINE U pack0(u lo, u hi) { return zext0(lo) | zext0(hi) << 32; }
INLINE U pack1(u lo, u hi) { return zext1(lo) | zext1(hi) << 32; }
INLINE K klow(K k) { return k & (KALL >> H); }
INLINE K khigh(K k) { return k >> H; }
INLINE K kjoin(K a, K b) { return a | b << H; }

// A scalar function on every lane, for operations without a vector form.
template <class F>
INLINE u map1(F fn, u a) {
  u r;
  for (int i = 0; i < W; i++) r[i] = fn(a[i]);
  return r;
}
template <class F>
INLINE u map2(F fn, u a, u b) {
  u r;
  for (int i = 0; i < W; i++) r[i] = fn(a[i], b[i]);
  return r;
}
template <class F>
INLINE u map3(F fn, u a, u b, u c) {
  u r;
  for (int i = 0; i < W; i++) r[i] = fn(a[i], b[i], c[i]);
  return r;
}
template <class F>
INLINE u map4(F fn, u a, u b, u c, u d) {
  u r;
  for (int i = 0; i < W; i++) r[i] = fn(a[i], b[i], c[i], d[i]);
  return r;
}
template <class F>
INLINE U map1(F fn, U a) {
  U r;
  for (int i = 0; i < H; i++) r[i] = fn(a[i]);
  return r;
}
template <class F>
INLINE U map2(F fn, U a, U b) {
  U r;
  for (int i = 0; i < H; i++) r[i] = fn(a[i], b[i]);
  return r;
}
template <class F>
INLINE U map3(F fn, U a, U b, U c) {
  U r;
  for (int i = 0; i < H; i++) r[i] = fn(a[i], b[i], c[i]);
  return r;
}

INLINE uint32_t bits_of(float x) {
  uint32_t r;
  memcpy(&r, &x, 4);
  return r;
}
INLINE uint64_t bits_of(double x) {
  uint64_t r;
  memcpy(&r, &x, 8);
  return r;
}
INLINE float f32_of(uint32_t x) {
  float r;
  memcpy(&r, &x, 4);
  return r;
}
INLINE double f64_of(uint64_t x) {
  double r;
  memcpy(&r, &x, 8);
  return r;
}
