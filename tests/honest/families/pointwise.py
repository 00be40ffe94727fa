"""One value in, one value out: activations in float32, each in several styles."""

from __future__ import annotations

from honest.kernel import Honest, module, task

SHAPE = "23, 41"  # 943 elements: no multiple of a vector, a warp or a block

FUNCTIONS = {
    "relu": ("F.relu(x)", "return fmaxf(x, 0.0f);"),
    "leaky_relu": ("F.leaky_relu(x, 0.03)", "return x > 0.0f ? x : 0.03f * x;"),
    "sigmoid": ("torch.sigmoid(x)", "return 1.0f / (1.0f + expf(-x));"),
    "tanh": ("torch.tanh(x)", "return tanhf(x);"),
    "silu": ("F.silu(x)", "return x / (1.0f + expf(-x));"),
    "gelu": ("F.gelu(x)", "return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));"),
    "gelu_tanh": (
        "F.gelu(x, approximate='tanh')",
        "float inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);\n    return 0.5f * x * (1.0f + tanhf(inner));",
    ),
    "elu": ("F.elu(x, 1.3)", "return x > 0.0f ? x : 1.3f * expm1f(x);"),
    "hardswish": ("F.hardswish(x)", "return x * fminf(fmaxf(x + 3.0f, 0.0f), 6.0f) / 6.0f;"),
    "softplus": ("F.softplus(x)", "return x > 20.0f ? x : log1pf(expf(x));"),
    "affine_square": ("0.7 * x * x - 1.9 * x + 0.35", "return 0.7f * x * x - 1.9f * x + 0.35f;"),
    "gaussian": ("torch.exp(-0.5 * x * x)", "return expf(-0.5f * x * x);"),
}
"""Task: (the PyTorch expression, the body of its device function)."""

FAST = {
    "sigmoid": "return 1.0f / (1.0f + __expf(-x));",
    "silu": "return x / (1.0f + __expf(-x));",
    "gaussian": "return __expf(-0.5f * x * x);",
}
"""Bodies with the fast intrinsics that people write."""

STYLES = {
    "naive": (
        """
extern "C" __global__ void apply(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = f(x[i]);
}
""",
        "((n + 255) // 256,)",
        "(256,)",
    ),
    "grid_stride": (
        """
extern "C" __global__ void apply(const float* __restrict__ x, float* __restrict__ y, int n) {
    int stride = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) y[i] = f(x[i]);
}
""",
        "(3,)",
        "(96,)",
    ),
    "float4": (
        """
extern "C" __global__ void apply(const float* __restrict__ x, float* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int whole = n / 4;
    if (i < whole) {
        float4 v = reinterpret_cast<const float4*>(x)[i];
        v.x = f(v.x);
        v.y = f(v.y);
        v.z = f(v.z);
        v.w = f(v.w);
        reinterpret_cast<float4*>(y)[i] = v;
    }
    int tail = whole * 4 + i;
    if (tail < n) y[tail] = f(x[tail]);
}
""",
        "((n // 4 + 127) // 128,)",
        "(128,)",
    ),
    "ldg": (
        """
extern "C" __global__ void apply(const float* __restrict__ x, float* __restrict__ y, const int n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = f(__ldg(&x[i]));
}
""",
        "((n + 63) // 64,)",
        "(64,)",
    ),
    "unrolled": (
        """
#define UNROLL 4
extern "C" __global__ void apply(const float* __restrict__ x, float* __restrict__ y, int n) {
    int first = blockIdx.x * blockDim.x * UNROLL + threadIdx.x;
    float held[UNROLL];
#pragma unroll
    for (int k = 0; k < UNROLL; ++k) {
        int i = first + k * blockDim.x;
        held[k] = i < n ? x[i] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < UNROLL; ++k) {
        int i = first + k * blockDim.x;
        if (i < n) y[i] = f(held[k]);
    }
}
""",
        "((n + 511) // 512,)",
        "(128,)",
    ),
    "staged": (
        """
extern "C" __global__ void apply(const float* x, float* y, int n) {
    __shared__ float tile[128];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    // each thread handles its neighbour's element, so that the barrier above is needed
    int other = threadIdx.x ^ 1;
    int j = blockIdx.x * blockDim.x + other;
    if (j < n) y[j] = f(tile[other]);
}
""",
        "((n + 127) // 128,)",
        "(128,)",
    ),
}
"""Style: (kernel, grid, block)."""

TEMPLATE = """
struct Apply {
    __device__ static float of(float x) {
    BODY
    }
};
template <typename Function, int PER_THREAD>
__global__ void map(const float* x, float* y, int n) {
    int first = (blockIdx.x * blockDim.x + threadIdx.x) * PER_THREAD;
    for (int i = first; i < min(first + PER_THREAD, n); ++i) y[i] = Function::of(x[i]);
}
"""

ORDER = ("naive", "grid_stride", "float4", "template", "ldg", "unrolled", "staged", "raw_kernel", "in_place")


def _source(body: str, style: str) -> str:
    helper = f"\n__device__ __forceinline__ float f(float x) {{\n    {body}\n}}"
    if style == "template":
        return module(
            TEMPLATE.replace("BODY", body),
            """
            y = torch.empty_like(x)
            n = x.numel()
            run("map<Apply, 2>", ((n + 127) // 128,), (64,), x.data_ptr(), y.data_ptr(), np.int32(n))
            return y
            """,
            options='options=("-std=c++17",), name_expressions=("map<Apply, 2>",)',
        )
    if style == "raw_kernel":
        return module(
            helper + STYLES["naive"][0],
            """
            x = x.contiguous()
            y = torch.empty_like(x)
            n = x.numel()
            APPLY(((n + 31) // 32,), (32,), (x.data_ptr(), y.data_ptr(), np.int32(n)))
            return y
            """,
            build='APPLY = cupy.RawKernel(CUDA, "apply")',
        )
    if style == "in_place":  # on memory of its own: the task returns new memory and leaves its input alone
        return module(
            helper + '\nextern "C" __global__ void apply(float* y, int n) {\n'
            "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n    if (i < n) y[i] = f(y[i]);\n}\n",
            """
            y = x.clone()
            n = y.numel()
            run("apply", ((n + 255) // 256,), (256,), y.data_ptr(), np.int32(n))
            return y
            """,
        )
    cuda, grid, block = STYLES[style]
    return module(
        helper + cuda,
        f"""
        y = torch.empty_like(x)
        n = x.numel()
        run("apply", {grid}, {block}, x.data_ptr(), y.data_ptr(), np.int32(n))
        return y
        """,
    )


TASKS = {name: task(f"return {expression}", f"torch.randn({SHAPE})") for name, (expression, _) in FUNCTIONS.items()}
KERNELS = [
    Honest(name, ORDER[(position + step) % len(ORDER)], _source(body, ORDER[(position + step) % len(ORDER)]))
    for position, (name, (_, body)) in enumerate(FUNCTIONS.items())
    for step in (0, 2, 3, 7)
] + [Honest(name, "fast_intrinsics", _source(body, "naive")) for name, body in FAST.items()]
