"""Bits: counting, permuting, shifting, fields, logic, and programs made of them."""

from __future__ import annotations

import zlib

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run
from emulator.corpus.oracles import each

cases = Collection()
case = cases.case


@case("""
extern "C" __global__ void counts(const unsigned* x, const unsigned long long* y, int* a, unsigned* r, unsigned long long* s) {
    int i = threadIdx.x;
    a[i * 8 + 0] = __popc(x[i]);
    a[i * 8 + 1] = __clz(x[i]);
    a[i * 8 + 2] = __ffs(x[i]);
    a[i * 8 + 3] = __popcll(y[i]);
    a[i * 8 + 4] = __clzll(y[i]);
    a[i * 8 + 5] = __ffsll(y[i]);
    a[i * 8 + 6] = 31 - __clz(x[i] | 1);
    a[i * 8 + 7] = __clz((int)(~x[i] | 1));
    r[i] = __brev(x[i]);
    s[i] = __brevll(y[i]);
}
""")
def counting_and_reversing(draw: Draw) -> Plan:
    x, y = draw.bits("u4", 64) >> draw.ints("u4", 0, 32, 64), draw.bits("u8", 64) >> draw.ints("u8", 0, 64, 64)
    x[:3], y[:3] = [0, 1, 0xFFFFFFFF], [0, 1, 2**64 - 1]
    a, r, s = blank("i4", 64, 8), blank("u4", 64), blank("u8", 64)

    def row(v: int, w: int) -> list[int]:
        first = [v.bit_count(), 32 - v.bit_length(), (v & -v).bit_length()]
        second = [w.bit_count(), 64 - w.bit_length(), (w & -w).bit_length()]
        return [*first, *second, (v | 1).bit_length() - 1, 32 - ((~v & 0xFFFFFFFF) | 1).bit_length()]

    want = np.array([row(v, w) for v, w in zip(x.tolist(), y.tolist(), strict=True)], "i4")
    plan = run("counts", 1, 64, x, y, a, r, s).gives(a, want)
    plan.gives(r, each("u4", lambda v: int(f"{v:032b}"[::-1], 2), x))
    return plan.gives(s, each("u8", lambda v: int(f"{v:064b}"[::-1], 2), y))


@case("""
extern "C" __global__ void permute(const unsigned* a, const unsigned* b, const unsigned* s, unsigned* out) {
    int i = threadIdx.x;
    out[i] = __byte_perm(a[i], b[i], s[i] & 0x7777);
    out[i + 128] = __byte_perm(a[i], 0, 0x0123);
    out[i + 256] = __byte_perm(a[i], b[i], 0x5410);
    unsigned r;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a[i]), "r"(b[i]), "r"(s[i]));   // with sign replication
    out[i + 384] = r;
    asm("prmt.b32.f4e %0, %1, %2, %3;" : "=r"(r) : "r"(a[i]), "r"(b[i]), "r"(s[i]));
    out[i + 512] = r;
    asm("prmt.b32.rc8 %0, %1, %2, %3;" : "=r"(r) : "r"(a[i]), "r"(b[i]), "r"(s[i]));
    out[i + 640] = r;
}
""")
def byte_permutation(draw: Draw) -> Plan:
    a, b, s, out = draw.bits("u4", 128), draw.bits("u4", 128), draw.bits("u4", 128), blank("u4", 6, 128)

    def pick(x: int, y: int, choice: int) -> int:
        word, r = x | y << 32, 0
        for k in range(4):
            c = choice >> 4 * k & 15
            byte = word >> 8 * (c & 7) & 255
            if c & 8:
                byte = 255 if byte & 128 else 0
            r |= byte << 8 * k
        return r

    def forward(x: int, y: int, choice: int) -> int:
        return (x | y << 32) >> 8 * (choice & 3) & 0xFFFFFFFF

    def replicate(x: int, y: int, choice: int) -> int:
        return (x >> 8 * (choice & 3) & 255) * 0x01010101

    want = [
        each("u4", lambda x, y, c: pick(x, y, c & 0x7777), a, b, s),
        a.byteswap(),
        each("u4", lambda x, y: pick(x, y, 0x5410), a, b),
        each("u4", pick, a, b, s),
        each("u4", forward, a, b, s),
        each("u4", replicate, a, b, s),
    ]
    return run("permute", 1, 128, a, b, s, out).gives(out, np.stack(want))


@case("""
extern "C" __global__ void shifts(const unsigned* a, const unsigned* b, const unsigned* n, const int* s, unsigned* out, int* o2,
                                  unsigned long long* o3) {
    int i = threadIdx.x;
    out[i] = __funnelshift_l(a[i], b[i], n[i]);
    out[i + 64] = __funnelshift_r(a[i], b[i], n[i]);
    out[i + 128] = __funnelshift_lc(a[i], b[i], n[i]);
    out[i + 192] = __funnelshift_rc(a[i], b[i], n[i]);
    unsigned l, r;
    int h;
    asm("shl.b32 %0, %1, %2;" : "=r"(l) : "r"(a[i]), "r"(n[i]));      // counts past 31 clamp
    asm("shr.u32 %0, %1, %2;" : "=r"(r) : "r"(a[i]), "r"(n[i]));
    asm("shr.s32 %0, %1, %2;" : "=r"(h) : "r"(s[i]), "r"(n[i]));
    out[i + 256] = l;
    out[i + 320] = r;
    o2[i] = h;
    o3[i] = (((unsigned long long)a[i] << 32 | b[i]) >> (n[i] & 63)) ^ ((unsigned long long)b[i] << (n[i] & 63));
}
""")
def shifts_past_the_width(draw: Draw) -> Plan:
    a, b, n, s = draw.bits("u4", 64), draw.bits("u4", 64), draw.ints("u4", 0, 70, 64), draw.bits("i4", 64)
    n[:4] = [0, 31, 32, 0xFFFFFFFF]
    out, o2, o3 = blank("u4", 6, 64), blank("i4", 64), blank("u8", 64)

    def left(x: int, y: int, k: int) -> int:
        return (y << 32 | x) << k >> 32

    def right(x: int, y: int, k: int) -> int:
        return (y << 32 | x) >> k

    want = [
        each("u4", lambda x, y, k: left(x, y, k % 32), a, b, n),
        each("u4", lambda x, y, k: right(x, y, k % 32), a, b, n),
        each("u4", lambda x, y, k: left(x, y, min(k, 32)), a, b, n),
        each("u4", lambda x, y, k: right(x, y, min(k, 32)), a, b, n),
        each("u4", lambda x, k: x << k if k < 32 else 0, a, n),
        each("u4", lambda x, k: x >> min(k, 32), a, n),
    ]
    plan = run("shifts", 1, 64, a, b, n, s, out, o2, o3).gives(out, np.stack(want))
    plan.gives(o2, each("i4", lambda x, k: x >> min(k, 31), s, n))
    return plan.gives(o3, each("u8", lambda x, y, k: (x << 32 | y) >> k % 64 ^ y << k % 64, a, b, n))


@case("""
extern "C" __global__ void fields(const unsigned* x, const unsigned* y, const unsigned* at, const unsigned* len, unsigned* out, int* o2) {
    int i = threadIdx.x;
    unsigned e, f;
    int g;
    asm("bfe.u32 %0, %1, %2, %3;" : "=r"(e) : "r"(x[i]), "r"(at[i]), "r"(len[i]));
    asm("bfe.s32 %0, %1, %2, %3;" : "=r"(g) : "r"(x[i]), "r"(at[i]), "r"(len[i]));
    asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(f) : "r"(y[i]), "r"(x[i]), "r"(at[i]), "r"(len[i]));
    out[i] = e;
    out[i + 96] = f;
    o2[i] = g;
    out[i + 192] = (x[i] >> 5 & 0x7f) | (x[i] & 0xff00) << 8 | (y[i] >> 28);
    struct Bits { unsigned a : 3; signed b : 9; unsigned c : 20; } bits;
    memcpy(&bits, x + i, 4);
    o2[i + 96] = bits.a + bits.b * 8 + (int)bits.c;
}
""")
def bit_fields(draw: Draw) -> Plan:
    x, y, at, length = draw.bits("u4", 96), draw.bits("u4", 96), draw.ints("u4", 0, 40, 96), draw.ints("u4", 0, 40, 96)
    out, o2 = blank("u4", 3, 96), blank("i4", 2, 96)

    def extract(v: int, p: int, n: int) -> int:
        return v >> p & (1 << n) - 1

    def signed(v: int, p: int, n: int) -> int:
        if n == 0:
            return 0
        sign = v >> min(p + n - 1, 31) & 1
        return sum((v >> p + k & 1 if k < n and p + k < 32 else sign) << k for k in range(32))

    def insert(v: int, w: int, p: int, n: int) -> int:
        for k in range(n):
            if p + k < 32:
                v = v & ~(1 << p + k) | (w >> k & 1 if k < 32 else 0) << p + k
        return v

    def record(v: int) -> int:
        b = v >> 3 & 511
        return (v & 7) + (b - 512 if b > 255 else b) * 8 + (v >> 12)

    mixed = each("u4", lambda v, w: (v >> 5 & 0x7F) | (v & 0xFF00) << 8 | w >> 28, x, y)
    plan = run("fields", 1, 96, x, y, at, length, out, o2)
    plan.gives(out, np.stack([each("u4", extract, x, at, length), each("u4", insert, x, y, at, length), mixed]))
    return plan.gives(o2, np.stack([each("i4", signed, x, at, length), each("i4", record, x)]))


@case("""
extern "C" __global__ void logic(const unsigned* a, const unsigned* b, const unsigned* c, unsigned* out) {
    int i = threadIdx.x;
    unsigned x = a[i], y = b[i], z = c[i], r;
    out[i] = (x & y) | (~x & z);
    out[i + 64] = x ^ y ^ z;
    out[i + 128] = (x & y) ^ (x & z) ^ (y & z);
    asm("lop3.b32 %0, %1, %2, %3, 0x2d;" : "=r"(r) : "r"(x), "r"(y), "r"(z));
    out[i + 192] = r;
    asm("cnot.b32 %0, %1;" : "=r"(r) : "r"(x & 1));
    out[i + 256] = r;
}
""")
def three_input_logic(draw: Draw) -> Plan:
    a, b, c, out = draw.bits("u4", 64), draw.bits("u4", 64), draw.bits("u4", 64), blank("u4", 5, 64)

    def table(x: int, y: int, z: int) -> int:
        r = 0
        for k in range(32):
            index = (x >> k & 1) << 2 | (y >> k & 1) << 1 | (z >> k & 1)
            r |= (0x2D >> index & 1) << k
        return r

    want = [a & b | ~a & c, a ^ b ^ c, (a & b) ^ (a & c) ^ (b & c), each("u4", table, a, b, c), 1 - (a & np.uint32(1))]
    return run("logic", 1, 64, a, b, c, out).gives(out, np.stack(want))


@case("""
__device__ unsigned spread(unsigned x) {
    x = (x | x << 8) & 0x00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0fu;
    x = (x | x << 2) & 0x33333333u;
    return (x | x << 1) & 0x55555555u;
}
extern "C" __global__ void morton(const unsigned short* x, const unsigned short* y, unsigned* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = spread(x[i]) | spread(y[i]) << 1;
}
""")
def morton_codes(draw: Draw) -> Plan:
    x, y, out = draw.bits("u2", 200), draw.bits("u2", 200), blank("u4", 200)
    want = each("u4", lambda a, b: sum((a >> k & 1) << 2 * k | (b >> k & 1) << 2 * k + 1 for k in range(16)), x, y)
    return run("morton", 2, 128, x, y, out, 200).gives(out, want)


@case("""
__constant__ unsigned nibble_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
extern "C" __global__ void crc32(const unsigned char* data, unsigned* out, int length) {
    const unsigned char* p = data + threadIdx.x * length;
    unsigned c = ~0u;
    for (int i = 0; i < length; ++i) {
        c = nibble_table[(c ^ p[i]) & 15] ^ c >> 4;
        c = nibble_table[(c ^ p[i] >> 4) & 15] ^ c >> 4;
    }
    out[threadIdx.x] = ~c;
}
""")
def crc32(draw: Draw) -> Plan:
    data, out = draw.bits("u1", 48, 37), blank("u4", 48)
    return run("crc32", 1, 48, data, out, 37).gives(out, np.array([zlib.crc32(row.tobytes()) for row in data], "u4"))


@case("""
extern "C" __global__ void life(const unsigned* in, unsigned* out, int rows) {
    // One 32-cell row a thread, bit-parallel, on a torus.
    int r = threadIdx.x;
    if (r >= rows) return;
    unsigned n[8];
    unsigned up = in[(r + rows - 1) % rows], own = in[r], down = in[(r + 1) % rows];
    n[0] = up; n[1] = down;
    n[2] = __funnelshift_l(up, up, 1); n[3] = __funnelshift_r(up, up, 1);
    n[4] = __funnelshift_l(down, down, 1); n[5] = __funnelshift_r(down, down, 1);
    n[6] = __funnelshift_l(own, own, 1); n[7] = __funnelshift_r(own, own, 1);
    unsigned ones = 0, twos = 0, fours = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        unsigned c = ones & n[k];
        ones ^= n[k];
        unsigned d = twos & c;
        twos ^= c;
        fours |= d;
    }
    out[r] = twos & ~fours & (ones | own);
}
""")
def game_of_life_in_bits(draw: Draw) -> Plan:
    rows = 20
    board, out = draw.bits("u4", rows), blank("u4", rows)
    cells = (board[:, None] >> np.arange(32, dtype="u4") & np.uint32(1)).astype(int)
    around = sum(np.roll(cells, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
    alive = (around == 3) | ((around == 2) & (cells == 1))
    want = (alive.astype("u8") << np.arange(32, dtype="u8")).sum(1).astype("u4")
    return run("life", 1, 32, board, out, rows).gives(out, want)


@case("""
extern "C" __global__ void reinterpret(const float* f, const double* d, int* i32, long long* i64, float* back, double* made) {
    int i = threadIdx.x;
    i32[i] = __float_as_int(f[i]);
    i64[i] = __double_as_longlong(d[i]);
    back[i] = __uint_as_float(__float_as_uint(f[i]) ^ 0x80000000u);
    made[i] = __hiloint2double(__double2hiint(d[i]) & 0x7fffffff, __double2loint(d[i]));
}
""")
def bits_of_floats(draw: Draw) -> Plan:
    f, d = draw.f32(64), draw.f64(64)
    f[:6] = [np.inf, -np.inf, 0.0, -0.0, 1e-45, -3.4e38]
    i32, i64, back, made = blank("i4", 64), blank("i8", 64), blank("f4", 64), blank("f8", 64)
    plan = run("reinterpret", 1, 64, f, d, i32, i64, back, made).gives(i32, f.view("i4")).gives(i64, d.view("i8"))
    return plan.gives(back, -f, ulps=0).gives(made, np.abs(d), ulps=0)


@case("""
extern "C" __global__ void hamming(const unsigned long long* q, const unsigned long long* base, int* best, int n) {
    __shared__ unsigned long long query[4];
    if (threadIdx.x < 4) query[threadIdx.x] = q[blockIdx.x * 4 + threadIdx.x];
    __syncthreads();
    int low = 1 << 30;
    for (int i = threadIdx.x; i < n; i += 32) {
        int d = 0;
        for (int k = 0; k < 4; ++k) d += __popcll(query[k] ^ base[i * 4 + k]);
        low = min(low, d << 16 | i);
    }
    low = __reduce_min_sync(~0u, low);
    if (threadIdx.x == 0) best[blockIdx.x] = low;
}
""")
def hamming_distance(draw: Draw) -> Plan:
    q, base, best = draw.bits("u8", 5, 4), draw.bits("u8", 100, 4), blank("i4", 5)
    base[30] = q[2]
    distance = np.bitwise_count(q[:, None] ^ base[None]).astype("i4").sum(2)
    want = (distance << 16 | np.arange(100, dtype="i4")).min(1)
    return run("hamming", 5, 32, q, base, best, 100).gives(best, want.astype("i4"))
