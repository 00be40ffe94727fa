"""Cross entropy over rows: forward with log-sum-exp saved, backward from it, ignore_index, several kernels."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <limits>

template <typename scalar_t, typename Op>
__device__ scalar_t block_reduce(scalar_t v, Op op, scalar_t identity, scalar_t* smem) {
  for (int o = 16; o; o >>= 1) v = op(v, __shfl_xor_sync(~0u, v, o));
  if (threadIdx.x % 32 == 0) smem[threadIdx.x / 32] = v;
  __syncthreads();
  v = threadIdx.x < blockDim.x / 32 ? smem[threadIdx.x] : identity;
  if (threadIdx.x < 32) {
    for (int o = 16; o; o >>= 1) v = op(v, __shfl_xor_sync(~0u, v, o));
    if (threadIdx.x == 0) smem[0] = v;
  }
  __syncthreads();
  v = smem[0];
  __syncthreads();
  return v;
}

template <typename T>
struct Max {
  __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};
template <typename T>
struct Add {
  __device__ T operator()(T a, T b) const { return a + b; }
};

template <typename scalar_t>
__global__ void ce_forward(const scalar_t* logits, const int64_t* target, scalar_t* loss, scalar_t* lse, int64_t classes, int64_t ignore) {
  __shared__ scalar_t smem[32];
  const scalar_t* row = logits + blockIdx.x * classes;
  scalar_t m = -std::numeric_limits<scalar_t>::infinity();
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) m = std::max(m, row[c]);
  m = block_reduce(m, Max<scalar_t>(), -std::numeric_limits<scalar_t>::infinity(), smem);
  scalar_t s = 0;
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) s += std::exp(row[c] - m);
  s = block_reduce(s, Add<scalar_t>(), scalar_t(0), smem);
  if (threadIdx.x == 0) {
    const int64_t t = target[blockIdx.x];
    lse[blockIdx.x] = m + std::log(s);
    loss[blockIdx.x] = t == ignore ? scalar_t(0) : lse[blockIdx.x] - row[t];
  }
}

template <typename scalar_t>
__global__ void ce_backward(const scalar_t* logits, const int64_t* target, const scalar_t* lse, const scalar_t* grad,
                            scalar_t* d_logits, int64_t classes, int64_t ignore) {
  const int64_t n = blockIdx.x, t = target[n];
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) {
    const scalar_t p = std::exp(logits[n * classes + c] - lse[n]);
    d_logits[n * classes + c] = t == ignore ? scalar_t(0) : grad[n] * (p - (c == t ? scalar_t(1) : scalar_t(0)));
  }
}

std::vector<torch::Tensor> forward(torch::Tensor logits, torch::Tensor target, int64_t ignore = -100) {
  auto loss = torch::empty({logits.size(0)}, logits.options());
  auto lse = torch::empty_like(loss);
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "ce_forward", [&] {
    ce_forward<scalar_t><<<logits.size(0), 128, 0, at::cuda::getCurrentCUDAStream()>>>(
        logits.data_ptr<scalar_t>(), target.data_ptr<int64_t>(), loss.data_ptr<scalar_t>(), lse.data_ptr<scalar_t>(), logits.size(1), ignore);
  });
  return {loss, lse};
}

torch::Tensor backward(torch::Tensor grad, torch::Tensor logits, torch::Tensor target, torch::Tensor lse, int64_t ignore = -100) {
  auto d = torch::empty_like(logits);
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "ce_backward", [&] {
    ce_backward<scalar_t><<<logits.size(0), 128, 0, at::cuda::getCurrentCUDAStream()>>>(
        logits.data_ptr<scalar_t>(), target.data_ptr<int64_t>(), lse.data_ptr<scalar_t>(), grad.data_ptr<scalar_t>(), d.data_ptr<scalar_t>(), logits.size(1), ignore);
  });
  return d;
}
"""

CPP = r"""
#include <torch/extension.h>
std::vector<torch::Tensor> forward(torch::Tensor logits, torch::Tensor target, int64_t ignore);
torch::Tensor backward(torch::Tensor grad, torch::Tensor logits, torch::Tensor target, torch::Tensor lse, int64_t ignore);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "cross entropy";
  m.def("forward", &forward, "loss of each row, and its log-sum-exp", py::arg("logits"), py::arg("target"), py::arg("ignore") = -100);
  m.def("backward", &backward, py::arg("grad"), py::arg("logits"), py::arg("target"), py::arg("lse"), py::arg("ignore") = -100);
}
"""

ops = load_inline(name="cross_entropy_backward", cpp_sources=CPP, cuda_sources=CUDA)


class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        loss, lse = ops.forward(logits, target, ignore=3)
        ctx.save_for_backward(logits, target, lse)
        return loss

    @staticmethod
    def backward(ctx, grad):
        logits, target, lse = ctx.saved_tensors
        return ops.backward(grad.contiguous(), logits, target, lse=lse, ignore=3), None


class Model(nn.Module):
    def forward(self, x, t):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(x, t, reduction="none", ignore_index=3)
            (grad,) = torch.autograd.grad(loss.sum() * 2, x)
        return loss.detach(), grad


class ModelNew(nn.Module):
    def forward(self, x, t):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            loss = CrossEntropy.apply(x, t)
            (grad,) = torch.autograd.grad(loss.sum() * 2, x)
        return loss.detach(), grad


def get_inputs():
    return [torch.randn(12, 150), torch.randint(0, 6, (12,))]
