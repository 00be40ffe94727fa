"""Integer arithmetic: division, wide products, saturation, dot products of bytes, SIMD in a word, carries."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, run
from emulator.corpus.oracles import each

cases = Collection()
case = cases.case


@case("""
extern "C" __global__ void dots(const int* a, const int* b, const int* c, int* out) {
    int i = threadIdx.x;
    out[i] = __dp4a(a[i], b[i], c[i]);
    out[i + 64] = __dp4a((unsigned)a[i], (unsigned)b[i], (unsigned)c[i]);
    out[i + 128] = __dp2a_lo(a[i], b[i], c[i]);
    out[i + 192] = __dp2a_hi((unsigned)a[i], (unsigned)b[i], (unsigned)c[i]);
    char4 p = reinterpret_cast<const char4*>(a)[i], q = reinterpret_cast<const char4*>(b)[i];
    out[i + 256] = __dp4a(p, q, 100);
}
""")
def dot_products_of_bytes(draw: Draw) -> Plan:
    a, b, c, out = draw.bits("i4", 64), draw.bits("i4", 64), draw.bits("i4", 64), blank("i4", 5, 64)

    def wrap(v: Array) -> Array:
        return v.astype("i8").astype("i4")

    s8, u8 = (
        (x.view("i1").reshape(64, 4).astype("i8") for x in (a, b)),
        [x.view("u1").reshape(64, 4).astype("i8") for x in (a, b)],
    )
    sa, sb = s8
    a16, ua16 = a.view("i2").reshape(64, 2).astype("i8"), a.view("u2").reshape(64, 2).astype("i8")
    want = [
        (sa * sb).sum(1) + c,
        (u8[0] * u8[1]).sum(1) + c,
        (a16 * sb[:, :2]).sum(1) + c,
        (ua16 * u8[1][:, 2:]).sum(1) + c,
        (sa * sb).sum(1) + 100,
    ]
    return run("dots", 1, 64, a, b, c, out).gives(out, np.stack([wrap(w) for w in want]))


@case("""
extern "C" __global__ void divide(const int* a, const int* b, const long long* c, const long long* d, int* o, unsigned* u, long long* w,
                                  unsigned long long* v) {
    int i = threadIdx.x;
    o[i] = a[i] / b[i];
    o[i + 128] = a[i] % b[i];
    u[i] = (unsigned)a[i] / (unsigned)b[i];
    u[i + 128] = (unsigned)a[i] % (unsigned)b[i];
    w[i] = c[i] / d[i];
    w[i + 128] = c[i] % d[i];
    v[i] = (unsigned long long)c[i] / (unsigned long long)d[i];
    v[i + 128] = (unsigned long long)c[i] % 1000003ull;
    o[i + 256] = a[i] / 7 + a[i] % -13 + a[i] / 64 + (short)a[i] / (short)3;
}
""")
def division(draw: Draw) -> Plan:
    a, b = draw.bits("i4", 128), draw.bits("i4", 128) >> draw.ints("i4", 0, 30, 128)
    c, d = draw.bits("i8", 128), draw.bits("i8", 128) >> draw.ints("i8", 0, 62, 128)
    b[b == 0], d[d == 0] = 3, -5
    a[0], b[0] = -(2**31), 1
    o, u, w, v = blank("i4", 3, 128), blank("u4", 2, 128), blank("i8", 2, 128), blank("u8", 2, 128)

    def quotient(x: int, y: int) -> int:
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

    def rest(x: int, y: int) -> int:
        return x - quotient(x, y) * y

    def fixed(x: int) -> int:
        low = (x & 0xFFFF) - (0x10000 if x & 0x8000 else 0)
        return quotient(x, 7) + rest(x, -13) + quotient(x, 64) + quotient(low, 3)

    plan = run("divide", 1, 128, a, b, c, d, o, u, w, v)
    plan.gives(o, np.stack([each("i4", quotient, a, b), each("i4", rest, a, b), each("i4", fixed, a)]))
    plan.gives(u, np.stack([a.view("u4") // b.view("u4"), a.view("u4") % b.view("u4")]))
    plan.gives(w, np.stack([each("i8", quotient, c, d), each("i8", rest, c, d)]))
    return plan.gives(v, np.stack([c.view("u8") // d.view("u8"), c.view("u8") % np.uint64(1000003)]))


@case("""
extern "C" __global__ void products(const int* a, const int* b, const long long* c, const long long* d, int* o, unsigned long long* w) {
    int i = threadIdx.x;
    o[i] = __mulhi(a[i], b[i]);
    o[i + 64] = (int)__umulhi((unsigned)a[i], (unsigned)b[i]);
    o[i + 128] = __mul24(a[i], b[i]);
    o[i + 192] = (int)__umul24((unsigned)a[i], (unsigned)b[i]);
    w[i] = (unsigned long long)__mul64hi(c[i], d[i]);
    w[i + 64] = __umul64hi((unsigned long long)c[i], (unsigned long long)d[i]);
    w[i + 128] = (unsigned long long)((long long)a[i] * b[i] + c[i]);
    w[i + 192] = (unsigned long long)(unsigned)a[i] * (unsigned)b[i] - d[i];
    w[i + 256] = (unsigned long long)(c[i] * d[i]);
}
""")
def wide_products(draw: Draw) -> Plan:
    a, b, c, d = draw.bits("i4", 64), draw.bits("i4", 64), draw.bits("i8", 64), draw.bits("i8", 64)
    o, w = blank("i4", 4, 64), blank("u8", 5, 64)
    ua, ub, uc, ud = a.view("u4"), b.view("u4"), c.view("u8"), d.view("u8")

    def low24(x: int) -> int:
        x &= 0xFFFFFF
        return x - 0x1000000 if x & 0x800000 else x

    small = [
        each("i4", lambda x, y: x * y >> 32, a, b),
        each("i4", lambda x, y: x * y >> 32, ua, ub),
        each("i4", lambda x, y: low24(x) * low24(y), a, b),
        each("i4", lambda x, y: (x & 0xFFFFFF) * (y & 0xFFFFFF), ua, ub),
    ]
    large = [
        each("u8", lambda x, y: x * y >> 64, c, d),
        each("u8", lambda x, y: x * y >> 64, uc, ud),
        each("u8", lambda x, y, z: x * y + z, a, b, c),
        each("u8", lambda x, y, z: x * y - z, ua, ub, d),
        each("u8", lambda x, y: x * y, c, d),
    ]
    return run("products", 1, 64, a, b, c, d, o, w).gives(o, np.stack(small)).gives(w, np.stack(large))


@case("""
extern "C" __global__ void sums(const int* a, const int* b, int* o, unsigned* u) {
    int i = threadIdx.x;
    o[i] = __hadd(a[i], b[i]);
    o[i + 64] = __rhadd(a[i], b[i]);
    o[i + 128] = abs(a[i]) - min(a[i], b[i]) + max(a[i], 5);
    u[i] = __usad((unsigned)a[i], (unsigned)b[i], 7u);
    u[i + 64] = __sad(a[i], b[i], 9u);
    u[i + 128] = __uhadd((unsigned)a[i], (unsigned)b[i]);
    int clipped;
    asm("add.sat.s32 %0, %1, %2;" : "=r"(clipped) : "r"(a[i]), "r"(b[i]));
    o[i + 192] = clipped;
    asm("sub.sat.s32 %0, %1, %2;" : "=r"(clipped) : "r"(a[i]), "r"(b[i]));
    o[i + 256] = clipped;
}
""")
def averages_and_saturation(draw: Draw) -> Plan:
    a, b, o, u = draw.bits("i4", 64), draw.bits("i4", 64), blank("i4", 5, 64), blank("u4", 3, 64)

    def clip(v: int) -> int:
        return max(-(2**31), min(2**31 - 1, v))

    signed = [
        each("i4", lambda x, y: x + y >> 1, a, b),
        each("i4", lambda x, y: x + y + 1 >> 1, a, b),
        each("i4", lambda x, y: abs(x) - min(x, y) + max(x, 5), a, b),
        each("i4", lambda x, y: clip(x + y), a, b),
        each("i4", lambda x, y: clip(x - y), a, b),
    ]
    ua, ub = a.view("u4"), b.view("u4")
    unsigned = [
        each("u4", lambda x, y: abs(x - y) + 7, ua, ub),
        each("u4", lambda x, y: abs(x - y) + 9, a, b),
        each("u4", lambda x, y: x + y >> 1, ua, ub),
    ]
    return run("sums", 1, 64, a, b, o, u).gives(o, np.stack(signed)).gives(u, np.stack(unsigned))


@case("""
extern "C" __global__ void simd(const unsigned* a, const unsigned* b, unsigned* out) {
    int i = threadIdx.x;
    unsigned x = a[i], y = b[i];
    out[i] = __vadd4(x, y);
    out[i + 64] = __vsub2(x, y);
    out[i + 128] = __vcmpgtu4(x, y);
    out[i + 192] = __vmaxs2(x, y);
    out[i + 256] = __vminu4(x, y);
    out[i + 320] = __vavgu4(x, y);
    out[i + 384] = __vneg2(x);
    out[i + 448] = __vseteq4(x, y);
}
""")
def simd_in_a_word(draw: Draw) -> Plan:
    a, b, out = draw.bits("u4", 64), draw.bits("u4", 64), blank("u4", 8, 64)
    b[:8] = a[:8]

    def lanes(kind: str) -> list[Array]:
        return [v.view(kind).reshape(64, -1).astype("i8") for v in (a, b)]

    def back(v: Array, kind: str) -> Array:
        return np.ascontiguousarray(v.astype(kind)).view("u4").reshape(64)

    (p, q), (s, t) = lanes("u1"), lanes("i2")
    want = [
        back((p + q) & 255, "u1"),
        back(s - t, "i2"),
        back((p > q) * 255, "u1"),
        back(np.maximum(s, t), "i2"),
        back(np.minimum(p, q), "u1"),
        back((p + q + 1) >> 1, "u1"),
        back(-s, "i2"),
        back(p == q, "u1"),
    ]
    return run("simd", 1, 64, a, b, out).gives(out, np.stack(want))


@case("""
extern "C" __global__ void distance(const unsigned* a, const unsigned* b, unsigned* out) {
    int i = threadIdx.x;
    out[i] = __vabsdiffu4(a[i], b[i]);
    out[i + 64] = __vsadu4(a[i], b[i]);
    out[i + 128] = __vsubus4(a[i], b[i]);
    out[i + 192] = __vaddss2(a[i], b[i]);
}
""")
def absolute_differences_of_bytes(draw: Draw) -> Plan:
    a, b, out = draw.bits("u4", 64), draw.bits("u4", 64), blank("u4", 4, 64)
    p, q = (v.view("u1").reshape(64, 4).astype("i8") for v in (a, b))
    s, t = (v.view("i2").reshape(64, 2).astype("i8") for v in (a, b))
    apart, less = np.abs(p - q), np.maximum(p - q, 0).astype("u1")
    total = np.clip(s + t, -32768, 32767).astype("i2")
    want = [
        apart.astype("u1").view("u4")[:, 0],
        apart.sum(1).astype("u4"),
        less.view("u4")[:, 0],
        total.view("u4")[:, 0],
    ]
    return run("distance", 1, 64, a, b, out).gives(out, np.stack(want))


@case(
    """
// 256-bit addition and subtraction with the carry flag; 128-bit products through __int128.
extern "C" __global__ void big(const unsigned* a, const unsigned* b, unsigned* sum, unsigned* diff, unsigned long long* product) {
    int i = threadIdx.x * 8;
    unsigned s[8], d[8];
    asm("add.cc.u32 %0, %8, %16; addc.cc.u32 %1, %9, %17; addc.cc.u32 %2, %10, %18; addc.cc.u32 %3, %11, %19;"
        "addc.cc.u32 %4, %12, %20; addc.cc.u32 %5, %13, %21; addc.cc.u32 %6, %14, %22; addc.u32 %7, %15, %23;"
        : "=r"(s[0]), "=r"(s[1]), "=r"(s[2]), "=r"(s[3]), "=r"(s[4]), "=r"(s[5]), "=r"(s[6]), "=r"(s[7])
        : "r"(a[i]), "r"(a[i + 1]), "r"(a[i + 2]), "r"(a[i + 3]), "r"(a[i + 4]), "r"(a[i + 5]), "r"(a[i + 6]), "r"(a[i + 7]),
          "r"(b[i]), "r"(b[i + 1]), "r"(b[i + 2]), "r"(b[i + 3]), "r"(b[i + 4]), "r"(b[i + 5]), "r"(b[i + 6]), "r"(b[i + 7]));
    asm("sub.cc.u32 %0, %8, %16; subc.cc.u32 %1, %9, %17; subc.cc.u32 %2, %10, %18; subc.cc.u32 %3, %11, %19;"
        "subc.cc.u32 %4, %12, %20; subc.cc.u32 %5, %13, %21; subc.cc.u32 %6, %14, %22; subc.u32 %7, %15, %23;"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]), "=r"(d[4]), "=r"(d[5]), "=r"(d[6]), "=r"(d[7])
        : "r"(a[i]), "r"(a[i + 1]), "r"(a[i + 2]), "r"(a[i + 3]), "r"(a[i + 4]), "r"(a[i + 5]), "r"(a[i + 6]), "r"(a[i + 7]),
          "r"(b[i]), "r"(b[i + 1]), "r"(b[i + 2]), "r"(b[i + 3]), "r"(b[i + 4]), "r"(b[i + 5]), "r"(b[i + 6]), "r"(b[i + 7]));
    for (int k = 0; k < 8; ++k) { sum[i + k] = s[k]; diff[i + k] = d[k]; }
    unsigned __int128 p = (unsigned __int128)((unsigned long long)a[i + 1] << 32 | a[i]) * ((unsigned long long)b[i + 1] << 32 | b[i]);
    p += (unsigned __int128)1 << 64;
    product[threadIdx.x * 2] = (unsigned long long)p;
    product[threadIdx.x * 2 + 1] = (unsigned long long)(p >> 64);
}
""",
    options=("--device-int128",),
)
def carries_and_128_bits(draw: Draw) -> Plan:
    a, b = draw.bits("u4", 32, 8), draw.bits("u4", 32, 8)
    a[0], b[0] = 0xFFFFFFFF, [1, 0, 0, 0, 0, 0, 0, 0]
    s, d, p = blank("u4", 32, 8), blank("u4", 32, 8), blank("u8", 32, 2)

    def number(row: Array) -> int:
        return int.from_bytes(row.tobytes(), "little")

    def words(values: list[int], nbytes: int, kind: str) -> Array:
        return np.array([np.frombuffer((v % 2 ** (8 * nbytes)).to_bytes(nbytes, "little"), kind) for v in values])

    pairs = [(number(x), number(y)) for x, y in zip(a, b, strict=True)]
    low = 2**64 - 1
    plan = run("big", 1, 32, a, b, s, d, p)
    plan.gives(s, words([x + y for x, y in pairs], 32, "u4")).gives(d, words([x - y for x, y in pairs], 32, "u4"))
    return plan.gives(p, words([(x & low) * (y & low) + 2**64 for x, y in pairs], 16, "u8"))
