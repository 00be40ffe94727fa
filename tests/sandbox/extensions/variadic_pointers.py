"""A kernel template over a parameter pack of pointers, summed by a fold expression."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

template <typename T, typename... Ptrs>
__global__ void sum_all(T* out, int n, const Ptrs*... in) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = (static_cast<T>(in[i]) + ...);
}

template <bool... Signs>
__global__ void signs_kernel(int* out) {
  const bool signs[] = {Signs...};
  if (threadIdx.x < sizeof...(Signs)) out[threadIdx.x] = signs[threadIdx.x] ? 1 : -1;
}

torch::Tensor sum3(torch::Tensor a, torch::Tensor b, torch::Tensor c) {
  auto out = torch::empty(a.sizes(), torch::dtype(torch::kDouble).device(a.device()));
  sum_all<<<(a.numel() + 63) / 64, 64>>>(out.data_ptr<double>(), (int)a.numel(), a.data_ptr<float>(), b.data_ptr<int64_t>(), c.data_ptr<double>());
  return out;
}

torch::Tensor signs() {
  auto out = torch::empty({4}, torch::device(torch::kCUDA).dtype(torch::kInt));
  signs_kernel<true, false, false, true><<<1, 32>>>(out.data_ptr<int>());
  return out;
}
"""

ops = load_inline(
    "variadic_pointers",
    "torch::Tensor sum3(torch::Tensor a, torch::Tensor b, torch::Tensor c);\ntorch::Tensor signs();",
    CUDA,
    functions=["sum3", "signs"],
)


class Model(nn.Module):
    def forward(self, a, b, c):
        return a.double() + b.double() + c, torch.tensor([1, -1, -1, 1], dtype=torch.int32)


class ModelNew(nn.Module):
    def forward(self, a, b, c):
        return ops.sum3(a, b, c), ops.signs()


def get_inputs():
    return [torch.randn(100), torch.randint(0, 9, (100,)), torch.randn(100, dtype=torch.float64)]
