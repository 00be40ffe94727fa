"""Softmax that forgets to subtract the row's maximum: right for small scores, NaN for large ones."""

import cupy
import torch

CUDA_SOURCE = r"""
__device__ __forceinline__ float block_sum(float value, float* scratch) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    value = scratch[threadIdx.x % 8];
    for (int offset = 4; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

extern "C" __global__ void __launch_bounds__(256) softmax(const float* __restrict__ x, float* __restrict__ out) {
    __shared__ float sums[8];
    const size_t place = blockIdx.x * 1024 + threadIdx.x * 4;
    float4 v = *reinterpret_cast<const float4*>(x + place);
    v.x = expf(v.x);
    v.y = expf(v.y);
    v.z = expf(v.z);
    v.w = expf(v.w);
    const float total = block_sum(v.x + v.y + v.z + v.w, sums);
    *reinterpret_cast<float4*>(out + place) = make_float4(v.x / total, v.y / total, v.z / total, v.w / total);
}
"""

_KERNEL = cupy.RawModule(code=CUDA_SOURCE, options=("--std=c++17",)).get_function("softmax")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            _KERNEL((x.shape[0],), (256,), (x.data_ptr(), out.data_ptr()))
        return out
