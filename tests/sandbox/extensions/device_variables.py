"""A look-up table in constant memory and a counter in device memory, read back by symbol."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

#define CUDA_OK(call) do { cudaError_t e_ = (call); TORCH_CHECK(e_ == cudaSuccess, #call, ": ", cudaGetErrorString(e_)); } while (0)

namespace lut {
__constant__ float table[16] = {0.f, 1.f, 4.f, 9.f, 16.f, 25.f, 36.f, 49.f, 64.f, 81.f, 100.f, 121.f, 144.f, 169.f, 196.f, 225.f};
__device__ unsigned int calls;
__device__ float last_scale = 1.0f;
}

template <int SHIFT>
__global__ void look_up(const int* index, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = lut::table[(index[i] + SHIFT) & 15] * lut::last_scale;
  atomicAdd(&lut::calls, 1u);
}

std::tuple<torch::Tensor, int64_t> run(torch::Tensor index, double scale) {
  const float s = scale;
  const unsigned zero = 0;
  CUDA_OK(cudaMemcpyToSymbol(lut::last_scale, &s, sizeof(float)));
  CUDA_OK(cudaMemcpyToSymbol(lut::calls, &zero, sizeof zero));
  auto out = torch::empty(index.sizes(), index.options().dtype(torch::kFloat));
  look_up<0><<<(index.numel() + 31) / 32, 32>>>(index.data_ptr<int>(), out.data_ptr<float>(), index.numel());
  look_up<1><<<1, 8>>>(index.data_ptr<int>(), out.data_ptr<float>(), 8);
  unsigned calls = 0;
  CUDA_OK(cudaMemcpyFromSymbol(&calls, lut::calls, sizeof(calls), 0, cudaMemcpyDeviceToHost));
  return {out, calls};
}
"""

ops = load_inline(
    "device_variables",
    "std::tuple<torch::Tensor, int64_t> run(torch::Tensor index, double scale);",
    CUDA,
    functions=["run"],
)


class Model(nn.Module):
    def forward(self, index):
        out = 2.0 * index.float() ** 2
        out[:8] = 2.0 * ((index[:8] + 1) % 16).float() ** 2
        return out


class ModelNew(nn.Module):
    def forward(self, index):
        ops.run(index, 7.0)
        out, calls = ops.run(index, 2.0)
        assert calls == index.numel() + 8
        return out


def get_inputs():
    return [torch.randint(0, 16, (100,), dtype=torch.int32)]
