"""A dot product in one launch: the last block to arrive sums the partial results (threadfence and a counter)."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>

__device__ unsigned int retired = 0;

template <typename T, unsigned THREADS>
__device__ T reduce_block(T v, T* smem) {
  smem[threadIdx.x] = v;
  __syncthreads();
  if constexpr (THREADS >= 256) { if (threadIdx.x < 128) smem[threadIdx.x] += smem[threadIdx.x + 128]; __syncthreads(); }
  if constexpr (THREADS >= 128) { if (threadIdx.x < 64) smem[threadIdx.x] += smem[threadIdx.x + 64]; __syncthreads(); }
  if (threadIdx.x < 32) {
    T s = smem[threadIdx.x] + smem[threadIdx.x + 32];
    for (int o = 16; o > 0; o >>= 1) s += __shfl_down_sync(0xffffffffu, s, o);
    if (threadIdx.x == 0) smem[0] = s;
  }
  __syncthreads();
  return smem[0];
}

template <typename T>
__global__ void dot_kernel(const T* a, const T* b, volatile T* partial, T* out, int n) {
  __shared__ T smem[256];
  __shared__ bool last;
  T s = 0;
  for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) s += a[i] * b[i];
  s = reduce_block<T, 256>(s, smem);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = s;
    __threadfence();
    last = atomicInc(&retired, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last) {
    __threadfence();
    s = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += 256) s += partial[i];
    s = reduce_block<T, 256>(s, smem);
    if (threadIdx.x == 0) *out = s;
  }
}

torch::Tensor dot(torch::Tensor a, torch::Tensor b) {
  auto out = torch::empty({}, a.options());
  auto partial = torch::empty({12}, a.options());
  AT_DISPATCH_FLOATING_TYPES(a.scalar_type(), "dot", [&] {
    dot_kernel<scalar_t><<<12, 256>>>(a.data_ptr<scalar_t>(), b.data_ptr<scalar_t>(), partial.data_ptr<scalar_t>(), out.data_ptr<scalar_t>(), a.numel());
  });
  return out;
}
"""

ops = load_inline("dot_last_block", "torch::Tensor dot(torch::Tensor a, torch::Tensor b);", CUDA, functions=["dot"])
TOLERANCE = 1e-4


class Model(nn.Module):
    def forward(self, a, b):
        return a @ b, a.double() @ b.double(), b @ b


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ops.dot(a, b), ops.dot(a.double(), b.double()), ops.dot(b, b)


def get_inputs():
    return [torch.randn(10000), torch.randn(10000)]
