"""Kernels that never end (4), that return before a barrier (3), that follow a null pointer (3)."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
defect = cases.defect
F = np.float32
KIND = "endless loop, early exit, null pointer"


@defect(
    KIND,
    """
extern "C" __global__ void wait(volatile int* flag, int* y) {
#ifdef FIXED
    if (threadIdx.x == 0) *flag = 1;
#endif
    while (*flag == 0) { }  // DEFECT endless_loop
    y[threadIdx.x] = 1;
}
""",
)
def waits_for_a_flag_nobody_sets(draw: Draw) -> Plan:
    flag, y = np.zeros(1, "i4"), blank("i4", 32)
    return run("wait", 1, 32, flag, y).gives(y, np.ones(32, "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void fill(float* y, int n, int stride) {
#ifdef FIXED
    int step = stride > 0 ? stride : blockDim.x * gridDim.x;
#else
    int step = stride;
#endif
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)  // DEFECT endless_loop
        y[i] = 1.0f;  // DEFECT endless_loop
}
""",
)
def stride_of_zero(draw: Draw) -> Plan:
    y = blank("f4", 100)
    return run("fill", 1, 32, y, 100, 0).gives(y, np.ones(100))


@defect(
    KIND,
    """
extern "C" __global__ void turns(int* lock, int* value) {
    if (threadIdx.x == 0) {
        while (atomicCAS(lock, 0, 1) != 0) { }  // DEFECT endless_loop
        *value += 1;
        __threadfence();
#ifdef FIXED
        atomicExch(lock, 0);
#endif
    }
}
""",
)
def lock_that_is_never_released(draw: Draw) -> Plan:
    lock, value = np.zeros(1, "i4"), np.zeros(1, "i4")
    return run("turns", 3, 32, lock, value).gives(value, np.array([3], "i4"))


@defect(
    KIND,
    """
extern "C" __global__ void countdown(const int* x, volatile int* y, unsigned n) {
#ifdef FIXED
    for (unsigned i = n; i-- > 0; )
#else
    for (unsigned i = n - 1; i >= 0; --i)  // DEFECT endless_loop
#endif
        y[threadIdx.x] = x[i % n];  // DEFECT endless_loop
}
""",
)
def unsigned_counter_below_zero(draw: Draw) -> Plan:
    x, y = draw.bits("i4", 10), blank("i4", 32)
    return run("countdown", 1, 32, x, y, 10).gives(y, np.full(32, x[0]))


@defect(
    KIND,
    """
extern "C" __global__ void reverse(const float* x, float* y, int n) {
    __shared__ float s[64];
    int t = threadIdx.x;
#ifndef FIXED
    if (t >= n) return;
    s[t] = x[t];
#else
    if (t < n) s[t] = x[t];
#endif
    __syncthreads();  // DEFECT exit_before_barrier
    if (t < n) y[t] = s[n - 1 - t];
}
""",
)
def bounds_check_that_returns(draw: Draw) -> Plan:
    x, y = draw.f32(50), blank("f4", 50)
    return run("reverse", 1, 64, x, y, 50).gives(y, x[::-1], ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void negatives(const int* x, int* y) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
#ifdef FIXED
    if (x[threadIdx.x] < 0) atomicAdd(&count, 1);
#else
    if (x[threadIdx.x] >= 0) return;
    atomicAdd(&count, 1);
#endif
    __syncthreads();  // DEFECT exit_before_barrier
    if (threadIdx.x == 0) *y = count;
}
""",
)
def data_decides_who_returns(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -50, 50, 32), blank("i4", 1)
    return run("negatives", 1, 32, x, y).gives(y, np.array([(x < 0).sum()], "i4"))


@defect(
    KIND,
    """
__device__ bool load(const float* x, float* s, int i, int n) {
    if (i < n) s[threadIdx.x] = x[i];
    return i < n;
}
extern "C" __global__ void rounds(const float* x, float* y, int n) {
    __shared__ float s[32];
    float sum = 0.0f;
    for (int base = 0; base < n; base += 32) {
#ifdef FIXED
        if (!load(x, s, base + threadIdx.x, n)) s[threadIdx.x] = 0.0f;
#else
        if (!load(x, s, base + threadIdx.x, n)) return;
#endif
        __syncthreads();  // DEFECT exit_before_barrier
        for (int k = 0; k < 32 && base + k < n; ++k) sum += s[k];
        __syncthreads();  // DEFECT exit_before_barrier
    }
    y[threadIdx.x] = sum;
}
""",
)
def return_from_a_tile_loop(draw: Draw) -> Plan:
    x, y = draw.f32(75), blank("f4", 32)
    return run("rounds", 1, 32, x, y, 75).gives(y, np.full(32, x.astype("f8").sum()), ulps=64)


@defect(
    KIND,
    """
extern "C" __global__ void linear(const float* x, const float* bias, float* y, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
#ifdef FIXED
    float b = bias ? bias[i] : 0.0f;
#else
    float b = bias[i];  // DEFECT null_pointer
#endif
    y[i] = x[i] + b;
}
""",
)
def optional_argument_not_checked(draw: Draw) -> Plan:
    x, y = draw.f32(64), blank("f4", 64)
    return run("linear", 1, 64, x, 0, y, 64).gives(y, x, ulps=0)


@defect(
    KIND,
    """
extern "C" __global__ void rows(float* const* rows, float* y, int n) {
    int r = threadIdx.x;
    if (r >= n) return;
    const float* row = rows[r];
    float v = -1.0f;
#ifdef FIXED
    if (row != nullptr)
#endif
        v = row[2];  // DEFECT null_pointer
    y[r] = v;
}
""",
)
def empty_slot_in_a_table_of_pointers(draw: Draw) -> Plan:
    a, b, y = draw.f32(4), draw.f32(4), blank("f4", 3)
    table = np.array([a.ctypes.data, 0, b.ctypes.data], "u8")
    return run("rows", 1, 32, table, y, 3).reaches(a, b).gives(y, [a[2], -1, b[2]], ulps=0)


@defect(
    KIND,
    """
struct Node { int value; Node* next; };
extern "C" __global__ void third(const Node* const* heads, int* y) {
    const Node* p = heads[threadIdx.x];
    int sum = 0;
    for (int k = 0; k < 3; ++k) {
#ifdef FIXED
        if (!p) break;
#endif
        sum += p->value;  // DEFECT null_pointer
        p = p->next;  // DEFECT null_pointer
    }
    y[threadIdx.x] = sum;
}
""",
)
def list_shorter_than_expected(draw: Draw) -> Plan:
    nodes = np.zeros(5, np.dtype([("value", "i4"), ("pad", "i4"), ("next", "u8")]))
    base = nodes.ctypes.data
    nodes["value"] = [1, 10, 100, 1000, 10000]
    nodes["next"] = [base + 16, base + 32, 0, base + 64, 0]
    heads, y = np.array([base, base + 48], "u8"), blank("i4", 2)
    return run("third", 1, 2, heads, y).reaches(nodes).gives(y, np.array([111, 11000], "i4"))
