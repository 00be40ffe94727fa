"""A fused linear layer: c10::optional bias, an activation chosen by a string, an enum template parameter."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <c10/util/Optional.h>
#include <string>

enum class Activation { kNone, kRelu, kSilu };

template <Activation A>
__device__ float activate(float x) {
  if constexpr (A == Activation::kRelu) {
    return fmaxf(x, 0.f);
  } else if constexpr (A == Activation::kSilu) {
    return x / (1.f + expf(-x));
  }
  return x;
}

template <Activation A, bool HAS_BIAS>
__global__ void linear_kernel(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                              float* __restrict__ y, int rows, int in, int out) {
  const int o = blockIdx.x * blockDim.x + threadIdx.x;
  const int r = blockIdx.y * blockDim.y + threadIdx.y;
  if (o >= out || r >= rows) return;
  float sum = HAS_BIAS ? b[o] : 0.f;
  for (int k = 0; k < in; ++k) sum = __fmaf_rn(x[r * in + k], w[o * in + k], sum);
  y[r * out + o] = activate<A>(sum);
}

template <Activation A>
void launch(const torch::Tensor& x, const torch::Tensor& w, const std::optional<torch::Tensor>& b, torch::Tensor& y) {
  const int rows = x.size(0), in = x.size(1), out = w.size(0);
  const dim3 threads(32, 4), blocks((out + 31) / 32, (rows + 3) / 4);
  if (b.has_value())
    linear_kernel<A, true><<<blocks, threads>>>(x.data_ptr<float>(), w.data_ptr<float>(), b->data_ptr<float>(), y.data_ptr<float>(), rows, in, out);
  else
    linear_kernel<A, false><<<blocks, threads>>>(x.data_ptr<float>(), w.data_ptr<float>(), nullptr, y.data_ptr<float>(), rows, in, out);
}

torch::Tensor linear(torch::Tensor x, torch::Tensor w, std::optional<torch::Tensor> b, const std::string& activation) {
  TORCH_CHECK(x.size(1) == w.size(1), "inner sizes differ");
  auto y = x.new_empty({x.size(0), w.size(0)});
  if (activation == "relu") launch<Activation::kRelu>(x, w, b, y);
  else if (activation == "silu") launch<Activation::kSilu>(x, w, b, y);
  else if (activation == "none") launch<Activation::kNone>(x, w, b, y);
  else TORCH_CHECK(false, "unknown activation ", activation);
  return y;
}
"""

ops = load_inline(
    "linear_optional_bias",
    "torch::Tensor linear(torch::Tensor x, torch::Tensor w, std::optional<torch::Tensor> b, const std::string& activation);",
    CUDA,
    functions=["linear"],
)


class Model(nn.Module):
    def forward(self, x, w, b):
        f = torch.nn.functional
        return f.relu(f.linear(x, w, b)), f.silu(f.linear(x, w)), f.linear(x, w, b)


class ModelNew(nn.Module):
    def forward(self, x, w, b):
        return ops.linear(x, w, b, "relu"), ops.linear(x, w, None, "silu"), ops.linear(x, w, b, "none")


def get_inputs():
    return [torch.randn(7, 33), torch.randn(40, 33), torch.randn(40)]
