"""Vector loads and stores of float4 with a scalar tail; constants in a namespace."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

namespace {
const float kAlpha = 0.7978845608028654f;
constexpr float kBeta = 0.044715f;

__device__ inline float gelu(float x) { return 0.5f * x * (1.f + tanhf(kAlpha * (x + kBeta * x * x * x))); }

__global__ void gelu_vec4(const float4* in, float4* out, int n4, const float* tail_in, float* tail_out, int tail) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n4) {
    float4 v = in[i];
    v.x = gelu(v.x);
    v.y = gelu(v.y);
    v.z = gelu(v.z);
    v.w = gelu(v.w);
    out[i] = v;
  }
  if (i < tail) tail_out[i] = gelu(tail_in[i]);
}
}  // namespace

torch::Tensor gelu_forward(torch::Tensor x) {
  auto y = torch::empty_like(x);
  const int n = x.numel(), n4 = n / 4;
  const float* p = x.data_ptr<float>();
  float* q = y.mutable_data_ptr<float>();
  gelu_vec4<<<(n4 + 1 + 255) / 256, 256>>>(reinterpret_cast<const float4*>(p), reinterpret_cast<float4*>(q), n4,
                                           p + 4 * n4, q + 4 * n4, n % 4);
  return y;
}
"""

ops = load_inline("gelu_float4", "torch::Tensor gelu_forward(torch::Tensor x);", CUDA, functions=["gelu_forward"])


class Model(nn.Module):
    def forward(self, x):
        return torch.nn.functional.gelu(x, approximate="tanh")


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.gelu_forward(x)


def get_inputs():
    return [torch.randn(1027)]
