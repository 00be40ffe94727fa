"""A cooperative launch with grid.sync between two phases of one kernel."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

__global__ void normalise(const float* x, float* partial, float* y, int n) {
  cg::grid_group grid = cg::this_grid();
  float s = 0.f;
  for (int i = grid.thread_rank(); i < n; i += grid.size()) s += fabsf(x[i]);
  for (int o = 16; o; o >>= 1) s += __shfl_down_sync(0xffffffffu, s, o);
  if (threadIdx.x == 0) partial[blockIdx.x] = s;
  grid.sync();
  float total = 0.f;
  for (int b = 0; b < gridDim.x; ++b) total += partial[b];
  for (int i = grid.thread_rank(); i < n; i += grid.size()) y[i] = x[i] / total;
}

torch::Tensor l1_normalise(torch::Tensor x) {
  auto y = torch::empty_like(x), partial = torch::empty({8}, x.options());
  const float* px = x.data_ptr<float>();
  float *pp = partial.data_ptr<float>(), *py_ = y.data_ptr<float>();
  int n = x.numel();
  void* args[] = {(void*)&px, (void*)&pp, (void*)&py_, (void*)&n};
  TORCH_CHECK(cudaLaunchCooperativeKernel((void*)normalise, dim3(8), dim3(32), args, 0, 0) == cudaSuccess);
  return y;
}
"""

ops = load_inline(
    "grid_sync_cooperative", "torch::Tensor l1_normalise(torch::Tensor x);", CUDA, functions=["l1_normalise"]
)


class Model(nn.Module):
    def forward(self, x):
        return x / x.abs().sum()


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.l1_normalise(x)


def get_inputs():
    return [torch.randn(1000)]
