"""An optimiser step in place on four tensors; returns nothing; checks its arguments with messages."""

import contextlib

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

#define CHECK_SAME(a, b) TORCH_CHECK((a).sizes() == (b).sizes() && (a).scalar_type() == (b).scalar_type(), #a " and " #b " differ")

namespace optim { namespace {

template <typename T, typename G>
__global__ void adam_kernel(T* __restrict__ p, T* __restrict__ m, T* __restrict__ v, const G* __restrict__ g, const float b1,
                            const float b2, const float eps, const float step_size, const float decay, const size_t size) {
  const size_t start = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  for (size_t j = start; j < size; j += total) {
    const T grad = g[j];
    m[j] = b1 * m[j] + (1 - b1) * grad;
    v[j] = b2 * v[j] + (1 - b2) * grad * grad;
    const float denom = sqrtf(v[j]) + eps;
    p[j] = p[j] - step_size * (m[j] / denom + decay * p[j]);
  }
}

} }  // namespace optim

void adam_step(at::Tensor& p, at::Tensor& m, at::Tensor& v, const at::Tensor& g, float b1, float b2, float eps, float lr, int64_t step, float decay) {
  TORCH_CHECK(p.is_cuda(), "p must be on the GPU");
  CHECK_SAME(p, m);
  CHECK_SAME(p, v);
  const float correction = std::sqrt(1 - std::pow(b2, step)) / (1 - std::pow(b1, step));
  using namespace optim;
  AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "adam_step", ([&] {
    using accscalar_t = at::acc_type<scalar_t, true>;
    adam_kernel<accscalar_t, scalar_t><<<4, 512, 0, c10::cuda::getCurrentCUDAStream().stream()>>>(
        p.data_ptr<accscalar_t>(), m.data_ptr<accscalar_t>(), v.data_ptr<accscalar_t>(), g.data_ptr<scalar_t>(), b1, b2, eps, lr * correction, decay, p.numel());
  }));
}
"""

CPP = "void adam_step(at::Tensor& p, at::Tensor& m, at::Tensor& v, const at::Tensor& g, float b1, float b2, float eps, float lr, int64_t step, float decay);"

ops = load_inline("adam_in_place", CPP, CUDA, functions=["adam_step"])


class Model(nn.Module):
    def forward(self, p, m, v, g):
        b1, b2, eps, lr, step, decay = 0.9, 0.99, 1e-8, 0.1, 3, 0.01
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        size = lr * (1 - b2**step) ** 0.5 / (1 - b1**step)
        return p - size * (m / (v.sqrt() + eps) + decay * p), m, v


class ModelNew(nn.Module):
    def forward(self, p, m, v, g):
        p, m, v = p.clone(), m.clone(), v.clone()
        ops.adam_step(p, m, v, g, 0.9, 0.99, 1e-8, 0.1, 3, 0.01)
        with contextlib.suppress(RuntimeError):
            ops.adam_step(p, m[:5], v, g, 0.9, 0.99, 1e-8, 0.1, 3, 0.01)
            raise AssertionError("a wrong size was accepted")
        return p, m, v


def get_inputs():
    return [torch.randn(3000), torch.randn(3000), torch.rand(3000), torch.randn(3000)]
