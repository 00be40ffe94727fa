"""Boolean masks in and out, uint8 too; a scalar of any type through AT_DISPATCH_ALL_TYPES_AND."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <ATen/Dispatch.h>

template <typename scalar_t>
__global__ void masked_fill_kernel(scalar_t* data, const bool* mask, scalar_t value, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    if (mask[i]) data[i] = value;
}

template <typename scalar_t>
__global__ void threshold_kernel(const scalar_t* data, bool* above, uint8_t* level, scalar_t limit, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  above[i] = data[i] > limit;
  level[i] = static_cast<uint8_t>(data[i] > limit ? 2 : data[i] > scalar_t(0) ? 1 : 0);
}

torch::Tensor masked_fill(torch::Tensor x, torch::Tensor mask, at::Scalar value) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "the mask must be boolean");
  auto y = x.clone();
  AT_DISPATCH_ALL_TYPES_AND(at::ScalarType::Half, x.scalar_type(), "masked_fill", [&] {
    masked_fill_kernel<<<2, 128>>>(y.data_ptr<scalar_t>(), mask.data_ptr<bool>(), value.to<scalar_t>(), (int)y.numel());
  });
  return y;
}

std::vector<torch::Tensor> threshold(torch::Tensor x, double limit) {
  auto above = torch::empty_like(x, x.options().dtype(torch::kBool)), level = torch::empty_like(x, x.options().dtype(torch::kUInt8));
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "threshold", [&] {
    threshold_kernel<scalar_t><<<(x.numel() + 127) / 128, 128>>>(x.data_ptr<scalar_t>(), above.data_ptr<bool>(), level.data_ptr<uint8_t>(), limit, x.numel());
  });
  return {above, level};
}
"""

CPP = """
torch::Tensor masked_fill(torch::Tensor x, torch::Tensor mask, at::Scalar value);
std::vector<torch::Tensor> threshold(torch::Tensor x, double limit);
"""
ops = load_inline("masked_fill_bool", CPP, CUDA, functions=["masked_fill", "threshold"])


class Model(nn.Module):
    def forward(self, x):
        k = (x * 10).int()
        return (
            x.masked_fill(x > 0, -1.5),
            k.masked_fill(x > 0, 4),
            x > 0.5,
            ((x > 0).int() + (x > 0.5).int()).to(torch.uint8),
        )


class ModelNew(nn.Module):
    def forward(self, x):
        k = (x * 10).int()
        return ops.masked_fill(x, x > 0, -1.5), ops.masked_fill(k, x > 0, 4), *ops.threshold(x, 0.5)


def get_inputs():
    return [torch.randn(700)]
