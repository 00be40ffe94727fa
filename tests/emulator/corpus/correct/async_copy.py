"""Asynchronous copies: cp.async and its pipelines, mbarrier, cuda::barrier, cuda::pipeline."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32
AMPERE = ("sm_80", "sm_90")


@case(
    """
extern "C" __global__ void copy(const float4* x, float* y) {
    __shared__ float4 s[64];
    int t = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(&s[t]);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(x + blockIdx.x * 64 + t) : "memory");
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    float4 v = s[63 - t];
    y[blockIdx.x * 64 + t] = v.x + v.y * 2 + v.z * 3 + v.w * 4;
}
""",
    archs=("sm_80", "sm_90", "sm_100", "sm_120"),
)
def wait_for_all(draw: Draw) -> Plan:
    x, y = draw.f32(2, 64, 4), blank("f4", 2, 64)
    want = (x.astype("f8") * [1, 2, 3, 4]).sum(2)[:, ::-1]
    return run("copy", 2, 64, x, y).gives(y, want)


@case("""
extern "C" __global__ void tail(const int* x, int* y, const long long* l, long long* m, int n) {
    __shared__ int s[128];
    __shared__ long long w[64];
    int t = threadIdx.x;
    unsigned to = (unsigned)__cvta_generic_to_shared(&s[t]);
    int bytes = t < n ? 4 : 0;                       // beyond n: zeros
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" :: "r"(to), "l"(x + (t < n ? t : 0)), "r"(bytes) : "memory");
    if (t < 64) {
        unsigned wide = (unsigned)__cvta_generic_to_shared(&w[t]);
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" :: "r"(wide), "l"(l + t) : "memory");
    }
    asm volatile("cp.async.commit_group;\\n cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    y[t] = s[127 - t];
    if (t < 64) m[t] = w[t ^ 3];
}
""")
def zero_fill_and_small_copies(draw: Draw) -> Plan:
    x, y, ints, m = draw.bits("i4", 100), blank("i4", 128), draw.bits("i8", 64), blank("i8", 64)
    want = np.concatenate([x, np.zeros(28, "i4")])[::-1]
    return run("tail", 1, 128, x, y, ints, m, 100).gives(y, want).gives(m, ints[np.arange(64) ^ 3])


@case(
    """
// Rows of a matrix, STAGES in flight: load tile k + STAGES - 1 while tile k is used.
#define STAGES 3
__device__ void fetch(float* to, const float* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from) : "memory");
}
extern "C" __global__ void accumulate(const float* x, float* y, int tiles) {
    __shared__ float s[STAGES][64];
    int t = threadIdx.x;
    for (int k = 0; k < STAGES - 1; ++k) {
        if (k < tiles) fetch(&s[k][t], x + k * 64 + t);
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    float sum = 0.0f;
    for (int k = 0; k < tiles; ++k) {
        asm volatile("cp.async.wait_group %0;" :: "n"(STAGES - 2) : "memory");
        __syncthreads();
        int next = k + STAGES - 1;
        if (next < tiles) fetch(&s[next % STAGES][t], x + next * 64 + t);
        asm volatile("cp.async.commit_group;" ::: "memory");
        sum = sum * 0.5f + s[k % STAGES][63 - t];
    }
    y[t] = sum;
}
""",
    archs=AMPERE,
)
def pipeline_of_three_stages(draw: Draw) -> Plan:
    x, y = draw.f32(7, 64), blank("f4", 64)
    total = np.zeros(64)
    for row in x.astype("f8"):
        total = total * 0.5 + row[::-1]
    return run("accumulate", 1, 64, x, y, 7).gives(y, total)


@case(
    """
#include <cuda_pipeline.h>
extern "C" __global__ void blur(const float* x, float* y, int tiles) {
    __shared__ float s[2][128];
    int t = threadIdx.x;
    __pipeline_memcpy_async(&s[0][t], x + t, 4);
    __pipeline_commit();
    for (int k = 0; k < tiles; ++k) {
        if (k + 1 < tiles) __pipeline_memcpy_async(&s[(k + 1) & 1][t], x + (k + 1) * 128 + t, 4);
        __pipeline_commit();
        __pipeline_wait_prior(1);
        __syncthreads();
        const float* c = s[k & 1];
        y[k * 128 + t] = 0.25f * c[t ? t - 1 : 0] + 0.5f * c[t] + 0.25f * c[t < 127 ? t + 1 : 127];
        __syncthreads();
    }
}
""",
    archs=AMPERE,
)
def pipeline_primitives(draw: Draw) -> Plan:
    x, y = draw.f32(4, 128), blank("f4", 4, 128)
    p = np.pad(x.astype("f8"), ((0, 0), (1, 1)), mode="edge")
    return run("blur", 1, 128, x, y, 4).gives(y, 0.25 * p[:, :-2] + 0.5 * p[:, 1:-1] + 0.25 * p[:, 2:])


@case(
    """
#include <cuda/pipeline>
extern "C" __global__ void through(const int* x, int* y, int tiles) {
    __shared__ int s[2][64];
    int t = threadIdx.x;
    auto pipe = cuda::make_pipeline();
    for (int k = 0; k <= tiles; ++k) {
        if (k < tiles) {
            pipe.producer_acquire();
            cuda::memcpy_async(&s[k & 1][t], x + k * 64 + t, sizeof(int), pipe);
            pipe.producer_commit();
        }
        if (k > 0) {
            if (k < tiles) cuda::pipeline_consumer_wait_prior<1>(pipe); else cuda::pipeline_consumer_wait_prior<0>(pipe);
            __syncthreads();
            y[(k - 1) * 64 + t] = s[(k - 1) & 1][t ^ 7] * 2;
            __syncthreads();
            pipe.consumer_release();
        }
    }
}
""",
    archs=AMPERE,
)
def pipeline_of_one_thread(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -999, 999, 5, 64), blank("i4", 5, 64)
    return run("through", 1, 64, x, y, 5).gives(y, 2 * x[:, np.arange(64) ^ 7])


@case(
    """
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ void wait(const void* bar, unsigned phase) {
    asm volatile("{ .reg .pred p;\\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\\n"
                 "@!p bra again; }" :: "r"(at(bar)), "r"(phase) : "memory");
}
extern "C" __global__ void phases(const int* x, int* y, int rounds) {
    __shared__ alignas(8) unsigned long long bar;
    __shared__ int s[96];
    int t = threadIdx.x;
    if (t == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(at(&bar)), "r"(96) : "memory");
    __syncthreads();
    int v = x[t];
    for (int r = 0; r < rounds; ++r) {
        s[t] = v;
        asm volatile("{ .reg .b64 token; mbarrier.arrive.shared::cta.b64 token, [%0]; }" :: "r"(at(&bar)) : "memory");
        wait(&bar, (2 * r) & 1);
        v = s[(t + 1) % 96] + r;
        asm volatile("{ .reg .b64 token; mbarrier.arrive.shared::cta.b64 token, [%0]; }" :: "r"(at(&bar)) : "memory");
        wait(&bar, (2 * r + 1) & 1);
    }
    y[t] = v;
}
""".replace("again:", "again_%=:").replace("bra again;", "bra again_%=;"),
    archs=("sm_90", "sm_100", "sm_120"),
)
def mbarrier_phases(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -999, 999, 96), blank("i4", 96)
    return run("phases", 1, 96, x, y, 4).gives(y, np.roll(x, -4) + 6)


@case(
    """
#include <cuda/barrier>
extern "C" __global__ void split(const int* x, int* y, int rounds) {
    using barrier = cuda::barrier<cuda::thread_scope_block>;
    __shared__ alignas(barrier) unsigned char store[sizeof(barrier)];
    __shared__ int s[2][64];
    barrier* bar = reinterpret_cast<barrier*>(store);
    int t = threadIdx.x;
    if (t == 0) init(bar, blockDim.x);
    __syncthreads();
    int v = x[t];
    for (int r = 0; r < rounds; ++r) {
        s[r & 1][t] = v;
        barrier::arrival_token token = bar->arrive();
        int own = v * 3;                               // work that needs nobody else
        bar->wait(std::move(token));
        v = own + s[r & 1][63 - t];
    }
    bar->arrive_and_wait();
    y[t] = v;
}
""".replace("std::move", "cuda::std::move"),
    archs=AMPERE,
)
def barrier_arrive_then_wait(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 64), blank("i4", 64)
    v = x.copy()
    for _ in range(5):
        v = v * 3 + v[::-1]
    return run("split", 1, 64, x, y, 5).gives(y, v)


@case(
    """
#include <cuda/barrier>
extern "C" __global__ void bulk(const int* x, int* y) {
    using barrier = cuda::barrier<cuda::thread_scope_block>;
    __shared__ alignas(barrier) unsigned char store[sizeof(barrier)];
    __shared__ int s[128];
    barrier& bar = *reinterpret_cast<barrier*>(store);
    if (threadIdx.x == 0) init(&bar, blockDim.x);
    __syncthreads();
    cuda::memcpy_async(&s[threadIdx.x], &x[threadIdx.x], sizeof(int), bar);
    bar.arrive_and_wait();
    y[threadIdx.x] = s[127 - threadIdx.x];
}
""",
    archs=("sm_80",),
)
def memcpy_async_with_a_barrier(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 128), blank("i4", 128)
    return run("bulk", 1, 128, x, y).gives(y, x[::-1])


@case(
    """
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
extern "C" __global__ void noinc(const int* x, int* y) {
    __shared__ alignas(8) unsigned long long bar;
    __shared__ int s[64];
    int t = threadIdx.x;
    if (t == 0) asm volatile("mbarrier.init.shared.b64 [%0], 64;" :: "r"(at(&bar)) : "memory");
    __syncthreads();
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(at(&s[t])), "l"(x + t) : "memory");
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" :: "r"(at(&bar)) : "memory");
    unsigned ready = 0;
    while (!ready)
        asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                     : "=r"(ready) : "r"(at(&bar)) : "memory");
    y[t] = s[t ^ 33];
}
""",
    archs=("sm_90",),
)
def copies_that_arrive_at_an_mbarrier(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 64), blank("i4", 64)
    return run("noinc", 1, 64, x, y).gives(y, x[np.arange(64) ^ 33])


@case(
    """
#include <cuda_pipeline.h>
#define TILE 16
extern "C" __global__ void matmul(const float* a, const float* b, float* c, int n) {
    __shared__ __align__(16) float sa[2][TILE][TILE], sb[2][TILE][TILE];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * TILE + y, col = blockIdx.x * TILE + x;
    auto load = [&](int k, int stage) {
        __pipeline_memcpy_async(&sa[stage][y][x], a + row * n + k * TILE + x, 4);
        __pipeline_memcpy_async(&sb[stage][y][x], b + (k * TILE + y) * n + col, 4);
        __pipeline_commit();
    };
    load(0, 0);
    float sum = 0.0f;
    int tiles = n / TILE;
    for (int k = 0; k < tiles; ++k) {
        if (k + 1 < tiles) { load(k + 1, (k + 1) & 1); __pipeline_wait_prior(1); } else __pipeline_wait_prior(0);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < TILE; ++j) sum += sa[k & 1][y][j] * sb[k & 1][j][x];
        __syncthreads();
    }
    c[row * n + col] = sum;
}
""",
    archs=("sm_80",),
)
def matmul_with_two_stages(draw: Draw) -> Plan:
    a, b, c = draw.f32(48, 48), draw.f32(48, 48), blank("f4", 48, 48)
    return run("matmul", (3, 3), (16, 16), a, b, c, 48).gives(c, a.astype("f8") @ b)
