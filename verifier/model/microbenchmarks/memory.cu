// Streams, strides and re-reads of global memory. Values are small whole numbers, so that every sum is exact.

extern "C" __global__ void copy1(const float* __restrict__ x, float* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}

extern "C" __global__ void copy4(const float4* __restrict__ x, float4* __restrict__ y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}

// neighbouring lanes read elements `stride` apart
extern "C" __global__ void strided(const float* __restrict__ x, float* __restrict__ y, int n, int stride) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[(size_t)i * stride];
}

// every block reads `turns` pieces of the same n vectors (a power of two), which L2 holds
extern "C" __global__ void reread(const float4* __restrict__ x, float* __restrict__ y, int n, int turns) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
#pragma unroll 4
    for (int turn = 0; turn < turns; ++turn) {
        float4 v = x[(i + turn * 2048) & (n - 1)];
        sum += v.x + v.y + v.z + v.w;
    }
    y[i] = sum;
}

// one addition a thread, to one of `spread` counters (a power of two)
extern "C" __global__ void atomics(int* counts, int spread) {
    atomicAdd(counts + ((blockIdx.x * blockDim.x + threadIdx.x) & (spread - 1)), 1);
}
