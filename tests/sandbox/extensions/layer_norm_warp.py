"""Layer norm with warp shuffles; a block reduction helper, optional weight and bias, default argument."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAGuard.h>
#include <ATen/cuda/CUDAContext.h>
#include <optional>

namespace layer_norm {

constexpr int WARP_SIZE = 32;

template <typename T>
__device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
  for (int offset = WARP_SIZE / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffff, v, offset);
  return v;
}

template <int THREADS>
__device__ __forceinline__ float block_sum(float v) {
  __shared__ float partial[THREADS / WARP_SIZE];
  const int lane = threadIdx.x % WARP_SIZE, warp = threadIdx.x / WARP_SIZE;
  v = warp_sum(v);
  __syncthreads();
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  v = lane < THREADS / WARP_SIZE ? partial[lane] : 0.f;
  return warp_sum(v);
}

template <int THREADS>
__global__ void __launch_bounds__(THREADS) kernel(const float* x, const float* weight, const float* bias, float* y,
                                                  float* mean_out, float* rstd_out, int n, float eps) {
  const float* row = x + (int64_t)blockIdx.x * n;
  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += THREADS) sum += row[i];
  const float mean = block_sum<THREADS>(sum) / n;
  float square = 0.f;
  for (int i = threadIdx.x; i < n; i += THREADS) {
    const float d = row[i] - mean;
    square += d * d;
  }
  const float rstd = rsqrtf(block_sum<THREADS>(square) / n + eps);
  for (int i = threadIdx.x; i < n; i += THREADS) {
    float v = (row[i] - mean) * rstd;
    if (weight != nullptr) v *= weight[i];
    if (bias != nullptr) v += bias[i];
    y[(int64_t)blockIdx.x * n + i] = v;
  }
  if (threadIdx.x == 0) {
    mean_out[blockIdx.x] = mean;
    rstd_out[blockIdx.x] = rstd;
  }
}

}  // namespace layer_norm

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> layer_norm_forward(
    torch::Tensor x, std::optional<torch::Tensor> weight, std::optional<torch::Tensor> bias, double eps) {
  TORCH_CHECK(x.dim() == 2 && x.is_cuda(), "x must be a CUDA matrix");
  const at::cuda::OptionalCUDAGuard device_guard(device_of(x));
  const auto rows = x.size(0), n = x.size(1);
  auto y = torch::empty_like(x);
  auto mean = torch::empty({rows}, x.options()), rstd = torch::empty({rows}, x.options());
  auto stream = at::cuda::getCurrentCUDAStream();
  layer_norm::kernel<256><<<rows, 256, 0, stream>>>(
      x.data_ptr<float>(), weight.has_value() ? weight->data_ptr<float>() : nullptr,
      bias ? bias.value().data_ptr<float>() : nullptr, y.data_ptr<float>(), mean.data_ptr<float>(),
      rstd.data_ptr<float>(), n, eps);
  AT_CUDA_CHECK(cudaGetLastError());
  return {y, mean, rstd};
}
"""

CPP = """
std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> layer_norm_forward(
    torch::Tensor x, std::optional<torch::Tensor> weight, std::optional<torch::Tensor> bias, double eps);
"""

ops = load_inline("layer_norm_warp", CPP, CUDA, functions={"layer_norm_forward": "layer norm of a matrix's rows"})


class Model(nn.Module):
    def forward(self, x, w, b):
        y = torch.nn.functional.layer_norm(x, x.shape[1:], w, b)
        plain = torch.nn.functional.layer_norm(x, x.shape[1:])
        return y, x.mean(1), plain


class ModelNew(nn.Module):
    def forward(self, x, w, b):
        y, mean, _ = ops.layer_norm_forward(x, w, b, 1e-5)
        return y, mean, ops.layer_norm_forward(x, None, None, 1e-5)[0]


def get_inputs():
    return [torch.randn(9, 769) + 2, torch.rand(769), torch.randn(769)]
