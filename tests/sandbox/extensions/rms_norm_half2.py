"""RMS norm on half with half2 loads; pointers reinterpreted, statistics in float."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cuda_fp16.h>

__global__ void rms_norm_half2_kernel(const __half2* __restrict__ x, const __half2* __restrict__ w,
                                      __half2* __restrict__ y, int half_cols, float eps) {
  const int row = blockIdx.x;
  float acc = 0.f;
  for (int i = threadIdx.x; i < half_cols; i += blockDim.x) {
    const float2 v = __half22float2(x[row * half_cols + i]);
    acc += v.x * v.x + v.y * v.y;
  }
  __shared__ float warps[32];
  for (int o = 16; o > 0; o >>= 1) acc += __shfl_down_sync(0xffffffffu, acc, o);
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = acc;
  __syncthreads();
  if (threadIdx.x < 32) {
    acc = threadIdx.x < (blockDim.x >> 5) ? warps[threadIdx.x] : 0.f;
    for (int o = 16; o > 0; o >>= 1) acc += __shfl_down_sync(0xffffffffu, acc, o);
    if (threadIdx.x == 0) warps[0] = rsqrtf(acc / (2 * half_cols) + eps);
  }
  __syncthreads();
  const float scale = warps[0];
  for (int i = threadIdx.x; i < half_cols; i += blockDim.x) {
    const float2 v = __half22float2(x[row * half_cols + i]), g = __half22float2(w[i]);
    y[row * half_cols + i] = __floats2half2_rn(v.x * scale * g.x, v.y * scale * g.y);
  }
}

torch::Tensor rms_norm(torch::Tensor x, torch::Tensor w, float eps) {
  TORCH_CHECK(x.scalar_type() == torch::kHalf, "half only");
  TORCH_CHECK(x.size(-1) % 2 == 0, "an even number of columns");
  auto y = torch::empty_like(x);
  rms_norm_half2_kernel<<<x.numel() / x.size(-1), 128>>>(
      reinterpret_cast<const __half2*>(x.data_ptr<at::Half>()), reinterpret_cast<const __half2*>(w.data_ptr<at::Half>()),
      reinterpret_cast<__half2*>(y.data_ptr<at::Half>()), x.size(-1) / 2, eps);
  return y;
}
"""

ops = load_inline(
    name="rms_norm_half2",
    cpp_sources="torch::Tensor rms_norm(torch::Tensor x, torch::Tensor w, float eps);",
    cuda_sources=CUDA,
    functions=["rms_norm"],
    extra_cuda_cflags=["-U__CUDA_NO_HALF_OPERATORS__", "-U__CUDA_NO_HALF2_OPERATORS__"],
)
TOLERANCE = 2e-3


class Model(nn.Module):
    def forward(self, x, w):
        f = x.float()
        return (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-6) * w.float()).half()


class ModelNew(nn.Module):
    def forward(self, x, w):
        return ops.rms_norm(x, w, 1e-6)


def get_inputs():
    return [torch.randn(4, 3, 320).half(), torch.rand(320).half()]
