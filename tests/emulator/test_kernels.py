"""Whole kernels against NumPy in binary64."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport

RANDOM = np.random.default_rng(2026)
N = np.int32

WARP = r"""
__device__ __forceinline__ float warp_sum(float v) { for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o); return v; }
__device__ __forceinline__ float warp_max(float v) { for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, o)); return v; }
"""


def run(source: str, name: str, grid: object, block: object, args: tuple[object, ...], **more: object) -> LaunchReport:
    """Compiles and launches; no violation is expected."""
    shared = more.pop("shared", 0)
    module = emulator.compile(source, **more)
    report = module.launch(name, grid, block, args, shared=shared, memory=emulator.Memory())
    assert not report.violations, report.violations
    return report


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def close(got: np.ndarray, exact: np.ndarray, tolerance: float = 1e-5) -> None:
    scale = np.abs(exact).max() or 1.0
    assert np.abs(got.astype(np.float64) - exact).max() <= tolerance * scale


@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000, 1025])
def test_vector_addition_at_ragged_sizes(n: int) -> None:
    a, b, c = normal(n), normal(n), np.full(n, np.nan, np.float32)
    source = """extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) c[i] = a[i] + b[i]; }"""
    run(source, "add", -(-n // 96), 96, (a, b, c, N(n)))
    assert np.array_equal(c, a + b)


@pytest.mark.parametrize("columns", [7, 64, 515])
def test_softmax_of_rows(columns: int) -> None:
    source = (
        WARP
        + r"""
    extern "C" __global__ void softmax(const float* x, float* y, int n) {
      __shared__ float s[32];
      const float* row = x + (size_t)blockIdx.x * n;
      int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
      float m = __int_as_float(0xff800000);
      for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, row[i]);
      m = warp_max(m);
      if (!lane) s[warp] = m;
      __syncthreads();
      m = warp_max(lane < (blockDim.x >> 5) ? s[lane] : __int_as_float(0xff800000));
      __syncthreads();
      float t = 0;
      for (int i = threadIdx.x; i < n; i += blockDim.x) t += expf(row[i] - m);
      t = warp_sum(t);
      if (!lane) s[warp] = t;
      __syncthreads();
      t = warp_sum(lane < (blockDim.x >> 5) ? s[lane] : 0.f);
      for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = expf(row[i] - m) / t;
    }"""
    )
    x, y = normal(9, columns) * 5, np.zeros((9, columns), np.float32)
    run(source, "softmax", 9, 128, (x, y, N(columns)))
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    close(y, e / e.sum(1, keepdims=True), 1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 33, 5), (64, 48, 40)])
def test_tiled_matrix_product_with_edges(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    source = r"""extern "C" __global__ void mm(const float* A, const float* B, float* C, int M, int N, int K) {
      __shared__ float a[16][17], b[16][17];
      int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 16 + ty, col = blockIdx.x * 16 + tx;
      float acc = 0;
      for (int k = 0; k < K; k += 16) {
        a[ty][tx] = row < M && k + tx < K ? A[row * K + k + tx] : 0.f;
        b[ty][tx] = k + ty < K && col < N ? B[(k + ty) * N + col] : 0.f;
        __syncthreads();
        for (int i = 0; i < 16; i++) acc += a[ty][i] * b[i][tx];
        __syncthreads();
      }
      if (row < M && col < N) C[row * N + col] = acc;
    }"""
    a, b, c = normal(m, k), normal(k, n), np.zeros((m, n), np.float32)
    run(source, "mm", (-(-n // 16), -(-m // 16)), (16, 16), (a, b, c, N(m), N(n), N(k)))
    close(c, a.astype(np.float64) @ b, 1e-5)


def test_histogram_with_shared_and_global_atomics() -> None:
    source = r"""extern "C" __global__ void histogram(const unsigned char* x, int* bins, int n) {
      __shared__ int local[256];
      for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
      __syncthreads();
      for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[x[i]], 1);
      __syncthreads();
      for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local[i]);
    }"""
    x, bins = RANDOM.integers(0, 256, 5000).astype(np.uint8), np.zeros(256, np.int32)
    run(source, "histogram", 7, 128, (x, bins, N(5000)))
    assert np.array_equal(bins, np.bincount(x, minlength=256))


def test_every_atomic_operation() -> None:
    source = r"""extern "C" __global__ void atomics(int* i, unsigned* u, float* f, double* d, unsigned long long* l) {
      int t = threadIdx.x;
      atomicAdd(&i[0], t); atomicSub(&i[1], t); atomicMin(&i[2], 5 - t); atomicMax(&i[3], t); atomicAnd(&i[4], ~(1 << (t & 7)));
      atomicOr(&i[5], 1 << (t & 15)); atomicXor(&i[6], t); atomicExch(&i[7], t); atomicCAS(&i[8], 0, t + 1);
      atomicInc(&u[0], 10); atomicDec(&u[1], 10); atomicMin(&u[2], 100u - t); atomicMax(&u[3], 0x80000000u + t);
      atomicAdd(&f[0], 0.5f); atomicAdd(&d[0], 0.25); atomicAdd(&l[0], 1ull << 33); atomicMax(&l[1], (unsigned long long)t);
    }"""
    i, u = np.zeros(9, np.int32), np.zeros(4, np.uint32)
    i[4], u[2] = -1, 4000
    f, d, wide = np.zeros(1, np.float32), np.zeros(1, np.float64), np.zeros(2, np.uint64)
    run(source, "atomics", 1, 64, (i, u, f, d, wide))
    xor = 0
    for t in range(64):
        xor ^= t
    assert i[:7].tolist() == [2016, -2016, -58, 63, -256, 65535, xor]
    assert i[8] == 1
    assert u.tolist() == [64 % 11, (0 - 64) % 11, 37, 0x8000003F]
    assert (f[0], d[0], wide.tolist()) == (32.0, 16.0, [64 << 33, 63])


def test_block_scan_with_shuffles() -> None:
    source = r"""extern "C" __global__ void scan(const int* x, int* y) {
      __shared__ int sums[32];
      int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, v = x[threadIdx.x];
      for (int o = 1; o < 32; o <<= 1) { int t = __shfl_up_sync(~0u, v, o); if (lane >= o) v += t; }
      if (lane == 31) sums[warp] = v;
      __syncthreads();
      if (warp == 0) {
        int t = lane < blockDim.x / 32 ? sums[lane] : 0;
        for (int o = 1; o < 32; o <<= 1) { int q = __shfl_up_sync(~0u, t, o); if (lane >= o) t += q; }
        sums[lane] = t;
      }
      __syncthreads();
      y[threadIdx.x] = v + (warp ? sums[warp - 1] : 0);
    }"""
    x, y = RANDOM.integers(-99, 99, 256).astype(np.int32), np.zeros(256, np.int32)
    run(source, "scan", 1, 256, (x, y))
    assert np.array_equal(y, np.cumsum(x))


def test_transpose_through_shared_memory() -> None:
    source = r"""extern "C" __global__ void transpose(const float* x, float* y, int rows, int cols) {
      __shared__ float tile[32][33];
      int c = blockIdx.x * 32 + threadIdx.x, r = blockIdx.y * 32 + threadIdx.y;
      for (int j = 0; j < 32; j += 8) if (r + j < rows && c < cols) tile[threadIdx.y + j][threadIdx.x] = x[(r + j) * cols + c];
      __syncthreads();
      c = blockIdx.y * 32 + threadIdx.x; r = blockIdx.x * 32 + threadIdx.y;
      for (int j = 0; j < 32; j += 8) if (r + j < cols && c < rows) y[(r + j) * rows + c] = tile[threadIdx.x][threadIdx.y + j];
    }"""
    x, y = normal(50, 71), np.zeros((71, 50), np.float32)
    run(source, "transpose", (3, 2), (32, 8), (x, y, N(50), N(71)))
    assert np.array_equal(y, x.T)


def test_vector_loads_of_every_width() -> None:
    source = r"""extern "C" __global__ void copy(const char4* a, const short2* b, const float2* c, const float4* d, const double2* e,
        const longlong2* f, char4* ao, short2* bo, float2* co, float4* d_o, double2* eo, longlong2* fo) {
      int i = threadIdx.x; ao[i] = a[i]; bo[i] = b[i]; co[i] = c[i]; d_o[i] = d[i]; eo[i] = e[i]; fo[i] = f[i]; }"""
    inputs = [RANDOM.integers(0, 256, 48 * size).astype(np.uint8) for size in (4, 4, 8, 16, 16, 16)]
    aligned = []
    for x in inputs:
        raw = np.zeros(x.size + 16, np.uint8)
        begin = -raw.ctypes.data % 16
        raw[begin : begin + x.size] = x
        aligned.append(raw[begin : begin + x.size])
    outputs = [np.zeros(x.size + 16, np.uint8) for x in inputs]
    outputs = [o[-o.ctypes.data % 16 :][: x.size] for o, x in zip(outputs, inputs, strict=True)]
    run(source, "copy", 1, 48, (*aligned, *outputs))
    for x, y in zip(inputs, outputs, strict=True):
        assert np.array_equal(x, y)


def test_indices_past_32_bits_and_strides() -> None:
    source = r"""extern "C" __global__ void gather(const float* x, const long long* index, float* y, long long stride) {
      long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; y[i] = x[index[i] / stride % 1000]; }"""
    index, x, y = RANDOM.integers(2**40, 2**41, 96), normal(1000), np.zeros(96, np.float32)
    run(source, "gather", 3, 32, (x, index, y, 4099))
    assert np.array_equal(y, x[index // 4099 % 1000])


def test_template_instances_by_name_expression() -> None:
    source = r"""template <typename T, int K> __global__ void scale(T* x) { x[threadIdx.x] = x[threadIdx.x] * (T)K; }"""
    names = ["scale<float, 3>", "scale<double, 5>", "scale<int, -2>"]
    module = emulator.compile(source, name_expressions=names)
    assert len(module.kernels) == 3
    for name, dtype, factor in zip(names, (np.float32, np.float64, np.int32), (3, 5, -2), strict=True):
        x = np.arange(32).astype(dtype)
        module.launch(name, 1, 32, (x,), memory=emulator.Memory())
        assert np.array_equal(x, np.arange(32) * factor)


def test_lanes_loop_different_numbers_of_times() -> None:
    source = r"""extern "C" __global__ void collatz(const int* x, int* steps, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return;
      long long v = x[i]; int s = 0;
      while (v != 1) { if (v & 1) v = 3 * v + 1; else v >>= 1; if (++s > 900) break; }
      steps[i] = s; }"""
    n = 200
    x, steps = np.arange(1, n + 1, dtype=np.int32), np.zeros(n, np.int32)
    run(source, "collatz", 2, 128, (x, steps, N(n)))

    def collatz(v: int) -> int:
        s = 0
        while v != 1:
            v, s = (3 * v + 1 if v & 1 else v // 2), s + 1
        return s

    assert steps.tolist() == [collatz(int(v)) for v in x]


def test_switch_and_early_exits_in_a_warp() -> None:
    source = r"""extern "C" __global__ void pick(const int* x, float* y, float a) {
      int i = threadIdx.x; float v = i;
      switch (x[i]) { case 0: v += a; break; case 1: v *= a; break; case 2: return; case 3: v -= a;
        case 4: v = -v; break; case 5: v = sqrtf(v); break; case 6: v = 7; break; case 7: v /= a; break; default: v = 99; }
      y[i] = v; }"""
    x, y = RANDOM.integers(0, 10, 64).astype(np.int32), np.full(64, -5, np.float32)
    run(source, "pick", 1, 64, (x, y, np.float32(2)))
    v = np.arange(64, dtype=np.float32)
    table = [
        v + 2,
        v * 2,
        np.full(64, -5),
        -(v - 2),
        -v,
        np.sqrt(v),
        np.full(64, 7),
        v / 2,
        np.full(64, 99),
        np.full(64, 99),
    ]
    assert np.array_equal(y, np.choose(x, np.array(table, np.float32)))


def test_dynamic_shared_memory_reversal() -> None:
    source = r"""extern "C" __global__ void reverse(double* x) { extern __shared__ double s[];
      s[threadIdx.x] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x]; }"""
    x = RANDOM.standard_normal(100)
    wanted = x[::-1].copy()
    run(source, "reverse", 1, 100, (x,), shared=800)
    assert np.array_equal(x, wanted)


def test_arrays_in_local_memory() -> None:
    source = r"""extern "C" __global__ void sort(const int* x, int* y) {
      int a[8]; for (int i = 0; i < 8; i++) a[i] = x[threadIdx.x * 8 + i];
      for (int i = 1; i < 8; i++) { int v = a[i], j = i; while (j > 0 && a[j - 1] > v) { a[j] = a[j - 1]; j--; } a[j] = v; }
      for (int i = 0; i < 8; i++) y[threadIdx.x * 8 + i] = a[i]; }"""
    x, y = RANDOM.integers(-1000, 1000, (40, 8)).astype(np.int32), np.zeros((40, 8), np.int32)
    report = run(source, "sort", 1, 40, (x, y))
    assert np.array_equal(y, np.sort(x, axis=1))
    assert report.counters.local_load_bytes > 0


def test_constant_and_global_variables() -> None:
    source = r"""__constant__ float weights[4] = {0.5f, 1.f, -2.f, 4.f}; __device__ int calls = 3;
    __device__ float table[2][2] = {{1.f, 2.f}, {3.f, 4.f}}; __constant__ const float* chosen = &table[1][0];
    extern "C" __global__ void dot(const float4* x, float* y) { float4 v = x[threadIdx.x];
      y[threadIdx.x] = v.x * weights[0] + v.y * weights[1] + v.z * weights[2] + v.w * weights[3] + chosen[threadIdx.x & 1];
      atomicAdd(&calls, 1); }"""
    module = emulator.compile(source)
    raw = normal(33 * 4 + 4)
    x = raw[-(raw.ctypes.data // 4) % 4 :][: 32 * 4].reshape(32, 4)
    y = np.zeros(32, np.float32)
    module.launch("dot", 1, 32, (x, y), memory=emulator.Memory())
    exact = x.astype(np.float64) @ [0.5, 1, -2, 4] + np.tile([3, 4], 16)
    close(y, exact, 1e-6)
    import ctypes

    pointer, size = module.global_pointer("calls")
    assert (ctypes.c_int.from_address(pointer).value, size) == (35, 4)


def test_struct_parameters_by_value() -> None:
    source = r"""struct Shape { int rows, cols; float scale; double bias; long long strides[2]; };
    extern "C" __global__ void fill(float* y, Shape s, short shift, bool negate, unsigned char step) {
      int i = threadIdx.x; float v = (i / s.cols * s.strides[0] + i % s.cols * s.strides[1]) * s.scale + s.bias + shift + step;
      y[i] = negate ? -v : v; }"""
    shape = np.zeros(
        1, np.dtype([("rows", "i4"), ("cols", "i4"), ("scale", "f4"), ("bias", "f8"), ("strides", "i8", 2)], align=True)
    )
    shape["rows"], shape["cols"], shape["scale"], shape["bias"], shape["strides"] = 4, 8, 0.5, 0.25, (100, 3)
    y, i = np.zeros(32, np.float32), np.arange(32)
    run(source, "fill", 1, 32, (y, shape[0], np.int16(-7), True, np.uint8(200)))
    assert np.array_equal(y, -((i // 8 * 100 + i % 8 * 3) * 0.5 + 0.25 - 7 + 200).astype(np.float32))


def test_device_functions_that_are_not_inlined() -> None:
    source = r"""__device__ __noinline__ float poly(float x, int n, float* last) { float r = 0; for (int i = 0; i < n; i++) r = r * x + i;
      *last = r; return r + x; }
    __device__ __noinline__ double twice(float x, bool neg) { float unused; double d = poly(x, 3, &unused); return neg ? -2 * d : 2 * d; }
    extern "C" __global__ void calls(const float* x, float* y, double* z) { int i = threadIdx.x; float last;
      if (i & 1) y[i] = poly(x[i], i % 5, &last) * last; else y[i] = -1; z[i] = twice(x[i], i & 2); }"""
    x, y, z = normal(64), np.zeros(64, np.float32), np.zeros(64)
    run(source, "calls", 1, 64, (x, y, z))
    wide = x.astype(np.float64)

    def poly(v: float, n: int) -> float:
        r = 0.0
        for k in range(n):
            r = r * v + k
        return r

    wanted = [(poly(v, i % 5) + v) * poly(v, i % 5) if i & 1 else -1 for i, v in enumerate(wide)]
    close(y, np.array(wanted), 1e-5)
    close(z, np.array([(poly(v, 3) + v) * (-2 if i & 2 else 2) for i, v in enumerate(wide)]), 1e-6)


MATH = {
    "sinf": np.sin, "cosf": np.cos, "tanf": np.tan, "expf": np.exp, "exp2f": np.exp2, "expm1f": np.expm1, "tanhf": np.tanh,
    "erff": np.vectorize(__import__("math").erf), "sinhf": np.sinh, "atanf": np.arctan, "cbrtf": np.cbrt, "floorf": np.floor,
    "rintf": np.rint, "fabsf": np.abs,
}  # fmt: skip
POSITIVE = {
    "logf": np.log,
    "log2f": np.log2,
    "log10f": np.log10,
    "log1pf": np.log1p,
    "sqrtf": np.sqrt,
    "rsqrtf": lambda x: x**-0.5,
}


def test_the_float_math_library() -> None:
    """CUDA promises 1 to 4 ulp for these; 6 are allowed."""
    x = np.concatenate([normal(500) * 3, [0.0, 1e-20, -1e-6, 80.0, -80.0, 1e-38]]).astype(np.float32)
    for functions, values in ((MATH, x), (POSITIVE, np.abs(x) + np.float32(1e-30))):
        body = "".join(f"out[{k} * n + i] = {name}(x[i]);" for k, name in enumerate(functions))
        source = f'extern "C" __global__ void f(const float* x, float* out, int n) {{ int i = blockIdx.x * 128 + threadIdx.x; if (i < n) {{ {body} }} }}'
        out = np.zeros((len(functions), values.size), np.float32)
        run(source, "f", -(-values.size // 128), 128, (values, out, N(values.size)))
        for (name, meaning), got in zip(functions.items(), out, strict=True):
            with np.errstate(over="ignore"):
                exact = meaning(values.astype(np.float64))
                unit = np.spacing(np.maximum(np.abs(exact), 1e-37).astype(np.float32)).astype(np.float64)
            finite = np.abs(exact) < 3e38
            error = np.abs(got.astype(np.float64) - exact)[finite] / unit[finite]
            assert error.max() <= 6, (name, values[finite][error.argmax()], error.max())


def test_the_double_math_library() -> None:
    import math

    functions = {"sin": math.sin, "cos": math.cos, "exp": lambda v: math.exp(v) if v < 700 else math.inf, "log": lambda v: math.log(abs(v)), "tanh": math.tanh, "erf": math.erf,
                 "cbrt": lambda v: math.copysign(abs(v) ** (1 / 3), v), "pow": lambda v: abs(v) ** 2.7}  # fmt: skip
    calls = {"log": "log(fabs(x[i]))", "pow": "pow(fabs(x[i]), 2.7)"}
    body = "".join(f"out[{k} * n + i] = {calls.get(f, f + '(x[i])')};" for k, f in enumerate(functions))
    source = f'extern "C" __global__ void f(const double* x, double* out, int n) {{ int i = threadIdx.x; if (i < n) {{ {body} }} }}'
    x = np.concatenate([RANDOM.standard_normal(60) * 4, [1e6, -1e5, 1e-9, 30.0]])
    out = np.zeros((len(functions), x.size))
    run(source, "f", 1, 64, (x, out, N(x.size)))
    for (name, meaning), got in zip(functions.items(), out, strict=True):
        exact = np.array([meaning(float(v)) for v in x])
        assert np.allclose(got, exact, rtol=1e-13, atol=1e-300), name


def test_half_kernel() -> None:
    source = r"""#include <cuda_fp16.h>
    #include <cuda_bf16.h>
    extern "C" __global__ void f(const __half2* x, __half2* y, const __nv_bfloat16* p, __nv_bfloat16* q, float* s) {
      int i = threadIdx.x; __half2 v = x[i]; y[i] = __hfma2(v, v, __float2half2_rn(0.5f));
      q[i] = __float2bfloat16(__bfloat162float(p[i]) * 1.5f);
      float t = __low2float(v) + __high2float(v); for (int o = 16; o; o >>= 1) t += __shfl_down_sync(~0u, t, o); if (!i) *s = t; }"""
    x = RANDOM.standard_normal((32, 2)).astype(np.float16)
    y, s = np.zeros_like(x), np.zeros(1, np.float32)
    p = (normal(32).view(np.uint32) >> 16).astype(np.uint16)
    q = np.zeros_like(p)
    run(source, "f", 1, 32, (x, y, p, q, s))
    assert np.array_equal(y, (x.astype(np.float64) ** 2 + 0.5).astype(np.float16))
    back = (q.astype(np.uint32) << 16).view(np.float32)
    source_values = (p.astype(np.uint32) << 16).view(np.float32)
    assert np.allclose(back, source_values * 1.5, rtol=2**-8)
    close(s, np.array([x.astype(np.float64).sum()]), 1e-6)


def test_votes_matches_and_reductions_of_a_warp() -> None:
    source = r"""extern "C" __global__ void f(const int* x, unsigned* out) { int i = threadIdx.x, v = x[i]; int all;
      out[i] = __ballot_sync(~0u, v > 3); out[32 + i] = __any_sync(~0u, v > 8) * 2 + __all_sync(~0u, v >= 0);
      out[64 + i] = __match_any_sync(~0u, v); out[96 + i] = __match_all_sync(~0u, v, &all); out[128 + i] = all;
      out[160 + i] = __reduce_add_sync(~0u, v); out[192 + i] = __reduce_max_sync(~0u, v); out[224 + i] = __reduce_xor_sync(~0u, (unsigned)v);
      if (v > 4) out[256 + i] = __activemask(); else out[256 + i] = 0;
      out[288 + i] = __shfl_sync(~0u, v, 5, 8); out[320 + i] = __shfl_down_sync(~0u, v, 3, 16); }"""
    x, out = RANDOM.integers(0, 10, 32).astype(np.int32), np.zeros((11, 32), np.uint32)
    run(source, "f", 1, 32, (x, out))

    def bits(flags: np.ndarray) -> int:
        return sum(1 << i for i, b in enumerate(flags) if b)

    assert (out[0] == bits(x > 3)).all()
    assert (out[1] == (x > 8).any() * 2 + 1).all()
    assert out[2].tolist() == [bits(x == v) for v in x]
    assert not out[3].any()
    assert not out[4].any()
    assert (out[5] == x.sum()).all()
    assert (out[6] == x.max()).all()
    assert (out[7] == np.bitwise_xor.reduce(x)).all()
    assert out[8].tolist() == [bits(x > 4) if v > 4 else 0 for v in x]
    assert out[9].tolist() == [x[i // 8 * 8 + 5] for i in range(32)]
    assert out[10].tolist() == [x[i + 3] if i % 16 + 3 < 16 else x[i] for i in range(32)]


def test_barrier_reductions_and_named_barriers() -> None:
    source = r"""extern "C" __global__ void f(const int* x, int* out) { int i = threadIdx.x;
      out[i] = __syncthreads_count(x[i] > 4); out[96 + i] = __syncthreads_or(x[i] > 1000); out[192 + i] = __syncthreads_and(x[i] >= 0);
      __shared__ int s[64];
      if (i < 64) { s[i] = x[i]; asm volatile("bar.sync 3, 64;" ::: "memory"); out[288 + i] = s[63 - i]; } }"""
    x, out = RANDOM.integers(0, 10, 96).astype(np.int32), np.zeros(384, np.int32)
    run(source, "f", 1, 96, (x, out))
    assert (out[:96] == (x > 4).sum()).all()
    assert (out[96:192] == 0).all()
    assert (out[192:288] == 1).all()
    assert np.array_equal(out[288:352], x[63::-1])


def test_asynchronous_copies_arrive_at_the_wait() -> None:
    source = r"""extern "C" __global__ void f(const float* x, float* y) {
      __shared__ __align__(16) float s[2][128];
      unsigned a = (unsigned)__cvta_generic_to_shared(&s[0][threadIdx.x * 4]), b = (unsigned)__cvta_generic_to_shared(&s[1][threadIdx.x * 4]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(a), "l"(x + threadIdx.x * 4));
      asm volatile("cp.async.commit_group;");
      asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" :: "r"(b), "l"(x + 128 + threadIdx.x * 4), "r"(threadIdx.x < 16 ? 16 : 0));
      asm volatile("cp.async.commit_group;");
      asm volatile("cp.async.wait_group 1;" ::: "memory"); __syncwarp();
      y[threadIdx.x] = s[0][127 - threadIdx.x];
      asm volatile("cp.async.wait_all;" ::: "memory"); __syncwarp();
      for (int i = 0; i < 4; i++) y[32 + threadIdx.x * 4 + i] = s[1][threadIdx.x * 4 + i]; }"""
    raw = normal(260)
    x = raw[-(raw.ctypes.data // 4) % 4 :][:256]
    y = np.zeros(160, np.float32)
    run(source, "f", 1, 32, (x, y))
    assert np.array_equal(y[:32], x[127:95:-1])
    assert np.array_equal(y[32:], np.where(np.arange(128) < 64, x[128:256], 0))


def test_a_lock_taken_by_diverged_lanes_and_other_blocks() -> None:
    source = r"""extern "C" __global__ void count(int* lock, int* total) { bool done = false;
      while (!done) if (atomicCAS(lock, 0, 1) == 0) { *(volatile int*)total += 1; __threadfence(); atomicExch(lock, 0); done = true; } }"""
    lock, total = np.zeros(1, np.int32), np.zeros(1, np.int32)
    run(source, "count", 3, 64, (lock, total))
    assert (lock[0], total[0]) == (0, 192)


def test_last_block_reduces() -> None:
    source = r"""__device__ unsigned arrived = 0;
    extern "C" __global__ void sum(const float* x, float* part, float* out, int n) {
      __shared__ float s[64]; __shared__ bool last; float t = 0;
      for (int i = blockIdx.x * 64 + threadIdx.x; i < n; i += gridDim.x * 64) t += x[i];
      s[threadIdx.x] = t; __syncthreads();
      for (int o = 32; o; o >>= 1) { if (threadIdx.x < o) s[threadIdx.x] += s[threadIdx.x + o]; __syncthreads(); }
      if (!threadIdx.x) { part[blockIdx.x] = s[0]; __threadfence(); last = atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1; }
      __syncthreads();
      if (last && !threadIdx.x) { float r = 0; for (int i = 0; i < gridDim.x; i++) r += ((volatile float*)part)[i]; *out = r; } }"""
    x, part, out = normal(5000), np.zeros(13, np.float32), np.zeros(1, np.float32)
    module = emulator.compile(source)
    for _ in range(2):
        module.launch("sum", 13, 64, (x, part, out, N(5000)), memory=emulator.Memory())
        close(out, np.array([x.astype(np.float64).sum()]), 1e-4)


def test_the_same_launch_gives_the_same_bits() -> None:
    source = r"""extern "C" __global__ void sum(const float* x, float* out, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) atomicAdd(out, x[i]); }"""
    module = emulator.compile(source)
    x, seen = normal(20000), set()
    for _ in range(3):
        out = np.zeros(1, np.float32)
        module.launch("sum", 79, 256, (x, out, N(20000)), memory=emulator.Memory())
        seen.add(float(out[0]))
    assert len(seen) == 1


def test_newer_architectures_with_untyped_registers() -> None:
    source = (
        WARP
        + r"""extern "C" __global__ void f(const float* x, float* y, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x;
      float v = i < n ? x[i] : 0.f; float t = warp_sum(v * v) + warp_max(v); double d = v; if (i < n) y[i] = tanhf(v) / (t + (float)(d * d)); }"""
    )
    x = normal(100)
    results = []
    for arch in ("sm_80", "sm_90", "sm_100"):
        y = np.zeros(100, np.float32)
        run(source, "f", 1, 128, (x, y, N(100)), arch=arch)
        results.append(y)
    assert np.array_equal(results[0], results[1])
    assert np.allclose(results[1], results[2], rtol=1e-6)


def test_fast_math_is_honoured() -> None:
    source = r"""extern "C" __global__ void f(const float* x, float* y) { int i = threadIdx.x; y[i] = expf(x[i]) / x[i] + sinf(x[i]) + x[i] * 1e-30f; }"""
    x = np.full(32, 1e-39, np.float32)
    y = np.zeros(32, np.float32)
    run(source, "f", 1, 32, (x, y), options=("--use_fast_math",))
    assert np.isinf(y).all()  # the subnormal divisor is flushed
    x = normal(32)
    run(source, "f", 1, 32, (x, y), options=("--use_fast_math",))
    wide = x.astype(np.float64)
    close(y, np.exp(wide) / wide + np.sin(wide), 1e-5)
