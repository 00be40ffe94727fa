"""A recurrent cell in the style of torch's tutorial: accessors, device templates, forward and backward."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CPP = r"""
#include <torch/extension.h>
#include <vector>

std::vector<torch::Tensor> cell_forward(torch::Tensor gates, torch::Tensor old_cell);
std::vector<torch::Tensor> cell_backward(torch::Tensor grad_h, torch::Tensor grad_c, torch::Tensor new_cell,
                                         torch::Tensor gates, torch::Tensor old_cell);
"""

CUDA = r"""
#include <torch/extension.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <vector>

template <typename scalar_t>
__device__ __forceinline__ scalar_t sigmoid(scalar_t z) {
  return 1.0 / (1.0 + exp(-z));
}

template <typename scalar_t>
__device__ __forceinline__ scalar_t d_sigmoid(scalar_t z) {
  const auto s = sigmoid(z);
  return (1.0 - s) * s;
}

template <typename scalar_t>
__device__ __forceinline__ scalar_t d_tanh(scalar_t z) {
  const auto t = tanh(z);
  return 1 - (t * t);
}

template <typename scalar_t>
__global__ void forward_kernel(
    const torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> gates,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> old_cell,
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_h,
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_cell) {
  const int n = blockIdx.y;
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c < gates.size(2)) {
    const auto input = sigmoid(gates[n][0][c]);
    const auto output = sigmoid(gates[n][1][c]);
    const auto candidate = tanh(gates[n][2][c]);
    new_cell[n][c] = old_cell[n][c] + candidate * input;
    new_h[n][c] = tanh(new_cell[n][c]) * output;
  }
}

template <typename scalar_t>
__global__ void backward_kernel(
    torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> d_old_cell,
    torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> d_gates,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> grad_h,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> grad_cell,
    const torch::PackedTensorAccessor32<scalar_t, 2, torch::RestrictPtrTraits> new_cell,
    const torch::PackedTensorAccessor32<scalar_t, 3, torch::RestrictPtrTraits> gates) {
  const int n = blockIdx.y;
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c < d_gates.size(2)) {
    const auto output = sigmoid(gates[n][1][c]);
    const auto d_output = tanh(new_cell[n][c]) * grad_h[n][c];
    const auto d_new = d_tanh(new_cell[n][c]) * output * grad_h[n][c] + grad_cell[n][c];
    d_old_cell[n][c] = d_new;
    d_gates[n][0][c] = tanh(gates[n][2][c]) * d_new * d_sigmoid(gates[n][0][c]);
    d_gates[n][1][c] = d_output * d_sigmoid(gates[n][1][c]);
    d_gates[n][2][c] = sigmoid(gates[n][0][c]) * d_new * d_tanh(gates[n][2][c]);
  }
}

std::vector<torch::Tensor> cell_forward(torch::Tensor gates, torch::Tensor old_cell) {
  auto new_h = torch::zeros_like(old_cell);
  auto new_cell = torch::zeros_like(old_cell);
  const auto batch = old_cell.size(0);
  const auto state = old_cell.size(1);
  const int threads = 64;
  const dim3 blocks((state + threads - 1) / threads, batch);
  AT_DISPATCH_FLOATING_TYPES(gates.scalar_type(), "cell_forward", ([&] {
    forward_kernel<scalar_t><<<blocks, threads>>>(
        gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>(),
        old_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_h.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>());
  }));
  return {new_h, new_cell};
}

std::vector<torch::Tensor> cell_backward(torch::Tensor grad_h, torch::Tensor grad_c, torch::Tensor new_cell,
                                         torch::Tensor gates, torch::Tensor old_cell) {
  auto d_old_cell = torch::zeros_like(new_cell);
  auto d_gates = torch::zeros_like(gates);
  const int threads = 64;
  const dim3 blocks((new_cell.size(1) + threads - 1) / threads, new_cell.size(0));
  AT_DISPATCH_FLOATING_TYPES(gates.scalar_type(), "cell_backward", ([&] {
    backward_kernel<scalar_t><<<blocks, threads>>>(
        d_old_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        d_gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>(),
        grad_h.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        grad_c.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        new_cell.packed_accessor32<scalar_t, 2, torch::RestrictPtrTraits>(),
        gates.packed_accessor32<scalar_t, 3, torch::RestrictPtrTraits>());
  }));
  return {d_old_cell, d_gates};
}
"""

ops = load_inline("gated_cell_accessors", CPP, CUDA, functions=["cell_forward", "cell_backward"])


class Model(nn.Module):
    def forward(self, gates, cell, grad_h, grad_c):
        with torch.enable_grad():
            g, c = gates.clone().requires_grad_(), cell.clone().requires_grad_()
            new = c + torch.tanh(g[:, 2]) * torch.sigmoid(g[:, 0])
            h = torch.tanh(new) * torch.sigmoid(g[:, 1])
            grads = torch.autograd.grad([h, new], [c, g], [grad_h, grad_c])
        return (h.detach(), new.detach(), *grads)


class ModelNew(nn.Module):
    def forward(self, gates, cell, grad_h, grad_c):
        h, new = ops.cell_forward(gates, cell)
        return (h, new, *ops.cell_backward(grad_h, grad_c, new, gates, cell))


def get_inputs():
    return [torch.randn(5, 3, 70), torch.randn(5, 70), torch.randn(5, 70), torch.randn(5, 70)]
