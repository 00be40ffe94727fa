"""Warp operations whose mask names lanes that are not there (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "missing lanes"


@defect(
    KIND,
    """
extern "C" __global__ void half(const int* x, int* y) {
    int t = threadIdx.x, v = x[t];
    if (t < 16) {
#ifdef FIXED
        v += __shfl_xor_sync(0x0000ffffu, v, 1);
#else
        v += __shfl_xor_sync(0xffffffffu, v, 1);  // DEFECT missing_lanes
#endif
    }
    __syncthreads();  // where the other half waits
    y[t] = v;
}
""",
)
def shuffle_by_half_a_warp(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    t = np.arange(32)
    return run("half", 1, 32, x, y).gives(y, np.where(t < 16, x + x[t ^ 1], x))


@defect(
    KIND,
    """
extern "C" __global__ void votes(const int* x, unsigned* y, int n) {
    int t = threadIdx.x;
    unsigned bits = 0;
#ifdef FIXED
    bits = __ballot_sync(~0u, t < n && x[t] > 0);
#else
    if (t < n)
        bits = __ballot_sync(~0u, x[t] > 0);  // DEFECT missing_lanes
#endif
    int most = __reduce_max_sync(~0u, (int)bits);
    if (t < n) y[t] = bits + most * 0;
}
""",
)
def ballot_inside_the_bounds_check(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 20), blank("u4", 20)
    bits = sum(1 << i for i in range(20) if x[i] > 0)
    return run("votes", 1, 32, x, y, 20).gives(y, np.full(20, bits, "u4"))


@defect(
    KIND,
    """
extern "C" __global__ void some(const int* x, int* y) {
    __shared__ volatile int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncwarp();
    if (t < 8) {
        s[t] = s[t] + s[t + 8];
#ifdef FIXED
        __syncwarp(0x000000ffu);
#else
        __syncwarp();  // DEFECT missing_lanes
#endif
        y[t] = s[t];
    }
    __syncthreads();
    if (t >= 8) y[t] = s[t - 8];
}
""",
)
def syncwarp_by_eight_lanes(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    first = x[:8] + x[8:16]
    return run("some", 1, 32, x, y).gives(y, np.concatenate([first, first, x[8:24]]))


@defect(
    KIND,
    """
extern "C" __global__ void rounds(const int* n, int* y) {
    int t = threadIdx.x, total = 0;
#ifdef FIXED
    for (int k = 0; __any_sync(~0u, k < n[t]); ++k) total += __reduce_add_sync(~0u, k < n[t] ? t : 0);
#else
    for (int k = 0; k < n[t]; ++k)
        total += __reduce_add_sync(~0u, t);  // DEFECT missing_lanes
#endif
    y[t] = __shfl_sync(~0u, total, 0);
}
""",
)
def reduction_in_a_loop_of_uneven_length(draw: Draw) -> Plan:
    n, y = draw.ints("i4", 1, 6, 32), blank("i4", 32)
    want = sum(int(np.arange(32)[n > k].sum()) for k in range(6))
    return run("rounds", 1, 32, n, y).gives(y, np.full(32, want, "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void drain(const int* x, int* y) {
    int t = threadIdx.x, v = x[t], k = 0;
#ifdef FIXED
    while (__any_sync(~0u, v > 0)) { if (v > 0) { v -= 3; ++k; } }
#else
    while (v > 0) {
        v -= 3;
        ++k;
        if (__all_sync(~0u, v > 90)) k += 100;  // DEFECT missing_lanes
    }
#endif
    y[t] = k;
}
""",
)
def vote_in_a_loop_that_lanes_leave(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 1, 40, 32), blank("i4", 32)
    return run("drain", 1, 32, x, y).gives(y, (x + 2) // 3)


@defect(
    KIND,
    """
extern "C" __global__ void groups(const int* x, int* y) {
    int t = threadIdx.x;
    y[t] = 0;
    if (x[t] % 2 == 0) {
#ifdef FIXED
        unsigned active = __activemask();
#else
        unsigned active = ~0u;
#endif
        y[t] = __popc(__match_any_sync(active, x[t]));  // DEFECT missing_lanes
    }
    __syncwarp();
}
""",
)
def match_in_a_branch(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 6, 32), blank("i4", 32)
    want = [int((x == v).sum()) if v % 2 == 0 else 0 for v in x.tolist()]
    return run("groups", 1, 32, x, y).gives(y, np.array(want, "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void outsiders(const int* x, int* y) {
    int t = threadIdx.x;
#ifdef FIXED
    unsigned mask = t < 16 ? 0x0000ffffu : 0xffff0000u;
    int v;
    if (t < 16) v = __shfl_sync(mask, x[t], 3); else v = __shfl_sync(mask, x[t], 3, 16);
#else
    int v = __shfl_sync(0x0000ffffu, x[t], 3, 16);  // DEFECT missing_lanes
#endif
    y[t] = v;
}
""",
)
def mask_without_the_caller(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32), blank("i4", 32)
    return run("outsiders", 1, 32, x, y).gives(y, np.repeat(x[[3, 19]], 16))


@defect(
    KIND,
    """
extern "C" __global__ void branches(const int* x, int* y) {
    int t = threadIdx.x, v = x[t];
#ifdef FIXED
    int up = __shfl_up_sync(~0u, v, 1), down = __shfl_down_sync(~0u, v, 1);
    v = t % 2 ? up * 2 : down - 5;
#else
    if (t % 2) {
        v = __shfl_up_sync(~0u, v, 1);  // DEFECT missing_lanes
        v *= 2;
    } else {
        v = __shfl_down_sync(~0u, v, 1);  // DEFECT missing_lanes
        v -= 5;
    }
#endif
    y[t] = v;
}
""",
)
def a_shuffle_in_each_branch(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    t = np.arange(32)
    return run("branches", 1, 32, x, y).gives(y, np.where(t % 2 == 1, x[t - 1] * 2, x[(t + 1) % 32] - 5))


@defect(
    KIND,
    """
extern "C" __global__ void shortcut(const int* x, int* y) {
    int t = threadIdx.x, v = x[t];
#ifdef FIXED
    int other = __shfl_xor_sync(~0u, v, 1);
    y[t] = v > 0 && other > 0;
#else
    y[t] = v > 0 && __shfl_xor_sync(~0u, v, 1) > 0;  // DEFECT missing_lanes
#endif
    __syncthreads();
    y[t] |= __shfl_sync(~0u, v, 0) > 1000;
}
""",
)
def shuffle_behind_a_shortcut(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    return run("shortcut", 1, 32, x, y).gives(y, ((x > 0) & (x[np.arange(32) ^ 1] > 0)).astype("i4"))


@defect(
    KIND,
    """
extern "C" __global__ void last_warp(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = 0.0f;
#ifdef FIXED
    if (i < n) v = x[i];
    for (int o = 16; o; o >>= 1) v += __shfl_down_sync(~0u, v, o);
#else
    if (i < n) {
        v = x[i];
        for (int o = 16; o; o >>= 1)
            v += __shfl_down_sync(~0u, v, o);  // DEFECT missing_lanes
    }
#endif
    if (threadIdx.x % 32 == 0) atomicAdd(y, v);
}
""",
)
def warp_sum_inside_the_bounds_check(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 9, 75).astype("f4"), np.zeros(1, "f4")
    return run("last_warp", 1, 96, x, y, 75).gives(y, [x.sum()], ulps=0)
