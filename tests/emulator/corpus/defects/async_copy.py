"""Asynchronous copies whose data is used before a wait (10)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "missing wait for cp.async"

FETCH = """
#define fetch(to, from) asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" \\
    :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from) : "memory")
#define COMMIT asm volatile("cp.async.commit_group;" ::: "memory")
#define WAIT(n) asm volatile("cp.async.wait_group %0;" :: "n"(n) : "memory")
"""


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void reverse(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    fetch(&s[t], x + t);
    COMMIT;
#ifdef FIXED
    WAIT(0);
#endif
    __syncthreads();
    y[t] = s[63 - t];  // DEFECT uninitialised_read|shared_race
}
""",
)
def no_wait_at_all(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 64), blank("i4", 64)
    return run("reverse", 1, 64, x, y).gives(y, x[::-1])


@defect(
    KIND,
    FETCH
    + """
#ifdef FIXED
#define LEFT 0
#else
#define LEFT 1
#endif
extern "C" __global__ void add(const int* a, const int* b, int* y) {
    __shared__ int sa[64], sb[64];
    int t = threadIdx.x;
    fetch(&sa[t], a + t);
    COMMIT;
    fetch(&sb[t], b + t);
    COMMIT;
    WAIT(LEFT);
    __syncthreads();
    int v = sa[63 - t];
    y[t] = v + sb[t ^ 1];  // DEFECT uninitialised_read|shared_race
}
""",
)
def one_group_left_over(draw: Draw) -> Plan:
    a, b, y = draw.ints("i4", -99, 99, 64), draw.ints("i4", -99, 99, 64), blank("i4", 64)
    return run("add", 1, 64, a, b, y).gives(y, a[::-1] + b[np.arange(64) ^ 1])


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void tiles(const int* x, int* y, int n) {
    __shared__ int s[2][32];
    int t = threadIdx.x, sum = 0;
    fetch(&s[0][t], x + t);
    COMMIT;
    for (int k = 0; k < n; ++k) {
        if (k + 1 < n) {
            fetch(&s[(k + 1) & 1][t], x + (k + 1) * 32 + t);
            COMMIT;
        }
#ifdef FIXED
        if (k + 1 < n) WAIT(1); else WAIT(0);
#else
        WAIT(1);  // right for all tiles but the last
#endif
        __syncthreads();
        sum = sum * 3 + s[k & 1][31 - t];  // DEFECT uninitialised_read|shared_race
        __syncthreads();
    }
    y[t] = sum;
}
""",
)
def last_tile_of_a_pipeline(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 2, 32), blank("i4", 32)
    return run("tiles", 1, 32, x, y, 2).gives(y, (x[0] * 3 + x[1])[::-1])


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void early(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    fetch(&s[t], x + t);
    COMMIT;
#ifdef FIXED
    WAIT(0);
    int v = s[t];
#else
    int v = s[t];  // DEFECT uninitialised_read|shared_race
    WAIT(0);
#endif
    y[t] = v * 2;
}
""",
)
def read_before_the_wait(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 32), blank("i4", 32)
    return run("early", 1, 32, x, y).gives(y, 2 * x)


@defect(
    KIND,
    """
#include <cuda_pipeline.h>
#ifdef FIXED
#define PRIOR 0
#else
#define PRIOR 1
#endif
extern "C" __global__ void load(const float4* x, float* y) {
    __shared__ float4 s[32];
    int t = threadIdx.x;
    __pipeline_memcpy_async(&s[t], x + t, 16);
    __pipeline_commit();
    __pipeline_wait_prior(PRIOR);
    __syncthreads();
    float4 v = s[31 - t];  // DEFECT uninitialised_read|shared_race
    y[t] = v.x + v.y - v.z * v.w;
}
""",
)
def wait_prior_of_one(draw: Draw) -> Plan:
    x, y = draw.f32(32, 4), blank("f4", 32)
    w = x.astype("f8")[::-1]
    return run("load", 1, 32, x, y).gives(y, w[:, 0] + w[:, 1] - w[:, 2] * w[:, 3])


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void uncommitted(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    fetch(&s[t], x + t);
#ifdef FIXED
    COMMIT;
#endif
    WAIT(0);  // waits for committed groups only
    __syncthreads();
    y[t] = s[31 - t];  // DEFECT uninitialised_read|shared_race
}
""",
)
def copy_that_was_never_committed(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 32), blank("i4", 32)
    return run("uncommitted", 1, 32, x, y).gives(y, x[::-1])


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void others(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    fetch(&s[t], x + t);  // FOLLOWS shared_race
    COMMIT;
    WAIT(0);  // FOLLOWS shared_race
#ifdef FIXED
    __syncthreads();
#endif
    y[t] = s[63 - t];  // DEFECT uninitialised_read|shared_race
}
""",
)
def waited_only_for_its_own_copies(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 64), blank("i4", 64)
    return run("others", 1, 64, x, y).gives(y, x[::-1])


@defect(
    KIND,
    FETCH
    + """
#ifdef FIXED
#define LEFT 1
#else
#define LEFT 2
#endif
extern "C" __global__ void three_stages(const int* x, int* y, int n) {
    __shared__ int s[3][32];
    int t = threadIdx.x, sum = 0;
    for (int k = 0; k < 2; ++k) { fetch(&s[k][t], x + k * 32 + t); COMMIT; }
    for (int k = 0; k < n; ++k) {
        WAIT(LEFT);
        __syncthreads();
        sum += s[k % 3][31 - t];  // DEFECT uninitialised_read|shared_race
        if (k + 2 < n) fetch(&s[(k + 2) % 3][t], x + (k + 2) * 32 + t);
        COMMIT;
    }
    y[t] = sum;
}
""",
)
def one_stage_too_many_in_flight(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 5, 32), blank("i4", 32)
    return run("three_stages", 1, 32, x, y, 5).gives(y, x.sum(0)[::-1].astype("i4"))


@defect(
    KIND,
    """
#include <cuda/pipeline>
extern "C" __global__ void through(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    auto pipe = cuda::make_pipeline();
    pipe.producer_acquire();
    cuda::memcpy_async(&s[t], x + t, sizeof(int), pipe);
    pipe.producer_commit();
#ifdef FIXED
    pipe.consumer_wait();
#endif
    __syncthreads();
    y[t] = s[31 - t] + 1;  // DEFECT uninitialised_read|shared_race
    pipe.consumer_release();
}
""",
    arch="sm_80",
)
def pipeline_without_a_consumer_wait(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 32), blank("i4", 32)
    return run("through", 1, 32, x, y).gives(y, x[::-1] + 1)


@defect(
    KIND,
    FETCH
    + """
extern "C" __global__ void refill(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    fetch(&s[t], x + t);
    COMMIT;
    WAIT(0);
    __syncthreads();
    int a = s[63 - t];  // DEFECT shared_race
#ifdef FIXED
    __syncthreads();
#endif
    fetch(&s[t], x + 64 + t);  // DEFECT shared_race
    COMMIT;
    WAIT(0);  // DEFECT shared_race
    __syncthreads();
    y[t] = a - s[63 - t];
}
""",
)
def refilled_while_others_read(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 128), blank("i4", 64)
    return run("refill", 1, 64, x, y).gives(y, (x[:64] - x[64:])[::-1])
