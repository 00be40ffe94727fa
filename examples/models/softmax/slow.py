"""Softmax of 1024 columns: right, but one warp a row that reads it three times."""

import cupy
import torch

CUDA_SOURCE = r"""
// A NaN wins, as in torch.
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }

// One warp a row; the row is read three times, one float at a time.
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ out) {
    const float* row = x + blockIdx.x * 1024;
    float top = -__int_as_float(0x7f800000);
    for (int c = threadIdx.x; c < 1024; c += 32) top = larger(row[c], top);
    for (int offset = 16; offset > 0; offset /= 2) top = larger(top, __shfl_xor_sync(0xffffffffu, top, offset));
    float total = 0.0f;
    for (int c = threadIdx.x; c < 1024; c += 32) total += expf(row[c] - top);
    for (int offset = 16; offset > 0; offset /= 2) total += __shfl_xor_sync(0xffffffffu, total, offset);
    for (int c = threadIdx.x; c < 1024; c += 32) out[blockIdx.x * 1024 + c] = expf(row[c] - top) / total;
}
"""

_KERNEL = cupy.RawModule(code=CUDA_SOURCE, options=("--std=c++17",)).get_function("softmax")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            _KERNEL((x.shape[0],), (32,), (x.data_ptr(), out.data_ptr()))
        return out
