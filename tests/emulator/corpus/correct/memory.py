"""Memory: static and dynamic shared memory, local arrays, generic addresses, unaligned data, padding."""

from __future__ import annotations

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


@case("""
extern "C" __global__ void reverse(int* data, int n) {
    __shared__ int tile[128];
    int t = threadIdx.x;
    if (t < n) tile[t] = data[t];
    __syncthreads();
    if (t < n) data[t] = tile[n - 1 - t];
}
""")
def static_shared(draw: Draw) -> Plan:
    data = draw.bits("i4", 100)
    return run("reverse", 1, 128, data, 100).gives(data, data[::-1])


@case("""
extern "C" __global__ void reverse(double* data) {
    extern __shared__ double tile[];
    int t = threadIdx.x, n = blockDim.x, base = blockIdx.x * n;
    tile[t] = data[base + t];
    __syncthreads();
    data[base + t] = tile[n - 1 - t];
}
""")
def dynamic_shared(draw: Draw) -> Plan:
    data = draw.f64(3, 96)
    return run("reverse", 3, 96, data, shared=96 * 8).gives(data, data[:, ::-1], ulps=0)


@case("""
extern "C" __global__ void carve(const float* x, const int* key, float* out, int n) {
    extern __shared__ __align__(16) unsigned char raw[];
    double* sums = reinterpret_cast<double*>(raw);
    float* values = reinterpret_cast<float*>(sums + 8);
    short* keys = reinterpret_cast<short*>(values + n);
    int t = threadIdx.x;
    if (t < 8) sums[t] = 0.0;
    if (t < n) { values[t] = x[t]; keys[t] = key[t]; }
    __syncthreads();
    if (t < 8) for (int i = 0; i < n; ++i) if (keys[i] == t) sums[t] += values[i];
    __syncthreads();
    if (t < n) out[t] = (float)sums[keys[t]];
}
""")
def dynamic_shared_carved_in_three(draw: Draw) -> Plan:
    x, key, out = draw.f32(75), draw.ints("i4", 0, 8, 75), blank("f4", 75)
    sums = np.bincount(key, x.astype("f8"), minlength=8)
    return run("carve", 1, 96, x, key, out, 75, shared=64 + 75 * 4 + 75 * 2).gives(out, sums[key])


@case("""
extern "C" __global__ void transpose(const float* in, float* out, int rows, int cols) {
    __shared__ float tile[32][33];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8) if (x < cols && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * cols + x];
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x;
    y = blockIdx.x * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8) if (x < rows && y + j < cols) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}
""")
def transpose_with_padding(draw: Draw) -> Plan:
    a, b = draw.f32(70, 45), blank("f4", 45, 70)
    return run("transpose", (2, 3), (32, 8), a, b, 70, 45).gives(b, a.T, ulps=0)


@case("""
extern "C" __global__ void digits(const unsigned* x, unsigned* most, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned char count[10] = {};
    for (unsigned v = x[i]; v; v /= 10) ++count[v % 10];
    int best = 0;
    for (int d = 1; d < 10; ++d) if (count[d] > count[best]) best = d;
    most[i] = best * 100 + count[best];
}
""")
def local_byte_array(draw: Draw) -> Plan:
    x, out = draw.bits("u4", 200), blank("u4", 200)

    def reference(v: int) -> int:
        count = [str(v).count(str(d)) if v else 0 for d in range(10)]
        best = int(np.argmax(count))
        return best * 100 + count[best]

    return run("digits", 2, 128, x, out, 200).gives(out, np.array([reference(v) for v in x.tolist()], "u4"))


@case("""
extern "C" __global__ void invert(const double* in, double* out, int n) {
    int m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= n) return;
    double a[4][8];
    for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 4; ++c) { a[r][c] = in[m * 16 + r * 4 + c]; a[r][4 + c] = r == c; }
    for (int k = 0; k < 4; ++k) {
        int pivot = k;
        for (int r = k + 1; r < 4; ++r) if (fabs(a[r][k]) > fabs(a[pivot][k])) pivot = r;
        for (int c = 0; c < 8; ++c) { double t = a[k][c]; a[k][c] = a[pivot][c]; a[pivot][c] = t; }
        double s = 1.0 / a[k][k];
        for (int c = 0; c < 8; ++c) a[k][c] *= s;
        for (int r = 0; r < 4; ++r) if (r != k) { double f = a[r][k]; for (int c = 0; c < 8; ++c) a[r][c] -= f * a[k][c]; }
    }
    for (int r = 0; r < 4; ++r) for (int c = 0; c < 4; ++c) out[m * 16 + r * 4 + c] = a[r][4 + c];
}
""")
def local_matrix_with_pivots(draw: Draw) -> Plan:
    a, b = draw.f64(40, 4, 4) + 2 * np.eye(4), blank("f8", 40, 4, 4)
    return run("invert", 2, 32, a, b, 40).gives(b, np.linalg.inv(a), rtol=1e-9, atol=1e-9)


@case("""
struct __attribute__((packed)) Packed { unsigned char tag; unsigned value; };
extern "C" __global__ void unpack(const unsigned char* raw, unsigned* out, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
    unsigned v;
    memcpy(&v, raw + 5 * i + 1, 4);
    const Packed* p = reinterpret_cast<const Packed*>(raw) + i;
    out[i] = v + p->tag + p->value;
}
""")
def packed_and_unaligned_bytes(draw: Draw) -> Plan:
    packed = np.zeros(40, np.dtype([("tag", "u1"), ("value", "<u4")]))
    packed["tag"], packed["value"] = draw.bits("u1", 40), draw.bits("u4", 40)
    out = blank("u4", 40)
    return run("unpack", 1, 64, packed.view("u1"), out, 40).gives(out, packed["value"] * np.uint32(2) + packed["tag"])


@case("""
struct __align__(16) Particle { float3 position; float mass; float3 velocity; int id; };
extern "C" __global__ void drift(Particle* p, int n, float dt) {
    __shared__ Particle stage[64];
    int i = blockIdx.x * blockDim.x + threadIdx.x, t = threadIdx.x;
    if (i < n) stage[t] = p[i];
    __syncthreads();
    if (i < n) {
        Particle q = stage[t];
        q.position.x += dt * q.velocity.x;
        q.position.y += dt * q.velocity.y;
        q.position.z += dt * q.velocity.z;
        q.id = -q.id;
        p[i] = q;
    }
}
""")
def array_of_structs(draw: Draw) -> Plan:
    kind = np.dtype([("position", "f4", 3), ("mass", "f4"), ("velocity", "f4", 3), ("id", "i4")])
    p = np.zeros(100, kind)
    p["position"], p["velocity"], p["id"] = draw.f32(100, 3), draw.f32(100, 3), np.arange(100)
    moved = p["position"].astype("f8") + 0.25 * p["velocity"]
    raw = p.view("f4").reshape(100, 8)
    want = raw.astype("f8")
    want[:, :3] = moved
    plan = run("drift", 2, 64, raw, 100, F(0.25))
    plan.gives(raw, moved, decode=lambda a: a[:, :3])
    return plan.gives(raw, -np.arange(100, dtype="i4"), decode=lambda a: a.view("i4")[:, 7])


@case("""
extern "C" __global__ void either(const int* far, int* out, int n) {
    __shared__ int near[64];
    int t = threadIdx.x;
    near[t] = t * 1000;
    __syncthreads();
    int own[4] = {t, t + 1, t + 2, t + 3};
    const int* p = t % 3 == 0 ? near : t % 3 == 1 ? far : own;
    int sum = 0;
    for (int k = 0; k < 4; ++k) sum += p[(t + k) % 4];
    out[t] = sum + __isShared(p) * 7;
}
""")
def generic_addresses(draw: Draw) -> Plan:
    far, out = draw.ints("i4", -99, 99, 4), blank("i4", 64)
    t = np.arange(64)
    want = np.where(t % 3 == 0, 6000 + 7, np.where(t % 3 == 1, far.sum(), 4 * t + 6))
    return run("either", 1, 64, far, out, 64).gives(out, want.astype("i4"))


@case("""
extern "C" __global__ void by_address(int* out) {
    __shared__ int box[64];
    unsigned base = (unsigned)__cvta_generic_to_shared(box);
    int t = threadIdx.x, v;
    asm volatile("st.shared.s32 [%0], %1;" :: "r"(base + 4 * t), "r"(t * t) : "memory");
    __syncthreads();
    asm volatile("ld.shared.s32 %0, [%1];" : "=r"(v) : "r"(base + 4 * (63 - t)) : "memory");
    out[t] = v;
}
""")
def shared_addresses_in_assembly(draw: Draw) -> Plan:
    out = blank("i4", 64)
    return run("by_address", 1, 64, out).gives(out, (63 - np.arange(64, dtype="i4")) ** 2)


@case("""
extern "C" __global__ void stencil(const float* in, float* out, int n, int steps) {
    __shared__ float buffer[2][130];
    int t = threadIdx.x;
    buffer[0][t + 1] = in[t];
    if (t == 0) buffer[0][0] = buffer[1][0] = 0.0f;
    if (t == n - 1) buffer[0][n + 1] = buffer[1][n + 1] = 0.0f;
    __syncthreads();
    for (int s = 0; s < steps; ++s) {
        const float* from = buffer[s & 1];
        float* to = buffer[(s + 1) & 1];
        to[t + 1] = 0.25f * from[t] + 0.5f * from[t + 1] + 0.25f * from[t + 2];
        __syncthreads();
    }
    out[t] = buffer[steps & 1][t + 1];
}
""")
def double_buffered_stencil(draw: Draw) -> Plan:
    x, y = draw.f32(128), blank("f4", 128)
    state = np.pad(x.astype("f8"), 1)
    for _ in range(9):
        state[1:-1] = 0.25 * state[:-2] + 0.5 * state[1:-1] + 0.25 * state[2:]
    return run("stencil", 1, 128, x, y, 128, 9).gives(y, state[1:-1])


@case("""
extern "C" __global__ void big(const int* in, int* out, int n) {
    extern __shared__ int store[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) store[(i * 7) % n] = in[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = store[i];
}
""")
def hundred_kilobytes_of_shared(draw: Draw) -> Plan:
    n = 25_600
    x, y, want = draw.bits("i4", n), blank("i4", n), np.zeros(n, "i4")
    want[(np.arange(n) * 7) % n] = x
    return run("big", 1, 256, x, y, n, shared=n * 4).gives(y, want)


@case("""
union Word { float f; unsigned u; unsigned char b[4]; };
extern "C" __global__ void swap_bytes(const float* x, unsigned* out, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
    Word w;
    w.f = x[i];
    unsigned char t = w.b[0]; w.b[0] = w.b[3]; w.b[3] = t;
    t = w.b[1]; w.b[1] = w.b[2]; w.b[2] = t;
    out[i] = w.u;
}
""")
def union_of_bytes(draw: Draw) -> Plan:
    x, out = draw.f32(50), blank("u4", 50)
    return run("swap_bytes", 1, 64, x, out, 50).gives(out, x.view("u4").byteswap())


@case("""
extern "C" __global__ void vectors(const short4* a, const longlong2* b, const uint2* c, long long* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    short4 s = a[i];
    longlong2 l = b[i];
    uint2 u = c[i];
    out[i] = (long long)s.x * s.y - s.z * s.w + (l.x ^ l.y) + ((unsigned long long)u.x << 32 | u.y);
}
""")
def vector_types(draw: Draw) -> Plan:
    a, b, c, out = draw.bits("i2", 90, 4), draw.bits("i8", 90, 2), draw.bits("u4", 90, 2), blank("i8", 90)
    s = a.astype("i8")
    word = (c[:, 0].astype("u8") << np.uint64(32) | c[:, 1]).view("i8")
    want = s[:, 0] * s[:, 1] - s[:, 2] * s[:, 3] + (b[:, 0] ^ b[:, 1]) + word
    return run("vectors", 1, 96, a, b, c, out, 90).gives(out, want)


@case("""
struct Scratch { union { int counts[64]; float values[64]; }; int total; };
extern "C" __global__ void reuse(const int* x, float* out) {
    __shared__ Scratch s;
    int t = threadIdx.x;
    s.counts[t] = x[t];
    __syncthreads();
    if (t == 0) { s.total = 0; for (int i = 0; i < 64; ++i) s.total += s.counts[i]; }
    __syncthreads();
    s.values[t] = (float)s.total / (t + 1);
    __syncthreads();
    out[t] = s.values[t ^ 1];
}
""")
def shared_memory_used_twice(draw: Draw) -> Plan:
    x, out = draw.ints("i4", 0, 100, 64), blank("f4", 64)
    return run("reuse", 1, 64, x, out).gives(out, x.sum() / ((np.arange(64) ^ 1) + 1.0))


@case("""
__shared__ int outside[32];
__device__ __noinline__ void put(int t, int v) { outside[t] = v; }
__device__ int take(int t) { static __shared__ int other[32]; other[t] = outside[t] * 2; __syncthreads(); return other[31 - t]; }
extern "C" __global__ void scattered(int* out) {
    put(threadIdx.x, threadIdx.x + 5);
    __syncthreads();
    out[threadIdx.x] = take(threadIdx.x);
}
""")
def shared_variables_in_functions(draw: Draw) -> Plan:
    out = blank("i4", 32)
    return run("scattered", 1, 32, out).gives(out, 2 * (31 - np.arange(32, dtype="i4") + 5))


@case("""
extern "C" __global__ void rotate(float* m, int n) {  // in place, n x n, each thread moves one cycle of four
    int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n / 2 || j >= (n + 1) / 2) return;
    float t = m[i * n + j];
    m[i * n + j] = m[(n - 1 - j) * n + i];
    m[(n - 1 - j) * n + i] = m[(n - 1 - i) * n + n - 1 - j];
    m[(n - 1 - i) * n + n - 1 - j] = m[j * n + n - 1 - i];
    m[j * n + n - 1 - i] = t;
}
""")
def in_place_rotation(draw: Draw) -> Plan:
    m = draw.f32(13, 13)
    return run("rotate", (1, 1), (8, 8), m, 13).gives(m, np.rot90(m, -1), ulps=0)


@case("""
extern "C" __global__ void flag(const float* x, int* any_negative, int* winner, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    __shared__ int seen;
    seen = 0;           // every thread writes the same value
    __syncthreads();
    if (i < n && x[i] < 0.0f) seen = 1;
    __syncthreads();
    if (threadIdx.x == 0) any_negative[blockIdx.x] = seen;
    *winner = 42;       // every block writes the same value
}
""")
def same_value_writes(draw: Draw) -> Plan:
    x = np.abs(draw.f32(256))
    x[200:] *= -1
    out, winner = blank("i4", 4), blank("i4", 1)
    plan = run("flag", 4, 64, x, out, winner, 256)
    return plan.gives(out, np.array([0, 0, 0, 1], "i4")).gives(winner, np.array([42], "i4"))


@case("""
#include <cuda/std/array>
#include <cuda/std/tuple>
#include <cuda/std/cstdint>
#include <cuda/std/limits>
extern "C" __global__ void standard(const int* x, int* out, cuda::std::uint32_t n) {
    cuda::std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    cuda::std::array<int, 5> window{};
    for (size_t k = 0; k < window.size(); ++k) window[k] = i + k < n ? x[i + k] : cuda::std::numeric_limits<int>::lowest();
    auto best = cuda::std::make_tuple(window[0], 0);
    for (int k = 1; k < 5; ++k) if (window[k] > cuda::std::get<0>(best)) best = cuda::std::make_tuple(window[k], k);
    out[i] = cuda::std::get<1>(best);
}
""")
def standard_library_types(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -100, 100, 150), blank("i4", 150)
    want = np.array([int(np.argmax(x[i : i + 5])) for i in range(150)], "i4")
    return run("standard", 2, 128, x, out, 150).gives(out, want)


@case(
    """
extern "C" __global__ void hints(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned long long policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("nanosleep.u32 20;");
    if (i < n) {
        float v;
        asm volatile("prefetch.global.L2 [%0];" :: "l"(x + i));
        asm volatile("prefetchu.L1 [%0];" :: "l"(x + i));
        asm volatile("applypriority.global.L2::evict_normal [%0], 128;" :: "l"((unsigned long long)(x + i) & ~127ull));
        asm volatile("ld.global.L2::cache_hint.f32 %0, [%1], %2;" : "=f"(v) : "l"(x + i), "l"(policy));
        asm volatile("st.global.L1::no_allocate.L2::cache_hint.f32 [%0], %1, %2;" :: "l"(y + i), "f"(2 * v), "l"(policy) : "memory");
        asm volatile("red.global.add.L2::cache_hint.f32 [%0], %1, %2;" :: "l"(y + i), "f"(1.0f), "l"(policy) : "memory");
    }
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
""",
    archs=("sm_80", "sm_90"),
)
def hints_to_the_caches(draw: Draw) -> Plan:
    x, y = draw.f32(100), blank("f4", 100)
    return run("hints", 2, 64, x, y, 100).gives(y, 2 * x.astype("f8") + 1)


@case("""
extern "C" __global__ void discarded(float* y) {
    if (threadIdx.x == 0) asm volatile("discard.global.L2 [%0], 128;" :: "l"(y) : "memory");
    __syncthreads();
    y[threadIdx.x] = threadIdx.x;
}
""")
def discarded_before_it_is_written(draw: Draw) -> Plan:
    raw = blank("f4", 64)
    y = raw[(-raw.ctypes.data % 128) // 4 :][:32]
    return run("discarded", 1, 32, y).gives(y, np.arange(32.0))


@case("""
extern "C" __global__ void wide(const ulonglong2* x, ulonglong2* y) {
    __shared__ ulonglong2 s[32];
    unsigned t = threadIdx.x, at = (unsigned)__cvta_generic_to_shared(s + t), other = (unsigned)__cvta_generic_to_shared(s + (t ^ 1));
    asm volatile("{ .reg .b128 q, r; ld.global.b128 q, [%0]; mov.b128 r, q; st.shared.b128 [%1], r; }" :: "l"(x + t), "r"(at) : "memory");
    __syncwarp();
    asm volatile("{ .reg .b128 q; ld.shared.b128 q, [%1]; st.global.b128 [%0], q; }" :: "l"(y + t), "r"(other) : "memory");
}
""")
def registers_of_128_bits(draw: Draw) -> Plan:
    x, raw = draw.bits("u8", 66), blank("u8", 66)
    x, y = (a[(a.ctypes.data % 16) // 8 :][:64] for a in (x, raw))
    return run("wide", 1, 32, x, y).gives(y, x.reshape(32, 2)[np.arange(32) ^ 1].reshape(64))
