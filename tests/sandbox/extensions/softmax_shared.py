"""Row softmax: dynamic shared memory, tree reduction, one block per row."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <float.h>

extern "C" __global__ void softmax_rows(const float* __restrict__ x, float* __restrict__ y, int cols) {
    extern __shared__ float sdata[];
    const int row = blockIdx.x, tid = threadIdx.x;
    const float* in = x + (size_t)row * cols;
    float* out = y + (size_t)row * cols;

    float m = -FLT_MAX;
    for (int c = tid; c < cols; c += blockDim.x) m = fmaxf(m, in[c]);
    sdata[tid] = m;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s >>= 1) {
        if (tid < s) sdata[tid] = fmaxf(sdata[tid], sdata[tid + s]);
        __syncthreads();
    }
    m = sdata[0];
    __syncthreads();

    float sum = 0.f;
    for (int c = tid; c < cols; c += blockDim.x) {
        const float e = __expf(in[c] - m);
        out[c] = e;
        sum += e;
    }
    sdata[tid] = sum;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s >>= 1) {
        if (tid < s) sdata[tid] += sdata[tid + s];
        __syncthreads();
    }
    const float inv = 1.f / sdata[0];
    for (int c = tid; c < cols; c += blockDim.x) out[c] *= inv;
}

at::Tensor softmax(const at::Tensor& x) {
    at::Tensor y = at::empty_like(x);
    constexpr int kThreads = 128;
    softmax_rows<<<x.size(0), kThreads, kThreads * sizeof(float)>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(1));
    return y;
}
"""

ops = load_inline("softmax_shared", "at::Tensor softmax(const at::Tensor& x);", CUDA, functions="softmax")


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, 1)


class ModelNew(nn.Module):
    def forward(self, x):
        return ops.softmax(x)


def get_inputs():
    return [torch.randn(33, 517) * 3]
