"""Kernels and their host functions written by one macro; token pasting; a list of functions."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

#define KERNEL_LAUNCH(kernel, n, ...) \
  kernel<<<((n) + 127) / 128, 128>>>(__VA_ARGS__)

#define DEFINE_UNARY(NAME, EXPRESSION)                                                    \
  __global__ void NAME##_kernel(const float* __restrict__ in, float* __restrict__ out,    \
                                const int n) {                                            \
    const int i = blockIdx.x * blockDim.x + threadIdx.x;                                  \
    if (i < n) {                                                                          \
      const float x = in[i];                                                              \
      out[i] = (EXPRESSION);                                                              \
    }                                                                                     \
  }                                                                                       \
  torch::Tensor NAME(torch::Tensor in) {                                                  \
    auto out = torch::empty_like(in);                                                     \
    KERNEL_LAUNCH(NAME##_kernel, in.numel(), in.data_ptr<float>(), out.data_ptr<float>(), \
                  static_cast<int>(in.numel()));                                          \
    return out;                                                                           \
  }

DEFINE_UNARY(mish, x * tanhf(log1pf(expf(x))))
DEFINE_UNARY(hardswish, x * fminf(fmaxf(x + 3.f, 0.f), 6.f) / 6.f)
DEFINE_UNARY(softsign, x / (1.f + fabsf(x)))
#undef DEFINE_UNARY
"""

NAMES = ["mish", "hardswish", "softsign"]
ops = load_inline(
    "unary_by_macro", "\n".join(f"torch::Tensor {n}(torch::Tensor in);" for n in NAMES), CUDA, functions=NAMES
)


class Model(nn.Module):
    def forward(self, x):
        f = torch.nn.functional
        return f.mish(x), f.hardswish(x), f.softsign(x)


class ModelNew(nn.Module):
    def forward(self, x):
        return tuple(getattr(ops, name)(x) for name in NAMES)


def get_inputs():
    return [torch.randn(513) * 3]
