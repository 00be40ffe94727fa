"""Random number generators against the same arithmetic in Python integers."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32
M32, M64 = 2**32 - 1, 2**64 - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox 4x32 with 10 rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & M32, (a >> 32) ^ c3 ^ k1, a & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return [c0, c1, c2, c3]


PHILOX = """
__device__ uint4 philox(uint4 c, uint2 k) {
#pragma unroll
    for (int r = 0; r < 10; ++r) {
        unsigned lo0 = 0xD2511F53u * c.x, hi0 = __umulhi(0xD2511F53u, c.x);
        unsigned lo1 = 0xCD9E8D57u * c.z, hi1 = __umulhi(0xCD9E8D57u, c.z);
        c = make_uint4(hi1 ^ c.y ^ k.x, lo1, hi0 ^ c.w ^ k.y, lo0);
        k.x += 0x9E3779B9u;
        k.y += 0xBB67AE85u;
    }
    return c;
}
"""


@case(
    PHILOX
    + """
extern "C" __global__ void generate(uint4* out, unsigned long long seed, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = philox(make_uint4(i, 0, 7, 0), make_uint2((unsigned)seed, (unsigned)(seed >> 32)));
}
"""
)
def philox_4x32_10(draw: Draw) -> Plan:
    out, seed = blank("u4", 100, 4), 0x0123456789ABCDEF
    want = [philox((i, 0, 7, 0), (seed & M32, seed >> 32)) for i in range(100)]
    return run("generate", 1, 128, out, np.uint64(seed), 100).gives(out, np.array(want, "u4"))


@case(
    PHILOX
    + """
extern "C" __global__ void dropout(const float* x, float* y, unsigned char* kept, float p, unsigned seed, int quads) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= quads) return;
    uint4 r = philox(make_uint4(i, 0, 0, 0), make_uint2(seed, 0));
    const unsigned words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        bool keep = (words[k] >> 8) * 5.9604645e-8f >= p;       // 24 bits: [0, 1)
        kept[i * 4 + k] = keep;
        y[i * 4 + k] = keep ? x[i * 4 + k] / (1.0f - p) : 0.0f;
    }
}
"""
)
def dropout(draw: Draw) -> Plan:
    x, y, kept = draw.f32(100, 4), blank("f4", 100, 4), blank("u1", 100, 4)
    words = np.array([philox((i, 0, 0, 0), (99, 0)) for i in range(100)], "u8")
    keep = (words >> np.uint64(8)) / 2.0**24 >= F(0.3)
    plan = run("dropout", 2, 64, x, y, kept, F(0.3), np.uint32(99), 100).gives(kept, keep.astype("u1"))
    return plan.gives(y, np.where(keep, x / np.float64(F(1) - F(0.3)), 0))


@case("""
__device__ unsigned xorshift(unsigned& s) { s ^= s << 13; s ^= s >> 17; s ^= s << 5; return s; }
__device__ unsigned long long splitmix(unsigned long long& s) {
    unsigned long long z = s += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
extern "C" __global__ void streams(unsigned* a, unsigned long long* b, unsigned* c, int steps) {
    int i = threadIdx.x;
    unsigned s = i * 747796405u + 1u, l = i + 1;
    unsigned long long z = i;
    for (int k = 0; k < steps; ++k) { xorshift(s); splitmix(z); l = l * 1664525u + 1013904223u; }
    a[i] = s;
    b[i] = splitmix(z);
    c[i] = l;
}
""")
def xorshift_splitmix_and_lcg(draw: Draw) -> Plan:
    def splitmix(s: int) -> tuple[int, int]:
        s = (s + 0x9E3779B97F4A7C15) & M64
        z = (s ^ s >> 30) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
        return s, z ^ z >> 31

    want = []
    for i in range(64):
        s, lcg, z = (i * 747796405 + 1) & M32, i + 1, i
        for _ in range(20):
            s ^= s << 13 & M32
            s ^= s >> 17
            s ^= s << 5 & M32
            z = splitmix(z)[0]
            lcg = (lcg * 1664525 + 1013904223) & M32
        want.append((s, splitmix(z)[1], lcg))
    a, b, c = blank("u4", 64), blank("u8", 64), blank("u4", 64)
    columns = list(zip(*want, strict=True))
    plan = run("streams", 1, 64, a, b, c, 20).gives(a, np.array(columns[0], "u4"))
    return plan.gives(b, np.array(columns[1], "u8")).gives(c, np.array(columns[2], "u4"))


@case(
    PHILOX
    + """
extern "C" __global__ void normals(float2* out, unsigned seed, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint4 r = philox(make_uint4(i, 1, 2, 3), make_uint2(seed, seed ^ 0xffffu));
    float u = ((r.x >> 8) + 0.5f) * 5.9604645e-8f, v = (r.y >> 8) * 5.9604645e-8f;
    float radius = sqrtf(-2.0f * logf(u));
    out[i] = make_float2(radius * cospif(2.0f * v), radius * sinpif(2.0f * v));
}
"""
)
def box_muller(draw: Draw) -> Plan:
    out = blank("f4", 200, 2)
    words = np.array([philox((i, 1, 2, 3), (5, 5 ^ 0xFFFF))[:2] for i in range(200)], "u8")
    u = ((words[:, 0] >> np.uint64(8)).astype("f4") + F(0.5)).astype("f8") / 2**24
    v = (words[:, 1] >> np.uint64(8)) / 2.0**24
    radius = np.sqrt(-2 * np.log(u))
    want = np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], 1)
    return run("normals", 2, 128, out, np.uint32(5), 200).gives(out, want, rtol=1e-6, atol=1e-6)
