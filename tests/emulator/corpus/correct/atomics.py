"""Atomics of all widths, CAS loops, locks, queues and tables built on them."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Array, Collection, Draw, Plan, blank, from_bf16, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void all32(int* s, unsigned* u, const int* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicAdd(s + 0, x[i]);
    atomicSub(s + 1, x[i]);
    atomicMin(s + 2, x[i]);
    atomicMax(s + 3, x[i]);
    atomicAdd(u + 0, (unsigned)x[i]);
    atomicMin(u + 1, (unsigned)x[i]);
    atomicMax(u + 2, (unsigned)x[i]);
    atomicAnd(u + 3, (unsigned)x[i] | 0xf0f0f0f0u);
    atomicOr(u + 4, (unsigned)x[i] & 0x0f0f0f0fu);
    atomicXor(u + 5, (unsigned)x[i]);
    atomicInc(u + 6, 99);
    atomicDec(u + 7, 99);
}
""")
def every_32_bit_operation(draw: Draw) -> Plan:
    x = draw.bits("i4", 333)
    s, u = np.array([5, 5, 5, 5], "i4"), np.array([1, 9, 9, 0xFFFFFFFF, 0, 3, 0, 0], "u4")
    v = x.view("u4")

    def wrap(value: int) -> int:
        return (value + 2**31) % 2**32 - 2**31

    total = int(x.astype("i8").sum())
    want_s = [wrap(5 + total), wrap(5 - total), min(5, int(x.min())), max(5, int(x.max()))]
    down = 0
    for _ in range(333):
        down = 99 if down == 0 or down > 99 else down - 1
    want_u = [
        (1 + int(v.astype("u8").sum())) % 2**32,
        min(9, int(v.min())),
        max(9, int(v.max())),
        int(np.bitwise_and.reduce(v | np.uint32(0xF0F0F0F0))),
        int(np.bitwise_or.reduce(v & np.uint32(0x0F0F0F0F))),
        3 ^ int(np.bitwise_xor.reduce(v)),
        333 % 100,
        down,
    ]
    return run("all32", 3, 128, s, u, x, 333).gives(s, np.array(want_s, "i4")).gives(u, np.array(want_u, "u4"))


@case("""
typedef unsigned long long u64;
extern "C" __global__ void all64(long long* s, u64* u, const long long* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicMin(s + 0, x[i]);
    atomicMax(s + 1, x[i]);
    atomicAdd(u + 0, (u64)x[i]);
    atomicMin(u + 1, (u64)x[i]);
    atomicMax(u + 2, (u64)x[i]);
    atomicAnd(u + 3, (u64)x[i] | 0xff00ff00ff00ff00ull);
    atomicOr(u + 4, (u64)x[i] & 0x00ff00ff00ff00ffull);
    atomicXor(u + 5, (u64)x[i]);
}
""")
def every_64_bit_operation(draw: Draw) -> Plan:
    x = draw.bits("i8", 200)
    s, u = np.zeros(2, "i8"), np.array([0, 2**64 - 1, 0, 2**64 - 1, 0, 0], "u8")
    v = x.view("u8")
    want = [
        sum(v.tolist()) % 2**64,
        int(v.min()),
        int(v.max()),
        int(np.bitwise_and.reduce(v | np.uint64(0xFF00FF00FF00FF00))),
        int(np.bitwise_or.reduce(v & np.uint64(0x00FF00FF00FF00FF))),
        int(np.bitwise_xor.reduce(v)),
    ]
    plan = run("all64", 2, 128, s, u, x, 200)
    return plan.gives(s, np.array([min(0, x.min()), max(0, x.max())], "i8")).gives(u, np.array(want, "u8"))


@case("""
extern "C" __global__ void returned(int* counter, int* order, int* exchanged, int* slot, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    order[atomicAdd(counter, 1)] = 1;
    exchanged[i] = atomicExch(slot, i + 1);
}
""")
def old_values_are_each_given_once(draw: Draw) -> Plan:
    counter, order, slot, exchanged = np.zeros(1, "i4"), np.zeros(300, "i4"), np.zeros(1, "i4"), blank("i4", 301)

    # What was exchanged out, with what is left at the end, is every value once.
    plan = run("returned", 3, 128, counter, order, exchanged, slot, 300)
    plan.gives(order, np.ones(300, "i4")).gives(counter, np.array([300], "i4"))

    def chain(array: np.ndarray) -> np.ndarray:
        return np.sort(np.append(array[:300], slot[0]))

    return plan.gives(exchanged, np.arange(301, dtype="i4"), decode=chain)


@case("""
extern "C" __global__ void floats(const float* x, float* sum, double* wide, float* local, int n) {
    __shared__ float part;
    if (threadIdx.x == 0) part = 0.0f;
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { atomicAdd(sum, x[i]); atomicAdd(wide, (double)x[i]); atomicAdd(&part, x[i]); }
    __syncthreads();
    if (threadIdx.x == 0) local[blockIdx.x] = part;
}
""")
def float_and_double_add(draw: Draw) -> Plan:
    x = draw.ints("i4", -100, 100, 500).astype("f4")  # whole numbers: any order gives the same sum
    total, wide, local = np.zeros(1, "f4"), np.zeros(1, "f8"), blank("f4", 4)
    plan = run("floats", 4, 128, x, total, wide, local, 500)
    parts = [x[i : i + 128].sum(dtype="f8") for i in range(0, 500, 128)]
    return plan.gives(total, [x.sum()], ulps=0).gives(wide, [x.sum()], ulps=0).gives(local, parts, ulps=0)


@case("""
__device__ float atomic_max(float* p, float v) {
    int* bits = reinterpret_cast<int*>(p);
    int seen = *bits, assumed;
    do {
        assumed = seen;
        if (__int_as_float(assumed) >= v) break;
        seen = atomicCAS(bits, assumed, __float_as_int(v));
    } while (seen != assumed);
    return __int_as_float(seen);
}
__device__ double atomic_multiply(double* p, double v) {
    unsigned long long* bits = reinterpret_cast<unsigned long long*>(p);
    unsigned long long seen = *bits, assumed;
    do { assumed = seen; seen = atomicCAS(bits, assumed, __double_as_longlong(__longlong_as_double(assumed) * v)); }
    while (seen != assumed);
    return __longlong_as_double(seen);
}
extern "C" __global__ void loops(const float* x, float* m, double* p, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { atomic_max(m, x[i]); atomic_multiply(p, i % 2 ? 2.0 : 0.5); }
}
""")
def compare_and_swap_loops(draw: Draw) -> Plan:
    x, m, p = draw.f32(300), np.full(1, -1e30, "f4"), np.ones(1, "f8")
    return run("loops", 3, 128, x, m, p, 300).gives(m, [x.max()], ulps=0).gives(p, [1.0], ulps=0)


@case("""
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void small(__half2* h, __nv_bfloat162* b, __half* one, __nv_bfloat16* single) {
    int bin = threadIdx.x % 4;
    atomicAdd(h + bin, __floats2half2_rn(1.0f, -2.0f));
    atomicAdd(b + bin, __floats2bfloat162_rn(0.5f, 1.0f));
    atomicAdd(one + bin, __float2half(0.25f));
    atomicAdd(single + bin, __float2bfloat16(2.0f));
}
""")
def half_and_bfloat16_add(draw: Draw) -> Plan:
    h, b, one, single = np.zeros((4, 2), "f2"), np.zeros((4, 2), "u2"), np.zeros(4, "f2"), np.zeros(4, "u2")
    plan = run("small", 1, 64, h, b, one, single)
    plan.gives(h, np.tile([16.0, -32.0], (4, 1)), ulps=0).gives(b, np.tile([8.0, 16.0], (4, 1)), decode=from_bf16)
    return plan.gives(one, np.full(4, 4.0), ulps=0).gives(single, np.full(4, 32.0), decode=from_bf16)


@case("""
extern "C" __global__ void small_swap(unsigned short* slots, int* won) {
    unsigned short mine = threadIdx.x + 1;
    unsigned short old = atomicCAS(slots + threadIdx.x % 8, (unsigned short)0xffff, mine);
    if (old == 0xffff) atomicAdd(won + threadIdx.x % 8, 1);
}
""")
def compare_and_swap_of_16_bits(draw: Draw) -> Plan:
    slots, won = np.full(8, 0xFFFF, "u2"), np.zeros(8, "i4")
    plan = run("small_swap", 1, 64, slots, won).gives(won, np.ones(8, "i4"))
    return plan.gives(slots, np.arange(8), decode=lambda a: (a.astype("i4") - 1) % 8)


@case("""
__device__ int lock = 0;
extern "C" __global__ void critical(int* value) {
    bool done = false;
    while (!done) {
        if (atomicCAS(&lock, 0, 1) == 0) {
            __threadfence();
            volatile int* v = value;
            *v = *v * 3 % 1000003 + 1;
            __threadfence();
            atomicExch(&lock, 0);
            done = true;
        }
    }
}
""")
def spin_lock_by_every_thread(draw: Draw) -> Plan:
    value = np.ones(1, "i4")
    want = 1
    for _ in range(3 * 64):
        want = want * 3 % 1000003 + 1
    return run("critical", 3, 64, value).gives(value, np.array([want], "i4"))


@case("""
extern "C" __global__ void append(int* lock, volatile int* list, volatile int* length) {
    __shared__ int sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, threadIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) {
        while (atomicCAS(lock, 0, 1) != 0) __nanosleep(20);
        __threadfence();
        int n = *length;
        list[n] = sum + blockIdx.x;
        *length = n + 1;
        __threadfence();
        atomicExch(lock, 0);
    }
}
""")
def spin_lock_by_one_thread_a_block(draw: Draw) -> Plan:
    lock, values, length = np.zeros(1, "i4"), blank("i4", 12), np.zeros(1, "i4")
    plan = (
        run("append", 12, 64, lock, values, length).gives(length, np.array([12], "i4")).gives(lock, np.zeros(1, "i4"))
    )
    return plan.gives(values, np.arange(12, dtype="i4") + 2016, decode=np.sort)


@case("""
extern "C" __global__ void in_turn(int* log) {
    __shared__ volatile unsigned serving;
    __shared__ unsigned next;
    __shared__ int position;
    if (threadIdx.x == 0) { serving = 0; next = 0; position = 0; }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        unsigned mine = atomicAdd(&next, 1u);
        while (serving != mine) { }
        __threadfence_block();
        log[atomicAdd(&position, 1)] = mine;
        __threadfence_block();
        serving = mine + 1;
    }
}
""")
def ticket_lock_among_warps(draw: Draw) -> Plan:
    log = blank("i4", 8)
    return run("in_turn", 1, 256, log).gives(log, np.arange(8, dtype="i4"))


@case("""
extern "C" __global__ void histogram(const unsigned char* x, unsigned* bins, int n) {
    __shared__ unsigned local[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[x[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x) if (local[i]) atomicAdd(&bins[i], local[i]);
}
""")
def histogram_privatised(draw: Draw) -> Plan:
    x, bins = draw.bits("u1", 5000), np.zeros(256, "u4")
    return run("histogram", 4, 96, x, bins, 5000).gives(bins, np.bincount(x, minlength=256).astype("u4"))


@case("""
// Open addressing: keys inserted by CAS, values summed; each key is inserted many times.
extern "C" __global__ void insert(const int* keys, const int* values, int* table, int* sums, int n, int capacity) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned slot = (unsigned)keys[i] * 2654435761u % capacity;
    while (true) {
        int old = atomicCAS(table + slot, -1, keys[i]);
        if (old == -1 || old == keys[i]) { atomicAdd(sums + slot, values[i]); return; }
        slot = (slot + 1) % capacity;
    }
}
extern "C" __global__ void find(const int* queries, const int* table, const int* sums, int* out, int n, int capacity) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned slot = (unsigned)queries[i] * 2654435761u % capacity;
    int found = -1;
    while (table[slot] != -1) { if (table[slot] == queries[i]) { found = sums[slot]; break; } slot = (slot + 1) % capacity; }
    out[i] = found;
}
""")
def hash_table(draw: Draw) -> Plan:
    keys, values = draw.ints("i4", 0, 150, 800), draw.ints("i4", 0, 100, 800)
    table, sums, out = np.full(211, -1, "i4"), np.zeros(211, "i4"), blank("i4", 170)
    queries = np.arange(170, dtype="i4")
    want = [int(values[keys == q].sum()) if (keys == q).any() else -1 for q in range(170)]
    plan = run("insert", 7, 128, keys, values, table, sums, 800, 211).then(
        "find", 2, 128, queries, table, sums, out, 170, 211
    )
    return plan.gives(out, np.array(want, "i4"))


@case("""
#include <cuda/atomic>
extern "C" __global__ void scoped(int* plain, unsigned long long* wide, int* flag, const int* x, int n) {
    __shared__ cuda::atomic<int, cuda::thread_scope_block> count;
    if (threadIdx.x == 0) new (&count) cuda::atomic<int, cuda::thread_scope_block>(0);
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        count.fetch_add(x[i], cuda::memory_order_relaxed);
        cuda::atomic_ref<unsigned long long, cuda::thread_scope_device> w(*wide);
        w.fetch_max((unsigned long long)x[i], cuda::memory_order_acq_rel);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        cuda::atomic_ref<int, cuda::thread_scope_device> p(*plain);
        p.fetch_add(count.load());
        int expected = 0;
        cuda::atomic_ref<int> f(*flag);
        f.compare_exchange_strong(expected, (int)blockIdx.x + 1);
    }
}
""")
def atomic_ref_with_scopes(draw: Draw) -> Plan:
    x, plain, wide, flag = draw.ints("i4", 0, 99, 300), np.zeros(1, "i4"), np.zeros(1, "u8"), np.zeros(1, "i4")
    plan = run("scoped", 3, 128, plain, wide, flag, x, 300).gives(plain, np.array([x.sum()], "i4"))
    plan.gives(wide, np.array([x.max()], "u8"))
    return plan.gives(flag, np.array([True]), decode=lambda a: (a >= 1) & (a <= 3))


@case("""
extern "C" __global__ void relay(const int* x, int* out, int n) {
    __shared__ volatile int box, full;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) full = 0;
    __syncthreads();
    for (int i = 0; i < n; ++i) {
        if (warp == 0 && lane == 0) { while (full) { } box = x[i] * 2; __threadfence_block(); full = 1; }
        if (warp == 1 && lane == 0) { while (!full) { } __threadfence_block(); out[i] = box + 1; __threadfence_block(); full = 0; }
    }
}
""")
def producer_and_consumer_warps(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 20), blank("i4", 20)
    return run("relay", 1, 64, x, out, 20).gives(out, 2 * x + 1)


@case(
    """
extern "C" __global__ void vector_add(float4* four, float2* two) {
    atomicAdd(four + threadIdx.x % 3, make_float4(1.0f, 2.0f, 3.0f, 4.0f));
    atomicAdd(two + threadIdx.x % 3, make_float2(-1.0f, 0.5f));
}
""",
    archs=("sm_90", "sm_100"),
)
def float4_add(draw: Draw) -> Plan:
    four, two = np.zeros((3, 4), "f4"), np.zeros((3, 2), "f4")
    plan = run("vector_add", 1, 96, four, two)
    return plan.gives(four, np.tile([32.0, 64, 96, 128], (3, 1)), ulps=0).gives(
        two, np.tile([-32.0, 16], (3, 1)), ulps=0
    )


@case("""
struct __align__(16) Pair { unsigned long long best; unsigned long long owner; };
extern "C" __global__ void largest(Pair* p, const unsigned long long* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Pair assumed = {0, 0}, mine = {x[i], (unsigned long long)i};
    while (assumed.best < mine.best) {
        Pair seen = atomicCAS(p, assumed, mine);
        if (seen.best == assumed.best && seen.owner == assumed.owner) break;
        assumed = seen;
    }
}
""")
def compare_and_swap_of_128_bits(draw: Draw) -> Plan:
    x, pair = draw.ints("u8", 1, 2**62, 150), np.zeros(4, "u8")
    at = pair[0 if pair.ctypes.data % 16 == 0 else 1 :][:2]  # 16-byte aligned
    return run("largest", 2, 128, at, x, 150).gives(at, np.array([x.max(), x.argmax()], "u8"))


@case("""
struct __align__(16) Pair { unsigned long long a, b; };
__device__ __noinline__ Pair swap(Pair* p, Pair v) { return atomicExch(p, v); }
extern "C" __global__ void chain(Pair* global, Pair* seen) {
    __shared__ Pair s;
    if (threadIdx.x == 0) s = Pair{1000, 2000};
    __syncthreads();
    Pair mine = {threadIdx.x, ~(unsigned long long)threadIdx.x};
    Pair one = swap(threadIdx.x % 2 ? &s : global, mine);   // generic addresses of two spaces
    seen[threadIdx.x] = one;
    __syncthreads();
    if (threadIdx.x == 0) { seen[64] = s; seen[65] = *global; }
}
""")
def exchange_of_128_bits(draw: Draw) -> Plan:
    # Every value that was put in comes out once, whole: in what the threads saw, or at the end.
    raw = np.zeros(4, "u8"), blank("u8", 2 * 66 + 1)
    place, seen = (a[(a.ctypes.data % 16) // 8 :] for a in raw)
    place[:2] = 3000, 4000

    def rows(out: Array) -> Array:
        found = out[: 2 * 66].reshape(66, 2)
        return found[np.lexsort(found.T[::-1])]

    t = np.arange(64, dtype="u8")
    want = np.concatenate([np.stack([t, ~t], 1), np.array([[1000, 2000], [3000, 4000]], "u8")])
    return run("chain", 1, 64, place[:2], seen[: 2 * 66]).gives(seen[: 2 * 66], want, decode=rows)


@case("""
__device__ int root(const volatile int* parent, int v) { while (parent[v] != v) v = parent[v]; return v; }
extern "C" __global__ void unite(const int2* edges, int* parent, int m) {
    int e = blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= m) return;
    int a = root(parent, edges[e].x), b = root(parent, edges[e].y);
    while (a != b) {
        int high = max(a, b), low = min(a, b);
        int old = atomicMin(parent + high, low);
        if (old == high) break;
        a = root(parent, old);
        b = root(parent, low);
    }
}
extern "C" __global__ void flatten(int* parent, int n) {
    int v = threadIdx.x;
    int r = v < n ? root(parent, v) : 0;
    __syncthreads();
    if (v < n) parent[v] = r;
}
""")
def union_find(draw: Draw) -> Plan:
    n, m = 60, 45
    edges, parent = draw.ints("i4", 0, n, m, 2), np.arange(n, dtype="i4")
    label = list(range(n))
    for a, b in edges.tolist():
        x, y = label[a], label[b]
        label = [min(x, y) if v in (x, y) else v for v in label]
    return run("unite", 2, 32, edges, parent, m).then("flatten", 1, 64, parent, n).gives(parent, np.array(label, "i4"))


@case("""
extern "C" __global__ void reductions_only(int* g, float* f, unsigned* s_out) {
    __shared__ unsigned s[4];
    if (threadIdx.x < 4) s[threadIdx.x] = threadIdx.x == 0 ? ~0u : 0u;
    __syncthreads();
    atomicAnd(&s[0], ~(1u << (threadIdx.x % 32)) | 1u);
    atomicOr(&s[1], 1u << (threadIdx.x % 8));
    atomicXor(&s[2], threadIdx.x);
    atomicMax(&s[3], threadIdx.x * 7 % 64);
    asm volatile("red.global.add.s32 [%0], %1;" :: "l"(g), "r"(2) : "memory");
    asm volatile("red.global.add.f32 [%0], %1;" :: "l"(f), "f"(0.5f) : "memory");
    __syncthreads();
    if (threadIdx.x < 4) s_out[threadIdx.x] = s[threadIdx.x];
}
""")
def shared_atomics_and_red(draw: Draw) -> Plan:
    g, f, s = np.zeros(1, "i4"), np.zeros(1, "f4"), blank("u4", 4)
    t = np.arange(64)
    want = np.array([1, 0xFF, np.bitwise_xor.reduce(t), (t * 7 % 64).max()], "u4")
    plan = run("reductions_only", 1, 64, g, f, s).gives(g, np.array([128], "i4")).gives(f, [32.0])
    return plan.gives(s, want)
