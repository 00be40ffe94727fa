"""Kernels in anonymous namespaces, static ones, an explicit specialisation, and two templates of one name."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

namespace {
namespace inner {
__global__ void scale_kernel(float* p, int n, float factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] *= factor;
}
}  // namespace inner

template <typename T>
__global__ void offset_kernel(T* p, int n, T amount) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] += amount;
}
}  // namespace

static __global__ void negate_kernel(float* p, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = -p[i];
}

namespace {
template <>
__global__ void offset_kernel<int>(int* p, int n, int amount) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = p[i] + 2 * amount;
}

// one name, two templates: the launch's argument types choose
template <typename T>
__global__ void fill_kernel(T* p, T value) { p[threadIdx.x] = value; }
template <typename T>
__global__ void fill_kernel(T* p, T value, int stride) { p[threadIdx.x * stride] = value; }
}  // namespace

std::vector<torch::Tensor> run(torch::Tensor x, torch::Tensor k) {
  auto a = x.clone(), b = k.clone();
  inner::scale_kernel<<<4, 64>>>(a.data_ptr<float>(), a.numel(), 3.f);
  offset_kernel<<<4, 64>>>(a.data_ptr<float>(), (int)a.numel(), 1.f);
  negate_kernel<<<4, 64>>>(a.data_ptr<float>(), a.numel());
  offset_kernel<<<4, 64>>>(b.data_ptr<int>(), (int)b.numel(), 5);
  fill_kernel<<<1, 2>>>(b.data_ptr<int>(), 7);
  fill_kernel<<<1, 3>>>(b.data_ptr<int>() + 50, 9, 2);
  return {a, b};
}
"""

ops = load_inline(
    "overloaded_kernels", "std::vector<torch::Tensor> run(torch::Tensor x, torch::Tensor k);", CUDA, functions=["run"]
)


class Model(nn.Module):
    def forward(self, x, k):
        k = k + 10
        k[:2] = 7
        k[50:56:2] = 9
        return -(3 * x + 1), k


class ModelNew(nn.Module):
    def forward(self, x, k):
        return ops.run(x, k)


def get_inputs():
    return [torch.randn(200), torch.randint(0, 9, (200,), dtype=torch.int32)]
