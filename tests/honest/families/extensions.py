"""Kernels that come as torch extensions, by `load_inline`: C++ checks and launches, CUDA computes."""

from __future__ import annotations

from honest.kernel import Honest, module, task

LOAD = """
from torch.utils.cpp_extension import load_inline

EXTENSION = load_inline(
    name="NAME", cpp_sources="DECLARATION", cuda_sources=CUDA, functions=["forward"], verbose=False
)
"""
HEAD = """
#include <torch/extension.h>
#include <cuda_runtime.h>
"""

CLAMPED = (
    HEAD
    + r"""
__global__ void clamped(const float* __restrict__ x, float* __restrict__ y, int n, float low, float high) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fminf(fmaxf(x[i] * 1.5f, low), high);
}
torch::Tensor forward(torch::Tensor x) {
    TORCH_CHECK(x.is_cuda() && x.is_contiguous(), "x must be a contiguous CUDA tensor");
    auto y = torch::empty_like(x);
    const int n = x.numel(), threads = 128;
    clamped<<<(n + threads - 1) / threads, threads>>>(x.data_ptr<float>(), y.data_ptr<float>(), n, -1.0f, 2.0f);
    return y;
}
"""
)
CLAMPED_TEMPLATE = (
    HEAD
    + r"""
template <typename T, int VALUES>
__global__ void clamped(const T* __restrict__ x, T* __restrict__ y, int n) {
    const int stride = blockDim.x * gridDim.x;
    for (int first = blockIdx.x * blockDim.x + threadIdx.x; first < n; first += stride * VALUES) {
#pragma unroll
        for (int k = 0; k < VALUES; ++k) {
            const int i = first + k * stride;
            if (i < n) y[i] = min(max(x[i] * T(1.5), T(-1)), T(2));
        }
    }
}
torch::Tensor forward(torch::Tensor x) {
    auto y = torch::empty_like(x);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "clamped", [&] {
        clamped<scalar_t, 3><<<2, 64>>>(x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), (int)x.numel());
    });
    return y;
}
"""
)
CENTRED = (
    HEAD
    + r"""
__device__ __forceinline__ float warp_sum(float v) {
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(0xffffffff, v, offset);
    return v;
}
__global__ void centred(const float* x, float* y, int rows, int cols) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += x[row * cols + c];
    float mean = warp_sum(sum) / cols;
    for (int c = threadIdx.x; c < cols; c += 32) y[row * cols + c] = x[row * cols + c] - mean;
}
torch::Tensor forward(torch::Tensor x) {
    auto y = torch::empty_like(x);
    const int rows = x.size(0), cols = x.size(1);
    const dim3 block(32, 2);
    centred<<<(rows + 1) / 2, block>>>(x.data_ptr<float>(), y.data_ptr<float>(), rows, cols);
    return y;
}
"""
)
CENTRED_ACCESSOR = (
    HEAD
    + r"""
__global__ void centred(
    const torch::PackedTensorAccessor32<float, 2, torch::RestrictPtrTraits> x,
    torch::PackedTensorAccessor32<float, 2, torch::RestrictPtrTraits> y) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= x.size(0)) return;
    double sum = 0.0;
    for (int c = 0; c < x.size(1); ++c) sum += x[row][c];
    float mean = sum / x.size(1);
    for (int c = 0; c < x.size(1); ++c) y[row][c] = x[row][c] - mean;
}
torch::Tensor forward(torch::Tensor x) {
    auto y = torch::empty_like(x);
    centred<<<(x.size(0) + 7) / 8, 8>>>(
        x.packed_accessor32<float, 2, torch::RestrictPtrTraits>(), y.packed_accessor32<float, 2, torch::RestrictPtrTraits>());
    return y;
}
"""
)
SCALED_PRODUCT = (
    HEAD
    + r"""
__global__ void product(const float* a, const float* b, float* y, int m, int n, int k, float scale) {
    __shared__ float left[8][8], right[8][8];
    int row = blockIdx.y * 8 + threadIdx.y, col = blockIdx.x * 8 + threadIdx.x;
    float sum = 0.0f;
    for (int i = 0; i < k; i += 8) {
        left[threadIdx.y][threadIdx.x] = row < m && i + threadIdx.x < k ? a[row * k + i + threadIdx.x] : 0.0f;
        right[threadIdx.y][threadIdx.x] = col < n && i + threadIdx.y < k ? b[(i + threadIdx.y) * n + col] : 0.0f;
        __syncthreads();
        for (int j = 0; j < 8; ++j) sum += left[threadIdx.y][j] * right[j][threadIdx.x];
        __syncthreads();
    }
    if (row < m && col < n) y[row * n + col] = scale * sum;
}
torch::Tensor forward(torch::Tensor a, torch::Tensor b) {
    const int m = a.size(0), k = a.size(1), n = b.size(1);
    auto y = torch::empty({m, n}, a.options());
    dim3 grid((n + 7) / 8, (m + 7) / 8), block(8, 8);
    product<<<grid, block>>>(a.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), m, n, k, 0.25f);
    return y;
}
"""
)
SCALED_PRODUCT_DYNAMIC = (
    HEAD
    + r"""
__global__ void product(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, int n, int k) {
    extern __shared__ float row[];
    for (int i = threadIdx.x; i < k; i += blockDim.x) row[i] = 0.25f * a[blockIdx.x * k + i];
    __syncthreads();
    for (int col = threadIdx.x; col < n; col += blockDim.x) {
        float sum = 0.0f;
        for (int i = 0; i < k; ++i) sum += row[i] * b[i * n + col];
        y[blockIdx.x * n + col] = sum;
    }
}
torch::Tensor forward(torch::Tensor a, torch::Tensor b) {
    const int m = a.size(0), k = a.size(1), n = b.size(1);
    auto y = torch::empty({m, n}, a.options());
    product<<<m, 32, k * sizeof(float)>>>(a.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), n, k);
    return y;
}
"""
)


def _extension(task_name: str, style: str, cuda: str, names: str = "x") -> Honest:
    declared = ", ".join(f"torch::Tensor {name.strip()}" for name in names.split(","))
    declaration = f"torch::Tensor forward({declared});"
    build = LOAD.replace("NAME", f"{task_name}_{style}").replace("DECLARATION", declaration)
    return Honest(task_name, style, module(cuda, f"return EXTENSION.forward({names})", names=names, build=build))


TASKS = {
    "clamped": task("return torch.clamp(1.5 * x, -1, 2)", "torch.randn(13, 37)"),
    "centred": task("return x - x.mean(1, keepdim=True)", "torch.randn(11, 57)"),
    "scaled_product": task("return 0.25 * (a @ b)", "torch.randn(13, 21), torch.randn(21, 18)", names="a, b"),
}
KERNELS = [
    _extension("clamped", "extension", CLAMPED),
    _extension("clamped", "extension_template", CLAMPED_TEMPLATE),
    _extension("centred", "extension_warp", CENTRED),
    _extension("centred", "extension_accessor", CENTRED_ACCESSOR),
    _extension("scaled_product", "extension_tiled", SCALED_PRODUCT, "a, b"),
    _extension("scaled_product", "extension_dynamic", SCALED_PRODUCT_DYNAMIC, "a, b"),
]
