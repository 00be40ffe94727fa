"""Block barriers with reductions, named barriers, barriers in uniform control flow, specialised warps."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void counted(const int* x, int* out) {
    int v = x[threadIdx.x];
    int positive = __syncthreads_count(v > 0);
    int all = __syncthreads_and(v > -10);
    int any = __syncthreads_or(v == 7);
    out[threadIdx.x] = positive * 100 + (all != 0) * 10 + (any != 0);
}
""")
def barrier_reductions(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -8, 6, 80), blank("i4", 80)
    return run("counted", 1, 80, x, out).gives(out, np.full(80, (x > 0).sum() * 100 + 10, "i4"))


@case("""
extern "C" __global__ void two_teams(const int* x, int* out) {
    __shared__ int s[128];
    int team = threadIdx.x / 64, t = threadIdx.x % 64, base = team * 64;
    s[base + t] = x[threadIdx.x];
    int rounds = team == 0 ? 3 : 5;          // the teams synchronise a different number of times
    for (int k = 0; k < rounds; ++k) {
        asm volatile("bar.sync %0, 64;" :: "r"(team + 1) : "memory");
        int v = s[base + (t + 1) % 64];
        asm volatile("bar.sync %0, 64;" :: "r"(team + 1) : "memory");
        s[base + t] = v;
    }
    out[threadIdx.x] = s[base + t];
}
""")
def named_barriers_for_two_teams(draw: Draw) -> Plan:
    x, out = draw.bits("i4", 128), blank("i4", 128)
    want = np.concatenate([np.roll(x[:64], -3), np.roll(x[64:], -5)])
    return run("two_teams", 1, 128, x, out).gives(out, want)


@case("""
// Warp 0 fills a buffer, warps 1 and 2 take it: arrive without waiting on one side, sync on the other.
extern "C" __global__ void handoff(const int* x, int* out, int rounds) {
    __shared__ int box[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int r = 0; r < rounds; ++r) {
        if (warp == 0) {
            asm volatile("bar.sync 1, 96;" ::: "memory");      // empty
            box[lane] = x[r * 32 + lane] + r;
            __threadfence_block();
            asm volatile("bar.arrive 2, 96;" ::: "memory");    // full
        } else {
            asm volatile("bar.arrive 1, 96;" ::: "memory");
            asm volatile("bar.sync 2, 96;" ::: "memory");
            if (warp == 1) out[r * 64 + lane] = box[lane];
            else out[r * 64 + 32 + lane] = -box[31 - lane];
        }
    }
}
""")
def arrive_and_sync(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -99, 99, 4, 32), blank("i4", 4, 64)
    full = x + np.arange(4, dtype="i4")[:, None]
    return run("handoff", 1, 96, x, out, 4).gives(out, np.concatenate([full, -full[:, ::-1]], 1))


@case("""
extern "C" __global__ void in_uniform_flow(const int* x, int* out, int n, int mode) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int k = 0; k < n; ++k) {
        if (mode == 1) {
            int v = s[t ^ 1];
            __syncthreads();
            s[t] += v;
        } else if (k % 2 == 0) {
            int v = s[63 - t];
            __syncthreads();
            s[t] = v - k;
        }
        __syncthreads();
    }
    if (blockIdx.x == 1) { __syncthreads(); s[t] += s[t]; __syncthreads(); }
    out[blockIdx.x * 64 + t] = s[t];
}
""")
def barriers_in_uniform_flow(draw: Draw) -> Plan:
    x, a, b = draw.ints("i4", -50, 50, 64), blank("i4", 2, 64), blank("i4", 2, 64)
    pairs = x.copy()
    for _ in range(3):
        pairs = pairs + pairs[np.arange(64) ^ 1]
    turned = x.copy()
    for k in (0, 2):
        turned = turned[::-1] - k
    plan = run("in_uniform_flow", 2, 64, x, a, 3, 1).then("in_uniform_flow", 2, 64, x, b, 3, 0)
    return plan.gives(a, np.stack([pairs, 2 * pairs])).gives(b, np.stack([turned, 2 * turned]))


@case("""
extern "C" __global__ void specialised(const float* a, const float* b, float* out, int tiles) {
    __shared__ float stage[2][64];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float sum = 0.0f;
    for (int k = 0; k <= tiles; ++k) {
        if (warp < 2) {                      // loaders work one tile ahead
            if (k < tiles) stage[k & 1][warp * 32 + lane] = (warp ? b : a)[k * 32 + lane];
        } else if (k > 0) {
            sum = fmaf(stage[(k - 1) & 1][lane], stage[(k - 1) & 1][32 + lane], sum);
        }
        __syncthreads();
    }
    if (warp == 2) out[lane] = sum;
}
""")
def loader_and_worker_warps(draw: Draw) -> Plan:
    a, b, out = draw.f32(6, 32), draw.f32(6, 32), blank("f4", 32)
    return run("specialised", 1, 96, a, b, out, 6).gives(out, (a.astype("f8") * b).sum(0))


@case("""
extern "C" __global__ void reduced(const unsigned* x, unsigned* out) {
    unsigned n, v = x[threadIdx.x];
    int all;
    asm volatile("{ .reg .pred p; setp.gt.u32 p, %1, 50; barrier.sync.aligned 3; barrier.red.popc.aligned.u32 %0, 3, p; }"
                 : "=r"(n) : "r"(v) : "memory");
    asm volatile("{ .reg .pred p, q; setp.lt.u32 p, %1, 100; bar.red.and.pred q, 0, !p; selp.s32 %0, 1, 0, q; }"
                 : "=r"(all) : "r"(v) : "memory");
    out[threadIdx.x] = n * 2 + all;
}
""")
def barrier_red_in_assembly(draw: Draw) -> Plan:
    x, out = draw.ints("u4", 0, 100, 96), blank("u4", 96)
    return run("reduced", 1, 96, x, out).gives(out, np.full(96, (x > 50).sum() * 2, "u4"))


@case("""
extern "C" __global__ void exits(const int* x, int* out, int n) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = t < n ? x[t] : 0;
    __syncthreads();
    if (t >= n) return;                  // nobody waits after this
    int sum = 0;
    for (int k = 0; k <= t; ++k) sum += s[k];
    out[t] = sum;
}
""")
def returns_after_the_last_barrier(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 70), blank("i4", 70)
    return run("exits", 1, 128, x, out, 70).gives(out, np.cumsum(x).astype("i4"))
