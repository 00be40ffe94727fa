"""A convolution whose filter lies in constant memory, copied there by cudaMemcpyToSymbol; shared halo tile."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>

#define RADIUS 2
#define WIDTH (2 * RADIUS + 1)
#define BLOCK 16

__constant__ float d_filter[WIDTH * WIDTH];

__global__ void conv_kernel(const float* in, float* out, int height, int width) {
  __shared__ float tile[BLOCK + 2 * RADIUS][BLOCK + 2 * RADIUS];
  const int x0 = blockIdx.x * BLOCK - RADIUS, y0 = blockIdx.y * BLOCK - RADIUS;
  for (int i = threadIdx.y * BLOCK + threadIdx.x; i < (BLOCK + 2 * RADIUS) * (BLOCK + 2 * RADIUS); i += BLOCK * BLOCK) {
    const int ty = i / (BLOCK + 2 * RADIUS), tx = i % (BLOCK + 2 * RADIUS);
    const int y = y0 + ty, x = x0 + tx;
    tile[ty][tx] = (x >= 0 && x < width && y >= 0 && y < height) ? in[y * width + x] : 0.f;
  }
  __syncthreads();
  const int x = blockIdx.x * BLOCK + threadIdx.x, y = blockIdx.y * BLOCK + threadIdx.y;
  if (x >= width || y >= height) return;
  float sum = 0.f;
  #pragma unroll
  for (int dy = 0; dy < WIDTH; ++dy)
    #pragma unroll
    for (int dx = 0; dx < WIDTH; ++dx) sum += d_filter[dy * WIDTH + dx] * tile[threadIdx.y + dy][threadIdx.x + dx];
  out[y * width + x] = sum;
}

torch::Tensor conv(torch::Tensor image, torch::Tensor filter) {
  TORCH_CHECK(filter.numel() == WIDTH * WIDTH, "a 5x5 filter");
  auto f = filter.contiguous();
  cudaError_t status = cudaMemcpyToSymbol(d_filter, f.data_ptr<float>(), WIDTH * WIDTH * sizeof(float), 0, cudaMemcpyDeviceToDevice);
  TORCH_CHECK(status == cudaSuccess, cudaGetErrorString(status));
  auto out = torch::empty_like(image);
  const int h = image.size(0), w = image.size(1);
  conv_kernel<<<dim3((w + BLOCK - 1) / BLOCK, (h + BLOCK - 1) / BLOCK), dim3(BLOCK, BLOCK)>>>(image.data_ptr<float>(), out.data_ptr<float>(), h, w);
  return out;
}
"""

ops = load_inline(
    "conv_constant_filter", "torch::Tensor conv(torch::Tensor image, torch::Tensor filter);", CUDA, functions=["conv"]
)


class Model(nn.Module):
    def forward(self, x, f):
        def conv(w):
            return torch.nn.functional.conv2d(x[None, None], w[None, None], padding=2)[0, 0]

        return conv(f), conv(2 * f)


class ModelNew(nn.Module):
    def forward(self, x, f):
        return ops.conv(x, f), ops.conv(x, 2 * f)


def get_inputs():
    return [torch.randn(37, 45), torch.randn(5, 5)]
