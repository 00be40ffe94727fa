"""Tensor cores in assembly: mma shapes and types, ldmatrix, stmatrix, movmatrix; fragments as the PTX specification lays them out."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import torch
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, from_bf16, run
from emulator.corpus.oracles import to_tf32

cases = Collection()
case = cases.case
F = np.float32
NEW = ("sm_80", "sm_90", "sm_100", "sm_120")


@case(
    """
#include <cuda_fp16.h>
// Fragments as the PTX specification lays them out; operands straight from memory.
extern "C" __global__ void m16n8k16(const unsigned* a, const half* b, float* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned ra[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
    unsigned rb[2];
    for (int i = 0; i < 2; ++i) {
        half2 pair = __halves2half2(b[(2 * t + 8 * i) * 8 + g], b[(2 * t + 1 + 8 * i) * 8 + g]);
        rb[i] = *reinterpret_cast<unsigned*>(&pair);
    }
    float d[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
    c[g * 8 + 2 * t] = d[0] - 1.0f;
    c[g * 8 + 2 * t + 1] = d[1] - 2.0f;
    c[(g + 8) * 8 + 2 * t] = d[2] - 3.0f;
    c[(g + 8) * 8 + 2 * t + 1] = d[3] - 4.0f;
}
""",
    archs=NEW,
)
def mma_half(draw: Draw) -> Plan:
    a, b, c = draw.f16(16, 16), draw.f16(16, 8), blank("f4", 16, 8)
    return run("m16n8k16", 1, 32, a, b, c).gives(c, a.astype("f8") @ b.astype("f8"), ulps=64)


@case("""
extern "C" __global__ void shapes(const unsigned* a, const unsigned* b, unsigned* c, unsigned* small) {
    // a: 16 x 16, b: 8 x 16 (columns contiguous), both of packed binary16; accumulators of binary16
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned d0 = 0, d1 = 0, e0 = 0, e1 = 0;
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};"
                 : "+r"(d0), "+r"(d1)
                 : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(a[g * 8 + t + 4]), "r"(a[(g + 8) * 8 + t + 4]),
                   "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3}, {%4}, {%0,%1};"
                 : "+r"(e0), "+r"(e1) : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(b[g * 8 + t]));
    c[g * 4 + t] = d0;
    c[(g + 8) * 4 + t] = d1;
    small[g * 4 + t] = e0;
    small[(g + 8) * 4 + t] = e1;
}
""")
def mma_half_accumulators_and_k8(draw: Draw) -> Plan:
    a, b, c, small = draw.f16(16, 16), draw.f16(8, 16), blank("f2", 16, 8), blank("f2", 16, 8)
    x, y = a.astype("f8"), b.astype("f8")
    plan = run("shapes", 1, 32, a, b, c, small).gives(c, x @ y.T)
    return plan.gives(small, x[:, :8] @ y[:, :8].T)


@case(
    """
extern "C" __global__ void bf16(const unsigned* a, const unsigned* b, float* c, float* small) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    float d[4] = {}, e[4] = {};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(a[g * 8 + t + 4]), "r"(a[(g + 8) * 8 + t + 4]),
                   "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(e[0]), "+f"(e[1]), "+f"(e[2]), "+f"(e[3])
                 : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(b[g * 8 + t]));
    for (int i = 0; i < 4; ++i) {
        int at = (g + i / 2 * 8) * 8 + 2 * t + i % 2;
        c[at] = d[i];
        small[at] = e[i];
    }
}
""",
    archs=("sm_80", "sm_100"),
)
def mma_bfloat16(draw: Draw) -> Plan:
    a, b, c, small = draw.bf16(16, 16), draw.bf16(8, 16), blank("f4", 16, 8), blank("f4", 16, 8)
    x, y = from_bf16(a), from_bf16(b)
    plan = run("bf16", 1, 32, a, b, c, small).gives(c, x @ y.T, ulps=32)
    return plan.gives(small, x[:, :8] @ y[:, :8].T, ulps=32)


@case(
    """
__device__ unsigned tf32(float v) { unsigned r; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v)); return r; }
extern "C" __global__ void product(const float* a, const float* b, float* c, float* half_depth) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned ra[4] = {tf32(a[g * 8 + t]), tf32(a[(g + 8) * 8 + t]), tf32(a[g * 8 + t + 4]), tf32(a[(g + 8) * 8 + t + 4])};
    unsigned rb[2] = {tf32(b[t * 8 + g]), tf32(b[(t + 4) * 8 + g])};
    float d[4] = {}, e[4] = {};
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
    asm volatile("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(e[0]), "+f"(e[1]), "+f"(e[2]), "+f"(e[3]) : "r"(ra[0]), "r"(ra[1]), "r"(rb[0]));
    for (int i = 0; i < 4; ++i) {
        int at = (g + i / 2 * 8) * 8 + 2 * t + i % 2;
        c[at] = d[i];
        half_depth[at] = e[i];
    }
}
""",
    archs=NEW,
)
def mma_tf32(draw: Draw) -> Plan:
    a, b, c, e = draw.f32(16, 8), draw.f32(8, 8), blank("f4", 16, 8), blank("f4", 16, 8)
    plan = run("product", 1, 32, a, b, c, e).gives(c, to_tf32(a) @ to_tf32(b), ulps=32)
    return plan.gives(e, to_tf32(a)[:, :4] @ to_tf32(b)[:4], ulps=32)


@case(
    """
#define MMA(types, d, a, b) \\
    asm volatile("mma.sync.aligned.m16n8k32.row.col." types " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \\
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) \\
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
extern "C" __global__ void integers(const unsigned* a, const unsigned* b, int* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;   // a: 16 x 32 bytes, b: 8 x 32 bytes (columns contiguous)
    unsigned ra[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
    unsigned rb[2] = {b[g * 8 + t], b[g * 8 + t + 4]};
    int ss[4] = {}, uu[4] = {}, us[4] = {}, sat[4];
    for (int i = 0; i < 4; ++i) sat[i] = i < 2 ? 2147480000 : -2147480000;
    MMA("s32.s8.s8.s32", ss, ra, rb);
    MMA("s32.u8.u8.s32", uu, ra, rb);
    MMA("s32.u8.s8.s32", us, ra, rb);
    MMA("satfinite.s32.s8.s8.s32", sat, ra, rb);
    for (int i = 0; i < 4; ++i) {
        int at = (g + i / 2 * 8) * 8 + 2 * t + i % 2;
        c[at] = ss[i];
        c[128 + at] = uu[i];
        c[256 + at] = us[i];
        c[384 + at] = sat[i];
    }
}
""",
    archs=("sm_80", "sm_90"),
)
def mma_int8(draw: Draw) -> Plan:
    a, b, c = draw.bits("u1", 16, 32), draw.bits("u1", 8, 32), blank("i4", 4, 16, 8)
    ua, ub, sa, sb = a.astype("i8"), b.astype("i8"), a.view("i1").astype("i8"), b.view("i1").astype("i8")
    start = np.where(np.arange(16)[:, None] < 8, 2147480000, -2147480000)
    saturated = np.clip(sa @ sb.T + start, -(2**31), 2**31 - 1)
    return run("integers", 1, 32, a, b, c).gives(c, np.stack([sa @ sb.T, ua @ ub.T, ua @ sb.T, saturated]).astype("i4"))


@case(
    """
extern "C" __global__ void nibbles(const unsigned* a, const unsigned* b, int* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;   // a: 16 x 64 nibbles, b: 8 x 64 nibbles
    int d[4] = {};
    asm volatile("mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(a[g * 8 + t + 4]), "r"(a[(g + 8) * 8 + t + 4]),
                   "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
extern "C" __global__ void bits(const unsigned* a, const unsigned* b, int* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;   // 256 bits a row
    int d[4] = {};
    asm volatile("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(a[g * 8 + t + 4]), "r"(a[(g + 8) * 8 + t + 4]),
                   "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
""",
    archs=("sm_80",),
)
def mma_int4_and_bits(draw: Draw) -> Plan:
    a, b, c, d = draw.bits("u1", 16, 32), draw.bits("u1", 8, 32), blank("i4", 16, 8), blank("i4", 16, 8)

    def nibbles(x: Array) -> Array:
        low_first = np.stack([x & 15, x >> 4], -1).reshape(x.shape[0], -1).astype("i4")
        return np.where(low_first >= 8, low_first - 16, low_first)

    x, y = np.unpackbits(a, axis=1).astype("i4"), np.unpackbits(b, axis=1).astype("i4")
    plan = run("nibbles", 1, 32, a, b, c).then("bits", 1, 32, a, b, d)
    return plan.gives(c, nibbles(a) @ nibbles(b).T).gives(d, x @ y.T)


@case(
    """
#define MMA(types, d) \\
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32." types ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \\
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) \\
                 : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]))
extern "C" __global__ void fp8(const unsigned* a, const unsigned* b, float* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned ra[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
    unsigned rb[2] = {b[g * 8 + t], b[g * 8 + t + 4]};
    float d[4] = {}, e[4] = {}, f[4] = {};
    MMA("e4m3.e4m3", d);
    MMA("e5m2.e5m2", e);
    MMA("e4m3.e5m2", f);
    for (int i = 0; i < 4; ++i) {
        int at = (g + i / 2 * 8) * 8 + 2 * t + i % 2;
        c[at] = d[i];
        c[128 + at] = e[i];
        c[256 + at] = f[i];
    }
}
""",
    archs=("sm_89", "sm_90", "sm_120"),
)
def mma_fp8(draw: Draw) -> Plan:
    a, b, c = draw.bits("u1", 16, 32), draw.bits("u1", 8, 32), blank("f4", 3, 16, 8)
    for m in (a, b):  # no nan, no infinity in either format: exponents below the largest
        m &= np.uint8(0xBB)

    def values(x: Array, kind: torch.dtype) -> Array:
        return torch.from_numpy(x).view(kind).to(torch.float64).numpy()

    pairs = [(torch.float8_e4m3fn,) * 2, (torch.float8_e5m2,) * 2, (torch.float8_e4m3fn, torch.float8_e5m2)]
    want = np.stack([values(a, p) @ values(b, q).T for p, q in pairs])
    scale = np.abs(want).reshape(3, -1).max(1)
    plan = run("fp8", 1, 32, a, b, c)
    for k in range(3):
        # the sum is kept in about 13 bits beside the largest product on some GPUs; here in binary32
        plan.gives(c, want[k], rtol=1e-5, atol=1e-5 * scale[k], decode=itemgetter(k))
    return plan


@case(
    """
extern "C" __global__ void doubles(const double* a, const double* b, double* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;    // a: 8 x 4, b: 8 x 4 (columns contiguous)
    double d0 = 0.25, d1 = 0.25;
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+d"(d0), "+d"(d1) : "d"(a[g * 4 + t]), "d"(b[g * 4 + t]));
    c[g * 8 + 2 * t] = d0;
    c[g * 8 + 2 * t + 1] = d1;
}
""",
    archs=("sm_80", "sm_90"),
)
def mma_double(draw: Draw) -> Plan:
    a, b, c = draw.f64(8, 4), draw.f64(8, 4), blank("f8", 8, 8)
    return run("doubles", 1, 32, a, b, c).gives(c, a @ b.T + 0.25)


@case(
    """
extern "C" __global__ void doubles(const double* a, const double* b, double* c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;    // a: 16 x 8, b: 8 x 8 (columns contiguous)
    double d[4] = {};
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+d"(d[0]), "+d"(d[1]), "+d"(d[2]), "+d"(d[3])
                 : "d"(a[g * 8 + t]), "d"(a[(g + 8) * 8 + t]), "d"(a[g * 8 + t + 4]), "d"(a[(g + 8) * 8 + t + 4]),
                   "d"(b[g * 8 + t]), "d"(b[g * 8 + t + 4]));
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
""",
    archs=("sm_90", "sm_100"),
)
def mma_double_of_hopper(draw: Draw) -> Plan:
    a, b, c = draw.f64(16, 8), draw.f64(8, 8), blank("f8", 16, 8)
    return run("doubles", 1, 32, a, b, c).gives(c, a @ b.T)


@case(
    """
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
extern "C" __global__ void load(const unsigned short* x, unsigned* out) {
    __shared__ __align__(16) unsigned short s[32][8];
    int t = threadIdx.x;
    for (int i = 0; i < 8; ++i) s[t][i] = x[t * 8 + i];
    __syncwarp();
    unsigned r[4], q[4], two[2], one;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at(s[t])));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(q[0]), "=r"(q[1]), "=r"(q[2]), "=r"(q[3]) : "r"(at(s[t])));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(two[0]), "=r"(two[1]) : "r"(at(s[t % 16 + 16])));
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(one) : "r"(at(s[t % 8 + 8])));
    for (int i = 0; i < 4; ++i) { out[i * 32 + t] = r[i]; out[(4 + i) * 32 + t] = q[i]; }
    out[8 * 32 + t] = two[0];
    out[9 * 32 + t] = two[1];
    out[10 * 32 + t] = one;
}
""",
    archs=("sm_80", "sm_90", "sm_120"),
)
def ldmatrix(draw: Draw) -> Plan:
    x, out = draw.bits("u2", 4, 8, 8), blank("u4", 11, 32)
    plain = np.ascontiguousarray(x).view("u4").reshape(4, 32)
    turned = np.ascontiguousarray(x.transpose(0, 2, 1)).view("u4").reshape(4, 32)
    want = np.concatenate([plain, turned, plain[2:4], turned[1:2]])
    return run("load", 1, 32, x, out).gives(out, want)


@case(
    """
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
extern "C" __global__ void store(const unsigned* x, unsigned short* out) {
    __shared__ __align__(16) unsigned short s[32][8];
    int t = threadIdx.x;
    asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1,%2};" :: "r"(at(s[t % 16])), "r"(x[t]), "r"(x[32 + t]) : "memory");
    asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1,%2};" :: "r"(at(s[t % 16 + 16])), "r"(x[64 + t]), "r"(x[96 + t]) : "memory");
    __syncwarp();
    for (int i = 0; i < 8; ++i) out[t * 8 + i] = s[t][i];
}
""",
    archs=("sm_90", "sm_100"),
)
def stmatrix(draw: Draw) -> Plan:
    x, out = draw.bits("u4", 4, 32), blank("u2", 4, 8, 8)
    plain = x.view("u2").reshape(4, 8, 8)
    return run("store", 1, 32, x, out).gives(out, np.concatenate([plain[:2], plain[2:].transpose(0, 2, 1)]))


@case(
    """
extern "C" __global__ void turn(const unsigned* x, unsigned* y) {
    unsigned d;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(x[threadIdx.x]));
    y[threadIdx.x] = d;
}
""",
    archs=("sm_80", "sm_90"),
)
def movmatrix(draw: Draw) -> Plan:
    x, y = draw.bits("u2", 8, 8), blank("u2", 8, 8)
    return run("turn", 1, 32, x, y).gives(y, x.T)


@case(
    """
#include <cuda_fp16.h>
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
// C (64 x 64) = A (64 x k) B (k x 64): four warps, each 32 x 32 of m16n8k16, operands through ldmatrix from swizzled tiles.
extern "C" __global__ void gemm(const half* a, const half* b, float* c, int k) {
    __shared__ __align__(16) half sa[64][24], sb[16][72];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, wy = warp / 2 * 32, wx = warp % 2 * 32;
    float d[2][4][4] = {};
    for (int k0 = 0; k0 < k; k0 += 16) {
        *reinterpret_cast<uint4*>(&sa[threadIdx.x / 2][threadIdx.x % 2 * 8]) =
            *reinterpret_cast<const uint4*>(a + threadIdx.x / 2 * k + k0 + threadIdx.x % 2 * 8);
        *reinterpret_cast<uint4*>(&sb[threadIdx.x / 8][threadIdx.x % 8 * 8]) =
            *reinterpret_cast<const uint4*>(b + (k0 + threadIdx.x / 8) * 64 + threadIdx.x % 8 * 8);
        __syncthreads();
        unsigned ra[2][4], rb[4][2];
#pragma unroll
        for (int i = 0; i < 2; ++i)
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                         : "=r"(ra[i][0]), "=r"(ra[i][1]), "=r"(ra[i][2]), "=r"(ra[i][3])
                         : "r"(at(&sa[wy + i * 16 + lane % 16][lane / 16 * 8])));
#pragma unroll
        for (int j = 0; j < 4; j += 2)
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                         : "=r"(rb[j][0]), "=r"(rb[j][1]), "=r"(rb[j + 1][0]), "=r"(rb[j + 1][1])
                         : "r"(at(&sb[lane % 16][wx + j * 8 + lane / 16 * 8])));
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j)
                asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                             : "+f"(d[i][j][0]), "+f"(d[i][j][1]), "+f"(d[i][j][2]), "+f"(d[i][j][3])
                             : "r"(ra[i][0]), "r"(ra[i][1]), "r"(ra[i][2]), "r"(ra[i][3]), "r"(rb[j][0]), "r"(rb[j][1]));
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int row = wy + i * 16 + lane / 4, col = wx + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2*>(c + row * 64 + col) = make_float2(d[i][j][0], d[i][j][1]);
            *reinterpret_cast<float2*>(c + (row + 8) * 64 + col) = make_float2(d[i][j][2], d[i][j][3]);
        }
}
""",
    archs=("sm_80", "sm_90"),
)
def mma_gemm_through_ldmatrix(draw: Draw) -> Plan:
    a, b, c = draw.f16(64, 48), draw.f16(48, 64), blank("f4", 64, 64)
    return run("gemm", 1, 128, a, b, c, 48).gives(c, a.astype("f8") @ b.astype("f8"), ulps=32)
