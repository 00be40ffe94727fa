"""More than 48 KiB of dynamic shared memory, asked for by cudaFuncSetAttribute; carved into arrays by hand."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

template <int THREADS>
__global__ void sort_free_median(const float* x, float* centred, float* spread, int cols) {
  extern __shared__ __align__(16) unsigned char raw[];
  float* row = reinterpret_cast<float*>(raw);
  float* copy = row + cols;
  for (int c = threadIdx.x; c < cols; c += THREADS) copy[c] = row[c] = x[blockIdx.x * (size_t)cols + c];
  __syncthreads();
  // the mean of the row, by one thread of each half
  __shared__ float means[2];
  if (threadIdx.x < 2) {
    float s = 0;
    for (int c = threadIdx.x; c < cols; c += 2) s += row[c];
    means[threadIdx.x] = s;
  }
  __syncthreads();
  const float mean = (means[0] + means[1]) / cols;
  for (int c = threadIdx.x; c < cols; c += THREADS) {
    centred[blockIdx.x * (size_t)cols + c] = copy[c] - mean;
    spread[blockIdx.x * (size_t)cols + c] = row[cols - 1 - c];
  }
}

std::vector<torch::Tensor> run(torch::Tensor x) {
  const int cols = x.size(1), bytes = 2 * cols * sizeof(float);
  auto centred = torch::empty_like(x), spread = torch::empty_like(x);
  auto kernel = sort_free_median<128>;
  TORCH_CHECK(cudaSuccess == cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<x.size(0), 128, bytes>>>(x.data_ptr<float>(), centred.data_ptr<float>(), spread.data_ptr<float>(), cols);
  return {centred, spread};
}
"""

ops = load_inline("large_dynamic_shared", "std::vector<torch::Tensor> run(torch::Tensor x);", CUDA, functions=["run"])


class Model(nn.Module):
    def forward(self, x):
        return x - x.mean(1, keepdim=True), x.flip(1)


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.run(x)


def get_inputs():
    return [torch.randn(2, 8000)]
