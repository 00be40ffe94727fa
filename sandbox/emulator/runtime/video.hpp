// Video instructions (PTX ISA 9.7.18): bytes and half-words picked out of words.
#pragma once
#include "simd.hpp"

enum {
  VIDEO_ADD, VIDEO_SUB, VIDEO_AVERAGE, VIDEO_DISTANCE, VIDEO_MIN, VIDEO_MAX, VIDEO_SHL, VIDEO_SHR,
  VIDEO_EQ, VIDEO_NE, VIDEO_LT, VIDEO_LE, VIDEO_GT, VIDEO_GE
};

// `bits` bits of a word, from bit `first` on.
INLINE int64_t video_part(uint32_t word, int first, int bits, bool is_signed) {
  const int64_t raw = word >> first & (uint32_t)((1ull << bits) - 1);
  return is_signed && raw >> (bits - 1) ? raw - (1ll << bits) : raw;
}

template <int OP>
INLINE int64_t video_result(int64_t p, int64_t q) {
  switch (OP) {
    case VIDEO_ADD: return p + q;
    case VIDEO_SUB: return p - q;
    case VIDEO_AVERAGE: return (p + q + (p + q >= 0)) >> 1;
    case VIDEO_DISTANCE: return p > q ? p - q : q - p;
    case VIDEO_MIN: return p < q ? p : q;
    case VIDEO_MAX: return p > q ? p : q;
    case VIDEO_EQ: return p == q;
    case VIDEO_NE: return p != q;
    case VIDEO_LT: return p < q;
    case VIDEO_LE: return p <= q;
    case VIDEO_GT: return p > q;
    default: return p >= q;
  }
}

template <class T>
INLINE T video_clamp(T value, int bits, bool is_signed) {
  const T low = is_signed ? -((T)1 << (bits - 1)) : (T)0;
  const T high = ((T)1 << (is_signed ? bits - 1 : bits)) - 1;
  return value < low ? low : value > high ? high : value;
}

// OP on fields of `Bits` bits. A, B, D: whether a, b and the result are signed. FromA, FromB: a hexadecimal digit for each
// field says which one of {a, b} it is. Mask: the fields that are computed; the others are c's. Sum: the results are added to c.
template <int OP, int Bits, bool A, bool B, bool D, bool Saturate, bool Sum, int FromA, int FromB, int Mask>
INLINE u simd_video(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t z) -> uint32_t {
        constexpr int count = 32 / Bits;
        const auto pick = [&](int from, int i, bool is_signed) {
          const int n = from >> 4 * i & 15;
          return video_part(n < count ? x : y, n % count * Bits, Bits, is_signed);
        };
        uint32_t result = Sum ? z : 0;
        for (int i = 0; i < count; i++) {
          const uint32_t field = (uint32_t)((1ull << Bits) - 1) << i * Bits;
          if (!(Mask >> i & 1)) {
            if (!Sum) result |= z & field;
            continue;
          }
          int64_t r = video_result<OP>(pick(FromA, i, A), pick(FromB, i, B));
          if (Saturate) r = video_clamp(r, Bits, D);
          if (Sum)
            result += (uint32_t)r;
          else
            result |= (uint32_t)r << i * Bits & field;
        }
        return result;
      },
      a, b, c);
}

// One part of a and of b; Second: 1 add, 2 min, 3 max with c; To: the part of c that the result replaces.
template <int OP, bool A, bool B, bool D, bool Saturate, bool Clamp, int Second, int FirstA, int BitsA, int FirstB, int BitsB,
          int To, int BitsTo>
INLINE u scalar_video(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t z) -> uint32_t {
        const int64_t p = video_part(x, FirstA, BitsA, A), q = video_part(y, FirstB, BitsB, B);
        __int128 t;
        if (OP == VIDEO_SHL || OP == VIDEO_SHR) {
          const int n = !Clamp ? (int)(q & 31) : q > 32 ? 32 : (int)q;
          t = OP == VIDEO_SHL ? (__int128)p << n : (__int128)(p >> n);
        } else {
          t = video_result<OP>(p, q);
        }
        if (Saturate) t = video_clamp<__int128>(t, BitsTo, D);
        const __int128 third = D ? (int64_t)(int32_t)z : (int64_t)z;
        if (Second == 1) t += third;
        if (Second == 2) t = t < third ? t : third;
        if (Second == 3) t = t > third ? t : third;
        if (BitsTo == 32) return (uint32_t)t;
        const uint32_t field = (uint32_t)((1ull << BitsTo) - 1) << To;
        return ((uint32_t)t << To & field) | (z & ~field);
      },
      a, b, c);
}

// a * b + c, with the product or c negated, plus one, scaled down; To is the whole word.
template <bool A, bool B, bool D, bool NegateProduct, bool NegateC, bool PlusOne, bool Saturate, int Scale, int FirstA, int BitsA,
          int FirstB, int BitsB, int To, int BitsTo>
INLINE u multiply_add_video(u a, u b, u c) {
  return map3(
      [](uint32_t x, uint32_t y, uint32_t z) -> uint32_t {
        __int128 t = (__int128)video_part(x, FirstA, BitsA, A) * video_part(y, FirstB, BitsB, B);
        // c is as wide as the intermediate result's sign says; negating is its complement plus one.
        const bool is_signed = A || B || NegateProduct;
        __int128 third = is_signed ? (int64_t)(int32_t)z : (int64_t)z;
        if (NegateProduct) t = -t;
        if (NegateC) third = -third;
        t += third + (PlusOne ? 1 : 0);
        // 64 bits of the scaled sum remain.
        const uint64_t kept = (uint64_t)(t >> Scale);
        __int128 r = D ? (__int128)(int64_t)kept : (__int128)kept;
        if (Saturate) r = video_clamp<__int128>(r, 32, D);
        return (uint32_t)r;
      },
      a, b, c);
}
