"""RMS normalisation of 1024 features: right, but one warp a token that reads it twice."""

import cupy
import numpy
import torch

CUDA_SOURCE = r"""
// One warp a token, which is read twice, one float at a time.
extern "C" __global__ void
rms_norm(const float* __restrict__ x, const float* __restrict__ weight, float* __restrict__ out, float epsilon) {
    const float* row = x + blockIdx.x * 1024;
    float squares = 0.0f;
    for (int c = threadIdx.x; c < 1024; c += 32) squares += row[c] * row[c];
    for (int offset = 16; offset > 0; offset /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, offset);
    const float scale = rsqrtf(squares / 1024.0f + epsilon);
    for (int c = threadIdx.x; c < 1024; c += 32) out[blockIdx.x * 1024 + c] = row[c] * scale * weight[c];
}
"""

_KERNEL = cupy.RawModule(code=CUDA_SOURCE, options=("--std=c++17",)).get_function("rms_norm")


class ModelNew(torch.nn.Module):
    def __init__(self, features, epsilon):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(features))
        self.epsilon = epsilon

    def forward(self, x):
        x = x.contiguous()
        weight = self.weight.contiguous()
        out = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            _KERNEL(
                (x.shape[0],), (32,), (x.data_ptr(), weight.data_ptr(), out.data_ptr(), numpy.float32(self.epsilon))
            )
        return out
