"""Side streams, events, and scratch memory from cudaMallocAsync and the caching allocator."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDACachingAllocator.h>

__global__ void partial_sums(const float* x, float* partial, int n) {
  float s = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  for (int o = 16; o; o >>= 1) s += __shfl_down_sync(0xffffffffu, s, o);
  if (threadIdx.x == 0) partial[blockIdx.x] = s;
}

__global__ void finish(const float* partial, float* out, int n) {
  float s = 0;
  for (int i = 0; i < n; ++i) s += partial[i];
  *out = s;
}

torch::Tensor total(torch::Tensor x) {
  constexpr int kBlocks = 20;
  auto out = torch::empty({}, x.options());
  c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(/*isHighPriority=*/true);
  cudaEvent_t ready;
  C10_CUDA_CHECK(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming));
  float* scratch = nullptr;
  {
    c10::cuda::CUDAStreamGuard guard(side);
    C10_CUDA_CHECK(cudaMallocAsync(&scratch, kBlocks * sizeof(float), side));
    partial_sums<<<kBlocks, 32, 0, side>>>(x.data_ptr<float>(), scratch, x.numel());
    C10_CUDA_CHECK(cudaEventRecord(ready, side));
  }
  cudaStream_t main = at::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaStreamWaitEvent(main, ready, 0));
  finish<<<1, 1, 0, main>>>(scratch, out.data_ptr<float>(), kBlocks);
  C10_CUDA_CHECK(cudaFreeAsync(scratch, main));
  C10_CUDA_CHECK(cudaEventDestroy(ready));
  void* more = c10::cuda::CUDACachingAllocator::raw_alloc(64);
  c10::cuda::CUDACachingAllocator::raw_delete(more);
  return out;
}
"""

ops = load_inline("streams_and_scratch", "torch::Tensor total(torch::Tensor x);", CUDA, functions=["total"])


class Model(nn.Module):
    def forward(self, x):
        return x.sum()


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.total(x)


def get_inputs():
    return [torch.randn(5000)]
