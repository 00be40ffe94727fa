"""A kernel chosen as a function pointer, then launched; template values deduced from constexpr variables."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

template <typename T, int VEC> struct alignas(sizeof(T) * VEC) Vector { T val[VEC]; };

template <typename T, int VEC>
__global__ void copy_scaled(const T* x, T* y, T scale, int n) {
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * VEC;
  if (i + VEC <= n) {
    auto v = *reinterpret_cast<const Vector<T, VEC>*>(x + i);
#pragma unroll
    for (int k = 0; k < VEC; ++k) v.val[k] *= scale;
    *reinterpret_cast<Vector<T, VEC>*>(y + i) = v;
  } else {
    for (int k = i; k < n; ++k) y[k] = x[k] * scale;
  }
}

torch::Tensor scaled(torch::Tensor x, double scale) {
  auto y = torch::empty_like(x);
  const int n = x.numel();
  auto kernel = &copy_scaled<float, 1>;
  int vec = 1;
  if (n % 4 == 0) {
    kernel = copy_scaled<float, 4>;
    vec = 4;
  } else if (n % 2 == 0) {
    kernel = &copy_scaled<float, 2>;
    vec = 2;
  }
  const int threads = 64, blocks = (n + threads * vec - 1) / (threads * vec);
  kernel<<<blocks, threads>>>(x.data_ptr<float>(), y.data_ptr<float>(), (float)scale, n);
  return y;
}
"""

ops = load_inline("kernel_pointer", "torch::Tensor scaled(torch::Tensor x, double scale);", CUDA, functions=["scaled"])


class Model(nn.Module):
    def forward(self, a, b, c):
        return a * 3, b * 3, c * 3


class ModelNew(nn.Module):
    def forward(self, *xs):
        return tuple(ops.scaled(x, 3.0) for x in xs)


def get_inputs():
    return [torch.randn(401), torch.randn(402), torch.randn(400)]
