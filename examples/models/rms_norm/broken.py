"""RMS normalisation that does not compile: `float4` has no member `u`."""

import cupy
import numpy
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

// One block of 256 threads a token of 1024 features; each thread keeps four neighbours in registers.
extern "C" __global__ void __launch_bounds__(256)
rms_norm(const float* __restrict__ x, const float* __restrict__ weight, float* __restrict__ out, float epsilon) {
    __shared__ float sums[8];
    const size_t place = blockIdx.x * 1024 + threadIdx.x * 4;
    const float4 v = *reinterpret_cast<const float4*>(x + place);
    const float4 w = *reinterpret_cast<const float4*>(weight + threadIdx.x * 4);
    const float squares = block_sum(v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w, sums);
    const float scale = rsqrtf(squares / 1024.0f + epsilon);
    *reinterpret_cast<float4*>(out + place) =
        make_float4(v.u * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
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
                (x.shape[0],), (256,), (x.data_ptr(), weight.data_ptr(), out.data_ptr(), numpy.float32(self.epsilon))
            )
        return out
