"""Batch norm training: statistics, normalisation and running averages in three kernels; tuple of outputs."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <tuple>

using torch::Tensor;

__global__ void stats_kernel(const float* x, float* mean, float* var, int n, int c, int hw) {
  __shared__ float s_sum[256], s_sq[256];
  const int channel = blockIdx.x;
  float sum = 0, sq = 0;
  for (int i = threadIdx.x; i < n * hw; i += blockDim.x) {
    const float v = x[(i / hw * c + channel) * hw + i % hw];
    sum += v;
    sq += v * v;
  }
  s_sum[threadIdx.x] = sum, s_sq[threadIdx.x] = sq;
  __syncthreads();
  for (int s = blockDim.x >> 1; s; s >>= 1) {
    if (threadIdx.x < s) {
      s_sum[threadIdx.x] += s_sum[threadIdx.x + s];
      s_sq[threadIdx.x] += s_sq[threadIdx.x + s];
    }
    __syncthreads();
  }
  if (!threadIdx.x) {
    mean[channel] = s_sum[0] / (n * hw);
    var[channel] = s_sq[0] / (n * hw) - mean[channel] * mean[channel];
  }
}

__global__ void normalise_kernel(const float* x, const float* mean, const float* var, const float* gamma, const float* beta, float* y, float eps, int c, int hw, int total) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < total) {
    int channel = i / hw % c;
    y[i] = (x[i] - mean[channel]) * rsqrtf(var[channel] + eps) * gamma[channel] + beta[channel];
  }
}

__global__ void running_kernel(float* running_mean, float* running_var, const float* mean, const float* var, float momentum, float unbias, int c) {
  if (int i = threadIdx.x; i < c) {
    running_mean[i] = (1 - momentum) * running_mean[i] + momentum * mean[i];
    running_var[i] = (1 - momentum) * running_var[i] + momentum * unbias * var[i];
  }
}

std::tuple<Tensor, Tensor, Tensor> batch_norm(Tensor x, Tensor gamma, Tensor beta, Tensor running_mean, Tensor running_var, double momentum, double eps) {
  const int n = x.size(0), c = x.size(1), hw = x.size(2) * x.size(3), count = n * hw;
  auto options = x.options();
  Tensor mean = torch::empty({c}, options), var = torch::empty({c}, options), y = torch::empty_like(x);
  stats_kernel<<<c, 256>>>(x.data_ptr<float>(), mean.data_ptr<float>(), var.data_ptr<float>(), n, c, hw);
  normalise_kernel<<<(x.numel() + 255) / 256, 256>>>(x.data_ptr<float>(), mean.data_ptr<float>(), var.data_ptr<float>(), gamma.data_ptr<float>(), beta.data_ptr<float>(), y.data_ptr<float>(), eps, c, hw, x.numel());
  running_kernel<<<1, 64>>>(running_mean.data_ptr<float>(), running_var.data_ptr<float>(), mean.data_ptr<float>(), var.data_ptr<float>(), momentum, count / (count - 1.0), c);
  return std::make_tuple(y, mean, var);
}
"""

CPP = "std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> batch_norm(torch::Tensor x, torch::Tensor gamma, torch::Tensor beta, torch::Tensor running_mean, torch::Tensor running_var, double momentum, double eps);"
ops = load_inline("batch_norm_train", CPP, CUDA, functions=["batch_norm"])
TOLERANCE = 1e-4


class Model(nn.Module):
    def forward(self, x, g, b):
        rm, rv = torch.zeros(5), torch.ones(5)
        y = torch.nn.functional.batch_norm(x, rm, rv, g, b, training=True, momentum=0.1)
        return y, rm, rv


class ModelNew(nn.Module):
    def forward(self, x, g, b):
        rm, rv = torch.zeros(5), torch.ones(5)
        y, _, _ = ops.batch_norm(x, g, b, rm, rv, 0.1, 1e-5)
        return y, rm, rv


def get_inputs():
    return [torch.randn(3, 5, 9, 8), torch.rand(5), torch.randn(5)]
