"""cudaLaunchKernel with an argument array; block size from the occupancy API; a grid-stride loop."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <cuda_runtime_api.h>

__global__ void lerp_kernel(const double* a, const double* b, double* out, double t, long long n) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)blockDim.x * gridDim.x)
    out[i] = a[i] + t * (b[i] - a[i]);
}

torch::Tensor mix(torch::Tensor a, torch::Tensor b, double t) {
  TORCH_CHECK(a.scalar_type() == torch::kFloat64);
  auto out = torch::empty_like(a);
  int min_grid = 0, block = 0, active = 0;
  AT_CUDA_CHECK(cudaOccupancyMaxPotentialBlockSize(&min_grid, &block, lerp_kernel, 0, 0));
  AT_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&active, lerp_kernel, block, 0));
  const int sms = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  TORCH_CHECK(block >= 32 && block <= 1024 && active * sms == min_grid, "occupancy ", block, " ", active, " ", min_grid);
  const double *pa = a.data_ptr<double>(), *pb = b.data_ptr<double>();
  double* po = out.data_ptr<double>();
  long long n = a.numel();
  void* args[] = {&pa, &pb, &po, &t, &n};
  AT_CUDA_CHECK(cudaLaunchKernel((const void*)lerp_kernel, dim3(std::min<long long>(4, min_grid)), dim3(block), args, 0, at::cuda::getCurrentCUDAStream()));
  AT_CUDA_CHECK(cudaStreamSynchronize(at::cuda::getCurrentCUDAStream()));
  return out;
}
"""

ops = load_inline(
    "launch_api_occupancy", "torch::Tensor mix(torch::Tensor a, torch::Tensor b, double t);", CUDA, functions=["mix"]
)


class Model(nn.Module):
    def forward(self, a, b):
        return a + 0.25 * (b - a)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ops.mix(a, b, 0.25)


def get_inputs():
    return [torch.randn(6000, dtype=torch.float64), torch.randn(6000, dtype=torch.float64)]
