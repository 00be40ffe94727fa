"""Dropout with a counter-based generator written out; the mask depends on seed and index only."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

// 32-bit integer hash: two rounds of multiply and xor-shift
__host__ __device__ __forceinline__ uint32_t hash32(uint32_t v) {
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  v ^= v >> 16;
  return v;
}

__global__ void dropout_kernel(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ mask, float p, uint32_t seed, uint64_t n) {
  const uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float u = hash32(static_cast<uint32_t>(i) ^ hash32(seed)) * 2.3283064365386963e-10f;
  const bool keep = u >= p;
  mask[i] = keep;
  y[i] = keep ? x[i] / (1.f - p) : 0.f;
}

std::tuple<torch::Tensor, torch::Tensor> dropout(torch::Tensor x, double p, int64_t seed) {
  TORCH_CHECK(p >= 0 && p < 1, "p must be in [0, 1), is ", p);
  TORCH_CHECK(hash32(0) == 0u);
  auto y = torch::empty_like(x), mask = torch::empty_like(x, torch::kByte);
  dropout_kernel<<<(x.numel() + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), mask.data_ptr<uint8_t>(), p, seed, x.numel());
  return {y, mask};
}
"""

ops = load_inline(
    "philox_dropout",
    "std::tuple<torch::Tensor, torch::Tensor> dropout(torch::Tensor x, double p, int64_t seed);",
    CUDA,
    functions=["dropout"],
)


def hash32(v):
    low = 0xFFFFFFFF
    v = v ^ (v >> 16)
    v = (v * 0x7FEB352D) & low
    v = v ^ (v >> 15)
    v = (v * 0x846CA68B) & low
    return v ^ (v >> 16)


class Model(nn.Module):
    def forward(self, x):
        u = hash32(torch.arange(x.numel()) ^ hash32(torch.tensor(1234))).float() * 2.0**-32
        keep = u >= 0.3
        return torch.where(keep, x / 0.7, 0.0), keep.to(torch.uint8)


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.dropout(x, 0.3, 1234)


def get_inputs():
    return [torch.randn(900)]
