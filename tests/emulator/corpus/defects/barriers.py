"""Barriers that not every thread reaches (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "divergent barrier"


@defect(
    KIND,
    """
extern "C" __global__ void half_block(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
#ifdef FIXED
    __syncthreads();
    if (t < 16) y[t] = s[31 - t];
#else
    if (t < 16) {
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
        y[t] = s[31 - t];
    }
#endif
}
""",
)
def barrier_for_half_a_warp(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32), blank("i4", 16)
    return run("half_block", 1, 32, x, y).gives(y, x[::-1][:16])


@defect(
    KIND,
    """
extern "C" __global__ void rounds(const int* n, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x, total = 0;
    s[t] = t;
    __syncthreads();
#ifdef FIXED
    for (int k = 0; k < 8; ++k) {
        if (k < n[t]) total += s[(t + k) % 64];
        __syncthreads();
    }
#else
    for (int k = 0; k < n[t]; ++k) {
        total += s[(t + k) % 64];
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
    }
#endif
    y[t] = total;
}
""",
)
def barrier_in_a_loop_of_uneven_length(draw: Draw) -> Plan:
    n, y = draw.ints("i4", 1, 8, 64), blank("i4", 64)
    want = [sum((t + k) % 64 for k in range(int(n[t]))) for t in range(64)]
    return run("rounds", 1, 64, n, y).gives(y, np.array(want, "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void either(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t % 2) {
#ifndef FIXED
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
#endif
        s[t] += 7;
    } else {
        s[t] *= 3;
#ifndef FIXED
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
#endif
    }
#ifdef FIXED
    __syncthreads();
    y[t] = s[t ^ 1];
#else
    y[t] = s[t];
#endif
}
""",
)
def a_barrier_in_each_branch(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 32), blank("i4", 32)
    t = np.arange(32)
    s = np.where(t % 2 == 1, x + 7, x * 3)
    return run("either", 1, 32, x, y).gives(y, s[t ^ 1].astype("i4"))


@defect(
    KIND,
    """
extern "C" __global__ void guarded(const float* x, float* y, int n) {
    __shared__ float s[64];
    int t = threadIdx.x;
#ifdef FIXED
    if (t < n) s[t] = x[t];
    __syncthreads();
    if (t < n) y[t] = s[n - 1 - t];
#else
    if (t < n) {
        s[t] = x[t];
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
        y[t] = s[t];
    }
#endif
}
""",
)
def barrier_inside_the_bounds_check(draw: Draw) -> Plan:
    x, y = draw.f32(50), blank("f4", 50)
    return run("guarded", 1, 64, x, y, 50).gives(y, x[::-1], ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void first_warp(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
#ifdef FIXED
    __syncthreads();
    int v = s[63 - t];
    __syncthreads();
    s[t] = v + 1;
#else
    if (t < 32) {
        __syncthreads();  // DEFECT divergent_barrier
        s[t] += 1;
    }
#endif
    __syncthreads();  // DEFECT divergent_barrier
    y[t] = s[t];
}
""",
)
def barrier_for_one_of_two_warps(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 64), blank("i4", 64)
    return run("first_warp", 1, 64, x, y).gives(y, x[::-1] + 1)


@defect(
    KIND,
    """
extern "C" __global__ void search(const int* x, int* y, int n) {
    __shared__ int s[32];
    int t = threadIdx.x, found = -1;
    for (int base = 0; base < n; base += 32) {
        s[t] = x[base + t];
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
        if (found < 0 && s[t] == t) found = base;
#ifndef FIXED
        if (found >= 0) break;
#endif
        __syncthreads();  // DEFECT divergent_barrier|exit_before_barrier
    }
    y[t] = found;
}
""",
)
def some_threads_break_out(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 32, 128), blank("i4", 32)
    tiles = x.reshape(4, 32) == np.arange(32)
    want = np.where(tiles.any(0), tiles.argmax(0) * 32, -1)
    return run("search", 1, 32, x, y, 128).gives(y, want.astype("i4"))


@defect(
    KIND,
    """
extern "C" __global__ void modes(const int* mode, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = t;
    switch (mode[t]) {
        case 0: s[t] += 100; break;
        case 1:
            s[t] *= 2;
#ifndef FIXED
            __syncthreads();  // DEFECT divergent_barrier
#endif
            break;
        case 2: s[t] = -s[t]; break;
        default: s[t] = 0;
    }
#ifdef FIXED
    __syncthreads();
    y[t] = s[31 - t];
#else
    y[t] = s[t];
#endif
}
""",
)
def barrier_in_one_case_of_a_switch(draw: Draw) -> Plan:
    mode, y = draw.ints("i4", 0, 4, 32), blank("i4", 32)
    t = np.arange(32)
    s = np.choose(mode, [t + 100, 2 * t, -t, 0 * t])
    return run("modes", 1, 32, mode, y).gives(y, s[::-1].astype("i4"))


@defect(
    KIND,
    """
__device__ int exchange(int* s, int v) {
    s[threadIdx.x] = v;
    __syncthreads();  // DEFECT divergent_barrier
    return s[threadIdx.x ^ 1];  // FOLLOWS uninitialised_read
}
extern "C" __global__ void maybe(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x, v = x[t];
#ifdef FIXED
    int other = exchange(s, v);
    if (v > 0) v = other;
#else
    if (v > 0) v = exchange(s, v);
#endif
    y[t] = v;
}
""",
)
def barrier_in_a_function_called_by_some(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 32)
    x[::2] = np.abs(x[::2]) + 1  # in the defect every pair that reads has been written by one of it
    x[1::2] = -np.abs(x[1::2])
    return run("maybe", 1, 32, x, y).gives(y, np.where(x > 0, x[np.arange(32) ^ 1], x))


@defect(
    KIND,
    """
extern "C" __global__ void count(const int* x, int* y, int n) {
    int t = threadIdx.x, votes = 0;
#ifdef FIXED
    votes = __syncthreads_count(t < n && x[t] > 0);
#else
    if (t < n) votes = __syncthreads_count(x[t] > 0);  // DEFECT divergent_barrier|exit_before_barrier
#endif
    if (t < n) y[t] = votes;
}
""",
)
def counting_barrier_under_a_condition(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 20), blank("i4", 20)
    return run("count", 1, 32, x, y, 20).gives(y, np.full(20, (x > 0).sum(), "i4"))


@defect(
    KIND,
    """
#ifdef FIXED
#define THREADS "64"
#else
#define THREADS "96"
#endif
extern "C" __global__ void team(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    if (t < 64) {
        s[t] = x[t];
        asm volatile("bar.sync 1, " THREADS ";" ::: "memory");  // DEFECT divergent_barrier|exit_before_barrier
        y[t] = s[63 - t];  // FOLLOWS shared_race
    }
}
""",
)
def named_barrier_with_too_high_a_count(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 64), blank("i4", 64)
    return run("team", 1, 96, x, y).gives(y, x[::-1])
