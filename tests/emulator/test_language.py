"""What CUDA C++ offers a kernel: types, memory, control flow, functions and templates."""

from __future__ import annotations

import numpy as np
from emulator_kernels import RANDOM, N, close, normal, run

from kernelwright.sandbox import emulator


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


def test_functions_that_would_grow_without_bound_are_not_inlined() -> None:
    depth = 16  # each calls the next one twice: 65,536 copies of the last if all were inlined
    functions = [f"__device__ __noinline__ int f{depth}(int x) {{ return x ^ 5; }}"]
    for i in reversed(range(depth)):
        body = f"return f{i + 1}(x + {i}) * 3 + f{i + 1}(x - 1);"
        functions.append(f"__device__ __noinline__ int f{i}(int x) {{ {body} }}")
    kernel = 'extern "C" __global__ void f(int* y) { y[threadIdx.x] = f0(threadIdx.x); }'
    y = np.zeros(32, np.int32)
    run("\n".join([*functions, kernel]), "f", 1, 32, (y,))
    x = np.arange(32)
    level = {offset: (x + offset) ^ 5 for offset in range(-depth, depth * depth)}
    for i in reversed(range(depth)):
        level = {k: level[k + i] * 3 + level[k - 1] for k in level if k + i in level and k - 1 in level}
    assert np.array_equal(y, level[0].astype(np.int32))
