"""Modules whose kernel is a torch C++ extension."""

from __future__ import annotations

CPP_SOFTMAX = r"""
__global__ void softmax_kernel(const float* x, float* y, int cols) {
    const float* in = x + blockIdx.x * cols;
    float largest = -3.4e38f, sum = 0.0f;
    for (int c = 0; c < cols; ++c) largest = fmaxf(largest, in[c]);
    for (int c = 0; c < cols; ++c) sum += expf(in[c] - largest);
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[blockIdx.x * cols + c] = expf(in[c] - largest) / sum;
}
__global__ void copy_kernel(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""


def cpp(body: str, *, includes: str = "", forward: str = "return ops.run(x.contiguous())", before: str = "") -> str:
    """A module for `softmax` whose C++ function `run(x)` has this body."""
    return f'''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
{includes}
{CPP_SOFTMAX}
{before}
torch::Tensor run(torch::Tensor x) {{
    auto y = torch::empty_like(x);
    const int rows = x.size(0), cols = x.size(1);
{body}
}}
"""
ops = load_inline("softmax_ops", "torch::Tensor run(torch::Tensor x);", CUDA, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        {forward}
'''


LAUNCH = "    softmax_kernel<<<rows, 32>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);\n"
COPY = "    copy_kernel<<<(rows * cols + 127) / 128, 128>>>({0}.data_ptr<float>(), y.data_ptr<float>(), rows * cols);\n"
